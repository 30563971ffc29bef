from pathlib import Path

import apsw
import pytest

from perdure.cli.listing import print_page
from perdure.kernel.time import Timestamp
from perdure.ports.store import Page
from tests.cli.runs import NASTY_ID, perdure

ALL = ["family/second", "family/first", "family", NASTY_ID, "stuck", "waiting", "failed", "done"]


def listed(place: Path, *arguments: str) -> list[str]:
    called = perdure("list", "--json", *arguments, directory=place)
    assert called.code == 0, called.err
    return [run["id"] for run in called.json["runs"]]


def test_all_runs_are_listed_newest_first(place: Path) -> None:
    assert sorted(listed(place)) == sorted(ALL)
    assert listed(place)[-1] == "done"


def test_filters_narrow_the_list(place: Path) -> None:
    assert listed(place, "--status", "failed") == ["failed"]
    assert sorted(listed(place, "--status", "failed", "--status", "completed", "--workflow", "fail")) == ["failed"]
    assert listed(place, "--label", "team=blue", "--tenant", "acme") == ["waiting"]
    assert sorted(listed(place, "--id-prefix", "family/")) == ["family/first", "family/second"]
    assert listed(place, "--since", "2001-01-01", "--workflow", "stubborn") == ["stuck"]
    assert listed(place, "--since", "0s") == []
    assert listed(place, "--namespace", "another") == []


def test_the_list_says_how_runs_failed(place: Path) -> None:
    lines = perdure("list", "--id-prefix", "failed", directory=place).out.splitlines()
    assert lines[0].endswith("failed with")
    assert "ValueError: the reactor is hot" in lines[1]
    assert "failed with" not in perdure("list", "--id-prefix", "done", directory=place).out
    runs = perdure("list", "--json", directory=place).json["runs"]
    told = {run["id"]: run["failure"] and run["failure"]["type"] for run in runs}
    assert {id: kind for id, kind in told.items() if kind} == {"failed": "ActivityFailedError"}


def test_a_cursor_leads_from_page_to_page(place: Path) -> None:
    found: list[str] = []
    cursor = ""
    while True:
        page = perdure(
            "list", "--json", "--limit", "3", *(("--cursor", cursor) if cursor else ()), directory=place
        ).json
        found += [run["id"] for run in page["runs"]]
        cursor = page["next_cursor"] or ""
        if not cursor:
            break
    assert len(found) == len(set(found)) == len(ALL)


def test_a_run_is_listed_with_what_programs_need(place: Path) -> None:
    (run,) = perdure("list", "--json", "--id-prefix", "waiting", directory=place).json["runs"]
    assert run["workflow"] == "wait_for_review"
    assert run["status"] == "running"
    assert run["stage"] == "review"
    assert run["labels"] == {"team": "blue"}
    assert run["tenant"] == "acme"
    assert run["created_at"].endswith("Z")
    assert run["closed_at"] is None


def test_a_table_is_printed_for_people_without_control_characters(place: Path) -> None:
    called = perdure("list", directory=place)
    assert called.code == 0
    assert "waiting" in called.out
    assert "wait_for_review" in called.out
    assert "evil\\x1b[2J\\u202eid" in called.out
    assert "\x1b" not in called.out
    assert "\u202e" not in called.out


def test_the_end_of_a_page_says_how_to_go_on(place: Path) -> None:
    assert "--cursor" in perdure("list", "--limit", "2", directory=place).out


def test_no_match_is_said_and_no_error(place: Path) -> None:
    called = perdure("list", "--workflow", "nothing", directory=place)
    assert (called.code, called.out) == (0, "No runs match.\n")


def test_a_search_that_has_found_nothing_yet_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    print_page(Page(runs=(), next_cursor="17.4"), {}, now=Timestamp(0))
    assert capsys.readouterr().out == "No runs match so far; repeat with --cursor 17.4 to search on\n"


def test_a_filter_that_means_nothing_is_refused(place: Path) -> None:
    for arguments in (("--label", "red"), ("--since", "soon"), ("--limit", "0"), ("--status", "odd")):
        called = perdure("list", *arguments, directory=place)
        assert called.code == 2
        assert called.out == ""
        assert arguments[0] in called.err or arguments[1] in called.err


def test_a_damaged_history_of_a_failed_run_hides_no_other_run(place: Path) -> None:
    connection = apsw.Connection(str(place / "perdure.db"))
    connection.execute("UPDATE history SET data = '{' WHERE type = 'run_failed'")
    connection.close()
    called = perdure("list", "--json", directory=place)
    told = {run["id"]: run["failure"]["type"] for run in called.json["runs"] if run["failure"]}
    assert told == {"failed": "HistoryError"}
