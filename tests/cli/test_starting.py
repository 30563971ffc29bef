import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import apsw
import pytest

from perdure import Debounce, Engine
from tests.cli.runs import Called, greet, perdure

GREET = ("start", "greet", '"Ada"', "--app", "greetings")
MODULE = """
from perdure import Context, workflow


@workflow
async def greet(ctx: Context, name: str) -> str:
    return f"hello {name}"
"""


@pytest.fixture
def greetings(place: Path) -> Path:
    """A directory with a database, and a module that defines a workflow."""
    (place / "greetings.py").write_text(MODULE)
    return place


def call(*arguments: str, at: Path) -> Called:
    return perdure(*arguments, directory=at)


def test_a_run_is_started_and_waits_for_a_worker(greetings: Path) -> None:
    started = call(*GREET, "--id", "new", "--label", "team=red", "--tenant", "acme", "--json", at=greetings).json
    assert (started["id"], started["status"], started["labels"]) == ("new", "created", {"team": "red"})
    shown = call("show", "new", "--json", at=greetings).json
    assert (shown["workflow"], shown["input"], shown["tenant"]) == ("greet", ["Ada"], "acme")
    again = call(*GREET, "--id", "new", "--json", at=greetings).json
    assert again["created_at"] == started["created_at"]


def test_a_repetition_of_a_request_gives_the_run_of_the_first(greetings: Path) -> None:
    first, again = (call(*GREET, "--request-id", "r1", "--json", at=greetings).json["id"] for _ in range(2))
    assert first == again


def test_a_run_that_is_started_for_later_is_listed_with_its_time_and_can_be_cancelled(greetings: Path) -> None:
    later = call(*GREET, "--id", "later", "--after", "2h", "--json", at=greetings).json
    began, begins = (datetime.fromisoformat(later[name]) for name in ("created_at", "wake_at"))
    assert begins - began == timedelta(hours=2)
    at_once = call(*GREET, "--id", "then", "--at", "2099-01-01T00:00Z", "--json", at=greetings).json
    assert at_once["wake_at"] == "2099-01-01T00:00:00.000000Z"
    assert "begins in 1 h 59 min" in call("list", at=greetings).out
    assert "begins in 1 h 59 min" in call("show", "later", at=greetings).out
    assert "begins in 1 h 59 min" in call(*GREET, "--id", "later", at=greetings).out
    assert call("cancel", "later", at=greetings).code == 0


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--debounce", "k", "--wait", "1h", "--max-wait", "2h"), "debounce"),
        (("--singleton", "k", "--when-open", "wait"), "singleton"),
    ],
)
def test_a_start_by_a_key_may_wait(options: tuple[str, ...], rule: str, greetings: Path) -> None:
    if rule == "singleton":
        assert call(*GREET, *options, at=greetings).code == 0
    begun = call(*GREET, *options, "--request-id", "r", "--json", at=greetings).json
    assert (begun["status"], begun["workflow"], begun["rule"], begun["key"]) == ("waiting", "greet", rule, "k")
    (waiting,) = call("waiting", "--json", at=greetings).json["waiting"]
    assert {**waiting, "status": "waiting"} == begun
    again = call(*GREET, *options, "--request-id", "r", at=greetings)
    assert again.out.startswith(f"Run {begun['id']} of greet: waits; begins ")


def test_a_start_that_waits_can_be_withdrawn_by_its_id(greetings: Path) -> None:
    first, second = (
        call(*GREET, "--debounce", key, "--wait", "1h", "--json", at=greetings).json["id"] for key in ("a", "b")
    )
    assert call("cancel", first, at=greetings).code == 0
    assert call("terminate", second, at=greetings).code == 0
    assert call("waiting", at=greetings).out == "No start waits.\n"
    assert call("cancel", first, at=greetings).code == 3


