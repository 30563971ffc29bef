"""Options and operations, each by what it does on the real engine; `docs/reference/tested.md` names the others."""

import asyncio
import inspect
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perdure import (
    Activity,
    CircuitBreaker,
    Context,
    Engine,
    Every,
    Executor,
    IdPolicy,
    OnFailure,
    ParentClosePolicy,
    Priority,
    RateLimit,
    Retry,
    Run,
    RunFailedError,
    RunInfo,
    RunStatus,
    Settings,
    Signal,
    activity,
    current_attempt,
    workflow,
)
from perdure.errors import InvalidArgumentError
from perdure.kernel import events as e
from perdure.kernel.identity import RunRef
from perdure.kernel.options import ActivityOptions
from perdure.ports.store import RunQuery
from perdure.stores.memory import MemoryStore
from perdure.testing import TestEnvironment
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import QUICK, decide, is_out_of_memory, kinds, until, waiting_for_decision

follow = Signal("follow", str)


async def first(run: Run[Any], kind: type[Any]) -> Any:
    """Return the first event of this kind."""
    return next(recorded.event for recorded in [r async for r in run.history()] if isinstance(recorded.event, kind))


# --- of an activity ----------------------------------------------------------------------------------------------


async def test_names_given_to_definitions_stand_in_the_history(make_engine: MakeEngine) -> None:
    @activity(name="journeys.activity by name")
    async def unnamed() -> str:
        return current_attempt().activity

    @workflow(name="journeys.workflow by name", version="7")
    async def nameless(ctx: Context) -> list[str]:
        return [ctx.info.workflow, ctx.info.version, await unnamed()]

    async with make_engine() as engine:
        run = await engine.start(nameless)
        names = ["journeys.workflow by name", "7", "journeys.activity by name"]
        assert await run.result() == names
        created = await first(run, e.RunCreated)
        assert [created.workflow, created.definition_version] == names[:2]
        assert (await first(run, e.ActivityScheduled)).activity == names[2]


async def test_the_idempotency_key_is_that_of_the_call_of_the_activity_or_its_own(make_engine: MakeEngine) -> None:
    @activity(retry=Retry(attempts=2, backoff=QUICK))
    async def derived() -> str:
        if current_attempt().attempt == 1:
            earlier.append(current_attempt().idempotency_key)
            raise OSError
        return current_attempt().idempotency_key

    @activity(idempotency_key="of the activity")
    async def declared() -> str:
        return current_attempt().idempotency_key

    @workflow
    async def keyed(ctx: Context) -> list[str]:
        called = declared.options(idempotency_key="of the call")
        return [await derived(), await derived(), await declared(), await called()]

    earlier: list[str] = []
    async with make_engine() as engine:
        keys = await (await engine.start(keyed)).result()
    assert keys[:2] == earlier
    assert keys[0] != keys[1]
    assert keys[2:] == ["of the activity", "of the call"]


async def test_calls_of_two_databases_have_different_idempotency_keys() -> None:
    @activity
    async def tells_key() -> str:
        return current_attempt().idempotency_key

    @workflow
    async def keyed(_ctx: Context) -> str:
        return await tells_key()

    keys = set()
    for _ in range(2):
        async with Engine(MemoryStore()) as engine:
            keys.add(await (await engine.start(keyed, id="the same")).result())
    assert len(keys) == 2


async def test_runs_that_two_databases_begin_at_one_moment_under_one_id_are_named_differently_in_keys() -> None:
    moments: set[datetime] = set()
    names: list[str] = []
    for _ in range(2):
        async with TestEnvironment(start=datetime(2026, 1, 1, tzinfo=UTC)) as environment:
            await environment.start(keeps_waiting, id="started")
            await environment.schedules.create("daily", keeps_waiting, when=Every(timedelta(days=1)))
            await environment.advance(timedelta(days=1, seconds=1))
            async for row in environment.all_runs():
                moments.add(row.times.created_at)
                names.append((await first(await environment.get_run(row.id), e.RunCreated)).call_name)
    assert (len(moments), len(names), len(set(names))) == (2, 4, 4)


@workflow
async def keeps_waiting(ctx: Context) -> None:
    await ctx.wait_for(follow)


