"""What the log says of failures: each attempt once, each run once, and nothing in a replay."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest

from perdure import ActivityFailedError, Context, NonRetryableError, Retry, RunFailedError, Settings, activity, workflow
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import QUICK, decide, is_out_of_memory, until


@activity(retry=Retry(attempts=3, backoff=QUICK))
async def stumble(reason: str) -> None:
    raise OSError(reason)


@activity(retry=Retry(attempts=2), timeout=timedelta(milliseconds=1), schedule_to_close=timedelta(milliseconds=5))
async def dawdle() -> None:
    await asyncio.Event().wait()


@workflow
async def stumbling_along(ctx: Context) -> str:
    try:
        await stumble("the shop is closed")
    except ActivityFailedError:
        await ctx.wait_for(decide)
    return "went on"


@workflow
async def dawdling(ctx: Context) -> None:
    await dawdle()


@workflow
async def falling(ctx: Context) -> None:
    raise NonRetryableError("no ground")


@workflow(retry=Retry(attempts=2, backoff=QUICK))
async def falling_twice(ctx: Context) -> None:
    raise OSError("no ground")


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger="perdure")
    return caplog


def of(logger: str, told: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in told.records if record.name == logger]


async def test_each_failed_attempt_is_a_warning_with_the_time_of_the_next(
    make_engine: MakeEngine, told: pytest.LogCaptureFixture
) -> None:
    async with make_engine() as engine:
        run = await engine.start(stumbling_along, id="stumbling")
        await run.signal(decide, True)
        await run.result()
    records = of("perdure.activities", told)
    fields = [vars(record) for record in records]
    assert [record.levelname for record in records] == ["WARNING"] * 3
    assert [(f["run_id"], f["activity"], f["attempt"]) for f in fields] == [
        ("stumbling", "stumble", n) for n in (1, 2, 3)
    ]
    moments = [f["next_attempt_at"] for f in fields]
    assert all(abs(moment - datetime.now(UTC)) < timedelta(minutes=5) for moment in moments[:2])
    assert moments[2] is None
    assert "attempt 1 of stumble failed: OSError: the shop is closed; the next one is due at 2" in records[0].message
    assert records[2].message.endswith("there is no next one (attempts_exhausted)")
    assert of("perdure.runs", told) == []


async def test_a_replay_tells_of_no_attempt_again(make_engine: MakeEngine, told: pytest.LogCaptureFixture) -> None:
    async with make_engine(Settings(idle_seconds=0.01)) as engine:
        run = await engine.start(stumbling_along)
        key = (await run.describe()).run_key
        await until(lambda: is_out_of_memory(engine, key))
        await run.signal(decide, True)
        assert await run.result() == "went on"
    assert len(of("perdure.activities", told)) == 3


async def test_a_time_out_is_told_as_one(make_engine: MakeEngine, told: pytest.LogCaptureFixture) -> None:
    async with make_engine() as engine:
        with pytest.raises(RunFailedError):
            await (await engine.start(dawdling)).result()
    assert "limit" in of("perdure.activities", told)[-1].message


async def test_a_run_that_fails_is_one_error_with_the_line_that_raised(
    make_engine: MakeEngine, told: pytest.LogCaptureFixture
) -> None:
    async with make_engine() as engine:
        with pytest.raises(RunFailedError):
            await (await engine.start(falling, id="fallen")).result()
    (record,) = of("perdure.runs", told)
    assert (record.levelname, vars(record)["run_id"]) == ("ERROR", "fallen")
    assert "failed: NonRetryableError: no ground" in record.message
    assert 'raise NonRetryableError("no ground")' in record.message


async def test_a_run_that_is_tried_again_is_an_error_only_in_the_end(
    make_engine: MakeEngine, told: pytest.LogCaptureFixture
) -> None:
    async with make_engine() as engine:
        with pytest.raises(RunFailedError):
            await (await engine.start(falling_twice)).result()
    assert [record.levelname for record in of("perdure.runs", told)] == ["WARNING", "ERROR"]
