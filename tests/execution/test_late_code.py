"""Code that is imported after the engine was opened."""

import asyncio
import gc
import itertools

import pytest

from perdure import Context, Engine, Settings, activity, workflow
from perdure.authoring.registry import Registry
from perdure.kernel.identity import RunKey
from perdure.ports.store import InboxEntry
from perdure.stores.memory import MemoryDatabase, MemoryStore
from tests.execution.waiting_workflows import go


@activity
async def late_activity() -> int:
    return 5


@workflow
async def uses_late_activity(ctx: Context) -> int:
    return await late_activity()


async def test_a_workflow_that_is_defined_later_is_found_at_once() -> None:
    database, registry = MemoryDatabase(), Registry()
    registry.add_activity(late_activity)
    async with Engine(MemoryStore(database), works=False) as client:
        await client.start(uses_late_activity, id="early")
    async with Engine(MemoryStore(database), registry=registry) as engine:
        run = await engine.get_run("early", uses_late_activity)
        result = asyncio.ensure_future(run.result())
        await asyncio.to_thread(registry.add_workflow, uses_late_activity)
        assert await result == 5


async def test_an_activity_that_is_defined_later_is_started_then(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry()
    registry.add_workflow(uses_late_activity)
    async with Engine("memory:", registry=registry, settings=Settings(idle_seconds=3_600.0)) as engine:
        run = await engine.start(uses_late_activity)
        assert "waits for code" in caplog.text
        registry.add_activity(late_activity)
        assert await run.result() == 5


async def test_a_run_that_waits_for_code_is_offered_to_others() -> None:
    database, registry = MemoryDatabase(), Registry()
    registry.add_workflow(uses_late_activity)
    settings = Settings(idle_seconds=0.01)
    async with (
        Engine(MemoryStore(database), registry=registry, settings=settings),
        Engine(MemoryStore(database), works=False) as client,
    ):
        run = await client.start(uses_late_activity)
        result = asyncio.ensure_future(run.result())
        async with Engine(MemoryStore(database)):
            assert await result == 5


async def test_a_run_that_nobody_here_can_run_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with Engine("memory:", registry=Registry()) as engine:
        await engine.start(uses_late_activity, id="nobody's")
        assert "nobody's" in caplog.text
        assert "waits for a worker that has the workflow 'uses_late_activity', version 1" in caplog.text


async def test_an_engine_that_is_gone_leaves_nothing_in_the_registry() -> None:
    registry = Registry()
    for _ in range(3):
        async with Engine("memory:", registry=registry):
            pass
    gc.collect()
    async with Engine("memory:", registry=registry):
        assert len(registry._watchers) == 1


async def test_code_that_comes_while_a_run_is_loaded_tries_what_the_code_before_could_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @workflow(name="late.mended")
    async def mended(ctx: Context) -> int:
        return await ctx.wait_for(go)

    @workflow(name="late.mended")
    async def restless(ctx: Context) -> None:
        await ctx.wait_for(go)
        for _ in itertools.count():
            await asyncio.sleep(0)

    class Reloading(MemoryStore):
        async def read_inbox(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[InboxEntry]:
            if registry.workflow(mended.name) is restless:
                registry.add_workflow(mended)
            for _ in range(3):
                await asyncio.sleep(0)
            return await super().read_inbox(run_key, after=after, limit=limit)

    monkeypatch.setattr("perdure.kernel.loop._CALLBACKS_LIMIT", 1_000)
    database, registry = MemoryDatabase(), Registry()
    async with Engine(MemoryStore(database)) as engine:
        await engine.start(mended, id="mended")
    async with Engine(MemoryStore(database), works=False) as client:
        await (await client.get_run("mended")).signal(go, 7)
    registry.add_workflow(restless)
    async with Engine(Reloading(database), registry=registry) as engine:
        assert await (await engine.get_run("mended", mended)).result() == 7
