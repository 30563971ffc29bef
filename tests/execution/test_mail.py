"""The mail: what a message to a run in memory costs beside other sessions, and what a failing look does to it."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from perdure import Context, Engine, Settings, Update, activity, workflow
from perdure.errors import RunClosedError, StoreUnavailableError
from perdure.execution import mail
from perdure.kernel.identity import RunKey
from perdure.ports.store import InboxEntry
from perdure.stores.memory import MemoryDatabase, MemoryStore
from tests.execution.stores import FaultyStore, Gate
from tests.execution.waiting_workflows import go, held

LATER = Update("later", int, int)
IN_MEMORY = Settings(idle_seconds=3600)
"""A run that leaves memory reads its inbox when it comes back, whatever was forgotten before."""


class CountingStore(MemoryStore):
    """Counts what is read of inboxes, and holds up its answers where a test tells it to."""

    def __init__(self, database: MemoryDatabase, *, gate: Gate | None = None) -> None:
        super().__init__(database, gate=gate)
        self.entries_read = 0
        self.is_answering = asyncio.Event()
        self.is_answering.set()
        self.readings: asyncio.Queue[int] = asyncio.Queue()

    async def read_inbox(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[InboxEntry]:
        entries = await super().read_inbox(run_key, after=after, limit=limit)
        self.entries_read += len(entries)
        if entries:
            self.readings.put_nowait(len(entries))
        await self.is_answering.wait()
        return entries


@workflow(name="mail.counting")
async def counting(ctx: Context, count: int) -> list[int]:
    return [await ctx.wait_for(go) for _ in range(count)]


IS_OVER = asyncio.Event()


@activity(name="mail.until_it_is_over")
async def until_it_is_over() -> None:
    await IS_OVER.wait()


@workflow(name="mail.ending")
async def ending(ctx: Context) -> int:
    await until_it_is_over()
    return 0


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


async def test_a_run_takes_no_more_than_a_page_of_messages_before_it_can_record_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page, count = 10, 100
    monkeypatch.setattr(mail, "INBOX_PAGE", page)
    database, gate = MemoryDatabase(), Gate()
    async with AsyncExitStack() as stack:
        store = CountingStore(database, gate=gate)
        engine = await stack.enter_async_context(Engine(store, settings=IN_MEMORY))
        client = await stack.enter_async_context(Engine(MemoryStore(database), works=False))
        run = await engine.start(counting, count + 1)
        elsewhere = await client.get_run(run.id, counting)
        gate.is_open.clear()
        gate.reached.clear()
        await elsewhere.signal(go, 0)
        await gate.reached.wait()  # the first one is being recorded
        for number in range(1, count + 1):
            await elsewhere.signal(go, number)
            await _until_news_are_read(engine)
        assert store.entries_read == 1 + page
        gate.is_open.set()
        async with asyncio.timeout(20):
            assert await run.result() == list(range(count + 1))


async def test_a_signal_behind_a_page_of_updates_that_nobody_handles_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "INBOX_PAGE", 10)
    database, gate = MemoryDatabase(), Gate()
    async with AsyncExitStack() as stack:
        store = CountingStore(database, gate=gate)
        engine = await stack.enter_async_context(Engine(store, settings=IN_MEMORY))
        client = await stack.enter_async_context(Engine(MemoryStore(database), works=False))
        run = await engine.start(counting, 2)
        elsewhere = await client.get_run(run.id, counting)
        gate.is_open.clear()
        gate.reached.clear()
        await elsewhere.signal(go, 0)
        await gate.reached.wait()
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(20):
            waiting = [tasks.create_task(elsewhere.update(LATER, number, wait="accepted")) for number in range(10)]
            while store.entries_read <= len(waiting):
                await store.readings.get()
            await elsewhere.signal(go, 1)
            gate.is_open.set()
            assert await run.result() == [0, 1]
            for each in waiting:
                each.cancel()


async def test_news_that_come_during_a_reading_make_one_more() -> None:
    database = MemoryDatabase()
    async with AsyncExitStack() as stack:
        store = CountingStore(database)
        engine = await stack.enter_async_context(Engine(store, settings=IN_MEMORY))
        client = await stack.enter_async_context(Engine(MemoryStore(database), works=False))
        run = await engine.start(counting, 2)
        elsewhere = await client.get_run(run.id, counting)
        store.is_answering.clear()
        await elsewhere.signal(go, 0)
        await store.readings.get()  # its reading is under way
        await elsewhere.signal(go, 1)
        await _let_news_come()
        store.is_answering.set()
        async with asyncio.timeout(20):
            assert await run.result() == [0, 1]


async def test_a_signal_whose_run_ends_while_the_inbox_is_looked_into_is_refused() -> None:
    database = MemoryDatabase()
    async with AsyncExitStack() as stack:
        store = CountingStore(database)
        engine = await stack.enter_async_context(Engine(store))
        await stack.enter_async_context(Engine(MemoryStore(database), works=False))
        IS_OVER.clear()
        run = await engine.start(ending)
        store.is_answering.clear()
        signal = asyncio.create_task(run.signal(go, 1))
        await _let_news_come()
        IS_OVER.set()
        assert await run.result() == 0
        store.is_answering.set()
        async with asyncio.timeout(20):
            with pytest.raises(RunClosedError):
                await signal


async def _until_news_are_read(engine: Engine) -> None:
    await _let_news_come()
    await asyncio.gather(*engine.worker.mail._reading)


async def _let_news_come() -> None:
    """Let the loop turn as often as news take from a store in memory to a run."""
    for _ in range(5):
        await asyncio.sleep(0)
