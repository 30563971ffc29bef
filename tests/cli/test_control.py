import asyncio
from pathlib import Path
from typing import Any

import pytest

from perdure import Engine, RunTerminatedError
from tests.cli.runs import perdure, wait_for_review


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
