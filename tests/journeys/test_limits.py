"""Limits on activities, each shown by runs on every store: resources, rates, concurrency, circuit breakers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from perdure import (
    ActivityFailedError,
    CircuitBreaker,
    CircuitOpenError,
    Context,
    NonRetryableError,
    RateLimit,
    ResourcesUnavailableError,
    Retry,
    RunFailedError,
    Settings,
    Signal,
    activity,
    workflow,
)
from perdure.kernel import events as e
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import QUICK, kinds


class Census:
    """Counts what is under way at once."""

    def __init__(self) -> None:
        self.inside = self.most = 0

    @asynccontextmanager
    async def visit(self) -> AsyncIterator[None]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(0)
        yield
        self.inside -= 1


async def completions(run: Any) -> list[e.ActivityCompleted]:
    return [recorded.event async for recorded in run.history() if isinstance(recorded.event, e.ActivityCompleted)]


async def test_activities_wait_while_their_resources_are_taken(make_engine: MakeEngine) -> None:
    gpus, all_of_them = Census(), Census()

    @activity(resources={"gpu": 1})
    async def render(number: int) -> int:
        async with gpus.visit(), all_of_them.visit():
            return number

    @activity
    async def listen(number: int) -> int:
        async with all_of_them.visit():
            return number

    @workflow
    async def film(ctx: Context) -> list[int]:
        return await asyncio.gather(*(render(n) for n in range(6)), *(listen(n) for n in range(6)))

    async with make_engine(Settings(resources={"gpu": 2})) as engine:
        run = await engine.start(film)
        assert await run.result() == [*range(6), *range(6)]
    assert gpus.most == 2
    assert all_of_them.most == 8, "those without a demand were not held up"


async def test_an_activity_that_asks_for_more_than_there_is_fails_and_says_so(make_engine: MakeEngine) -> None:
    @activity(resources={"gpu": 1, "memory_mb": 512})
    async def render() -> None:
        raise AssertionError

    @workflow
    async def film(ctx: Context) -> str:
        try:
            await render()
        except ResourcesUnavailableError as error:
            return error.failure_message
        return "rendered"

    async with make_engine(Settings(resources={"memory_mb": 256})) as engine:
        assert await (await engine.start(film)).result() == (
            "activity render cannot run in this worker: gpu: 1 asked for, 0 there; "
            "memory_mb: 512 asked for, 256 there; "
            "announce what the worker has with Settings(resources=...), or ask for less"
        )


async def test_one_call_may_ask_for_other_resources(make_engine: MakeEngine) -> None:
    @activity(resources={"gpu": 9})
    async def render() -> str:
        return "rendered"

    @workflow
    async def film(ctx: Context) -> str:
        return await render.options(resources={"gpu": 1})()

    async with make_engine(Settings(resources={"gpu": 1})) as engine:
        assert await (await engine.start(film)).result() == "rendered"


async def test_attempts_start_no_faster_than_their_rate(make_engine: MakeEngine) -> None:
    @activity(rate_limit=RateLimit(100, per=timedelta(seconds=1), burst=2, key="provider"))
    async def ask(number: int) -> int:
        return number

    @activity(rate_limit=RateLimit(100, per=timedelta(seconds=1), burst=2, key="provider"))
    async def tell(number: int) -> int:
        return number

    @workflow
    async def interview(ctx: Context) -> list[int]:
        return await asyncio.gather(*(ask(n) for n in range(4)), *(tell(n) for n in range(4)))

    async with make_engine() as engine:
        run = await engine.start(interview)
        assert await run.result() == [0, 1, 2, 3, 0, 1, 2, 3]
        starts = sorted(event.started_at for event in await completions(run) if event.started_at)
    assert len(starts) == 8
    for first in range(8):
        for last in range(first + 2, 8):
            assert starts[last] - starts[first] >= (last - first - 1) * 10_000


async def test_keys_of_single_calls_are_limited_apart(make_engine: MakeEngine) -> None:
    @activity(rate_limit=RateLimit(1, per=timedelta(days=1)))
    async def notify(customer: str) -> str:
        return customer

    @workflow
    async def notify_all(ctx: Context) -> list[str]:
        def limit(customer: str) -> RateLimit:
            return RateLimit(1, per=timedelta(days=1), key=f"customer {customer}")

        return await asyncio.gather(*(notify.options(rate_limit=limit(name))(name) for name in "abc"))

    async with make_engine() as engine:
        run = await engine.start(notify_all)
        assert await run.result(timeout=timedelta(seconds=60)) == ["a", "b", "c"]  # by one limit it would take days


async def test_no_more_of_an_activity_run_at_once_than_it_allows(make_engine: MakeEngine) -> None:
    census = Census()

    @activity(max_concurrent=3)
    async def work(number: int) -> int:
        async with census.visit():
            return number

    @workflow
    async def works(ctx: Context) -> list[int]:
        return await asyncio.gather(*(work(number) for number in range(10)))

    async with make_engine() as engine:
        runs = [await engine.start(works) for _ in range(3)]
        assert [await run.result() for run in runs] == [list(range(10))] * 3
    assert census.most == 3


async def test_no_more_activities_of_a_workflows_runs_run_at_once_than_it_allows(make_engine: MakeEngine) -> None:
    limited, all_of_them = Census(), Census()

    @activity
    async def one(name: str) -> None:
        async with all_of_them.visit():
            if name == "limited":
                async with limited.visit():
                    pass

    @activity
    async def other(name: str) -> None:
        await one(name)

    @workflow(max_concurrent_activities=2)
    async def modest(ctx: Context) -> None:
        await asyncio.gather(*(each("limited") for each in (one, other) * 3))

    @workflow
    async def immodest(ctx: Context) -> None:
        await asyncio.gather(*(each("unlimited") for each in (one, other) * 3))

    async with make_engine() as engine:
        runs = [await engine.start(each) for each in (modest, modest, immodest)]
        for run in runs:
            await run.result()
    assert limited.most == 2
    assert all_of_them.most > 2


def breaker(**changes: Any) -> CircuitBreaker:
    given: dict[str, Any] = {
        "failures": 2,
        "window": timedelta(minutes=1),
        "open_for": timedelta(milliseconds=30),
        **changes,
    }
    return CircuitBreaker(**given)


async def test_while_a_breaker_is_open_calls_wait_and_use_up_no_attempt(make_engine: MakeEngine) -> None:
    is_broken, attempts = True, 0

    @activity(retry=Retry(attempts=2, backoff=QUICK), circuit_breaker=breaker())
    async def ask() -> str:
        nonlocal attempts
        attempts += 1
        if is_broken:
            raise ConnectionError
        return "answer"

    @workflow
    async def asks(ctx: Context) -> str:
        return await ask()

    async with make_engine() as engine:
        failing = await engine.start(asks)
        with pytest.raises(RunFailedError):
            await failing.result()
        is_broken = False
        runs = [await engine.start(asks) for _ in range(5)]
        assert [await run.result() for run in runs] == ["answer"] * 5
        (broken_at,) = [
            recorded.event.started_at
            async for recorded in failing.history()
            if isinstance(recorded.event, e.ActivityFailed)
        ]
        completed = [event for run in runs for event in await completions(run)]
    assert attempts == 7
    assert {event.attempt for event in completed} == {1}
    assert broken_at is not None
    assert min(event.started_at or 0 for event in completed) >= broken_at + 30_000


async def test_a_call_with_a_fallback_does_not_wait_for_an_open_breaker(make_engine: MakeEngine) -> None:
    @activity
    async def guess() -> str:
        return "guess"

    @activity(
        retry=Retry(attempts=2, backoff=QUICK), circuit_breaker=breaker(open_for=timedelta(days=1)), fallback=guess
    )
    async def ask() -> str:
        raise ConnectionError

    @workflow
    async def asks(ctx: Context) -> str:
        return await ask()

    async with make_engine() as engine:
        runs = []
        for _ in range(4):
            runs.append(await engine.start(asks))
            assert await runs[-1].result() == "guess"
        failures = [
            recorded.event.failure.type
            for run in runs
            async for recorded in run.history()
            if isinstance(recorded.event, e.ActivityFailed)
        ]
    assert failures == ["ConnectionError"] + ["CircuitOpenError"] * 3


@pytest.mark.parametrize("retry", [Retry.never(), Retry(attempts=9, non_retryable=(CircuitOpenError,))])
async def test_a_call_that_had_rather_fail_gets_the_error_of_an_open_breaker(
    make_engine: MakeEngine, retry: Retry
) -> None:
    @activity(circuit_breaker=breaker(open_for=timedelta(days=1), failures=1, key="the provider"))
    async def ask() -> None:
        raise ConnectionError

    @workflow
    async def asks(ctx: Context) -> str:
        with pytest.raises(ActivityFailedError, match="ConnectionError"):
            await ask.options(retry=Retry.never())()
        try:
            await ask.options(retry=retry)()
        except CircuitOpenError as error:
            return error.failure_message
        return "answered"

    async with make_engine() as engine:
        assert (await (await engine.start(asks)).result()).startswith(
            "activity ask was not tried: circuit breaker the provider is open after 1 failures within 0:01:00; "
            "the next probe in "
        )


async def test_a_call_that_had_rather_fail_does_so_behind_one_that_waits_and_without_a_free_slot(
    make_engine: MakeEngine,
) -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    @activity(circuit_breaker=breaker(open_for=timedelta(days=1), failures=1))
    async def ask() -> None:
        raise ConnectionError

    @activity
    async def occupy() -> None:
        begun.set()
        await never.wait()

    @workflow
    async def asks(ctx: Context) -> str:
        waiting = asyncio.create_task(ask())
        await ctx.wait_for(go_on)
        holding = asyncio.create_task(occupy())
        await ctx.wait_for(go_on)
        try:
            await ask.options(retry=Retry.never())()
        except CircuitOpenError:
            return f"open {waiting.done()} {holding.done()}"
        return "answered"

    async with make_engine(Settings(loop_slots=1, shutdown_grace_seconds=0)) as engine:
        run = await engine.start(asks)
        await run.signal(go_on)
        await begun.wait()
        await run.signal(go_on)
        assert await run.result() == "open False False"


go_on = Signal("go on")


async def test_a_call_that_had_rather_fail_does_so_when_the_breaker_opens_before_its_turn(
    make_engine: MakeEngine,
) -> None:
    @activity(retry=Retry.never(), circuit_breaker=breaker(open_for=timedelta(days=1), failures=1))
    async def ask() -> None:
        raise ConnectionError

    @workflow
    async def asks(ctx: Context) -> list[str]:
        outcomes = await asyncio.gather(ask(), ask(), return_exceptions=True)
        return [error.failure_type for error in outcomes if isinstance(error, ActivityFailedError)]

    async with make_engine(Settings(loop_slots=1)) as engine:
        assert await (await engine.start(asks)).result() == ["ConnectionError", "CircuitOpenError"]


async def test_failures_that_no_retry_could_cure_do_not_open_a_breaker(make_engine: MakeEngine) -> None:
    @activity(retry=Retry(attempts=3, non_retryable=(KeyError, CircuitOpenError)), circuit_breaker=breaker(failures=1))
    async def ask(number: int) -> str:
        if number == 0:
            raise NonRetryableError
        if number == 1:
            raise KeyError(number)
        return "answer"

    @workflow
    async def asks(ctx: Context) -> str:
        for number in range(2):
            try:
                await ask(number)
            except CircuitOpenError:
                return "open"
            except ActivityFailedError:
                pass
        return await ask(2)

    async with make_engine() as engine:
        run = await engine.start(asks)
        assert await run.result() == "answer"
        assert (await kinds(run)).count("activity_failed") == 2


async def test_attempts_that_run_out_of_time_open_a_breaker(make_engine: MakeEngine) -> None:
    never = asyncio.Event()

    @activity(
        retry=Retry.never(),
        timeout=timedelta(milliseconds=1),
        circuit_breaker=breaker(failures=1, open_for=timedelta(days=1)),
    )
    async def ask() -> None:
        await never.wait()

    @workflow
    async def asks(ctx: Context) -> str:
        with pytest.raises(TimeoutError):
            await ask()
        try:
            await ask()
        except CircuitOpenError:
            return "open"
        return "closed"

    async with make_engine() as engine:
        assert await (await engine.start(asks)).result() == "open"
