"""Activities: order, types, parallel calls, retries, limits, each shown by a run on every store."""

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from uuid import UUID

import pytest

from perdure import (
    ActivityFailedError,
    ActivityTimeoutError,
    Context,
    NonRetryableError,
    Retry,
    RunCancelledError,
    RunFailedError,
    activity,
    current_attempt,
    workflow,
)
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import QUICK, double, kinds


async def test_steps_run_in_order_and_the_result_is_typed(make_engine: MakeEngine) -> None:
    @workflow
    async def four_times(ctx: Context, number: int) -> int:
        return await double(await double(number))

    async with make_engine() as engine:
        run = await engine.start(four_times, 3)
        assert await run.result() == 12
        assert await kinds(run) == [
            "run_created", "run_started", "activity_scheduled", "activity_completed", "activity_scheduled",
            "activity_completed", "run_completed",
        ]  # fmt: skip


async def test_an_activity_outside_a_workflow_is_the_plain_function() -> None:
    @activity
    def halve(number: int) -> int:
        return number // 2

    assert await double(4) == 8
    assert halve(8) == 4  # type: ignore[comparison-overlap]  # outside a workflow the plain function answers


class Colour(Enum):
    RED = "red"


@dataclasses.dataclass
class Parcel:
    id: UUID
    weight: Decimal
    due: datetime
    colour: Colour
    seal: bytes
    notes: list[str] | None = None


@activity
async def weigh(parcel: Parcel) -> Parcel:
    return dataclasses.replace(parcel, weight=parcel.weight + 1)


@workflow
async def weighing(ctx: Context, parcel: Parcel) -> Parcel:
    return await weigh(parcel)


async def test_inputs_and_outputs_keep_their_types(make_engine: MakeEngine) -> None:
    parcel = Parcel(UUID(int=7), Decimal("1.10"), datetime(2030, 1, 1, tzinfo=UTC), Colour.RED, b"\x00\xff")
    async with make_engine() as engine:
        result = await (await engine.start(weighing, parcel)).result()
    assert result == dataclasses.replace(parcel, weight=Decimal("2.10"))


async def test_gather_runs_activities_in_parallel(make_engine: MakeEngine) -> None:
    started = asyncio.Semaphore(0)
    everyone = asyncio.Event()

    @activity
    async def meet(number: int) -> int:
        started.release()
        await everyone.wait()
        return number

    @workflow
    async def meeting(ctx: Context) -> list[int]:
        return await asyncio.gather(*(meet(number) for number in range(5)))

    async with make_engine() as engine:
        run = await engine.start(meeting)
        for _ in range(5):
            await started.acquire()
        everyone.set()
        assert await run.result() == [0, 1, 2, 3, 4]


async def test_map_never_runs_more_than_its_limit_at_once(make_engine: MakeEngine) -> None:
    running: list[int] = []
    most: list[int] = []

    @activity
    async def count(number: int) -> int:
        running.append(number)
        most.append(len(running))
        await asyncio.sleep(0)
        running.remove(number)
        return number

    @workflow
    async def tallying(ctx: Context) -> list[int]:
        return await ctx.map(count, range(10), limit=3)

    async with make_engine() as engine:
        assert await (await engine.start(tallying)).result() == list(range(10))
    assert max(most) <= 3


async def test_a_failing_activity_is_retried_until_it_succeeds(make_engine: MakeEngine) -> None:
    attempts: list[int] = []

    @activity(retry=Retry(attempts=5, backoff=QUICK))
    async def shaky() -> int:
        attempts.append(current_attempt().attempt)
        if len(attempts) < 3:
            message = "not yet"
            raise ConnectionError(message)
        return len(attempts)

    @workflow
    async def patient(ctx: Context) -> int:
        return await shaky()

    async with make_engine() as engine:
        run = await engine.start(patient)
        assert await run.result() == 3
        assert (await kinds(run)).count("activity_attempt_failed") == 2
    assert attempts == [1, 2, 3]


async def test_an_activity_that_fails_for_good_raises_in_the_workflow_with_its_type(make_engine: MakeEngine) -> None:
    @activity(retry=Retry(attempts=2, backoff=QUICK))
    async def hopeless() -> None:
        message = "never"
        raise LookupError(message)

    @workflow
    async def hoping(ctx: Context) -> tuple[str, str, int]:
        try:
            await hopeless()
        except ActivityFailedError as error:
            return error.failure_type, error.failure_message, error.attempts
        return "", "", 0

    async with make_engine() as engine:
        assert await (await engine.start(hoping)).result() == ("LookupError", "never", 2)