async def test_an_attempt_knows_its_run_its_call_and_its_number(make_engine: MakeEngine) -> None:
    @activity
    async def who() -> dict[str, Any]:
        attempt = current_attempt()
        return {
            "run": [attempt.namespace, attempt.run_id, attempt.workflow],
            "call": [attempt.activity, attempt.operation, attempt.attempt],
            "is recent": datetime.now(UTC) - attempt.scheduled_at < timedelta(minutes=1),
            "is fenced": attempt.fencing_token > 0,
            "heartbeat": attempt.last_heartbeat(),
        }

    @workflow
    async def asking_who(ctx: Context) -> dict[str, Any]:
        return await who()

    async with make_engine() as engine:
        assert await (await engine.start(asking_who, id="asks")).result() == {
            "run": ["default", "asks", "asking_who"],
            "call": ["who", 1, 1],
            "is recent": True,
            "is fenced": True,
            "heartbeat": None,
        }


RATE = RateLimit(1_000, per=timedelta(seconds=1), key="calls")
BREAKER = CircuitBreaker(failures=5, window=timedelta(minutes=1), open_for=timedelta(seconds=1))

OPTIONS: dict[str, tuple[Any, str, Any]] = {
    "retry": (Retry(attempts=2), "retry", Retry(attempts=2)),
    "timeout": (timedelta(seconds=61), "start_to_close_microseconds", 61_000_000),
    "schedule_to_start": (timedelta(seconds=62), "schedule_to_start_microseconds", 62_000_000),
    "schedule_to_close": (timedelta(seconds=63), "schedule_to_close_microseconds", 63_000_000),
    "heartbeat_timeout": (timedelta(seconds=64), "heartbeat_microseconds", 64_000_000),
    "queue": ("slow", "queue", "slow"),
    "labels": ({"gpu": "a100"}, "labels", {"gpu": "a100"}),
    "sticky": (True, "sticky", True),
    "priority": (Priority.LOW, "priority", Priority.LOW),
    "executor": ("loop", "executor", Executor.LOOP),
    "expected_duration": (timedelta(seconds=65), "expected_duration_microseconds", 65_000_000),
    "idempotency_key": ("once", "idempotency_key", "once"),
    "at_most_once": (True, "at_most_once", True),
    "resources": ({"cpu": 1}, "resources", {"cpu": 1}),
    "rate_limit": (RATE, "rate_limit", RATE),
    "circuit_breaker": (BREAKER, "circuit_breaker", BREAKER),
}


OF_A_QUEUE = {"queue": "slow"}


def beside(name: str) -> dict[str, Any]:
    """Return what must be said besides an option."""
    return OF_A_QUEUE if name in {"labels", "sticky"} else {}


@activity
async def idle() -> None: ...


@workflow
async def calling_with_an_option(ctx: Context, name: str) -> None:
    await idle.options(**{name: OPTIONS[name][0], **beside(name)})()


@pytest.mark.parametrize("name", OPTIONS)
async def test_what_a_call_says_is_recorded_with_it_and_laid_over_the_activity(
    make_engine: MakeEngine, name: str
) -> None:
    _, field, recorded = OPTIONS[name]
    expected = ActivityOptions(**{field: recorded, **beside(name)})
    settings = Settings(resources={"cpu": 100}, queues=("slow",), labels={"gpu": "a100"})
    async with make_engine(settings) as engine:
        run = await engine.start(calling_with_an_option, name)
        await run.result()
        assert (await first(run, e.ActivityScheduled)).options == expected
    effective = idle.effective_options(expected)
    assert getattr(effective, field) == recorded
    others = [other for other in ActivityOptions.__struct_fields__ if other not in {field, *beside(name)}]
    assert [getattr(effective, other) for other in others] == [getattr(idle.defaults, other) for other in others]


@pytest.mark.parametrize("name", OPTIONS)
def test_what_the_decorator_says_is_what_a_call_gets(name: str) -> None:
    given, field, recorded = OPTIONS[name]

    @activity(**{name: given, **beside(name)})
    async def optioned() -> None: ...

    assert getattr(optioned.effective_options(None), field) == recorded


# --- of a workflow -----------------------------------------------------------------------------------------------


async def test_the_execution_timeout_of_a_workflow_fails_its_runs(make_engine: MakeEngine) -> None:
    @workflow(execution_timeout=timedelta(milliseconds=5))
    async def overdue(ctx: Context) -> None:
        await ctx.wait_for(decide)

    async with make_engine() as engine:
        with pytest.raises(RunFailedError, match="execution timeout"):
            await (await engine.start(overdue)).result()


