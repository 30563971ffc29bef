"""`perdure export`, `import`, `prune` and `compact`."""

import json
from pathlib import Path

import pytest

from tests.cli.runs import make_runs, perdure
from tests.damaging import lose_page


def test_runs_go_from_one_database_into_another(place: Path) -> None:
    exported = perdure("export", "--to", "all.jsonl.gz", "--json", directory=place)
    assert exported.code == 0, exported.err
    assert exported.json["runs"] > exported.json["open_runs"] > 0
    closed = exported.json["runs"] - exported.json["open_runs"]
    taken = perdure("import", "all.jsonl.gz", "--db", "sqlite:///new.db", "--json", directory=place)
    assert (taken.code, taken.json["imported"], taken.json["left_open"]) == (0, closed, exported.json["open_runs"])
    assert perdure("show", "done", "--db", "sqlite:///new.db", "--json", directory=place).json["status"] == "completed"
    again = perdure("import", "all.jsonl.gz", "--db", "sqlite:///new.db", directory=place)
    assert again.out.splitlines() == [
        "0 runs with 0 events were taken in.",
        f"{closed} were there already.",
        f"{exported.json['open_runs']} are open and were left out: with --open they are taken in, and go on here.",
    ]
    with_open = perdure("import", "all.jsonl.gz", "--db", "sqlite:///new.db", "--open", "--json", directory=place)
    assert with_open.json["imported"] == exported.json["open_runs"]


def test_some_runs_are_exported_by_what_they_are(place: Path) -> None:
    exported = perdure("export", "--to", "failed.jsonl", "--status", "failed", directory=place)
    assert exported.out.splitlines()[-1].endswith("events are in failed.jsonl")
    lines = [json.loads(line) for line in (place / "failed.jsonl").read_text().splitlines()]
    assert {line["run"]["status"] for line in lines if "run" in line} == {"failed"}
    again = perdure("export", "--to", "failed.jsonl", directory=place)
    assert (again.code, "exists already" in again.err) == (2, True)
    assert perdure("export", "--to", "failed.jsonl", "--force", directory=place).code == 0


def test_a_damaged_file_is_an_error_that_names_the_place_and_the_rest_comes_in(place: Path) -> None:
    perdure("export", "--to", "all.jsonl", directory=place)
    lines = (place / "all.jsonl").read_bytes().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line.startswith(b'{"sequence":2,'))
    lines[first] = lines[first].replace(b'"at":"20', b'"at":"19')
    (place / "all.jsonl").write_bytes(b"".join(lines))
    taken = perdure("import", "all.jsonl", "--open", "--db", "sqlite:///new.db", directory=place)
    assert taken.code == 1
    assert "2 places are damaged" in taken.out
    assert "all.jsonl:" in taken.out
    assert "digest differs" in taken.out


def test_a_run_whose_id_is_taken_is_an_error_unless_it_is_passed_over(place: Path) -> None:
    perdure("export", "--to", "done.jsonl", "--id-prefix", "done", directory=place)
    make_runs(place / "other.db")
    arguments = ("import", "done.jsonl", "--db", "sqlite:///other.db")
    refused = perdure(*arguments, directory=place)
    assert (refused.code, "another run, default/done" in refused.out) == (1, True)
    assert perdure(*arguments, "--skip-existing", directory=place).code == 0


def test_closed_runs_are_archived_and_removed_and_come_back(place: Path) -> None:
    counted = perdure("prune", "--older-than", "0s", "--dry-run", "--json", directory=place)
    assert (counted.code, counted.json["dry_run"]) == (0, True)
    removed = perdure("prune", "--older-than", "0s", "--archive", "archive", "--json", directory=place)
    assert removed.json["runs"] == counted.json["runs"] > 0
    assert removed.json["archived_bytes"] > 0
    assert perdure("show", "done", directory=place).code == 3
    statuses = {run["status"] for run in perdure("list", "--json", directory=place).json["runs"]}
    assert "running" in statuses
    back = perdure("import", "archive", "--json", directory=place)
    assert back.json["imported"] == removed.json["runs"]
    assert perdure("show", "done", directory=place).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("prune", "--older-than", "30d"), 2, "--archive FOLDER"),
        (("prune", "--older-than", "30d", "--archive", "a", "--no-archive"), 2, "--archive FOLDER"),
        (("prune", "--older-than", "soon", "--no-archive"), 2, "is no duration"),
        (("prune", "--older-than", "1d", "--no-archive", "--status", "running"), 2, "have not ended"),
        (("import", "nothing.jsonl"), 2, "there is no such file"),
        (("export", "--to", "no/such/folder/x.jsonl"), 1, "could not be written"),
        (("compact", "--db", "memory:"), 2, "memory:"),
    ],
)
def test_what_cannot_be_done_is_said(place: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    called = perdure(*arguments, directory=place)
    assert called.code == code
    assert said in called.err


def test_lost_pages_are_given_back_only_if_that_is_said_and_doctor_says_where_to_look(place: Path) -> None:
    lose_page(place / "perdure.db")
    checks = {check["name"]: check for check in perdure("doctor", "--json", directory=place).json["checks"]}
    assert checks["integrity"]["verdict"] == "fail"
    assert "`perdure compact` says of them" in checks["integrity"]["advice"]
    refused = perdure("compact", directory=place)
    assert refused.code == 1
    assert "--accept-lost-pages" in refused.err
    assert perdure("compact", "--accept-lost-pages", directory=place).code == 0
    checks = {check["name"]: check for check in perdure("doctor", "--json", directory=place).json["checks"]}
    assert checks["integrity"]["verdict"] == "ok"


def test_a_database_is_compacted_and_doctor_counts_its_free_pages(place: Path) -> None:
    perdure("prune", "--older-than", "0s", "--no-archive", directory=place)
    before = {check["name"]: check["finding"] for check in perdure("doctor", "--json", directory=place).json["checks"]}
    assert "free pages" in before
    done = perdure("compact", "--json", directory=place)
    assert done.code == 0
    assert done.json["bytes_after"] <= done.json["bytes_before"]
    after = {check["name"]: check["finding"] for check in perdure("doctor", "--json", directory=place).json["checks"]}
    assert after["free pages"].startswith("none of ")
