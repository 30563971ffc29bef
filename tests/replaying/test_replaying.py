"""`perdure replay` and its function: each change that matters is caught, none that does not, and nothing is written."""

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from perdure.authoring.registry import Registry, default_registry
from perdure.errors import HistoryError, InvalidArgumentError
from perdure.kernel.history import RecordedEvent
from perdure.testing.replaying import Replayed, Verdict, assert_replays, read_history_file, replay_history
from perdure.torture.replays.living import IDS, live, load
from perdure.torture.replays.shop import HARMLESS, MUTATIONS, SHOP
from tests.cli.runs import perdure
from tests.data.make_databases import dumped, file_of


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    load(SHOP)


@pytest.fixture(scope="module")
def histories() -> dict[str, list[RecordedEvent]]:
    return asyncio.run(live("memory:"))


def replays(histories: dict[str, list[RecordedEvent]]) -> list[Replayed]:
    return [replay_history(events, name=name) for name, events in histories.items()]


def test_unchanged_code_replays(histories: dict[str, list[RecordedEvent]]) -> None:
    assert [(each.name, each.verdict) for each in replays(histories)] == [(name, Verdict.SAME) for name in IDS]
    assert len(MUTATIONS) >= 50


@pytest.mark.parametrize(("old", "new"), MUTATIONS)
def test_a_change_that_matters_is_caught(histories: dict[str, list[RecordedEvent]], old: str, new: str) -> None:
    assert SHOP.count(old) >= 1
    load(SHOP.replace(old, new, 1))
    caught = [each for each in replays(histories) if each.verdict is not Verdict.SAME]
    assert caught, "nobody noticed"
    assert all(each.verdict is Verdict.DIFFERS and each.at_event for each in caught)


@pytest.mark.parametrize(("old", "new"), HARMLESS)
def test_a_change_that_does_not_matter_is_none(histories: dict[str, list[RecordedEvent]], old: str, new: str) -> None:
    assert SHOP.count(old) >= 1
    load(SHOP.replace(old, new, 1))
    assert [each for each in replays(histories) if each.verdict is not Verdict.SAME] == []


def test_code_that_is_missing_and_histories_that_are_damaged_are_told_apart(
    histories: dict[str, list[RecordedEvent]],
) -> None:
    missing = replay_history(histories["order"], registry=Registry())
    assert (missing.verdict, "no workflow named 'replay_order'" in missing.problem) == (Verdict.NO_CODE, True)
    gap = replay_history([*histories["order"][:4], *histories["order"][5:]])
    assert (gap.verdict, "the history has a gap" in gap.problem) == (Verdict.DAMAGED, True)
    assert replay_history([]).verdict is Verdict.DAMAGED


# --- files and the command line ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    asyncio.run(live(f"sqlite:///{tmp_path / 'perdure.db'}"))
    return tmp_path


def save(folder: Path, run_id: str) -> Path:
    printed = perdure("history", run_id, "--json", directory=folder)
    file = folder / f"{run_id}.jsonl"
    file.write_text(printed.out)
    return file


def test_saved_histories_are_read_back_as_they_were(folder: Path, histories: dict[str, list[RecordedEvent]]) -> None:
    saved = read_history_file(save(folder, "order"))
    assert [type(each.event) for each in saved] == [type(each.event) for each in histories["order"]]
    assert replay_history(saved).verdict is Verdict.SAME
    assert_replays(folder)


def test_a_difference_is_shown_with_both_sides_and_the_line(folder: Path) -> None:
    save(folder, "order")
    save(folder, "waiting")
    changed = SHOP.replace('quote("dhl", count)', 'quote("dpd", count)')
    (folder / "shop.py").write_text(changed)
    line = next(number for number, text in enumerate(changed.splitlines(), start=1) if "dpd" in text)
    ran = perdure("replay", "order.jsonl", "waiting.jsonl", "--app", "shop", directory=folder)
    assert ran.code == 1, ran.err
    assert "order.jsonl (replay_order, " in ran.out
    assert re.search(r'- the history holds  activity_scheduled\(.*"dhl"', ran.out)
    assert re.search(r'\+ the code asks for  activity_scheduled\(.*"dpd"', ran.out)
    assert re.search(rf"> +{line} \|     prices = await asyncio.gather", ran.out)
    assert "2 histories replayed: 1 same, 1 differs" in ran.out
    report = json.loads(perdure("replay", ".", "--app", "shop", "--json", directory=folder).out)
    assert report["counts"] == {"same": 1, "differs": 1, "no code": 0, "damaged": 0}
    assert [run["verdict"] for run in report["runs"]] == ["differs", "same"]


def test_differences_come_in_the_forms_of_other_tools_once_for_each_line_of_code(folder: Path) -> None:
    for run_id in ("waiting", "fresh", "done", "failing"):
        save(folder, run_id)
    (folder / "damaged.jsonl").write_text("{}\n")
    left_out = '    await charge(5)\n    async with ctx.stage("refuse"):\n        await refuse(item)\n'
    changed = SHOP.replace("await reserve(item, 1)", "await reserve(item, 2)").replace(left_out, "    pass\n")
    (folder / "shop.py").write_text(changed)
    texts = changed.splitlines()
    asked, defined = texts.index("    await reserve(item, 2)") + 1, texts.index('@workflow(name="replay_failing")') + 1

    def printed(form: str) -> str:
        ran = perdure("replay", ".", "--app", "shop", "--format", form, directory=folder)
        assert ran.code == 1, ran.err
        return ran.out

    damaged, differs, gone, *summary = printed("github").splitlines()
    assert damaged.startswith("::error file=damaged.jsonl,line=1,endLine=1,title=replay-damaged::a history: damaged")
    assert differs.startswith(f"::error file=shop.py,line={asked},endLine={asked},title=replay-differs::")
    assert "::replay_waiting: done.jsonl and 2 more: at event 3 the history holds activity_scheduled(" in differs
    assert gone.startswith(f"::error file=shop.py,line={defined},endLine={defined},title=replay-differs::")
    assert summary[-1] == "5 histories replayed: 4 differs, 1 damaged"
    assert f"shop.py:{asked}:1: replay-differs replay_waiting: done.jsonl and 2 more: " in printed("ruff")
    assert json.loads(printed("json"))["counts"]["differs"] == 4
    [run] = json.loads(printed("sarif"))["runs"]
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]
    assert {"artifactLocation": {"uri": "shop.py"}, "region": {"startLine": asked, "endLine": asked}} in places
    assert {result["ruleId"] for result in run["results"]} < {rule["id"] for rule in run["tool"]["driver"]["rules"]}


