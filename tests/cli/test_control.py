import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure import Engine, RunTerminatedError
from tests.cli.runs import perdure, wait_for_review
from tests.cli.terminal import on_a_terminal

ROOT = Path(__file__).parents[2]
SOME = ("bulk", "suspend", "--workflow", "stubborn", "--workflow", "family", "--yes")
BLUE = ("bulk", "suspend", "--label", "team=blue")


async def result_of(place: Path, run_id: str) -> object:
    async with Engine(f"sqlite:///{place / 'perdure.db'}") as engine:
        run = await engine.get_run(run_id, wait_for_review)
        async with asyncio.timeout(30):
            return await run.result()


def inbox_of(place: Path, run_id: str) -> list[Any]:
    return [entry["message"] for entry in perdure("show", run_id, "--json", directory=place).json["inbox"]]


async def test_a_terminated_run_ends_with_the_reason(place: Path) -> None:
    called = perdure("terminate", "waiting", "--reason", "enough", directory=place)
    assert (called.code, called.err) == (0, "")
    assert "waiting is asked to terminate" in called.out
    with pytest.raises(RunTerminatedError, match="enough"):
        await result_of(place, "waiting")


@pytest.mark.parametrize("verb", ["terminate", "suspend", "resume"])
def test_a_request_repeated_under_one_id_counts_once(place: Path, verb: str) -> None:
    for _ in range(2):
        called = perdure(verb, "waiting", "--request-id", "r1", "--json", directory=place)
        assert called.json == {"id": "waiting", "namespace": "default", "request": verb, "delivered": True}
    assert [message["kind"] for message in inbox_of(place, "waiting")] == [verb]


@pytest.mark.parametrize("verb", ["terminate", "suspend", "resume"])
def test_a_run_that_has_ended_or_is_not_there_is_not_asked(place: Path, verb: str) -> None:
    assert perdure(verb, "done", directory=place).code == 1
    assert perdure(verb, "nobody", directory=place).code == 3


def test_a_dry_run_counts_and_asks_nobody(place: Path) -> None:
    called = perdure("bulk", "terminate", "--label", "team=blue", "--dry-run", "--json", directory=place)
    assert called.json == {
        "operation": "terminate",
        "namespace": "default",
        "found": 1,
        "done": 0,
        "ended": 0,
        "failures": [],
    }
    assert inbox_of(place, "waiting") == []


def test_runs_are_asked_only_if_that_is_confirmed(place: Path) -> None:
    refused = perdure("bulk", "suspend", "--label", "team=blue", directory=place)
    assert refused.code == 2
    assert "1 runs match; say --yes" in refused.err
    assert inbox_of(place, "waiting") == []
    called = perdure("bulk", "suspend", "--label", "team=blue", "--reason", "hold", "--yes", directory=place)
    assert (called.code, called.out) == (0, "1 of 1 runs were asked to suspend; 0 had ended before.\n")
    assert [(message["kind"], message["reason"]) for message in inbox_of(place, "waiting")] == [("suspend", "hold")]


def test_cancel_takes_a_grace_and_the_others_none(place: Path) -> None:
    called = perdure("bulk", "cancel", "--id-prefix", "waiting", "--grace", "30s", "--yes", "--json", directory=place)
    assert called.json["done"] == 1
    assert "grace_until" in inbox_of(place, "waiting")[0]
    assert perdure("bulk", "terminate", "--grace", "30s", "--yes", directory=place).code == 2


def test_a_status_that_an_operation_does_not_concern_is_refused(place: Path) -> None:
    called = perdure("bulk", "resume", "--status", "completed", "--yes", directory=place)
    assert called.code == 2
    assert "suspended" in called.err


def test_no_match_is_said(place: Path) -> None:
    called = perdure("bulk", "resume", directory=place)
    assert (called.code, called.out) == (0, "0 runs match; none was asked to resume.\n")


@pytest.mark.parametrize(("typed", "kinds"), [("y", ["suspend"]), ("YES", ["suspend"]), ("n", []), ("", [])])
def test_on_a_terminal_the_runs_are_asked_if_the_answer_is_yes(place: Path, typed: str, kinds: list[str]) -> None:
    called = on_a_terminal(*BLUE, directory=place, question="suspend 1 runs? [y/N] ", answer=lambda _: f"{typed}\n")
    assert called.code == 0
    said = "1 of 1 runs were asked to suspend; 0 had ended before." if kinds else "1 runs match; none was asked"
    assert said in called.out
    assert [message["kind"] for message in inbox_of(place, "waiting")] == kinds


def test_one_interrupt_ends_the_question(place: Path) -> None:
    def interrupt(process: int) -> str:
        os.kill(process, signal.SIGINT)
        return ""

    called = on_a_terminal(*BLUE, directory=place, question="[y/N] ", answer=interrupt)
    assert (called.code, called.out.splitlines()) == (130, ["suspend 1 runs? [y/N] "])
    assert inbox_of(place, "waiting") == []


def test_a_run_that_came_after_the_question_is_not_asked(place: Path) -> None:
    def start(_process: int) -> str:
        late = ("start", "wait_for_review", "--app", "tests.cli.runs", "--id", "late", "--label", "team=blue")
        assert perdure(*late, directory=place, PYTHONPATH=str(ROOT)).code == 0
        return "y\n"

    called = on_a_terminal(*BLUE, directory=place, question="[y/N] ", answer=start)
    assert "1 of 1 runs were asked to suspend" in called.out
    assert (len(inbox_of(place, "waiting")), inbox_of(place, "late")) == (1, [])


def test_runs_that_could_not_be_asked_are_listed_and_fail_the_command(place: Path) -> None:
    connection = apsw.Connection(str(place / "perdure.db"))
    connection.execute(
        "CREATE TRIGGER sealed BEFORE INSERT ON inbox"
        " WHEN NEW.run_key = (SELECT run_key FROM runs WHERE id = 'stuck')"
        " BEGIN SELECT RAISE(ABORT, 'sealed'); END"
    )
    connection.close()
    called = perdure(*SOME, directory=place)
    assert called.code == 1
    asked, failed = called.out.splitlines()
    assert asked == "1 of 2 runs were asked to suspend; 0 had ended before."
    assert failed.startswith("stuck: ")
    assert "sealed" in failed
    called = perdure(*SOME, "--json", directory=place)
    assert called.code == 1
    assert [failure["id"] for failure in called.json["failures"]] == ["stuck"]
