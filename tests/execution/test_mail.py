"""The mail: what a message to a run in memory costs beside other sessions, and what a failing look does to it."""

import asyncio
from contextlib import AsyncExitStack

from perdure import Context, Engine, Update, workflow
from perdure.errors import StoreUnavailableError
from perdure.kernel.identity import RunKey
from perdure.ports.store import InboxEntry
from perdure.stores.memory import MemoryDatabase, MemoryStore
from tests.execution.stores import FaultyStore
from tests.execution.waiting_workflows import go, held

LATER = Update("later", int, int)


class CountingStore(MemoryStore):
    """Counts what is read of inboxes."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.entries_read = 0
        self.readings: asyncio.Queue[int] = asyncio.Queue()

    async def read_inbox(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[InboxEntry]:
        entries = await super().read_inbox(run_key, after=after, limit=limit)
        self.entries_read += len(entries)
        if entries:
            self.readings.put_nowait(len(entries))
        return entries


@workflow(name="mail.counting")
async def counting(ctx: Context, count: int) -> list[int]:
    return [await ctx.wait_for(go) for _ in range(count)]


async def test_a_signal_beside_other_sessions_reads_nothing_that_its_run_has_taken() -> None:
    database = MemoryDatabase()
    async with AsyncExitStack() as stack:
        store = CountingStore(database)
        engine = await stack.enter_async_context(Engine(store))
        await stack.enter_async_context(Engine(MemoryStore(database), works=False))
        run = await engine.start(counting, 10)
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(20):
            waiting = [tasks.create_task(run.update(LATER, number, wait="accepted")) for number in range(90)]
            while store.entries_read < len(waiting):
                await store.readings.get()
            for number in range(10):
                await run.signal(go, number)
            assert await run.result() == list(range(10))
            for each in waiting:
                each.cancel()
        assert store.entries_read == len(waiting)


async def test_a_signal_goes_by_the_inbox_where_nobody_could_look_into_it() -> None:
    database = MemoryDatabase()
    async with AsyncExitStack() as stack:
        store = FaultyStore(database)
        engine = await stack.enter_async_context(Engine(store))
        await stack.enter_async_context(Engine(MemoryStore(database), works=False))
        run = await engine.start(held)
        store.inbox_error = StoreUnavailableError("not now")
        await run.signal(go, 7)
        assert await run.result() == 7
