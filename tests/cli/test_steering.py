import asyncio
from pathlib import Path

import pytest

from perdure import Engine, RunCancelledError
from tests.cli.runs import perdure, wait_for_review


async def result_of(place: Path, run_id: str) -> object:
    async with Engine(f"sqlite:///{place / 'perdure.db'}") as engine:
        run = await engine.get_run(run_id, wait_for_review)
        async with asyncio.timeout(30):
            return await run.result()


async def test_a_signal_reaches_the_run_when_a_worker_comes(place: Path) -> None:
    called = perdure("signal", "waiting", "review", '{"approved": true}', directory=place)
    assert called.code == 0
    assert "'review' is in the inbox of waiting" in called.out
    assert await result_of(place, "waiting") == "approved"


async def test_a_signal_repeated_under_one_request_id_counts_once(place: Path) -> None:
    for _ in range(2):
        called = perdure(
            "signal", "waiting", "review", '{"approved": false}', "--request-id", "r1", "--json", directory=place
        )
        assert called.json == {"id": "waiting", "namespace": "default", "signal": "review", "delivered": True}
    assert len(perdure("show", "waiting", "--json", directory=place).json["inbox"]) == 1
    assert await result_of(place, "waiting") == "refused"


def test_a_body_that_is_no_json_is_refused_with_a_hint(place: Path) -> None:
    called = perdure("signal", "waiting", "review", "yes", directory=place)
    assert called.code == 2
    assert "'\"yes\"'" in called.err


async def test_a_cancelled_run_ends_with_the_reason(place: Path) -> None:
    called = perdure("cancel", "waiting", "--reason", "no longer needed", "--grace", "30s", directory=place)
    assert called.code == 0
    with pytest.raises(RunCancelledError, match="no longer needed"):
        await result_of(place, "waiting")


def test_a_run_that_has_ended_takes_no_messages(place: Path) -> None:
    for command in (("signal", "done", "review"), ("cancel", "done")):
        called = perdure(*command, directory=place)
        assert called.code == 1
        assert "ended" in called.err


def test_a_grace_that_is_no_duration_is_refused(place: Path) -> None:
    assert perdure("cancel", "waiting", "--grace", "soon", directory=place).code == 2
