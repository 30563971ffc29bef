"""Limits, heartbeats, cancellation and shutdown: the same for every executor."""

import asyncio
import threading
from datetime import timedelta

import msgspec
import pytest

from perdure import (
    ActivityFailedError,
    ActivityTimeoutError,
    Context,
    Engine,
    Executor,
    Retry,
    Run,
    RunCancelledError,
    Settings,
    activity,
    current_attempt,
    fixed,
    heartbeat,
    workflow,
)
from perdure.authoring.activity import Activity
from perdure.errors import InvalidArgumentError
from perdure.execution.attempts import RunningCall
from perdure.kernel import events as e
from perdure.kernel.time import Timestamp
from perdure.ports.clock import SystemClock
from perdure.stores.memory import MemoryDatabase, MemoryStore
from tests.execution import attempt_activities as a
from tests.execution.conftest import MakeEngine
from tests.execution.meeting import Meeting, Visitor

MOMENT = timedelta(milliseconds=1)
SHORT = timedelta(milliseconds=100)
LONG = timedelta(minutes=10)
TWICE = Retry(attempts=2, backoff=fixed(MOMENT))

WAITING: dict[str, Activity[[str], str]] = {
    "loop": a.wait_on_loop,
    "thread": a.wait_in_thread,
    "process": a.wait_in_process,
}


@pytest.fixture(params=list(WAITING))
def kind(request: pytest.FixtureRequest) -> str:
    """Name an executor."""
    return str(request.param)


@workflow
async def call_with_limits(
    ctx: Context, address: str, kind: str, limits: dict[str, timedelta], attempts: int
) -> list[str]:
    """Call an activity that waits; return what it returns, or the limit it met and the number of tries."""
    bound = WAITING[kind].options(
        timeout=limits.get("timeout"),
        schedule_to_start=limits.get("schedule_to_start"),
        schedule_to_close=limits.get("schedule_to_close"),
        heartbeat_timeout=limits.get("heartbeat"),
        retry=Retry(attempts=attempts, backoff=fixed(MOMENT)),
    )
    try:
        return [await bound(address)]
    except ActivityTimeoutError as error:
        return [error.timeout, str(error.attempts)]


async def events_of(run: Run[object], *types: type[e.Event]) -> list[e.Event]:
    return [recorded.event async for recorded in run.history() if isinstance(recorded.event, types)]


async def warm_up(engine: Engine, meeting: Meeting, kind: str) -> None:
    """Let an executor start its processes, so that this takes nothing of a limit."""
    run = await engine.start(call_with_limits, meeting.address, kind, {}, 1)
    (await meeting.visitor()).tell("warm")
    assert await run.result() == ["warm"]


# --- limits ------------------------------------------------------------------------------------------------------


async def test_an_attempt_that_takes_too_long_is_cut_off_and_tried_again(
    make_engine: MakeEngine, meeting: Meeting, kind: str
) -> None:
    async with make_engine() as engine:
        await warm_up(engine, meeting, kind)
        run = await engine.start(call_with_limits, meeting.address, kind, {"timeout": timedelta(seconds=1)}, 2)
        first = await meeting.visitor()
        assert await first.line() == "1"
        second = await meeting.visitor()
        assert await second.line() == "2"
        first.tell("too late")
        second.tell("in time")
        assert await run.result() == ["in time"]


async def test_the_last_attempt_that_takes_too_long_is_the_end(
    make_engine: MakeEngine, meeting: Meeting, kind: str
) -> None:
    async with make_engine() as engine:
        run = await engine.start(call_with_limits, meeting.address, kind, {"timeout": SHORT}, 1)
        visitor = await meeting.visitor()
        assert await run.result() == ["start_to_close", "1"]
        visitor.tell()


async def test_silence_beyond_the_heartbeat_limit_cuts_an_attempt_off(
    make_engine: MakeEngine, meeting: Meeting, kind: str
) -> None:
    async with make_engine() as engine:
        run = await engine.start(call_with_limits, meeting.address, kind, {"heartbeat": SHORT}, 1)
        visitor = await meeting.visitor()
        assert await run.result() == ["heartbeat", "1"]
        visitor.tell()


async def test_heartbeats_keep_an_attempt_alive(make_engine: MakeEngine, meeting: Meeting, kind: str) -> None:
    async with make_engine() as engine:
        limits = {"heartbeat": timedelta(seconds=2)}
        run = await engine.start(call_with_limits, meeting.address, kind, limits, 1)
        visitor = await meeting.visitor()
        assert await visitor.line() == "1"
        begun = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - begun < 2.5:  # longer than one silence may be
            visitor.tell("beat")
            assert await visitor.line() == "beaten"
            await asyncio.wait([asyncio.ensure_future(run.result())], timeout=0.05)
        visitor.tell("done")
        assert await run.result() == ["done"]


