from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.runs import Called, perdure

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
    ("options", "complaint"),
    [
        (("--at", "then"), "--at: 'then' is no time"),
        (("--after", "soon"), "'soon' is no duration"),
        (("--after", "1h", "--at", "2099-01-01"), "start_at and start_after exclude each other"),
        (("--label", "red"), "not of the form NAME=VALUE"),
    ],
)
def test_what_makes_no_sense_is_refused(options: tuple[str, ...], complaint: str, greetings: Path) -> None:
    called = call(*GREET, *options, at=greetings)
    assert (called.code, called.out) == (2, "")
    assert complaint in called.err
