"""Tenants that share a task queue, on every store: each is served by turns."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from perdure import Context, Engine, Settings, activity, current_attempt, workflow
from perdure.errors import StoreUnavailableError
from perdure.ports.tasks import ClaimedTask, ServedTasks
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import until

SERVES = Settings(queues=("gpu",), only_queues=True, queue_slots=1)
_order: list[str] = []


@activity(queue="gpu", expected_duration=timedelta(seconds=60))
async def far_share(number: int) -> None:
    _order.append(current_attempt().run_id)


@workflow
async def far_shares(_: Context, count: int) -> None:
    await asyncio.gather(*(far_share(number) for number in range(count)))


async def test_a_tenant_that_comes_later_need_not_wait_for_all_that_another_has_queued(make_engine: MakeEngine) -> None:
    _order.clear()
    async with make_engine(name="owner") as owner:
        runs = [await owner.start(far_shares, 6, id=tenant, tenant=tenant) for tenant in ("acme", "zeta")]

        await until(lambda: _are_queued(owner, 12))
        async with make_engine(SERVES, name="server"):
            for run in runs:
                await run.result()
    assert {*_order[:2]} == {"acme", "zeta"}  # what follows goes by how many microseconds each has taken
    assert sorted(_order) == ["acme"] * 6 + ["zeta"] * 6


@activity(queue="gpu", expected_duration=timedelta(seconds=600))
async def far_held(number: int) -> None:
    _order.append(current_attempt().run_id)
    if _order == ["acme"]:
        await asyncio.Event().wait()


@workflow
async def far_holds(_: Context, count: int) -> None:
    await asyncio.gather(*(far_held(number) for number in range(count)))


async def test_a_worker_that_is_closed_tells_what_its_tasks_have_taken(make_engine: MakeEngine) -> None:
    """Or who was charged for ten minutes that it did not have would wait until the other has had as much."""
    _order.clear()
    async with make_engine(name="owner") as owner:
        holds = await owner.start(far_holds, 2, id="acme", tenant="acme")

        await until(lambda: _are_queued(owner, 2))
        shares = await owner.start(far_shares, 6, id="zeta", tenant="zeta")
        await until(lambda: _are_queued(owner, 8))
        async with make_engine(SERVES, name="closed"):

            async def is_held() -> bool:
                return _order == ["acme"]

            await until(is_held)
        async with make_engine(structs.replace(SERVES, queue_slots=3), name="server"):
            await holds.result()
            await shares.result()
    assert "acme" in _order[1:4]


@activity(queue="gpu", expected_duration=timedelta(seconds=600))
async def far_long(number: int) -> None:
    _order.append(current_attempt().run_id)


@workflow
async def far_longs(_: Context, count: int) -> None:
    await asyncio.gather(*(far_long(number) for number in range(count)))


async def test_nobody_is_charged_for_a_task_whose_details_could_not_be_read(make_engine: MakeEngine) -> None:
    """Or the other tenant would have as much before its next turn, though it has had nothing."""
    _order.clear()
    async with make_engine(name="owner") as owner, make_engine(SERVES, name="server") as server:
        store, ours, details = server.worker.store, owner.worker.store, asyncio.Event()
        read_history = store.read_history

        async def nothing(**_: Any) -> list[ClaimedTask]:
            return []

        async def away_once(*asked: Any, **page: Any) -> Any:
            if details.is_set():
                return await read_history(*asked, **page)
            details.set()
            raise StoreUnavailableError("the store is away")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "read_history", away_once)
            with pytest.MonkeyPatch.context() as held_back:
                held_back.setattr(store, "claim_tasks", nothing)
                runs = [await owner.start(far_longs, 2, id="acme", tenant="acme")]
                await until(lambda: _are_queued(owner, 2))
                serves = ServedTasks(queues=frozenset({"gpu"}), activities=frozenset({"far_long"}))
                [claimed] = await ours.claim_tasks(now=owner.worker.clock.now(), limit=1, served=serves)
                await ours.return_tasks([claimed.claim], begun=False)
                runs.append(await owner.start(far_shares, 6, id="zeta", tenant="zeta"))
                await until(lambda: _are_queued(owner, 8))
            server.worker.queues.wake()
            await details.wait()
            server.worker.queues.lease_renewed()
            for run in runs:
                await run.result()
    assert _order[0] == "acme"


async def _are_queued(engine: Engine, count: int) -> bool:
    return len(await engine.tasks()) == count
