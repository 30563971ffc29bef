"""Tenants that share a task queue, on every store: each is served by turns."""

import asyncio
from datetime import timedelta

from perdure import Context, Settings, activity, current_attempt, workflow
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

        async def are_queued() -> bool:
            return len(await owner.tasks()) == 12

        await until(are_queued)
        async with make_engine(SERVES, name="server"):
            for run in runs:
                await run.result()
    assert {*_order[:2]} == {"acme", "zeta"}  # what follows goes by how many microseconds each has taken
    assert sorted(_order) == ["acme"] * 6 + ["zeta"] * 6
