"""Retry, reset, fork: runs that go on from a part of a history."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from perdure import (
    Context,
    Engine,
    NonDeterminismError,
    Retry,
    Run,
    RunExistsError,
    RunFailedError,
    RunNotRepairableError,
    RunStatus,
    RunTerminatedError,
    Signal,
    activity,
    current_attempt,
    workflow,
)
from perdure.authoring.registry import Registry
from perdure.errors import InvalidArgumentError, RunNotFoundError, UnknownWorkflowError
from perdure.kernel import events as e
from perdure.kernel.fork_facts import ForkCause, StepFate
from perdure.kernel.identity import RunRef
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import QUICK, kinds, until

go = Signal("go", int)


class _World:
    """What the activities find outside, and what they did there."""

    def __init__(self) -> None:
        self.is_broken = True
        self.done: Counter[str] = Counter()
        self.keys: list[str] = []
        self.may_end = asyncio.Event()


world = _World()


@pytest.fixture(autouse=True)
def _a_new_world() -> None:
    world.__init__()  # type: ignore[misc]  # the activities hold on to the one object


@activity
async def repair_step(name: str) -> str:
    world.done[name] += 1
    return name


@activity(retry=Retry(attempts=2, backoff=QUICK))
async def repair_fragile() -> str:
    world.done["fragile"] += 1
    world.keys.append(current_attempt().idempotency_key)
    if world.is_broken:
        raise ValueError("the service is down")
    return "mended"


@activity(at_most_once=True, retry=Retry(attempts=1))
async def repair_once() -> str:
    world.done["once"] += 1
    await world.may_end.wait()
    return "once"


@activity
async def repair_undo(_result: str) -> None:
    world.done["undo"] += 1


@workflow
async def repair_order(ctx: Context) -> list[str]:
    first = await repair_step("first")
    async with ctx.stage("shipping"):
        second = await repair_fragile()
    return [first, second, await repair_step("last")]


@workflow
async def repair_patient(ctx: Context) -> list[str]:
    found = [await repair_step("first")]
    for _ in range(2):
        number = await ctx.wait_for(go)
        found.append(str(number))
    return found


@workflow
async def repair_interrupted(_ctx: Context) -> str:
    await repair_step("first")
    try:
        return await repair_once()
    except Exception as error:  # noqa: BLE001 - what became of it is the result
        return type(error).__name__


@workflow
async def repair_together(_ctx: Context) -> list[str]:
    slow = asyncio.ensure_future(repair_step("beside"))
    fragile = asyncio.ensure_future(repair_fragile())
    await asyncio.wait({slow, fragile})
    return [await slow, await fragile]


@workflow
async def repair_undone(ctx: Context) -> str:
    first = await repair_step("first")
    ctx.add_compensation(repair_undo, first)
    try:
        return await repair_fragile()
    except Exception:
        await ctx.compensate()
        raise


@workflow
async def repair_named(ctx: Context) -> list[str]:
    before = await repair_step(f"{ctx.info.id} {ctx.random.random()}")
    await ctx.wait_for(go)
    return [before, f"{ctx.info.id} {ctx.info.generation}", str(ctx.uuid4())]


@workflow
async def repair_parent(ctx: Context) -> list[str]:
    await repair_step("before")
    return await ctx.run_child(repair_order, id="repaired-child")


@workflow
async def repair_parent_of_any(ctx: Context) -> list[str]:
    await repair_step("before")
    return await ctx.run_child(repair_order)


@workflow(version="2")
async def repair_versioned(ctx: Context) -> str:
    await repair_step("first")
    return f"{ctx.info.version} {ctx.patched('new')} {await ctx.side_effect(lambda: 'effect', str)}"


@workflow(name="repair_versioned", version="1")
async def repair_versioned_1(_ctx: Context) -> str:
    await repair_step("first")
    raise ValueError("old")


@workflow(name="repair_order", version="0")
async def repair_order_today(_ctx: Context) -> list[str]:
    return [await repair_fragile()]


def having(*definitions: Any) -> Registry:
    registry = Registry()
    for definition in definitions:
        registry.add_workflow(definition)
    for one in (repair_step, repair_fragile):
        registry.add_activity(one)
    return registry


async def fork_of(run: Any) -> e.RunForked:
    forks = [recorded.event async for recorded in run.history() if isinstance(recorded.event, e.RunForked)]
    return forks[-1]


async def fail(engine: Engine, definition: Any = repair_order) -> Any:
    run = await engine.start(definition, id="order")
    with pytest.raises(RunFailedError):
        await run.result()
    return run


# --- retry -------------------------------------------------------------------------------------------------------


async def test_a_retried_run_keeps_its_results_and_does_the_failed_step_again(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await fail(engine)
        world.is_broken = False
        retried = await run.retry("mended", by="ops")
        assert await retried.result() == await run.result() == ["first", "mended", "last"]
        assert world.done == {"first": 1, "fragile": 3, "last": 1}
        assert len(set(world.keys)) == 1
        row = await run.describe()
        assert (row.ref.generation, row.status) == (2, RunStatus.COMPLETED)
        fork = await fork_of(run)
        assert (fork.cause, fork.reason, fork.by) == (ForkCause.RETRY, "mended", "ops")
        assert fork.origin == RunRef(id="order")
        assert [(step.name, step.was) for step in fork.repeats] == [("repair_fragile", StepFate.FAILED)]


async def test_the_failed_generation_stays_as_it_was(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await fail(engine)
        store, key = engine.worker.store, (await run.describe()).run_key
        before = (await store.find(key), await store.read_history(key))
        await (await fail_again(run)).describe()
        assert (await store.find(key), await store.read_history(key)) == before


async def fail_again(run: Any) -> Any:
    retried = await run.retry()
    with pytest.raises(RunFailedError):
        await retried.result()
    return retried


async def test_a_retry_has_all_attempts_and_may_be_retried_again(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await fail(engine)
        await fail_again(run)
        assert world.done["fragile"] == 4
        world.is_broken = False
        assert await (await run.retry()).result() == ["first", "mended", "last"]
        assert world.done["first"] == 1
        assert len(set(world.keys)) == 1


async def test_the_same_request_makes_one_retry(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await fail(engine)
        world.is_broken = False
        await asyncio.gather(*(run.retry(request_id="r1") for _ in range(3)))
        await run.result()
        again = await run.retry(request_id="r1")
        assert (await again.describe()).ref.generation == 2
        assert world.done["fragile"] == 3


async def test_a_terminated_run_goes_on_where_it_stood(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(repair_patient, id="order")
        await run.signal(go, 1)
        await run.terminate("by mistake")
        with pytest.raises(RunTerminatedError):
            await run.result()
        retried = await run.retry()
        await retried.signal(go, 2)
        assert await retried.result() == ["first", "1", "2"]
        assert world.done == {"first": 1}


async def test_signals_that_a_run_had_not_read_when_it_was_ended_without_its_code_are_not_lost(
    make_engine: MakeEngine,
) -> None:
    async with make_engine() as engine:
        run = await engine.start(repair_patient, id="order")
        await until(lambda: has_steps(run))
    async with make_engine(works=False) as client:
        run = await client.get_run("order", repair_patient)
        await run.signal(go, 1)
        await run.terminate()
        await run.signal(go, 2)
    async with make_engine(registry=Registry()) as engine:
        with pytest.raises(RunTerminatedError):
            await (await engine.get_run("order")).result()
    async with make_engine() as engine:
        run = await engine.get_run("order", repair_patient)
        assert "signal_received" not in await kinds(run)
        fork = await run.fork(id="without")
        assert await (await run.fork(id="with", reapply_signals=True)).result() == ["first", "1", "2"]
        assert await (await run.retry()).result() == ["first", "1", "2"]
        assert (await fork.describe()).status is RunStatus.RUNNING


async def test_a_result_that_came_after_the_failure_is_taken_over(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await fail(engine, repair_together)
        world.is_broken = False
        assert await (await run.retry()).result() == ["beside", "mended"]
        assert world.done["beside"] == 1


async def test_an_at_most_once_attempt_without_outcome_is_lost_not_made_again(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(repair_interrupted, id="order")

        async def has_begun() -> bool:
            return bool(world.done["once"])

        await until(has_begun)
        await run.terminate()
        with pytest.raises(RunTerminatedError):
            await run.result()
        retried = await run.retry()
        assert await retried.result() == "ActivityFailedError"
        assert world.done == {"first": 1, "once": 1}
        assert [(step.name, step.was) for step in (await fork_of(retried)).repeats] == [
            ("repair_once", StepFate.UNKNOWN)
        ]


async def test_a_retry_that_would_take_what_was_undone_for_done_is_refused(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await fail(engine, repair_undone)
        with pytest.raises(RunNotRepairableError, match=r"has undone steps since .* event 2"):
            await run.retry()
        assert (await run.describe()).ref.generation == 1
        world.is_broken = False
        assert await (await run.reset(event=2)).result() == "mended"


async def test_a_child_that_did_not_complete_is_not_taken_over(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await fail(engine, repair_parent)
        failed_at = (await kinds(run)).index("child_failed") + 1
        with pytest.raises(RunNotRepairableError, match=r"its child run default/repaired-child .* \(event \d\)"):
            await run.reset(event=failed_at - 1)
        with pytest.raises(RunFailedError, match="its id is taken"):
            await (await run.retry()).result()


async def test_runs_that_have_not_failed_are_not_retried(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(repair_patient, id="order")
        with pytest.raises(RunNotRepairableError, match="has not ended"):
            await run.retry()
        done = await engine.start(repair_patient, id="done")
        await done.signal(go, 1)
        await done.signal(go, 2)
        await done.result()
        with pytest.raises(RunNotRepairableError, match="is completed"):
            await done.retry()


async def test_a_cancelled_run_goes_on_where_it_was_cancelled(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(repair_patient, id="order")
        await run.signal(go, 1)
        await until(lambda: has_steps(run))
        await run.cancel("by mistake")
        await until(lambda: is_closed(run))
        retried = await run.retry()
        await retried.signal(go, 2)
        assert await retried.result() == ["first", "1", "2"]
        assert world.done == {"first": 1}


async def is_closed(run: Run[Any]) -> bool:
    return (await run.describe()).status.is_closed


async def test_a_run_out_of_time_goes_on_with_all_its_time(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(repair_patient, id="order", execution_timeout=timedelta(seconds=0.2))
        with pytest.raises(RunFailedError, match="RunTimeoutError"):
            await run.result()
        retried = await run.retry()
        await retried.signal(go, 1)
        await retried.signal(go, 2)
        assert await retried.result() == ["first", "1", "2"]


async def test_a_retried_parent_asks_for_the_failed_child_anew(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await fail(engine, repair_parent_of_any)
        world.is_broken = False
        assert await (await run.retry()).result() == ["first", "mended", "last"]
        assert world.done["before"] == 1


async def test_a_client_without_code_retries_for_others(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await fail(engine)
    async with make_engine(works=False, registry=Registry()) as client:
        await (await client.get_run("order")).retry()
    world.is_broken = False
    async with make_engine() as engine:
        assert await (await engine.get_run("order")).result() == ["first", "mended", "last"]


# --- reset -------------------------------------------------------------------------------------------------------


async def test_a_reset_goes_on_from_the_event(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await fail(engine)
        world.is_broken = False
        await (await run.reset("from the start", event=2)).result()
        assert world.done == {"first": 2, "fragile": 3, "last": 1}
        again = await run.reset(stage="shipping")
        assert await again.result() == ["first", "mended", "last"]
        assert world.done == {"first": 2, "fragile": 4, "last": 2}
        assert [(step.name, step.was) for step in (await fork_of(again)).repeats] == [
            ("repair_fragile", StepFate.FINISHED),
            ("repair_step", StepFate.FINISHED),
        ]


@pytest.mark.parametrize(("reapplies", "found"), [(True, ["first", "1", "2"]), (False, ["first", "3", "4"])])
async def test_later_signals_are_received_again_if_asked_for(
    make_engine: MakeEngine, reapplies: bool, found: list[str]
) -> None:
    async with make_engine() as engine:
        run = await engine.start(repair_patient, id="order")
        await run.signal(go, 1)
        await run.signal(go, 2)
        await run.result()
        reset = await run.reset(event=2, reapply_signals=reapplies)
        if not reapplies:
            await reset.signal(go, 3)
            await reset.signal(go, 4)
        assert await reset.result() == found


async def test_points_that_there_are_not_are_refused(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await fail(engine)
        with pytest.raises(RunNotRepairableError, match="events 1 to"):
            await run.reset(event=100)
        for event in (0, "1"):
            with pytest.raises(InvalidArgumentError, match="number of an event"):
                await run.reset(event=event)
        with pytest.raises(RunNotRepairableError, match="it has entered: shipping"):
            await run.reset(stage="paying")
        with pytest.raises(InvalidArgumentError, match="event and stage are given"):
            await run.reset(event=1, stage="shipping")
        with pytest.raises(UnknownWorkflowError):
            await run.reset(version="7")
        missing = await engine.get_run("order")
        missing._ref = RunRef(id="nobody")
        with pytest.raises(RunNotFoundError):
            await missing.reset()


async def test_every_event_of_a_history_is_a_point_to_go_on_from(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await fail(engine)
        world.is_broken = False
        failed_at = (await kinds(run)).index("activity_failed") + 1
        for event in range(1, failed_at):
            assert await (await run.fork(event=event)).result() == ["first", "mended", "last"], event
        for event in range(failed_at, (await run.describe()).sequence + 1):
            with pytest.raises(RunFailedError):
                await (await run.fork(event=event)).result()


async def test_code_that_does_not_fit_is_refused_before_anything_is_written(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await fail(engine)
    async with make_engine(registry=having(repair_order_today)) as engine:
        run = await engine.get_run("order")
        with pytest.raises(NonDeterminismError, match="repair_step"):
            await run.retry(version="0")
        assert (await run.describe()).ref.generation == 1
        world.is_broken = False
        assert await (await run.reset(event=2, version="0")).result() == ["mended"]


async def test_a_reset_may_go_on_with_another_version(make_engine: MakeEngine) -> None:
    registry = having(repair_versioned_1, repair_versioned)
    async with make_engine(registry=registry) as engine:
        run = await fail(engine, repair_versioned_1)
        reset = await run.reset(version="2")
        assert (await reset.describe()).definition_version == "2"
        assert await reset.result() == "2 True effect"
        assert world.done == {"first": 1}
    async with make_engine(registry=registry) as engine:
        assert await (await engine.get_run("order")).result() == "2 True effect"


# --- fork --------------------------------------------------------------------------------------------------------


async def test_a_fork_of_an_open_run_goes_on_beside_it(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(repair_named, id="one", labels={"kind": "named"})
        await until(lambda: has_steps(run))
        fork = await run.fork(id="two")
        await fork.signal(go, 1)
        await run.signal(go, 1)
        mine, its = await run.result(), await fork.result()
        assert mine[0] == its[0]
        assert (mine[1], its[1]) == ("one 1", "two 1")
        assert mine[2] != its[2]
        assert sum(world.done.values()) == 1
        assert (await fork.describe()).labels == {"kind": "named"}
        assert (await kinds(fork))[:5] == [*(await kinds(run))[:4], "run_forked"]
        with pytest.raises(RunExistsError, match="another id"):
            await run.fork(id="two")
        assert fork.id == "two"
        first, second = await run.fork(request_id="f"), await run.fork(request_id="f")
        assert first.id == second.id


async def has_steps(run: Any) -> bool:
    return "activity_completed" in await kinds(run)


async def test_a_fork_of_a_run_whose_time_has_not_come_begins_with_it(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(repair_patient, id="one", start_after=timedelta(days=1))
        await run.signal(go, 1)
        await run.signal(go, 2)
        fork = await run.fork(event=1, reapply_signals=True)
        row = await fork.describe()
        assert (row.status, row.sequence) == (RunStatus.CREATED, 2)