@pytest.mark.parametrize(("on_failure", "undone"), [(OnFailure.COMPENSATE, ["a"]), (OnFailure.FAIL, [])])
async def test_on_failure_says_whether_a_failing_run_is_undone(
    make_engine: MakeEngine, on_failure: OnFailure, undone: list[str]
) -> None:
    seen: list[str] = []

    @activity
    async def take_back(name: str) -> None:
        seen.append(name)

    @activity(compensate=take_back)
    async def give(name: str) -> str:
        return name

    @workflow(on_failure=on_failure)
    async def failing_saga(ctx: Context) -> None:
        await give("a")
        raise RuntimeError("enough")

    async with make_engine() as engine:
        with pytest.raises(RunFailedError, match="enough"):
            await (await engine.start(failing_saga)).result()
    assert seen == undone


# --- of a start --------------------------------------------------------------------------------------------------


@workflow(priority=Priority.LOW)
async def describing(ctx: Context) -> RunInfo:
    return ctx.info


async def test_a_run_knows_what_it_was_started_with(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(
            describing, id="described", tenant="acme", labels={"region": "eu"}, priority=Priority.HIGH
        )
        assert await run.result() == RunInfo(
            id="described",
            namespace="default",
            generation=1,
            workflow="describing",
            version="1",
            attempt=1,
            tenant="acme",
            created_labels={"region": "eu"},
            parent=None,
        )
        row = await run.describe()
        assert (row.tenant, row.labels, row.priority) == ("acme", {"region": "eu"}, Priority.HIGH)
        assert (run.id, run.namespace) == ("described", "default")
        assert (await (await engine.start(describing)).describe()).priority is Priority.LOW


TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


@activity
async def trace_of_an_activity() -> dict[str, str]:
    return current_attempt().trace_context


@workflow
async def traced_below(ctx: Context) -> list[dict[str, str]]:
    return [ctx.info.trace_context, await trace_of_an_activity()]


@workflow
async def traced(ctx: Context, is_again: bool) -> list[dict[str, str]]:
    if not is_again:
        ctx.continue_as_new(True)
    return [ctx.info.trace_context, *await ctx.run_child(traced_below)]


async def test_the_trace_context_of_a_start_reaches_activities_child_runs_and_generations(
    make_engine: MakeEngine,
) -> None:
    async with make_engine() as engine:
        assert await (await engine.start(traced, False, trace_context=TRACE)).result() == [TRACE] * 3
        assert await (await engine.start(traced_below)).result() == [{}, {}]
        with pytest.raises(InvalidArgumentError, match="trace_context"):
            await engine.start(traced_below, trace_context={"traceparent": 1})  # type: ignore[dict-item]


async def test_each_id_policy_does_what_it_says(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        open_run = await engine.start(waiting_for_decision, id="taken")
        key = (await open_run.describe()).run_key

        async def started(policy: IdPolicy) -> int:
            again = await engine.start(waiting_for_decision, id="taken", id_policy=policy)
            return (await again.describe()).run_key

        assert await started(IdPolicy.RETURN_EXISTING) == key
        assert await started(IdPolicy.RESTART_CLOSED) == key
        replaced = await started(IdPolicy.REPLACE)
        assert replaced != key
        await (await engine.get_run("taken")).signal(decide, True)
        await (await engine.get_run("taken")).result()
        assert await started(IdPolicy.RETURN_EXISTING) == replaced
        assert await started(IdPolicy.RESTART_CLOSED) != replaced


# --- the context -------------------------------------------------------------------------------------------------


async def test_a_run_sleeps_for_a_duration_or_for_seconds(make_engine: MakeEngine) -> None:
    @workflow
    async def dozing(ctx: Context) -> list[bool]:
        slept = []
        for duration in (timedelta(milliseconds=5), 0.005):
            begun = ctx.now()
            await ctx.sleep(duration)
            slept.append(ctx.now() - begun >= timedelta(milliseconds=5))
        return slept

    async with make_engine() as engine:
        assert await (await engine.start(dozing)).result() == [True, True]


async def test_a_run_sleeps_until_a_moment_and_not_at_all_until_a_past_one(make_engine: MakeEngine) -> None:
    @workflow
    async def alarmed(ctx: Context) -> list[bool]:
        begun = ctx.now()
        await ctx.sleep_until(begun - timedelta(days=1))
        is_past_nothing = ctx.now() == begun
        moment = begun + timedelta(milliseconds=20)
        await ctx.sleep_until(moment)
        return [is_past_nothing, ctx.now() >= moment]

    async with make_engine() as engine:
        run = await engine.start(alarmed)
        assert await run.result() == [True, True]
        assert (await kinds(run)).count("timer_started") == 1


async def test_a_trace_event_stands_in_the_history_with_its_attributes(make_engine: MakeEngine) -> None:
    @workflow
    async def tracing(ctx: Context) -> None:
        ctx.trace_event("milestone", number="3")

    async with make_engine() as engine:
        run = await engine.start(tracing)
        await run.result()
        event = await first(run, e.TraceEventRecorded)
        assert (event.name, event.attributes) == ("milestone", {"number": "3"})


async def test_a_child_has_the_id_priority_and_labels_it_was_given(make_engine: MakeEngine) -> None:
    @workflow
    async def siring(ctx: Context) -> list[Any]:
        own = await ctx.run_child(describing)
        given = ctx.start_child(describing, id="given", priority=Priority.HIGH, labels={"of": "siring"})
        return [own.id, own.parent, (await given.result()).created_labels, given.id]

    async with make_engine() as engine:
        run = await engine.start(siring, id="sire")
        own_id, parent, labels, given_id = await run.result()
        assert own_id == "sire/1"
        assert parent == {"id": "sire"}
        assert labels == {"of": "siring"}
        assert given_id == "given"
        assert (await (await engine.get_run("given")).describe()).priority is Priority.HIGH


async def test_a_child_is_cancelled_with_its_parent_unless_told_otherwise(make_engine: MakeEngine) -> None:
    @workflow
    async def leaving_by_default(ctx: Context) -> None:
        ctx.start_child(waiting_for_decision, id="by default")
        ctx.start_child(waiting_for_decision, id="abandoned", policy=ParentClosePolicy.ABANDON)
        await idle()

    async with make_engine() as engine:
        await (await engine.start(leaving_by_default)).result()
        child = await engine.get_run("by default")
        await until(lambda: _has_status(child, RunStatus.CANCELLED))
        abandoned = await engine.get_run("abandoned", waiting_for_decision)
        await abandoned.signal(decide, True)
        assert await abandoned.result() == "yes"


async def _has_status(run: Run[Any], status: RunStatus) -> bool:
    return (await run.describe()).status is status


async def test_code_learns_that_it_was_asked_to_cancel_and_compensates_when_it_asks_for_it(
    make_engine: MakeEngine,
) -> None:
    undone: list[str] = []

    @activity
    async def undo_booking(name: str) -> None:
        undone.append(name)

    @activity(compensate=undo_booking)
    async def book(name: str) -> str:
        return name

    @workflow
    async def changing_its_mind(ctx: Context) -> list[Any]:
        await book("seat")
        before = ctx.cancel_requested
        try:
            await ctx.wait_for(decide)
        except asyncio.CancelledError:
            failed = await ctx.compensate()
            return [before, ctx.cancel_requested, failed]
        return []

    async with make_engine() as engine:
        run = await engine.start(changing_its_mind)
        async for recorded in run.watch():
            if isinstance(recorded.event, e.ActivityCompleted):
                break
        await run.cancel("no more")
        assert await run.result() == [False, True, 0]
    assert undone == ["seat"]


# --- the client --------------------------------------------------------------------------------------------------


async def test_runs_are_found_by_every_filter(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        for number in range(3):
            await engine.start(
                waiting_for_decision,
                id=f"run-{number}",
                labels={"number": str(number)},
                tenant=f"tenant-{number}",
                priority=Priority(number),
            )
        await (await engine.start(describing, id="other")).result()

        async def found(**filters: Any) -> list[str]:
            return [summary.ref.id for summary in (await engine.list_runs(**filters)).runs]

        moment = (await (await engine.get_run("run-1")).describe()).times.created_at
        assert await found() == ["other", "run-2", "run-1", "run-0"]
        assert await found(oldest_first=True) == ["run-0", "run-1", "run-2", "other"]
        assert await found(limit=1) == ["other"]
        assert await found(status=RunStatus.COMPLETED) == ["other"]
        assert await found(workflow="describing") == ["other"]
        assert await found(labels={"number": "1"}) == ["run-1"]
        assert await found(tenant="tenant-2") == ["run-2"]
        assert await found(priority=Priority(1)) == ["run-1"]
        assert await found(id_prefix="run-") == ["run-2", "run-1", "run-0"]
        assert set(await found(created_from=moment)) == {"other", "run-2", "run-1"}
        assert set(await found(created_until=moment)) == {"run-0"}
        first_page = await engine.list_runs(limit=3)
        assert await found(cursor=first_page.next_cursor) == ["run-0"]
        assert await engine.count_runs() == 4
        assert await engine.count_runs(RunQuery(id_prefix="run-")) == 3
        every = [summary.ref.id async for summary in engine.all_runs(RunQuery(limit=1))]
        assert every == ["other", "run-2", "run-1", "run-0"]


async def test_the_times_of_a_run_and_of_its_events_are_datetimes_in_utc(make_engine: MakeEngine) -> None:
    before = datetime.now(UTC)
    async with make_engine(works=False) as client:
        await client.start(describing, id="timed", start_after=timedelta(hours=1))
        waiting = (await (await client.get_run("timed")).describe()).times
        assert (waiting.started_at, waiting.closed_at) == (None, None)
        assert waiting.wake_at == waiting.created_at + timedelta(hours=1)
    async with make_engine() as engine:
        run = await engine.start(describing)
        await run.result()
        times = (await run.describe()).times
        moments = [recorded.moment async for recorded in run.history()]
        assert before <= times.created_at <= times.updated_at <= datetime.now(UTC)
        assert (times.created_at, times.closed_at) == (moments[0], moments[-1])
        assert times.started_at in moments
        assert {moment.tzinfo for moment in moments} == {UTC}
        listed = [summary.times async for summary in engine.all_runs(RunQuery(id_prefix=run.id))]
        assert listed == [times]


async def test_a_run_that_is_found_again_gives_its_result_as_its_workflow_says(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await (await engine.start(describing, id="described")).result()
        typed = await engine.get_run("described", describing)
        assert isinstance(await typed.result(), RunInfo)
        assert isinstance(await (await engine.get_run("described")).result(), dict)


async def test_who_asked_and_why_stands_in_the_history(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(waiting_for_decision)
        await run.suspend("audit", by="ann")
        await run.resume(by="bob")
        await run.set_priority(Priority.HIGH, reason="urgent", by="cy")
        await run.cancel("enough", by="dee")
        with pytest.raises(Exception, match="enough"):
            await run.result()
        suspended, resumed = await first(run, e.RunSuspended), await first(run, e.RunResumed)
        changed, asked = await first(run, e.PriorityChanged), await first(run, e.RunCancelRequested)
        assert [suspended.reason, suspended.by, resumed.by] == ["audit", "ann", "bob"]
        assert [changed.reason, changed.by, asked.reason, asked.by] == ["urgent", "cy", "enough", "dee"]
        other = await engine.start(waiting_for_decision)
        await other.terminate("stop", by="eve")
        ending = await first(other, e.RunTerminated)
        assert [ending.reason, ending.by] == ["stop", "eve"]


async def test_a_signal_that_is_sent_again_with_its_request_id_arrives_once(make_engine: MakeEngine) -> None:
    async with make_engine(works=False) as client:
        run = await client.start(waiting_for_decision, id="signalled")
        await run.signal(follow, "once", request_id="request-1")
        await run.signal(follow, "once", request_id="request-1")
        await run.signal(decide, True)
    async with make_engine() as engine:
        run = await engine.get_run("signalled")
        await run.result()
        received = [r.event.name async for r in run.history() if isinstance(r.event, e.SignalReceived)]
    assert sorted(received) == ["decide", "follow"]


async def test_an_engine_works_in_its_own_namespace(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await engine.start(waiting_for_decision, id="shared id")
        engine.namespace = "another"
        run = await engine.start(waiting_for_decision, id="shared id")
        assert (await run.describe()).ref == RunRef(namespace="another", id="shared id")
        assert await engine.count_runs() == 1


async def test_a_run_that_has_left_memory_is_still_found_by_its_state(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(idle_seconds=0.01)) as engine:
        run = await engine.start(waiting_for_decision)
        key = (await run.describe()).run_key
        await until(lambda: is_out_of_memory(engine, key))
        assert (await run.describe()).stage == "review"
        with pytest.raises(InvalidArgumentError, match="answers no query"):
            await run.query("anything")


def test_every_option_of_a_call_is_tried() -> None:
    offered = set(inspect.signature(Activity.options).parameters) - {"self"}
    assert offered - OPTIONS.keys() == set()
