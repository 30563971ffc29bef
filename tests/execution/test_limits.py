"""What the dispatcher does with calls under limits: whom it passes, what it says of them, how they are given up."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from perdure import (
    ActivityTimeoutError,
    CircuitBreaker,
    Context,
    Engine,
    Priority,
    RateLimit,
    Retry,
    Run,
    Settings,
    activity,
    fixed,
    workflow,
)
from perdure.errors import InvalidArgumentError
from perdure.execution.call import ActivityCall
from perdure.scheduling.explanation import Parked
from tests.execution.conftest import MakeEngine


class Workshop:
    """Jobs with a limit that hold on until they are let go, one by one, and workflows of one job."""

    def __init__(self, name: str = "job", **options: Any) -> None:
        self.begun: list[str] = []
        self.changed = asyncio.Condition()
        self.may_end: dict[str, asyncio.Event] = {}

        @activity(name=name, **options)
        async def job(name: str) -> str:
            self.begun.append(name)
            self.may_end[name] = asyncio.Event()
            async with self.changed:
                self.changed.notify_all()
            await self.may_end[name].wait()
            return name

        @workflow(name=f"one_{name}")
        async def one_job(ctx: Context, name: str) -> str:
            return await job(name)

        @workflow(name=f"one_{name}_soon")
        async def impatient(ctx: Context, name: str) -> str:
            try:
                return await job.options(schedule_to_start=timedelta(milliseconds=1))(name)
            except ActivityTimeoutError as error:
                return error.timeout

        self.job = job
        self.one_job = one_job
        self.impatient = impatient

    async def until_begun(self, *names: str) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: set(names) <= set(self.begun))

    def let_go(self, *names: str) -> None:
        for name in names:
            self.may_end[name].set()


def call_of(engine: Engine, run: Run[Any]) -> ActivityCall:
    (call,) = next(each for each in engine.worker.active.values() if each.ref.id == run.id).calls.values()
    return call


def reason(engine: Engine, run: Run[Any]) -> str:
    explanation = engine.worker.dispatcher.explain(call_of(engine, run))
    assert isinstance(explanation, Parked)
    return explanation.reason


async def test_it_says_which_resource_a_call_waits_for(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(resources={"gpu": 1}, resource_passes=5)) as engine:
        shop = Workshop(resources={"gpu": 1})
        first = await engine.start(shop.one_job, "first")
        await shop.until_begun("first")
        second, third = [await engine.start(shop.one_job, name) for name in ("second", "third")]
        assert reason(engine, second) == "resources: needs gpu 1 (0 of 1 free); passed 0 of at most 5 times"
        assert "1 ahead of" in reason(engine, third)
        shop.let_go("first")
        await shop.until_begun("second")
        shop.let_go("second")
        await shop.until_begun("third")
        shop.let_go("third")
        await asyncio.gather(first.result(), second.result(), third.result())


async def test_it_says_how_many_run_and_when_a_rate_lets_the_next_one_start(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        few = Workshop(name="few", max_concurrent=1)
        holder = await engine.start(few.one_job, "holder")
        await few.until_begun("holder")
        waits = await engine.start(few.one_job, "waits")
        assert reason(engine, waits) == "concurrency of activity few: 1 run, at most 1 may"
        rare = Workshop(name="rare", rate_limit=RateLimit(1, per=timedelta(hours=1)))
        await engine.start(rare.one_job, "first")
        await rare.until_begun("first")
        late = await engine.start(rare.one_job, "second")
        assert reason(engine, late).startswith("rate limit: 1 per 1:00:00 (burst 1); the next may start in 3")
        assert engine.worker.dispatcher.waiting == 2
        few.let_go("holder")
        await few.until_begun("waits")
        few.let_go("waits")
        await asyncio.gather(holder.result(), waits.result())


async def test_a_call_that_is_given_up_at_its_limit_is_never_started(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        shop = Workshop(max_concurrent=1)
        holder = await engine.start(shop.one_job, "holder")
        await shop.until_begun("holder")
        given_up, next_one = [await engine.start(shop.one_job, name) for name in ("given up", "next")]
        await given_up.terminate()
        assert engine.worker.dispatcher.waiting == 1
        shop.let_go("holder")
        await shop.until_begun("next")
        shop.let_go("next")
        await asyncio.gather(holder.result(), next_one.result())
        assert shop.begun == ["holder", "next"]


async def test_a_wait_at_a_limit_counts_as_a_wait_for_the_start(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        shop = Workshop(max_concurrent=1)
        holder = await engine.start(shop.one_job, "holder")
        await shop.until_begun("holder")
        assert await (await engine.start(shop.impatient, "impatient")).result() == "schedule_to_start"
        shop.let_go("holder")
        assert await holder.result() == "holder"


async def test_a_run_whose_priority_rises_goes_first_at_its_limit(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        shop = Workshop(max_concurrent=1)
        await engine.start(shop.one_job, "holder")
        await shop.until_begun("holder")
        runs = [await engine.start(shop.one_job, name) for name in ("first", "second")]
        await runs[1].set_priority(Priority.HIGH)
        for name in ("holder", "second", "first"):
            await shop.until_begun(name)
            shop.let_go(name)
        await asyncio.gather(*(run.result() for run in runs))
        assert shop.begun == ["holder", "second", "first"]


async def test_a_better_class_at_a_limit_is_not_passed_by_one_that_waits_for_the_slot_alone(
    make_engine: MakeEngine,
) -> None:
    async with make_engine(Settings(loop_slots=2)) as engine:
        few, plain = Workshop(name="few", max_concurrent=1), Workshop(name="plain")
        await engine.start(few.one_job, "holder")
        await engine.start(plain.one_job, "first")
        await few.until_begun("holder")
        await plain.until_begun("first")
        urgent = await engine.start(few.one_job, "urgent", priority=Priority.HIGH)
        plain.let_go("first")
        await engine.start(plain.one_job, "second")
        await plain.until_begun("second")
        assert reason(engine, urgent) == "concurrency of activity few: 1 run, at most 1 may"
        last = await engine.start(plain.one_job, "last")
        few.let_go("holder")
        await few.until_begun("urgent")
        assert plain.begun == ["first", "second"]
        plain.let_go("second")
        few.let_go("urgent")
        await plain.until_begun("last")
        plain.let_go("last")
        assert await last.result() == "last"


async def test_where_slots_are_scarce_a_refused_call_is_followed_by_the_best_of_all_others(
    make_engine: MakeEngine,
) -> None:
    async with make_engine(Settings(loop_slots=3, resources={"gpu": 2})) as engine:
        small, large = Workshop("small", resources={"gpu": 1}), Workshop("large", resources={"gpu": 2})
        plain = Workshop("plain")
        for name in ("a", "b"):
            await engine.start(small.one_job, name)
        await small.until_begun("a", "b")
        await engine.start(large.one_job, "large", priority=Priority.HIGH)
        await engine.start(small.one_job, "c")
        await engine.start(plain.one_job, "first")
        await plain.until_begun("first")
        last = await engine.start(plain.one_job, "last", priority=Priority.LOW)
        small.let_go("a")
        await small.until_begun("c")
        assert plain.begun == ["first"]
        small.let_go("b", "c")
        await large.until_begun("large")
        large.let_go("large")
        plain.let_go("first")
        await plain.until_begun("last")
        plain.let_go("last")
        assert await last.result() == "last"


async def test_what_a_reservation_kept_is_given_to_others_when_its_holder_leaves_some(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(resources={"gpu": 4}, resource_passes=1)) as engine:
        small, middle, large = (Workshop(f"needs_{gpus}", resources={"gpu": gpus}) for gpus in (1, 2, 3))
        await engine.start(large.one_job, "large")
        await large.until_begun("large")
        await engine.start(middle.one_job, "middle")
        await engine.start(small.one_job, "passes")
        await small.until_begun("passes")
        last = await engine.start(
            small.one_job, "last", execution_timeout=timedelta(hours=1)
        )  # tried before the middle
        large.let_go("large")
        await small.until_begun("last")
        await middle.until_begun("middle")
        small.let_go("passes", "last")
        middle.let_go("middle")
        assert await last.result() == "last"


async def test_a_demand_that_is_given_up_frees_what_was_kept_for_it(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(resources={"gpu": 2}, resource_passes=1)) as engine:
        small, large = Workshop(name="small", resources={"gpu": 1}), Workshop(name="large", resources={"gpu": 2})
        await engine.start(small.one_job, "a")
        await small.until_begun("a")
        waits = await engine.start(large.one_job, "large")
        await engine.start(small.one_job, "b")
        await small.until_begun("b")
        last = await engine.start(small.one_job, "c")
        small.let_go("b")
        assert "what becomes free is kept for it" in reason(engine, waits)
        await waits.terminate()
        await small.until_begun("c")
        small.let_go("a", "c")
        assert await last.result() == "c"


async def test_an_engine_closes_while_calls_wait_at_limits_and_the_next_one_goes_on(make_engine: MakeEngine) -> None:
    shop = Workshop(rate_limit=RateLimit(1, per=timedelta(hours=1)))
    async with make_engine(Settings(shutdown_grace_seconds=0)) as engine:
        await engine.start(shop.one_job, "first")
        await shop.until_begun("first")
        waits = await engine.start(shop.one_job, "second")
        assert engine.worker.dispatcher.waiting == 1
    shop.begun.clear()
    async with make_engine() as engine:  # a new process begins with new limits
        async with shop.changed:
            await shop.changed.wait_for(lambda: bool(shop.begun))
        await (await engine.get_run(waits.id)).terminate()
        shop.let_go(*shop.begun)


async def test_an_attempt_that_is_cancelled_as_a_probe_lets_another_one_probe(make_engine: MakeEngine) -> None:
    failed, begun, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @activity(
        retry=Retry(attempts=2, backoff=fixed(timedelta(milliseconds=1))),
        circuit_breaker=CircuitBreaker(failures=1, window=timedelta(minutes=1), open_for=timedelta(milliseconds=1)),
    )
    async def ask() -> str:
        if not failed.is_set():
            failed.set()
            raise ConnectionError
        begun.set()
        await may_end.wait()
        return "answer"

    @workflow
    async def asks(ctx: Context) -> str:
        return await ask()

    async with make_engine() as engine:
        probe = await engine.start(asks)
        await begun.wait()
        other = await engine.start(asks)
        assert "half open: 1 probes under way" in reason(engine, other)
        begun.clear()
        await probe.terminate()
        await begun.wait()
        may_end.set()
        assert await other.result() == "answer"


async def test_a_breaker_says_in_the_log_when_it_opens_and_closes(
    make_engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    is_broken = True

    @activity(
        retry=Retry.never(),
        circuit_breaker=CircuitBreaker(
            failures=1, window=timedelta(minutes=1), open_for=timedelta(milliseconds=1), key="the provider"
        ),
    )
    async def ask() -> None:
        if is_broken:
            raise ConnectionError

    @workflow
    async def asks(ctx: Context) -> None:
        nonlocal is_broken
        with pytest.raises(Exception, match="ConnectionError"):
            await ask()
        is_broken = False
        await ctx.sleep(timedelta(milliseconds=2))
        await ask()

    logging.getLogger("perdure.worker").disabled = False  # another test's tool may have configured logging anew
    with caplog.at_level(logging.WARNING, "perdure.worker"):
        async with make_engine() as engine:
            await (await engine.start(asks)).result()
    messages = [record.getMessage() for record in caplog.records if record.name == "perdure.worker"]
    assert messages[0].startswith("circuit breaker the provider is open after 1 failures within 0:01:00; ")
    assert messages[1] == "circuit breaker the provider is closed again"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: activity(resources={"gpu": 0})(_function), r"resources\['gpu'\] is 0"),
        (lambda: activity(max_concurrent=0)(_function), "max_concurrent is 0"),
        (lambda: activity(rate_limit=cast("Any", 5))(_function), "rate_limit is 5"),
        (lambda: activity(circuit_breaker=cast("Any", "x"))(_function), "circuit_breaker is 'x'"),
        (lambda: workflow(max_concurrent_activities=-1)(_run), "max_concurrent_activities is -1"),
        (lambda: RateLimit(0, per=timedelta(seconds=1)), "count is 0"),
        (lambda: RateLimit(1, per=timedelta(0)), "per is"),
        (lambda: RateLimit(1, per=timedelta(seconds=1), burst=0), "burst is 0"),
        (
            lambda: CircuitBreaker(failures=0, window=timedelta(seconds=1), open_for=timedelta(seconds=1)),
            "failures is 0",
        ),
        (lambda: Settings(resources={"gpu": 0}), r"resources\['gpu'\] is 0"),
        (lambda: Settings(resource_passes=0), "resource_passes is 0"),
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused_where_it_stands(make: Callable[[], object], says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        make()


async def _function() -> None: ...


async def _run(_ctx: Context) -> None: ...