def test_trouble_that_is_about_no_file_is_annotated_without_a_place(folder: Path) -> None:
    save(folder, "failing")
    (folder / "empty.py").write_text("")
    ran = perdure("replay", ".", "--app", "empty", "--format", "github", directory=folder)
    assert ran.out.startswith("::error title=replay-no-code::replay_failing: failing.jsonl: no workflow named")
    ran = perdure("replay", ".", "--app", "empty", "--format", "ruff", directory=folder)
    assert ran.out.startswith("replay-no-code replay_failing: failing.jsonl: no workflow named")


def test_a_database_of_an_older_schema_is_named_with_what_to_do_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    connection = apsw.Connection(str(path))
    for _ in connection.execute(file_of(1).read_text(encoding="utf-8")):
        pass
    connection.close()
    (tmp_path / "shop.py").write_text(SHOP)
    before = dumped(path)
    ran = perdure("replay", "--from-store", "--app", "shop", directory=tmp_path)
    assert (ran.code, ran.out) == (1, "")
    assert re.search(
        r"perdure.db has schema version 1; this Perdure reads version \d+\. Nothing was changed\.", ran.err
    )
    assert "Open it once with an engine or `perdure doctor`" in ran.err
    assert dumped(path) == before


def test_the_runs_of_a_database_are_replayed_and_not_a_byte_is_written(folder: Path) -> None:
    def traces() -> dict[str, tuple[str, int]]:
        """What the database's files are, and its folder of locks; SQLite's index of the log is shared memory."""
        return {
            str(file.relative_to(folder)): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
            for file in folder.rglob("*")
            if file.is_file() and "perdure.db" in str(file.relative_to(folder)) and not file.name.endswith("-shm")
        }

    before = traces()
    ran = perdure("replay", "--from-store", "--app", "shop", directory=folder)
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "7 histories replayed: 7 same"), ran.err
    assert traces() == before
    few = perdure("replay", "--from-store", "--app", "shop", "--limit", "2", directory=folder)
    assert few.out.splitlines()[-1] == "2 histories replayed: 2 same"
    narrow = ("--workflow", "replay_waiting", "--status", "running")
    chosen = perdure("replay", "--from-store", "--app", "shop", *narrow, directory=folder)
    assert chosen.out == "2 histories replayed: 2 same\n"
    none = perdure("replay", "--from-store", "--app", "shop", "--workflow", "nobody", directory=folder)
    assert (none.code, none.out) == (0, "0 histories replayed: none was found\n")


def test_a_run_without_code_is_no_success(folder: Path) -> None:
    (folder / "empty.py").write_text("")
    ran = perdure("replay", "--from-store", "--app", "empty", directory=folder)
    assert ran.code == 1
    assert "7 histories replayed: 7 no code" in ran.out
    assert "import the module that defines it" in ran.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--app", "shop"), "name saved histories, or take the database's"),
        (("order.jsonl", "--from-store", "--app", "shop"), "name saved histories, or take the database's"),
        (("order.jsonl",), "name the module that defines the workflows"),
        (("missing.jsonl", "--app", "shop"), "there is no file missing.jsonl; save a history with"),
        (("order.jsonl", "--app", "nothing"), "importing 'nothing' failed: ModuleNotFoundError"),
    ],
)
def test_a_wrong_call_says_how_it_is_done(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "order.jsonl").write_text("")
    ran = perdure("replay", *arguments, directory=tmp_path)
    assert ran.code == 2
    assert says in ran.err


def test_a_file_that_is_no_history_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "no.jsonl"
    file.write_text('{"sequence": 1}\n')
    with pytest.raises(HistoryError, match=r"no\.jsonl:1: this is no event"):
        read_history_file(file)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidArgumentError, match=r"no \*\.jsonl is in .*empty; save a history with"):
        assert_replays(tmp_path / "empty")


def test_a_damaged_file_does_not_keep_the_others_from_being_replayed(folder: Path) -> None:
    save(folder, "order")
    (folder / "damaged.jsonl").write_bytes(b'{"sequence": 1}\n\xff\n')
    ran = perdure("replay", ".", "--app", "shop", directory=folder)
    assert ran.code == 1
    assert "damaged.jsonl:1: this is no event" in ran.out
    assert "2 histories replayed: 1 same, 1 damaged" in ran.out


def test_a_history_that_does_not_replay_fails_a_test_with_the_difference(folder: Path) -> None:
    save(folder, "failing")
    load(SHOP.replace("await charge(5)", "await charge(50)"))
    with pytest.raises(AssertionError, match=r"1 of 1 histories do not replay\n.*failing.*: differs\n  at event 3"):
        assert_replays(folder)
    assert default_registry.find("replay_failing", "1") is not None