@pytest.mark.parametrize("how", ["raise", "policy"])
async def test_errors_declared_final_are_not_retried(make_engine: MakeEngine, how: str) -> None:
    attempts: list[int] = []

    @activity(retry=Retry(attempts=5, backoff=QUICK, non_retryable=(ValueError,)))
    async def validate() -> None:
        attempts.append(1)
        raise NonRetryableError("no") if how == "raise" else ValueError("no")

    @workflow
    async def validating(ctx: Context) -> None:
        await validate()

    async with make_engine() as engine:
        with pytest.raises(RunFailedError, match="no"):
            await (await engine.start(validating)).result()
    assert attempts == [1]


async def test_a_forgotten_await_is_warned_of_by_the_name_of_the_activity(make_engine: MakeEngine) -> None:
    @workflow
    async def forgetful(ctx: Context) -> int:
        double(4)  # type: ignore[unused-coroutine]
        return 1

    async with make_engine() as engine:
        with pytest.warns(RuntimeWarning, match="coroutine 'double' was never awaited"):
            assert await (await engine.start(forgetful)).result() == 1


async def test_a_fallback_takes_over_when_an_activity_has_failed_for_good(make_engine: MakeEngine) -> None:
    @activity
    async def spare(number: int) -> str:
        return f"spare {number}"

    @activity(retry=Retry.never(), fallback=spare)
    async def primary(number: int) -> str:
        raise OSError

    @workflow
    async def either(ctx: Context) -> str:
        return await primary(4)

    async with make_engine() as engine:
        assert await (await engine.start(either)).result() == "spare 4"


async def test_a_slow_attempt_times_out(make_engine: MakeEngine) -> None:
    @activity(timeout=timedelta(milliseconds=5), retry=Retry.never())
    async def slow() -> None:
        await asyncio.Event().wait()

    @workflow
    async def impatient(ctx: Context) -> str:
        try:
            await slow()
        except ActivityTimeoutError as error:
            return error.timeout
        return ""

    async with make_engine() as engine:
        assert await (await engine.start(impatient)).result() == "start_to_close"


async def test_call_options_override_those_of_the_activity(make_engine: MakeEngine) -> None:
    attempts: list[int] = []

    @activity(retry=Retry(attempts=9, backoff=QUICK))
    async def broken() -> None:
        attempts.append(1)
        raise OSError

    @workflow
    async def once(ctx: Context) -> None:
        await broken.options(retry=Retry(attempts=2, backoff=QUICK))()

    async with make_engine() as engine:
        with pytest.raises(RunFailedError):
            await (await engine.start(once)).result()
    assert len(attempts) == 2


async def test_cancel_reaches_a_running_activity(make_engine: MakeEngine) -> None:
    begun = asyncio.Event()
    cancelled = asyncio.Event()

    @activity
    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    @workflow
    async def long(ctx: Context) -> None:
        await endless()

    async with make_engine() as engine:
        run = await engine.start(long)
        await begun.wait()
        await run.cancel("enough")
        with pytest.raises(RunCancelledError):
            await run.result()
        async with asyncio.timeout(10):
            await cancelled.wait()


async def test_an_at_most_once_activity_records_its_start(make_engine: MakeEngine) -> None:
    @activity(at_most_once=True)
    async def settle() -> str:
        return "paid"

    @workflow
    async def paying(ctx: Context) -> str:
        return await settle()

    async with make_engine() as engine:
        run = await engine.start(paying)
        assert await run.result() == "paid"
        assert "activity_attempt_started" in await kinds(run)


async def test_a_result_that_cannot_be_recorded_fails_the_step_once(make_engine: MakeEngine) -> None:
    attempts: list[int] = []

    @activity
    async def huge() -> str:
        attempts.append(1)
        return "x" * 3_000_000

    @workflow
    async def wanting(ctx: Context) -> str:
        return await huge()

    async with make_engine() as engine:
        with pytest.raises(RunFailedError, match="PayloadTooLargeError"):
            await (await engine.start(wanting)).result()
    assert attempts == [1]
