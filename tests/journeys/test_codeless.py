"""Ends that take effect although no process has the code of the run."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from perdure import (
    Context,
    Engine,
    ParentClosePolicy,
    Run,
    RunCancelledError,
    RunFailedError,
    RunStatus,
    RunTerminatedError,
    Signal,
    Workflow,
    workflow,
)
from perdure.authoring.registry import Registry
from perdure.kernel.messages import TerminateMessage
from perdure.kernel.transition import Delivery
from perdure.ports.store import RunSummary
from tests.journeys.conftest import MakeEngine

go = Signal("go", int)
SOON = timedelta(seconds=1)


def having(*definitions: Workflow[*tuple[Any, ...], Any]) -> Registry:
    """Return what a process has that has code for these and nothing else."""
    registry = Registry()
    for definition in definitions:
        registry.add_workflow(definition)
    return registry


def asleep(*, is_changed: bool = False) -> Registry:
    """Return the code of a run that waits for ever, or (changed) code that does not fit its history."""

    @workflow(name="codeless.asleep")
    async def asleep(ctx: Context) -> int:
        if is_changed:
            await ctx.sleep(3600)
        return await ctx.wait_for(go)

    return having(asleep)


async def begin(make_engine: MakeEngine, **options: Any) -> None:
    """Begin a run, and let its process go."""
    registry = asleep()
    async with make_engine(registry=registry, name="beginner") as engine:
        await engine.start(registry.workflow("codeless.asleep"), id="old", **options)


async def when(run: Run[Any], is_so: Callable[[RunSummary], bool]) -> RunSummary:
    while not is_so(row := await run.describe()):  # noqa: ASYNC110 - it is nobody's news in this process
        await asyncio.sleep(0)
    return row


async def test_a_run_whose_code_nobody_has_is_terminated_by_whoever_works(make_engine: MakeEngine) -> None:
    await begin(make_engine)
    async with make_engine(registry=Registry()), make_engine(works=False, name="client") as client:
        run = await client.get_run("old")
        await run.terminate("not worth the code", by="ann")
        with pytest.raises(RunTerminatedError, match="not worth the code"):
            await run.result()


async def test_a_termination_that_came_while_nobody_worked_takes_effect_when_somebody_does(
    make_engine: MakeEngine,
) -> None:
    await begin(make_engine)
    async with make_engine(works=False, name="client") as client:
        await (await client.get_run("old")).terminate()
    async with make_engine(registry=Registry()) as engine:
        with pytest.raises(RunTerminatedError):
            await (await engine.get_run("old")).result()


async def test_a_run_is_terminated_by_the_process_itself_that_has_no_code_for_it(make_engine: MakeEngine) -> None:
    await begin(make_engine)
    async with make_engine(registry=Registry()) as engine:
        run = await engine.get_run("old")
        await run.terminate()
        with pytest.raises(RunTerminatedError):
            await run.result()


async def test_a_run_that_no_process_ever_had_code_for_ends_at_its_deadline(make_engine: MakeEngine) -> None:
    registry = asleep()
    async with make_engine(works=False, name="client") as client, make_engine(registry=Registry()):
        run = await client.start(registry.workflow("codeless.asleep"), id="old", execution_timeout=SOON / 10)
        with pytest.raises(RunFailedError, match="did not end within its execution timeout"):
            await run.result()


async def test_a_run_that_was_ended_without_its_code_is_reset_and_forked(make_engine: MakeEngine) -> None:
    await begin(make_engine)
    async with make_engine(registry=Registry()) as engine:
        run = await engine.get_run("old")
        await run.terminate()
        with pytest.raises(RunTerminatedError):
            await run.result()
        for repaired in (await run.fork(id="fork"), await run.reset()):
            await repaired.signal(go, 1)
    async with make_engine(registry=asleep()) as engine:
        assert [await (await engine.get_run(run_id)).result() for run_id in ("old", "fork")] == [1, 1]


async def test_a_run_that_its_grace_ended_without_its_code_is_retried(make_engine: MakeEngine) -> None:
    await begin(make_engine)
    async with make_engine(registry=Registry()) as engine:
        run = await engine.get_run("old")
        await run.cancel(grace=timedelta(microseconds=1))
        with pytest.raises(RunTerminatedError):
            await run.result()
        await (await run.retry()).signal(go, 2)
    async with make_engine(registry=asleep()) as engine:
        assert await (await engine.get_run("old")).result() == 2


async def test_a_parked_run_ends_at_its_deadline(make_engine: MakeEngine) -> None:
    await begin(make_engine, execution_timeout=SOON)
    async with make_engine(registry=asleep(is_changed=True)), make_engine(works=False, name="client") as client:
        run = await client.get_run("old")
        await run.signal(Signal("other", int), 1)
        with pytest.raises(RunFailedError, match="did not end within its execution timeout"):
            await run.result()
        assert (await run.describe()).parked is None


async def test_a_cancellation_waits_for_code_until_its_grace_ends(make_engine: MakeEngine) -> None:
    await begin(make_engine)
    async with make_engine(registry=Registry()), make_engine(works=False, name="client") as client:
        run = await client.get_run("old")
        await run.cancel("enough", grace=SOON / 5)
        with pytest.raises(RunTerminatedError, match=r"the grace of the cancellation ended \(enough\)"):
            await run.result()


async def test_a_grace_that_began_with_code_ends_without(make_engine: MakeEngine) -> None:
    @workflow(name="codeless.stubborn")
    async def stubborn(ctx: Context) -> None:
        while True:
            try:
                await ctx.sleep(3600)
            except asyncio.CancelledError:
                ctx.set("cancelled", True)

    async with make_engine(registry=having(stubborn), name="with code") as engine:
        run = await engine.start(stubborn, id="old")
        await run.cancel("enough", grace=SOON)
    async with make_engine(registry=Registry()) as engine:
        with pytest.raises(RunTerminatedError, match="the grace of the cancellation ended"):
            await (await engine.get_run("old")).result()


async def test_a_run_that_has_not_begun_is_cancelled_without_its_code(make_engine: MakeEngine) -> None:
    registry = asleep()
    async with make_engine(works=False, name="client") as client, make_engine(registry=Registry()):
        run = await client.start(registry.workflow("codeless.asleep"), id="old")
        await run.cancel("not any more")
        with pytest.raises(RunCancelledError, match="not any more"):
            await run.result()


async def test_a_child_whose_code_nobody_has_follows_its_parents_end(make_engine: MakeEngine) -> None:
    registry = asleep()
    child = registry.workflow("codeless.asleep")

    @workflow(name="codeless.parent")
    async def parent(ctx: Context) -> str:
        ctx.start_child(child, id="old", policy=ParentClosePolicy.TERMINATE)
        await ctx.sleep(0)
        return "done"

    async with make_engine(registry=having(parent)) as engine:
        assert await (await engine.start(parent, id="parent")).result() == "done"
        with pytest.raises(RunTerminatedError):
            await (await engine.get_run("old")).result()


async def test_a_run_that_is_not_to_be_ended_goes_on_where_its_code_is(make_engine: MakeEngine) -> None:
    """Who asked is not its parent: the process without the code looks once, and leaves the run as it was."""
    await begin(make_engine)
    async with make_engine(registry=Registry()), make_engine(works=False, name="client") as client:
        run = await client.get_run("old")
        await _order_by_another_parent(client, run)
        row = await when(run, lambda row: row.owner is None and row.fencing_token > 1 and row.wake_at is not None)
        assert row.status is RunStatus.RUNNING
        async with make_engine(registry=asleep(), name="with code"):
            await run.signal(go, 7)
            assert await run.result() == 7


async def test_a_parked_run_that_is_not_to_be_ended_stays_parked_as_it_was(make_engine: MakeEngine) -> None:
    await begin(make_engine)
    async with make_engine(registry=asleep(is_changed=True)), make_engine(works=False, name="client") as client:
        run = await client.get_run("old")
        await run.signal(Signal("other", int), 1)
        before = await when(run, lambda row: row.parked is not None)
    async with make_engine(registry=Registry()), make_engine(works=False, name="client") as client:
        run = await client.get_run("old")
        await _order_by_another_parent(client, run)
        row = await when(run, lambda row: row.parked is not None and row.fencing_token > before.fencing_token)
        assert row.parked == before.parked


async def _order_by_another_parent(client: Engine, run: Run[Any]) -> None:
    """Wake the run also, so that somebody looks at it although it is parked."""
    row = await run.describe()
    order = TerminateMessage(parent_key=row.run_key + 1)
    now = client.worker.clock.now()
    outcome = await client.worker.committer.commit(
        Delivery(target=row.run_key, message=order, message_id="stray", at=now)
    )
    assert outcome is not None
