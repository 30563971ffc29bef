"""Workflow code as a program: how it ends, how it is cancelled, what becomes of it when its run leaves memory."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.workflow import workflow
from perdure.errors import ActivityError
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.backoff import fixed
from perdure.kernel.coroutine_program import CoroutineProgram
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.journal import Journal, current_journal
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.program import Feed
from perdure.kernel.retry import NO_RETRY, Retry
from perdure.kernel.state import RunState
from tests.kernel import lives
from tests.kernel.lives import (
    BROKEN,
    Life,
    LostExceptions,
    code_life,
    failed,
    json,
    life_of,
    replay,
    signal,
    success,
)

go = Signal("go", int)


@activity(retry=Retry(attempts=1, backoff=fixed(timedelta(seconds=1))))
async def pay(amount: int) -> int:
    return amount


@activity(name="coroutine_refund")
async def refund(amount: int) -> None: ...


@activity(name="coroutine_charge", compensate=refund)
async def charge(amount: int) -> int:
    return amount


async def plain() -> None:
    await pay(1)


def kinds(events: list[e.Event]) -> list[type[e.Event]]:
    return [type(event) for event in events]


# --- ends --------------------------------------------------------------------------------------------------------


def test_what_code_returns_is_the_result() -> None:
    async def code() -> list[int]:
        return [1, 2]

    assert code_life(code).result == [1, 2]


def test_what_code_raises_is_the_failure_with_its_cause_and_the_place() -> None:
    async def code() -> None:
        try:
            int("inner")
        except ValueError as error:
            raise KeyError("outer") from error

    event = code_life(code).result
    assert isinstance(event, e.RunFailed)
    assert event.operation == 1
    assert (event.failure.type, event.failure.message) == ("KeyError", "'outer'")
    assert event.failure.cause is not None
    assert event.failure.cause.type == "ValueError"
    assert event.failure.traceback is not None
    assert "test_coroutine_program.py" in event.failure.traceback


@pytest.mark.parametrize("leaves", [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException])
@pytest.mark.parametrize("when", ["at once", "later"])
def test_whatever_leaves_workflow_code_fails_the_run_and_not_the_worker(leaves: type[BaseException], when: str) -> None:
    async def code() -> None:
        if when == "later":
            await asyncio.sleep(1)
        raise leaves

    run = code_life(code)
    run.wait(1)
    assert isinstance(run.result, e.RunFailed)
    assert run.result.failure.type == leaves.__name__


def test_a_program_that_is_cancelled_before_it_starts_knows_it_when_it_does() -> None:
    @workflow
    async def knowing(ctx: Context) -> bool:
        return ctx.cancel_requested

    run = life_of(knowing)
    assert run.program.advance(e.RunCancelRequested(), run.state.updated_at) == []
    run.begin()
    assert run.result is True


def test_an_exit_inside_a_task_group_fails_the_run() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def code() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(60))
            group.create_task(leave())

    run = code_life(code)
    assert isinstance(run.result, e.RunFailed)
    assert run.result.failure.type == "SystemExit"


def test_a_workflow_that_cancels_itself_has_failed() -> None:
    async def code() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    run = code_life(code)
    assert isinstance(run.result, e.RunFailed)
    assert (run.result.failure.type, run.result.operation > 0) == ("CancelledError", True)


def test_background_work_ends_with_its_run_and_asks_for_nothing_more() -> None:
    log: list[str] = []

    async def background() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            log.append("unwound")
            await pay(1)
            log.append("not reached")

    async def code() -> int:
        task = asyncio.create_task(background())
        await asyncio.sleep(1)
        return 0 if task.done() else 1

    run = code_life(code)
    assert kinds(run.wait(1)) == [e.TimerFired, e.TimerCancelled, e.RunCompleted]
    assert run.result == 1
    assert log == ["unwound"]


def test_nothing_is_done_for_events_after_the_end() -> None:
    async def code() -> int:
        return 1

    run = code_life(code)
    assert run.program.advance(e.SignalReceived(name="go"), run.state.updated_at) == []


# --- cancelling ----------------------------------------------------------------------------------------------------


def test_a_cancel_request_arrives_once_and_clean_up_may_await() -> None:
    @workflow
    async def cancelled_once(ctx: Context) -> None:
        try:
            await pay(1)
        except asyncio.CancelledError:
            assert ctx.cancel_requested
            await pay(2)
            raise

    run = life_of(cancelled_once)
    run.begin()
    assert kinds(run.cancel("enough")) == [e.RunCancelRequested, e.ActivityCancelled, e.ActivityScheduled]
    assert run.cancel() == []
    run.succeed(2, 2)
    assert run.result == e.RunCancelled(operation=run.result.operation, reason="enough")
    assert run.result.operation > 0


def test_a_run_may_survive_its_cancellation() -> None:
    @workflow
    async def unmoved(ctx: Context) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "survived"
        return "slept"

    run = life_of(unmoved)
    run.begin()
    run.cancel()
    assert run.result == "survived"


def test_code_that_fails_while_it_cleans_up_has_failed() -> None:
    async def code() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("clean-up")

    run = code_life(code)
    run.cancel()
    assert isinstance(run.result, e.RunFailed)


def test_code_that_fails_while_it_cleans_up_is_not_tried_again() -> None:
    @workflow(retry=Retry(attempts=3))
    async def tried(ctx: Context) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("clean-up")

    run = life_of(tried)
    run.begin()
    run.cancel()
    assert isinstance(run.result, e.RunFailed)
    assert replay(tried.entry(), run.history).state == run.state


def test_a_cancelled_run_undoes_what_it_did_even_if_it_is_cancelled_meanwhile() -> None:
    @workflow
    async def undoing(ctx: Context) -> None:
        await charge(5)
        await charge(6)
        await asyncio.sleep(60)

    run = life_of(undoing)
    run.begin()
    run.succeed(1, 5)
    run.succeed(2, 6)
    assert kinds(run.cancel()) == [
        e.RunCancelRequested,
        e.TimerCancelled,
        e.CompensationStarted,
        e.ActivityScheduled,
    ]
    assert [a.compensates for a in run.state.activities.values()] == [2]
    run.succeed(run.pending[0])
    run.take(failed(run.pending[0]))
    closing = [event for event in run.events if isinstance(event, e.CompensationStepCompleted | e.CompensationFinished)]
    assert [getattr(event, "compensates", event) for event in closing[:2]] == [2, 1]
    assert isinstance(closing[2], e.CompensationFinished)
    assert closing[2].failed == 1
    assert isinstance(run.result, e.RunCancelled)


def test_cancelling_a_run_that_suspended_itself_reaches_the_suspended_code() -> None:
    @workflow
    async def self_suspended(ctx: Context) -> str:
        try:
            await ctx.suspend("wait for the audit")
        except asyncio.CancelledError:
            await pay(1)
            raise
        return "resumed"

    run = life_of(self_suspended)
    assert kinds(run.begin()) == [e.RunStarted, e.RunSuspended]
    assert kinds(run.cancel()) == [e.RunCancelRequested, e.ActivityScheduled]
    run.succeed(run.pending[0], 1)
    assert isinstance(run.result, e.RunCancelled)


def test_cancelling_frees_code_that_suspended_the_run_behind_a_shield() -> None:
    @workflow
    async def shielded(ctx: Context) -> str:
        inner = asyncio.create_task(ctx.suspend())
        try:
            await asyncio.shield(inner)
        except asyncio.CancelledError:
            await inner
            return "freed"
        return "resumed"

    run = life_of(shielded)
    run.begin()
    run.cancel()
    assert run.result == "freed"


# --- suspending --------------------------------------------------------------------------------------------------


def test_all_code_that_suspended_the_run_goes_on_when_it_is_resumed() -> None:
    @workflow
    async def twice(ctx: Context) -> int:
        await asyncio.gather(ctx.suspend("a"), ctx.suspend("b"))
        return 1

    run = life_of(twice)
    assert kinds(run.begin()) == [e.RunStarted, e.RunSuspended]
    run.message(m.ResumeMessage())
    assert run.result == 1


def test_what_came_while_the_run_was_suspended_is_there_when_it_goes_on() -> None:
    @workflow
    async def after_the_audit(ctx: Context) -> int:
        paying = asyncio.create_task(pay(1))
        await ctx.suspend()
        return await paying + await ctx.wait_for(go)

    run = life_of(after_the_audit)
    run.begin()
    run.take(success(run.pending[0], 1), signal("go", 5))
    assert run.result is None
    run.message(m.ResumeMessage())
    assert run.result == 6


def test_a_signal_that_came_while_the_run_was_suspended_is_not_lost_when_it_continues_with_another() -> None:
    @workflow
    async def one_each(ctx: Context, turn: int) -> None:
        await ctx.wait_for(go)
        ctx.continue_as_new(turn + 1)

    run = life_of(one_each, 1)
    run.begin()
    run.message(m.SuspendMessage())
    run.take(signal("go", 5), signal("go", 6))
    run.message(m.ResumeMessage())
    following = run.advanced.creations[0].created.event
    assert isinstance(following, e.RunCreated)
    assert following.carried_signals == (e.CarriedSignal(name="go", body=json(6)),)
    assert replay(one_each.entry(), run.history).state == run.state


def test_giving_up_what_has_ended_while_the_run_was_suspended_is_nothing() -> None:
    """The time-out and the outcome both came while the run was held: the code hears of the time-out first."""

    @workflow
    async def too_late(ctx: Context) -> str:
        try:
            async with asyncio.timeout(5):
                await pay(1)
        except TimeoutError:
            return "timed out"
        return "paid"

    run = life_of(too_late)
    run.begin()
    run.message(m.SuspendMessage())
    run.wait(5)
    run.succeed(run.pending[0], 1)
    assert kinds(run.message(m.ResumeMessage())) == [e.RunResumed, e.RunCompleted]
    assert run.result == "timed out"


# --- signals -----------------------------------------------------------------------------------------------------


def test_signals_are_consumed_once_in_order_and_the_rest_is_counted() -> None:
    @workflow
    async def two_of_three(ctx: Context) -> list[int]:
        return [await ctx.wait_for(go), await ctx.wait_for(go)]

    run = life_of(two_of_three)
    run.begin()
    run.take(signal("go", 1))
    run.take(signal("stop"), signal("go", 2), signal("go", 3))
    assert run.result == [1, 2]
    completed = run.state.closing
    assert isinstance(completed, e.RunCompleted)
    assert completed.unconsumed_signals == {"stop": 1}
    assert len(run.advanced.refused) == 1  # the third came after the end: its sender is told


@pytest.mark.parametrize("order", ["signal first", "cancellation first"])
def test_a_signal_whose_waiter_is_cancelled_in_the_same_step_is_not_lost(order: str) -> None:
    @workflow
    async def keeps_signals(ctx: Context) -> list[int]:
        got: list[int] = []
        try:
            got.append(await ctx.wait_for(go))
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if not got:
                got.append(await ctx.wait_for(go))
        return got

    run = life_of(keeps_signals)
    run.begin()
    cancel = i.MessageArrived(message=m.CancelMessage())
    run.take(*([signal("go", 7), cancel] if order == "signal first" else [cancel, signal("go", 7)]))
    assert run.result == [7]


def test_a_signal_goes_to_the_waiter_that_still_waits() -> None:
    @workflow
    async def one_gives_up(ctx: Context) -> list[Any]:
        async def patient(limit: float | None) -> Any:
            try:
                return await ctx.wait_for(go, timeout=None if limit is None else timedelta(seconds=limit))
            except TimeoutError:
                return "gave up"

        return list(await asyncio.gather(patient(1), patient(None), patient(5)))

    run = life_of(one_gives_up)
    run.begin()
    run.wait(1)
    run.signal("go", 8)
    run.wait(4)
    assert run.result == ["gave up", 8, "gave up"]


def test_waiting_again_and_again_with_a_time_limit_does_not_pile_up_waiters() -> None:
    @workflow
    async def polling(ctx: Context) -> int:
        while True:
            try:
                return await ctx.wait_for(go, timeout=timedelta(seconds=1))
            except TimeoutError:
                continue

    run = life_of(polling)
    run.begin()
    for _ in range(50):
        run.wait(1)
    assert isinstance(run.program, CoroutineProgram)
    assert len(run.program.journal._signal_waiters["go"]) == 1
    run.signal("go", 3)
    assert run.result == 3


def test_signals_that_a_generation_does_not_consume_reach_the_next_however_soon_this_one_ends() -> None:
    @workflow
    async def hurrying(ctx: Context, turn: int) -> int:
        if turn < 3:
            ctx.continue_as_new(turn + 1)
        return await ctx.wait_for(go)

    carried = (e.CarriedSignal(name="go", body=json(9)),)
    for turn in (1, 2):
        run = life_of(hurrying, turn, carried_signals=carried)
        run.begin()
        continued = run.state.closing
        assert isinstance(continued, e.RunContinued)
        assert continued.carried_signals == carried
        carried = continued.carried_signals
    run = life_of(hurrying, 3, carried_signals=carried)
    run.begin()
    assert run.result == 9


# --- the journal -------------------------------------------------------------------------------------------------


def test_there_is_a_journal_inside_workflow_code_only() -> None:
    seen: list[bool] = []

    async def code() -> None:
        seen.append(current_journal() is not None)

    async def outside() -> None:
        seen.append(current_journal() is not None)
        code_life(code)
        seen.append(current_journal() is not None)

    asyncio.run(outside())
    assert seen == [False, True, False]
    assert current_journal() is None


def test_an_activity_called_outside_a_workflow_is_the_plain_function() -> None:
    assert asyncio.run(pay(5)) == 5


def test_signals_can_come_before_the_start() -> None:
    created = e.RunCreated(workflow="w", ref=RunRef(id="a"), input=NULL, seed=1)

    async def entry(journal: Journal) -> Payload:
        return journal.next_signal("go") or NULL

    run = Life(lives.program_of(entry, created), created)
    run.signal("go", 4)
    run.begin()
    assert run.result == 4


def test_events_that_no_code_can_wait_for_yet_are_taken_without_effect() -> None:
    run = code_life(plain)
    at = run.state.updated_at
    for event in (
        e.InterventionResolved(operation=Operation(4), by="b", decision=NULL),
        e.InterventionExpired(operation=Operation(4)),
        e.LockAcquired(operation=Operation(4), fencing_token=1),
        e.LockDenied(operation=Operation(4), cycle=()),
        e.TimerFired(operation=Operation(4)),
        e.ActivityCompleted(operation=Operation(4)),
        e.ActivityFailed(operation=Operation(4), failure=BROKEN),
        e.RunResumed(),
    ):
        assert run.program.advance(event, at) == []


def test_lost_exceptions_have_a_silent_default() -> None:
    created = e.RunCreated(workflow="w", ref=RunRef(id="a"), input=NULL, seed=1)
    program = CoroutineProgram(lives.entry_of(plain), created)
    program.journal.loop.call_exception_handler({"message": "nobody hears"})
    program.close()


def test_an_exception_that_is_lost_during_a_replay_was_reported_before() -> None:
    async def code() -> int:
        asyncio.get_running_loop().call_soon(int, "no number")
        await pay(1)
        return 1

    lost = LostExceptions()
    run = code_life(code, lost=lost)
    assert len(lost) == 1
    again = LostExceptions()
    replayed = lives.replay(lives.entry_of(code), run.history, lost=again)
    assert again == []
    replayed.succeed(1, 1)
    assert replayed.result == 1


def test_a_failure_of_an_activity_is_raised_where_it_is_awaited() -> None:
    async def code() -> list[str]:
        seen = []
        for call in (pay(1), pay(2)):
            try:
                await call
            except ActivityError as error:
                seen.append(type(error).__name__)
        return seen

    run = code_life(code)
    run.take(failed(1))
    timed_out = i.AttemptTimedOut(
        operation=Operation(2),
        attempt=1,
        timeout=e.TimeoutKind.SCHEDULE_TO_CLOSE,
        retry=NO_RETRY,
        started_at=None,
    )
    run.take(timed_out)
    assert run.result == ["ActivityFailedError", "ActivityTimeoutError"]


def test_the_feed_tells_a_program_only_of_what_concerns_it() -> None:
    run = code_life(plain)
    feed = Feed(run.program)
    assert feed.take(e.RecoveryStarted(strategy="s"), run.state.updated_at, RunState().status) == ()