async def test_schedule_to_close_cuts_off_whatever_attempt_is_running_then(
    make_engine: MakeEngine, meeting: Meeting, kind: str
) -> None:
    async with make_engine() as engine:
        await warm_up(engine, meeting, kind)
        limits = {"schedule_to_close": timedelta(seconds=3)}
        run = await engine.start(call_with_limits, meeting.address, kind, limits, 5)
        first = await meeting.visitor()
        assert await first.line() == "1"
        first.tell("raise")
        second = await meeting.visitor()
        assert await second.line() == "2"
        assert await run.result() == ["schedule_to_close", "2"]
        second.tell()


async def test_no_retry_begins_after_schedule_to_close(make_engine: MakeEngine) -> None:
    @activity(retry=Retry(attempts=100, backoff=fixed(timedelta(hours=1))), schedule_to_close=timedelta(minutes=1))
    async def fails() -> None:
        raise LookupError

    @workflow
    async def calls(ctx: Context) -> str:
        try:
            await fails()
        except ActivityFailedError as error:
            return str(error)
        return ""

    async with make_engine() as engine:
        assert "after the deadline of its schedule_to_close" in await (await engine.start(calls)).result()


async def test_a_call_that_is_found_after_its_end_is_never_started(meeting: Meeting) -> None:
    database = MemoryDatabase()
    limits = {"schedule_to_close": LONG}
    async with Engine(MemoryStore(database), settings=Settings(shutdown_grace_seconds=0.0)) as engine:
        await engine.start(call_with_limits, meeting.address, "loop", limits, 1, id="late")
        assert await (await meeting.visitor()).line() == "1"
    async with Engine(MemoryStore(database), clock=LaterClock()) as engine:
        run = await engine.get_run("late")
        assert await run.result() == ["schedule_to_close", "1"]
        (timed_out,) = await events_of(run, e.ActivityTimedOut)
        assert isinstance(timed_out, e.ActivityTimedOut)
        assert timed_out.started_at is None


class LaterClock(SystemClock):
    """Stands an hour after the system's clock."""

    def now(self) -> Timestamp:
        return Timestamp(super().now() + 3_600_000_000)


@pytest.mark.parametrize("limit", ["schedule_to_start", "schedule_to_close"])
async def test_a_call_that_waits_too_long_for_a_slot_is_never_started(
    make_engine: MakeEngine, meeting: Meeting, kind: str, limit: str
) -> None:
    async with make_engine(Settings(loop_slots=1, thread_slots=1, process_slots=1)) as engine:
        holder = await engine.start(call_with_limits, meeting.address, kind, {}, 1)
        visitor = await meeting.visitor()
        run = await engine.start(call_with_limits, meeting.address, kind, {limit: SHORT}, 5)
        assert await run.result() == [limit, "1"]
        visitor.tell("free")
        assert await holder.result() == ["free"]
        (timed_out,) = await events_of(run, e.ActivityTimedOut)
        assert isinstance(timed_out, e.ActivityTimedOut)
        assert timed_out.started_at is None


async def test_limits_that_are_not_met_leave_nothing_behind(
    make_engine: MakeEngine, meeting: Meeting, kind: str
) -> None:
    limits = dict.fromkeys(("timeout", "schedule_to_start", "schedule_to_close", "heartbeat"), LONG)
    async with make_engine() as engine:
        run = await engine.start(call_with_limits, meeting.address, kind, limits, 1)
        visitor = await meeting.visitor()
        assert await visitor.line() == "1"
        (active,) = engine.worker.active.values()
        (call,) = active.calls.values()
        assert call.running is not None
        assert call.running.watch is not None
        timers = [*call.timers, *call.running.timers, call.running.watch]
        visitor.tell("done")
        await run.result()
        assert len(timers) == 3
        assert [timer.cancelled() for timer in timers] == [True] * 3


async def test_watching_for_heartbeats_forgets_no_other_limit_that_must_end_with_the_attempt() -> None:
    may_end = asyncio.Event()

    @activity(timeout=LONG, heartbeat_timeout=LONG)
    async def beaten() -> None:
        await may_end.wait()

    @workflow
    async def watched(ctx: Context) -> None:
        await beaten()

    async with Engine(MemoryStore(MemoryDatabase())) as engine:
        run = await engine.start(watched)
        running = the_only_attempt(engine)
        (limit,) = [timer for timer in running.timers if timer.when() > asyncio.get_running_loop().time() + 60]
        for _ in range(3):  # as its timer does
            engine.worker.attempts._watch_heartbeat(running, LONG.total_seconds())
        may_end.set()
        await run.result()
        assert limit.cancelled()


