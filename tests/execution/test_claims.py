"""Claims: in which state a run is found, and what it takes first."""

import asyncio
from typing import Any

from perdure import Context, Engine, Run, Settings, workflow
from perdure.errors import StoreUnavailableError
from perdure.kernel.identity import WorkflowVersion
from perdure.kernel.time import Timestamp
from perdure.ports.store import ClaimedRun
from perdure.stores.memory import MemoryDatabase, MemoryStore
from tests.execution.waiting_workflows import go
from tests.journeys.workflows import kinds, until


@workflow(name="waits_for_two_numbers")
async def counting(ctx: Context) -> list[int]:
    return [await ctx.wait_for(go), await ctx.wait_for(go)]


async def test_a_fork_whose_owner_died_before_it_went_on_goes_on_from_its_point() -> None:
    database = MemoryDatabase()
    async with Engine(MemoryStore(database)) as engine:
        run = await engine.start(counting, id="order")
        await run.signal(go, 1)
    async with Engine(MemoryStore(database), works=False) as client:
        await (await client.get_run("order")).reset(event=2)
        await _claim_and_die(client, database)
    async with Engine(MemoryStore(database)) as engine:
        run = await engine.get_run("order")
        await until(lambda: _has_recovered(run))
        assert (await kinds(run))[2:] == ["run_forked", "signal_received", "recovery_started", "recovery_completed"]
        await run.signal(go, 2)
        assert await run.result() == [1, 2]


class _Noting(MemoryStore):
    """Notes how many runs each claim has taken."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.taken: list[int] = []

    async def claim(
        self, *, now: Timestamp, limit: int, workflows: frozenset[WorkflowVersion], code: str | None = None
    ) -> list[ClaimedRun]:
        claimed = await super().claim(now=now, limit=limit, workflows=workflows, code=code)
        self.taken.append(len(claimed))
        return claimed

    async def has_looked(self) -> bool:
        return bool(self.taken)


async def test_a_claim_that_left_room_is_not_followed_by_another() -> None:
    database = MemoryDatabase()
    store = _Noting(database)
    async with Engine(MemoryStore(database), works=False) as client, Engine(store):
        await until(store.has_looked)
        run = await client.start(counting, id="order")
        await until(lambda: _has_begun(run))
        assert store.taken[store.taken.index(1) :] == [1]


class _Away(MemoryStore):
    """Renews no lease while it `is_away`, and notes what it is asked since then."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.is_away = False
        self.asked: list[str] = []

    async def renew_lease(self, *, now: Timestamp) -> bool:
        if self.is_away:
            raise StoreUnavailableError("away")
        self.asked.append("renewal")
        return await super().renew_lease(now=now)

    async def claim(
        self, *, now: Timestamp, limit: int, workflows: frozenset[WorkflowVersion], code: str | None = None
    ) -> list[ClaimedRun]:
        self.asked.append("claim")
        return await super().claim(now=now, limit=limit, workflows=workflows, code=code)

    async def next_wake_at(self, *, workflows: frozenset[WorkflowVersion]) -> Timestamp | None:
        self.asked.append("next")
        return await super().next_wake_at(workflows=workflows)


async def test_a_worker_whose_lease_has_passed_claims_none_before_it_is_renewed() -> None:
    database = MemoryDatabase()
    store = _Away(database)
    settings = Settings(lease_seconds=0.2)

    async def has_passed() -> bool:
        return not engine.worker.lease.is_held

    async with Engine(MemoryStore(database), works=False) as client, Engine(store, settings=settings) as engine:
        store.is_away = True
        await until(has_passed)
        store.asked.clear()
        run = await client.start(counting, id="order")
        for _ in range(50):
            engine.worker.claims.wake()
            await asyncio.sleep(0)
        assert not store.asked, "nor asks when one comes due"
        store.is_away = False
        await until(lambda: _has_begun(run))
        assert store.asked[0] == "renewal"


async def _has_begun(run: Run[Any]) -> bool:
    return "run_started" in await kinds(run)


async def _claim_and_die(client: Engine, database: MemoryDatabase) -> None:
    dying = MemoryStore(database)
    worker_id = await dying.open(session_name="dying", lease_seconds=30.0, on_changes=lambda _changes: None)
    now = client.worker.clock.now()
    [claimed] = await dying.claim(now=now, limit=1, workflows=client.worker.registry.workflow_versions)
    assert claimed.summary.ref.generation == 2
    database.kill(worker_id)


async def _has_recovered(run: Run[Any]) -> bool:
    return "recovery_completed" in await kinds(run)