def test_a_deduplicated_start_gives_the_run_of_the_first(greetings: Path) -> None:
    options = ("--deduplicate", "k", "--window", "1h", "--json")
    first, again = (call(*GREET, *options, at=greetings).json for _ in range(2))
    assert (first["id"], first["status"]) == (again["id"], "created")
    assert call(*GREET, "--deduplicate", "other", "--window", "1h", "--json", at=greetings).json["id"] != first["id"]


def test_a_singleton_that_is_taken_is_refused(greetings: Path) -> None:
    first = call(*GREET, "--singleton", "k", "--json", at=greetings).json
    refused = call(*GREET, "--singleton", "k", at=greetings)
    assert (refused.code, refused.out) == (1, "")
    assert f"the singleton 'k' is taken by the run default/{first['id']}" in refused.err
    same = call(*GREET, "--singleton", "k", "--when-open", "return_existing", "--json", at=greetings).json
    assert same["id"] == first["id"]


def test_starts_that_cannot_be_read_are_named_after_the_others(greetings: Path) -> None:
    for key in ("a", "b"):
        assert call(*GREET, "--debounce", key, "--wait", "1h", at=greetings).code == 0
    connection = apsw.Connection(str(greetings / "perdure.db"))
    connection.execute("UPDATE agenda SET data = '{' WHERE id = ?", ('["greet","a"]',))
    connection.close()
    called = call("waiting", "--json", at=greetings)
    assert [waiting["key"] for waiting in called.json["waiting"]] == ["b"]
    assert called.code == 1
    assert 'the debounce ["greet","a"] of the namespace default cannot be read' in called.err
    checks = {check["name"]: check for check in call("doctor", "--json", at=greetings).json["checks"]}
    assert (checks["agenda"]["verdict"], checks["agenda"]["finding"]) == (
        "fail",
        "1 entries can be read, others cannot",
    )
    assert '["greet","a"]' in checks["agenda"]["advice"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--at", "then"), "--at: 'then' is no time"),
        (("--after", "soon"), "'soon' is no duration"),
        (("--after", "1h", "--at", "2099-01-01"), "start_at and start_after exclude each other"),
        (("--label", "red"), "not of the form NAME=VALUE"),
        (("--wait", "5s"), "--wait goes with --debounce KEY"),
        (("--max-wait", "5s", "--singleton", "k"), "--max-wait goes with --debounce KEY"),
        (("--window", "5s"), "--window goes with --deduplicate KEY"),
        (("--when-open", "wait"), "--when-open goes with --singleton KEY"),
        (("--debounce", "k"), "--debounce KEY goes with --wait, for example --wait 10s"),
        (("--deduplicate", "k"), "--deduplicate KEY goes with --window, for example --window 1h"),
        (("--debounce", "k", "--wait", "soon"), "'soon' is no duration"),
        (("--singleton", "k", "--id", "one"), "id cannot be given with debounce, deduplicate or singleton"),
        (("--singleton", "k", "--debounce", "k", "--wait", "5s"), "debounce and singleton exclude each other"),
    ],
)
def test_what_makes_no_sense_is_refused(options: tuple[str, ...], complaint: str, greetings: Path) -> None:
    called = call(*GREET, *options, at=greetings)
    assert (called.code, called.out) == (2, "")
    assert complaint in called.err


def test_starts_that_wait_are_listed(greetings: Path) -> None:
    assert call("waiting", at=greetings).out == "No start waits.\n"
    run_id = asyncio.run(_debounced(f"sqlite:///{greetings / 'perdure.db'}"))
    (waiting,) = call("waiting", "--json", at=greetings).json["waiting"]
    assert (waiting["id"], waiting["workflow"], waiting["rule"], waiting["key"]) == (run_id, "greet", "debounce", "k")
    asked, begins = (datetime.fromisoformat(waiting[name]) for name in ("asked_at", "begins_at"))
    assert begins - asked == timedelta(hours=1)
    assert run_id in call("waiting", at=greetings).out


async def _debounced(url: str) -> str:
    async with Engine(url, works=False) as engine:
        return (await engine.start(greet, "Ada", debounce=Debounce("k", timedelta(hours=1)))).id
