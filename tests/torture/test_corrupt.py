"""The tool that damages databases: it finds nothing where nothing is wrong, and its damages are what it says."""

import json
import random
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from perdure.errors import StoreCorruptError, StoreError, StoreUnavailableError
from perdure.kernel.identity import RunKey
from perdure.kernel.time import Timestamp
from perdure.ports.verification import VerificationWish
from perdure.stores.sqlite.looking import SqliteLook
from perdure.stores.sqlite.unreadable import Unreadable
from perdure.torture.command import main
from perdure.torture.corruption.contents import contents_of
from perdure.torture.corruption.crowds import strike_a_crowd
from perdure.torture.corruption.judgement import judge
from perdure.torture.corruption.originals import Original, original
from perdure.torture.corruption.page_damage import damaged_file
from perdure.torture.corruption.row_damage import damage_rows


@pytest.fixture(scope="module")
def made() -> Original:
    return original(1)


@pytest.fixture
def path(made: Original, tmp_path: Path) -> Path:
    path = tmp_path / "perdure.db"
    path.write_bytes(made.latest)
    return path


def test_a_short_run_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corrupt", "--count", "20", "--seed", "1", "--processes", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["name"], result["runs"], result["violations"]) == ("corrupt", 20, 0)


def test_a_database_has_rows_of_those_who_have_had_a_turn(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        assert connection.execute("SELECT count(tag) FROM task_shares").get > 1


async def test_a_file_whose_mark_is_another_programs_may_be_refused(made: Original, path: Path) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA application_id = 1")
    judged = await judge(made, path, None, goes_on=False)
    assert (judged.wrong, judged.is_refused) == ([], True)


def test_a_crowd_that_goes_on_without_those_that_are_hurt_is_all_right_and_one_that_does_not_is_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what, wrong = strike_a_crowd(path, random.Random(7))
    assert what.startswith("zeros in page")
    assert wrong == []
    monkeypatch.setattr(Unreadable, "note", lambda _self, _found: None)
    monkeypatch.setattr("perdure.torture.corruption.crowds.patience_seconds", lambda: 2.0)
    for left in path.parent.glob("perdure.db-*"):
        left.unlink()
    _, wrong = strike_a_crowd(path, random.Random(7))
    assert wrong


def test_of_a_crowd_one_may_have_another_id_if_a_bit_says_so(path: Path) -> None:
    what, wrong = strike_a_crowd(path, random.Random(70125))
    assert what.startswith("another bit in page")
    assert what.endswith("which hurts 0 runs and changes 1")
    assert wrong == []


async def test_an_undamaged_database_is_sound_and_its_runs_come_to_their_end(made: Original, path: Path) -> None:
    judged = await judge(made, path, frozenset(), goes_on=True)
    assert (judged.wrong, judged.is_refused, judged.is_as_before, judged.has_gone_on) == ([], False, True, True)


async def test_what_the_original_holds_is_what_a_look_finds(made: Original, path: Path) -> None:
    assert contents_of(path).unlike(made.contents) == []
    async with SqliteLook(path) as look:
        found = await look.verify(VerificationWish(now=Timestamp(0)))
    assert found.events == sum(map(len, made.histories.values()))
    assert len(made.plans) == found.runs


def test_each_damage_of_rows_changes_what_it_says_and_no_other_run(made: Original, path: Path) -> None:
    for seed in range(60):
        path.write_bytes(made.latest)
        for left in path.parent.glob("perdure.db-*"):
            left.unlink()
        touched, what = damage_rows(path, random.Random(seed))
        now = contents_of(path)
        changed = {key for key in made.plans if now.of_run(key) != made.contents.of_run(key)}
        assert changed <= touched, what


def test_the_rows_of_a_named_table_are_damaged_and_others_where_it_has_none(path: Path) -> None:
    assert "inbox" in damage_rows(path, random.Random(1), tables=["inbox"])[1]
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("DELETE FROM inbox")
    assert "inbox" not in damage_rows(path, random.Random(1), tables=["inbox"])[1]


@pytest.mark.parametrize(("workload", "count", "told"), [("crowd", 2, ", 2 that struck a crowd"), ("file", 11, "")])
def test_a_crowd_is_struck_each_time_if_it_is_named_alone_and_never_if_it_is_not_named(
    workload: str, count: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["corrupt", "--count", str(count), "--seed", "0", "--processes", "1", "--workload", workload]) == 0
    result = capsys.readouterr().out
    assert told in result
    assert ("crowd" in result) == bool(told)


def test_a_damaged_file_is_another_one(made: Original) -> None:
    damaged = (damaged_file(made.latest, made.earlier, random.Random(seed)) for seed in range(100))
    assert [what for data, what in damaged if data == made.latest] == []


@pytest.mark.parametrize("touched", [frozenset[RunKey](), None], ids=["rows", "pages"])
async def test_a_refusal_of_what_can_be_read_is_found(
    made: Original, path: Path, monkeypatch: pytest.MonkeyPatch, touched: frozenset[RunKey] | None
) -> None:
    monkeypatch.setattr(SqliteLook, "verify", _refusing(StoreCorruptError("x")))
    judged = await judge(made, path, touched, goes_on=False)
    assert judged.is_refused
    assert [what.partition(":")[0] for what in judged.wrong] == ["all is refused, though the tables can be read"]


def _refusing(error: StoreError) -> Callable[..., Awaitable[None]]:
    async def refuse(*_: object) -> None:
        raise error

    return refuse


@pytest.mark.parametrize(
    ("error", "wrong"),
    [(StoreCorruptError("x"), []), (StoreUnavailableError("x"), ["damage is answered as if the file were away"])],
    ids=["damage", "absence"],
)
async def test_a_refusal_of_what_cannot_be_read_must_speak_of_damage(
    made: Original, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: StoreError, wrong: list[str]
) -> None:
    monkeypatch.setattr(SqliteLook, "__aenter__", _refusing(error))
    judged = await judge(made, tmp_path, None, goes_on=False)
    assert [what.partition(":")[0] for what in judged.wrong] == wrong


async def test_a_history_that_is_read_otherwise_is_found(made: Original, path: Path) -> None:
    """As if no digest were checked: the original is another one than what is read."""
    key = max(made.histories, key=lambda key: len(made.histories[key]))
    shorter = {**made.histories, key: made.histories[key][:-1]}
    other = Original(
        earlier=made.earlier, latest=made.latest, contents=made.contents, histories=shorter, plans=made.plans
    )
    [wrong] = (await judge(other, path, frozenset(), goes_on=False)).wrong
    assert wrong == f"the history of run {key} was read, and is another one"


async def test_damage_that_nobody_reports_is_found(made: Original, path: Path) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("UPDATE message_requests SET id = 'nobody'")
        connection.execute("DELETE FROM message_requests WHERE id = 'nobody'")
    rows = {**made.contents.rows, "runs": frozenset[tuple[object, ...]]()}
    contents = type(made.contents)(rows=rows, keys=made.contents.keys)
    other = Original(
        earlier=made.earlier, latest=made.latest, contents=contents, histories=made.histories, plans=made.plans
    )
    judged = await judge(other, path, frozenset(), goes_on=False)
    assert judged.wrong == ["runs is not what it was, and nothing is reported"]


@pytest.mark.parametrize("seed", [60_084, 271_725])
def test_damage_that_was_once_too_much(seed: int) -> None:
    """Another name of a column; a text where the count of a run's events stood."""
    assert main(["corrupt", "--count", "1", "--seed", str(seed), "--processes", "1"]) == 0