async def test_a_clock_that_is_set_forward_makes_no_heartbeat_late() -> None:
    may_end = asyncio.Event()

    @activity(heartbeat_timeout=LONG)
    async def quiet() -> str:
        await may_end.wait()
        return "done"

    @workflow
    async def waiting(ctx: Context) -> str:
        return await quiet()

    clock = SetForward()
    async with Engine(MemoryStore(MemoryDatabase()), clock=clock) as engine:
        run = await engine.start(waiting)
        running = the_only_attempt(engine)
        clock.ahead = Timestamp(2 * int(LONG.total_seconds() * 1_000_000))
        engine.worker.attempts._watch_heartbeat(running, LONG.total_seconds())
        assert not running.is_cancelled
        may_end.set()
        assert await run.result() == "done"


def the_only_attempt(engine: Engine) -> RunningCall:
    (active,) = engine.worker.active.values()
    (call,) = active.calls.values()
    assert call.running is not None
    return call.running


class SetForward(SystemClock):
    ahead = Timestamp(0)

    def now(self) -> Timestamp:
        return Timestamp(super().now() + self.ahead)


# --- heartbeat details -------------------------------------------------------------------------------------------


async def test_the_details_of_the_last_heartbeat_reach_the_next_attempt(
    make_engine: MakeEngine, meeting: Meeting, kind: str
) -> None:
    async with make_engine() as engine:
        run = await engine.start(call_with_limits, meeting.address, kind, {}, 2)
        first = await meeting.visitor()
        assert await first.line() == "1"
        first.tell("beat")
        assert await first.line() == "beaten"
        first.tell("raise")
        second = await meeting.visitor()
        assert await second.line() == "2 after beat 1"
        second.tell("done")
        assert await run.result() == ["done"]


async def test_saved_details_survive_the_worker_and_are_saved_only_so_often(
    make_engine: MakeEngine, meeting: Meeting, kind: str
) -> None:
    settings = Settings(heartbeat_save_seconds=600.0, shutdown_grace_seconds=0.0, process_stop_seconds=0.1)
    async with make_engine(settings) as engine:
        run = await engine.start(call_with_limits, meeting.address, kind, {}, 2, id="survives")
        first = await meeting.visitor()
        assert await first.line() == "1"
        for _ in range(3):
            first.tell("beat")
            assert await first.line() == "beaten"
        (running,) = engine.worker.attempts._running
        while bytes(running.heartbeat) != b'"beat 3"':  # it is on its way
            await asyncio.wait([asyncio.ensure_future(run.describe())])
        assert await events_of(run, e.ActivityHeartbeatRecorded) == []
    first.tell("too late")
    async with make_engine() as engine:
        second = await meeting.visitor()
        assert await second.line() == "1 after beat 3"
        second.tell("done")
        run = await engine.get_run("survives")
        assert await run.result() == ["done"]
        assert len(await events_of(run, e.ActivityHeartbeatRecorded)) == 1


async def test_details_are_saved_while_the_attempt_runs(make_engine: MakeEngine, meeting: Meeting) -> None:
    async with make_engine(Settings(heartbeat_save_seconds=0.000_001)) as engine:
        run = await engine.start(call_with_limits, meeting.address, "thread", {}, 1)
        visitor = await meeting.visitor()
        assert await visitor.line() == "1"
        visitor.tell("beat")
        assert await visitor.line() == "beaten"
        async for recorded in run.watch():
            if isinstance(recorded.event, e.ActivityHeartbeatRecorded):
                assert bytes(recorded.event.details) == b'"beat 1"'
                visitor.tell("done")
        assert await run.result() == ["done"]


# --- cancellation ------------------------------------------------------------------------------------------------


@workflow
async def cancel_after(ctx: Context, address: str, kind: str) -> str:
    call = asyncio.ensure_future(WAITING[kind].options(retry=Retry.never())(address))
    try:
        await ctx.wait_for(a.give_up)
    finally:
        call.cancel()
    return "given up"


async def meet_and_beat(meeting: Meeting) -> Visitor:
    """Return a visitor that is known to listen: one in a process that never beats is killed without a word."""
    visitor = await meeting.visitor()
    assert await visitor.line() == "1"
    visitor.tell("beat")
    assert await visitor.line() == "beaten"
    return visitor


async def be_cancelled(visitor: Visitor, kind: str) -> str:
    """Return what the attempt says when it learns that it was given up: by itself on the loop, elsewhere at a beat."""
    while True:
        if kind != "loop":
            visitor.tell("beat")
        answer = await visitor.line()
        if answer != "beaten":
            return answer


async def test_what_workflow_code_gives_up_learns_of_it(make_engine: MakeEngine, meeting: Meeting, kind: str) -> None:
    async with make_engine() as engine:
        run = await engine.start(cancel_after, meeting.address, kind)
        visitor = await meet_and_beat(meeting)
        await run.signal(a.give_up)
        assert await run.result() == "given up"
        assert await be_cancelled(visitor, kind) == "cancelled"
        assert len(await events_of(run, e.ActivityCancelled)) == 1


