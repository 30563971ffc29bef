"""What workflow code can do, each shown by a run from start to end on every store."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
import pytest

from perdure import (
    ActivityFailedError,
    ActivityTimeoutError,
    ChildRunError,
    Context,
    NonRetryableError,
    ParentClosePolicy,
    Priority,
    Retry,
    RunCancelledError,
    RunFailedError,
    RunStatus,
    RunTerminatedError,
    Settings,
    Signal,
    activity,
    current_attempt,
    fixed,
    workflow,
)
from perdure.kernel import events as e
from tests.journeys.conftest import MakeEngine

QUICK = fixed(timedelta(milliseconds=1))


@activity
async def double(number: int) -> int:
    return number * 2


async def kinds(run: Any) -> list[str]:
    return [e.EVENT_NAMES[type(recorded.event)] async for recorded in run.history()]


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
    async def counting(ctx: Context) -> list[int]:
        return await ctx.map(count, range(10), limit=3)

    async with make_engine() as engine:
        assert await (await engine.start(counting)).result() == list(range(10))
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


decide = Signal("decide", bool)


@workflow
async def waiting_for_decision(ctx: Context) -> str:
    async with ctx.stage("review"):
        try:
            approved = await ctx.wait_for(decide, timeout=timedelta(days=3))
        except TimeoutError:
            return "late"
    return "yes" if approved else "no"


async def test_a_signal_wakes_the_run_that_waits_for_it(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(waiting_for_decision)
        assert (await run.describe()).stage == "review"
        await run.signal(decide, True)
        assert await run.result() == "yes"


async def test_a_signal_reaches_a_run_that_has_left_memory(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(idle_seconds=0.01)) as engine:
        run = await engine.start(waiting_for_decision)
        summary = await run.describe()
        await until(lambda: _is_out_of_memory(engine, summary.run_key))
        assert (await run.describe()).owner is None
        await run.signal(decide, False)
        assert await run.result() == "no"


async def _is_out_of_memory(engine: Any, run_key: int) -> bool:
    return run_key not in engine.worker.active and (await engine.worker.store.find(run_key)).owner is None


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds, at most ten seconds."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


async def test_a_durable_timer_fires_in_a_run_that_has_left_memory(make_engine: MakeEngine) -> None:
    @workflow
    async def napping(ctx: Context) -> float:
        before = ctx.now()
        await asyncio.sleep(0.1)
        return (ctx.now() - before).total_seconds()

    async with make_engine(Settings(idle_seconds=0.01)) as engine:
        assert await (await engine.start(napping)).result() >= 0.1


async def test_a_run_survives_its_engine(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await engine.start(waiting_for_decision, id="survivor")
    async with make_engine() as engine:
        run = await engine.get_run("survivor", waiting_for_decision)
        await run.signal(decide, True)
        assert await run.result() == "yes"


async def test_stages_and_progress_are_in_the_row(make_engine: MakeEngine) -> None:
    @workflow(stages=("one", "two"))
    async def staged(ctx: Context) -> None:
        async with ctx.stage("one"):
            await double(1)
        async with ctx.stage("two"):
            await ctx.wait_for(decide)

    async with make_engine() as engine:
        run = await engine.start(staged)
        async for recorded in run.watch():
            if isinstance(recorded.event, e.StageStarted) and recorded.event.name == "two":
                break
        summary = await run.describe()
        assert summary.stage == "two"
        assert 0 < summary.progress < 1
        await run.signal(decide, True)
        await run.result()
        assert (await run.describe()).progress == 1


async def test_state_and_labels_are_durable_and_runs_are_found_by_label(make_engine: MakeEngine) -> None:
    @workflow
    async def noting(ctx: Context) -> int:
        ctx.set("count", 1)
        ctx.set("gone", 2)
        ctx.delete("gone")
        ctx.set_labels(region="eu", temporary=None)
        count = ctx.get("count", int)
        assert count is not None
        ctx.set("count", count + 1)
        return count + len([key for key in ("count", "gone") if ctx.get(key) is not None])

    async with make_engine() as engine:
        run = await engine.start(noting, labels={"temporary": "yes", "kept": "yes"})
        assert await run.result() == 2
        assert (await run.describe()).labels == {"region": "eu", "kept": "yes"}
        page = await engine.list_runs(labels={"region": "eu"})
        assert [summary.ref.id for summary in page.runs] == [run.id]


async def test_a_child_run_gives_its_result_or_its_failure(make_engine: MakeEngine) -> None:
    @workflow
    async def child(ctx: Context, number: int) -> int:
        if number < 0:
            message = "negative"
            raise ValueError(message)
        return await double(number)

    @workflow
    async def parent(ctx: Context) -> str:
        good = await ctx.run_child(child, 4)
        try:
            await ctx.run_child(child, -1, id="bad-child")
        except ChildRunError as error:
            return f"{good} {error.run_id} {error.failure_type}"
        return ""

    async with make_engine() as engine:
        assert await (await engine.start(parent)).result() == "8 bad-child ValueError"


async def test_a_child_whose_id_is_taken_fails_in_its_parent(make_engine: MakeEngine) -> None:
    @workflow
    async def parent_of_taken(ctx: Context) -> str:
        try:
            await ctx.run_child(waiting_for_decision, id="taken")
        except ChildRunError as error:
            return error.failure_type
        return ""

    async with make_engine() as engine:
        await engine.start(waiting_for_decision, id="taken")
        assert await (await engine.start(parent_of_taken)).result() == "RunExistsError"


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (ParentClosePolicy.CANCEL, RunStatus.CANCELLED),
        (ParentClosePolicy.TERMINATE, RunStatus.TERMINATED),
        (ParentClosePolicy.ABANDON, RunStatus.RUNNING),
    ],
)
async def test_the_end_of_a_parent_reaches_its_children_by_policy(
    make_engine: MakeEngine, policy: ParentClosePolicy, status: RunStatus
) -> None:
    @workflow
    async def leaving(ctx: Context) -> None:
        ctx.start_child(waiting_for_decision, id="left", policy=policy)
        await double(1)

    async with make_engine() as engine:
        await (await engine.start(leaving)).result()
        run = await engine.get_run("left")

        async def has_status() -> bool:
            return (await run.describe()).status is status

        await until(has_status)


async def test_continue_as_new_keeps_the_id_the_state_and_unread_signals(make_engine: MakeEngine) -> None:
    @workflow
    async def rolling(ctx: Context, left: int) -> list[bool]:
        if left:
            ctx.set("seen", ctx.get("seen", int, 0) + 1)
            await double(left)
            ctx.continue_as_new(left - 1)
        assert ctx.get("seen", int) == 3
        return [await ctx.wait_for(decide), await ctx.wait_for(decide)]

    async with make_engine() as engine:
        run = await engine.start(rolling, 3, id="roller")
        await run.signal(decide, True)
        await run.signal(decide, False)
        assert await run.result() == [True, False]
        assert (await run.describe()).ref.generation == 4


async def test_a_workflow_with_a_retry_policy_is_tried_again_from_its_start(make_engine: MakeEngine) -> None:
    tries: list[int] = []

    @workflow(retry=Retry(attempts=3, backoff=QUICK))
    async def flaky(ctx: Context) -> int:
        tries.append(ctx.info.attempt)
        if ctx.info.attempt < 3:
            raise OSError
        return ctx.info.attempt

    async with make_engine() as engine:
        assert await (await engine.start(flaky)).result() == 3
    assert tries == [1, 2, 3]


async def test_side_effects_random_and_ids_are_the_same_after_a_reload(make_engine: MakeEngine) -> None:
    calls: list[int] = []
    seen: list[tuple[object, ...]] = []

    def compute() -> int:
        calls.append(1)
        return 42

    @workflow
    async def chancy(ctx: Context) -> bool:
        value = await ctx.side_effect(compute, int)
        seen.append((value, ctx.random.random(), ctx.uuid4(), ctx.now()))
        return await ctx.wait_for(decide)

    async with make_engine() as engine:
        await engine.start(chancy, id="chance")
    async with make_engine() as engine:
        run = await engine.get_run("chance")
        await run.signal(decide, True)
        await run.result()
    assert len(calls) == 1
    assert len(seen) == 2
    assert seen[0] == seen[1]


async def test_compensations_run_in_reverse_when_the_workflow_fails(make_engine: MakeEngine) -> None:
    undone: list[str] = []

    @activity
    async def undo(name: str) -> None:
        undone.append(name)

    @activity(compensate=undo)
    async def do(name: str) -> str:
        return name

    @workflow
    async def saga(ctx: Context) -> None:
        await do("a")
        await do("b")
        ctx.add_compensation(undo, "c")
        message = "third step"
        raise RuntimeError(message)

    async with make_engine() as engine:
        run = await engine.start(saga)
        with pytest.raises(RunFailedError, match="third step"):
            await run.result()
        names = await kinds(run)
    assert undone == ["c", "b", "a"]
    assert names.count("compensation_step_completed") == 3
    assert names[-1] == "run_failed"


async def test_cancel_lets_the_workflow_clean_up(make_engine: MakeEngine) -> None:
    cleaned: list[str] = []

    @activity
    async def clean() -> None:
        cleaned.append("yes")

    @workflow
    async def careful(ctx: Context) -> None:
        try:
            await ctx.wait_for(decide)
        finally:
            await clean()

    async with make_engine() as engine:
        run = await engine.start(careful)
        await run.cancel("not needed")
        with pytest.raises(RunCancelledError, match="not needed"):
            await run.result()
    assert cleaned == ["yes"]


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


async def test_the_grace_of_a_cancellation_ends_in_termination(make_engine: MakeEngine) -> None:
    @workflow
    async def stubborn(ctx: Context) -> None:
        while True:
            try:
                await ctx.wait_for(decide)
            except asyncio.CancelledError:
                continue

    async with make_engine() as engine:
        run = await engine.start(stubborn)
        await run.cancel("please", grace=timedelta(milliseconds=10))
        with pytest.raises(RunTerminatedError, match="grace"):
            await run.result()


async def test_terminate_stops_without_clean_up(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(waiting_for_decision)
        await run.terminate("now", by="operator")
        with pytest.raises(RunTerminatedError, match="now"):
            await run.result()


async def test_a_suspended_run_holds_still_and_goes_on_where_it_was(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(waiting_for_decision)
        await run.suspend("audit", by="operator")
        assert (await run.describe()).status is RunStatus.SUSPENDED
        await run.signal(decide, True)
        assert (await run.describe()).status is RunStatus.SUSPENDED
        await run.resume()
        assert await run.result() == "yes"


async def test_a_run_can_suspend_itself(make_engine: MakeEngine) -> None:
    @workflow
    async def pausing(ctx: Context) -> str:
        await ctx.suspend("ask somebody")
        return "resumed"

    async with make_engine() as engine:
        run = await engine.start(pausing)
        assert (await run.describe()).status is RunStatus.SUSPENDED
        await run.resume()
        assert await run.result() == "resumed"


async def test_the_execution_timeout_fails_the_run(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(waiting_for_decision, execution_timeout=timedelta(milliseconds=10))
        with pytest.raises(RunFailedError, match="execution timeout"):
            await run.result()


async def test_queries_read_running_waiting_and_closed_runs(make_engine: MakeEngine) -> None:
    @workflow
    async def answering(ctx: Context) -> str:
        words = ["one"]

        @ctx.query("words")
        def answer(prefix: str) -> str:
            return prefix + " ".join(words)

        words.append("two")
        await ctx.wait_for(decide)
        words.append("three")
        return "done"

    async with make_engine(Settings(idle_seconds=0.01)) as engine:
        run = await engine.start(answering)
        assert await run.query("words", ">") == ">one two"
        key = (await run.describe()).run_key
        await until(lambda: _is_out_of_memory(engine, key))
        assert await run.query("words", ">") == ">one two"
        await run.signal(decide, True)
        await run.result()
        assert await run.query("words", "") == "one two three"


async def test_priority_changes_are_recorded(make_engine: MakeEngine) -> None:
    @workflow(priority=Priority.LOW)
    async def urgent(ctx: Context) -> None:
        ctx.set_priority(Priority.HIGH, reason="a customer waits")
        await ctx.wait_for(decide)

    async with make_engine() as engine:
        run = await engine.start(urgent)
        assert (await run.describe()).priority is Priority.HIGH
        await run.set_priority(Priority.CRITICAL, by="operator")
        assert (await run.describe()).priority is Priority.CRITICAL
        changes = [r.event async for r in run.history() if isinstance(r.event, e.PriorityChanged)]
        assert [(c.old, c.new) for c in changes] == [
            (Priority.LOW, Priority.HIGH),
            (Priority.HIGH, Priority.CRITICAL),
        ]


async def test_a_run_signals_another(make_engine: MakeEngine) -> None:
    @workflow
    async def telling(ctx: Context) -> None:
        ctx.signal("listener", decide, True)

    async with make_engine() as engine:
        listener = await engine.start(waiting_for_decision, id="listener")
        await (await engine.start(telling)).result()
        assert await listener.result() == "yes"


async def test_unread_signals_are_listed_when_the_run_ends(make_engine: MakeEngine) -> None:
    spare = Signal("spare", int)

    async with make_engine() as engine:
        run = await engine.start(waiting_for_decision)
        await run.signal(spare, 1)
        await run.signal(decide, True)
        await run.result()
        closing = [r.event async for r in run.history()][-1]
    assert isinstance(closing, e.RunCompleted)
    assert closing.unconsumed_signals == {"spare": 1}


async def test_an_at_most_once_activity_records_its_start(make_engine: MakeEngine) -> None:
    @activity(at_most_once=True)
    async def pay() -> str:
        return "paid"

    @workflow
    async def paying(ctx: Context) -> str:
        return await pay()

    async with make_engine() as engine:
        run = await engine.start(paying)
        assert await run.result() == "paid"
        assert "activity_attempt_started" in await kinds(run)


class Money(msgspec.Struct):
    cents: int


async def test_a_run_starts_not_before_its_time(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        soon = datetime.now(UTC) + timedelta(milliseconds=50)
        run = await engine.start(waiting_for_decision, start_at=soon)
        assert (await run.describe()).status is RunStatus.CREATED
        await run.signal(decide, True)
        assert await run.result() == "yes"
        started_at = (await run.describe()).started_at
        assert started_at is not None
        assert started_at >= int(soon.timestamp() * 1_000_000)


async def test_a_run_whose_history_grows_without_end_is_terminated_with_advice(make_engine: MakeEngine) -> None:
    @workflow
    async def endless_loop(ctx: Context) -> None:
        while True:
            await double(1)

    async with make_engine(Settings(history_events=50)) as engine:
        with pytest.raises(RunTerminatedError, match="continue_as_new"):
            await (await engine.start(endless_loop)).result()


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