@pytest.mark.parametrize("way", ["cancel", "terminate"])
async def test_the_end_of_its_run_reaches_an_activity(
    make_engine: MakeEngine, meeting: Meeting, kind: str, way: str
) -> None:
    async with make_engine() as engine:
        run = await engine.start(cancel_after, meeting.address, kind)
        visitor = await meet_and_beat(meeting)
        await (run.cancel("enough") if way == "cancel" else run.terminate("enough"))
        assert await be_cancelled(visitor, kind) == "cancelled"


async def test_an_attempt_that_closing_interrupts_is_not_recorded_and_runs_again(
    make_engine: MakeEngine, meeting: Meeting, kind: str
) -> None:
    settings = Settings(shutdown_grace_seconds=0.0, process_stop_seconds=0.1)
    async with make_engine(settings) as engine:
        await engine.start(call_with_limits, meeting.address, kind, {}, 1, id="interrupted")
        first = await meeting.visitor()
        assert await first.line() == "1"
    first.tell("too late")
    async with make_engine() as engine:
        run = await engine.get_run("interrupted")
        second = await meeting.visitor()
        assert await second.line() == "1"
        assert await events_of(run, e.ActivityAttemptFailed, e.ActivityFailed, e.ActivityTimedOut) == []
        second.tell("done")
        assert await run.result() == ["done"]


async def test_closing_waits_for_what_ends_within_the_grace_and_starts_nothing_more(
    make_engine: MakeEngine, meeting: Meeting, kind: str
) -> None:
    async with make_engine(Settings(shutdown_grace_seconds=60.0)) as engine:
        await engine.start(two_calls, meeting.address, kind, id="graceful")
        first = await meeting.visitor()
        assert await first.line() == "1"
        asyncio.get_running_loop().call_soon(first.tell, "first")
    async with make_engine() as engine:
        run = await engine.get_run("graceful")
        second = await meeting.visitor()
        assert await second.line() == "1"
        assert len(await events_of(run, e.ActivityCompleted)) == 1
        second.tell("second")
        assert await run.result() == ["first", "second"]


@workflow
async def two_calls(ctx: Context, address: str, kind: str) -> list[str]:
    return [await WAITING[kind](address), await WAITING[kind](address)]


async def test_a_function_that_raises_cancelled_error_by_itself_has_failed(make_engine: MakeEngine) -> None:
    @activity(retry=TWICE)
    async def cancels_itself() -> int:
        if current_attempt().attempt == 1:
            raise asyncio.CancelledError
        return current_attempt().attempt

    @workflow
    async def calls(ctx: Context) -> int:
        return await cancels_itself()

    async with make_engine() as engine:
        assert await (await engine.start(calls)).result() == 2


async def test_a_cancelled_run_is_cancelled_while_its_activity_cleans_up(make_engine: MakeEngine) -> None:
    cleaned = asyncio.Event()

    @activity
    async def cleans() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    @workflow
    async def calls(ctx: Context) -> None:
        await cleans()

    async with make_engine() as engine:
        run = await engine.start(calls)
        await run.cancel("enough")
        with pytest.raises(RunCancelledError):
            await run.result()
        await cleaned.wait()


@pytest.mark.parametrize(("function", "executor"), [(a.wait_on_loop, "process"), (a.wait_in_thread, "loop")])
def test_an_executor_that_cannot_run_the_function_is_refused_where_it_is_asked_for(
    function: Activity[[str], str], executor: str
) -> None:
    with pytest.raises(InvalidArgumentError):
        function.options(executor=executor)


async def test_a_heartbeat_without_details_keeps_those_of_an_earlier_one(make_engine: MakeEngine) -> None:
    @activity(retry=TWICE)
    async def beats() -> object:
        seen = current_attempt().last_heartbeat(int)
        if seen is None:
            heartbeat(7)
            heartbeat()
            raise LookupError
        return seen

    @workflow
    async def calls(ctx: Context) -> object:
        return await beats()

    async with make_engine() as engine:
        assert await (await engine.start(calls)).result() == 7


# --- where a call runs -------------------------------------------------------------------------------------------


async def test_a_coroutine_function_runs_on_the_loop_whatever_an_old_history_says(make_engine: MakeEngine) -> None:
    @activity
    async def tells() -> str:
        return threading.current_thread().name

    @workflow
    async def calls(ctx: Context) -> str:
        return await tells()

    # As if the call had been recorded when the function was still a plain def.
    tells.defaults = msgspec.structs.replace(tells.defaults, executor=Executor.THREAD)
    async with make_engine() as engine:
        assert await (await engine.start(calls)).result() == threading.current_thread().name
