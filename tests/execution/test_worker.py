"""The worker: what goes wrong around a run must not stop it, or others."""

import asyncio
import itertools
import logging
from collections.abc import Sequence
from datetime import timedelta

import pytest

from perdure import Context, Engine, Retry, RunStatus, Settings, activity, current_attempt, defer, workflow
from perdure.errors import EngineClosedError, InternalError, StoreUnavailableError, UsageError
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Outcome, Unread, Write
from perdure.ports.store import InboxEntry
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.stores.memory.tables import News, give_back
from tests.execution.conftest import MakeEngine
from tests.execution.stores import FaultyStore, Gate
from tests.execution.waiting_workflows import continuing, go, held, messenger

FOR_EVER = 3_600.0


async def test_a_listener_that_raises_breaks_no_run(make_engine: MakeEngine, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_ref: RunRef, _events: Sequence[RecordedEvent]) -> None:
        message = "no listener"
        raise ValueError(message)

    async with make_engine() as engine:
        engine.worker.listeners.append(fail)
        runs = await asyncio.gather(*(engine.start(held) for _ in range(3)))
        await asyncio.gather(*(run.signal(go, 7) for run in runs))
        assert [await run.result() for run in runs] == [7, 7, 7]
    assert "no listener" in caplog.text


async def test_a_run_whose_code_never_waits_is_parked_and_others_go_on(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @workflow
    async def asking_again_and_again(ctx: Context) -> None:
        await ctx.wait_for(go)
        for _ in itertools.count():
            await asyncio.sleep(0)

    monkeypatch.setattr("perdure.kernel.loop._CALLBACKS_LIMIT", 1_000)
    async with make_engine() as engine:
        run = await engine.start(asking_again_and_again, id="restless")
        with pytest.raises(UsageError, match="without waiting"):
            await run.signal(go, 1)
        with pytest.raises(UsageError, match="without waiting"):
            await run.result()
        other = await engine.start(held)
        await other.signal(go, 7)
        assert await other.result() == 7
    assert "run default/restless is parked: the workflow's code went on" in caplog.text


async def test_a_run_whose_id_was_tried_again_still_hears_other_runs(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(idle_seconds=FOR_EVER)) as engine:
        run = await engine.start(held, id="tried")
        await engine.start(held, id="tried")
        await engine.start(messenger, "tried", 4)
        assert await run.result() == 4


async def test_an_end_that_is_committed_after_its_run_was_dropped_is_told() -> None:
    gate = Gate()
    async with Engine(MemoryStore(gate=gate)) as engine:
        run = await engine.start(held)
        waiting = asyncio.ensure_future(run.result())
        gate.is_open.clear()
        gate.reached.clear()
        sending = asyncio.ensure_future(run.signal(go, 3))
        await gate.reached.wait()
        engine.worker.drop_all("the test says so")
        gate.is_open.set()
        await sending
        assert await waiting == 3


async def test_an_end_is_told_that_came_elsewhere_before_it_was_known_here_that_the_run_goes_on() -> None:
    database, gate = MemoryDatabase(), Gate()
    async with Engine(MemoryStore(database, gate=gate)) as engine, Engine(MemoryStore(database)) as other:
        run = await engine.start(continuing, None, id="continued")
        waiting = asyncio.ensure_future(run.result())
        while not engine.worker.endings.awaited():  # noqa: ASYNC110 - it is nobody's news that somebody waits
            await asyncio.sleep(0)
        gate.is_answering.clear()
        sending = asyncio.ensure_future(run.signal(go, 8))
        assert await (await other.get_run("continued")).result() == 8
        gate.is_answering.set()
        await sending
        assert await waiting == 8


async def test_messages_are_told_that_are_committed_after_their_sender_was_dropped() -> None:
    database, gate = MemoryDatabase(), Gate()
    async with Engine(MemoryStore(database, gate=gate), settings=Settings(idle_seconds=FOR_EVER)) as engine:
        target = await engine.start(held, id="target")
        gate.is_open.clear()
        gate.reached.clear()
        sending = asyncio.ensure_future(engine.start(messenger, "target", 5))
        await gate.reached.wait()
        sender = engine.worker.find_active(RunRef(namespace="default", id=(await _other_id(engine, "target"))))
        assert sender is not None
        sender.surrender()
        gate.is_open.set()
        await sending
        assert await target.result() == 5


async def _other_id(engine: Engine, known: str) -> str:
    return next(run.ref.id for run in engine.worker.active.values() if run.ref.id != known)


async def test_a_run_whose_inbox_could_not_be_read_is_claimed_again() -> None:
    store = FaultyStore()
    async with Engine(store, settings=Settings(idle_seconds=FOR_EVER)) as engine:
        run = await engine.start(held, id="unread")
        store.inbox_error = StoreUnavailableError("not now")
        await engine.start(messenger, "unread", 6)
        assert await run.result() == 6


async def test_one_run_that_cannot_be_loaded_does_not_keep_the_others_waiting() -> None:
    database, store = MemoryDatabase(), None
    async with Engine(MemoryStore(database), works=False) as engine:
        first, second = await engine.start(held, id="first"), await engine.start(held, id="second")
        await asyncio.gather(first.signal(go, 1), second.signal(go, 2))
    store = FaultyStore(database)
    store.history_error = KeyError("unexpected")
    async with Engine(store) as engine:
        results = await asyncio.gather(
            *[(await engine.get_run(each)).result() for each in ("first", "second")], return_exceptions=True
        )
        assert len([result for result in results if result in (1, 2)]) == 1
        assert [type(result) for result in results if isinstance(result, Exception)] == [InternalError]


async def test_a_run_that_is_lost_while_it_is_loaded_is_left_to_its_new_owner() -> None:
    database = MemoryDatabase()
    store = FaultyStore(database)
    store.history_is_readable.clear()
    async with Engine(MemoryStore(database), works=False) as client:
        run = await client.start(held, id="lost")
        async with Engine(store) as engine:
            await store.history_asked.wait()
            [row] = database.runs.values()
            give_back(database, row, row.updated_at, News())
            engine.worker.drop_all("the lease had passed")
            async with Engine(MemoryStore(database)) as other:
                while not other.worker.active:  # noqa: ASYNC110 - a worker tells nobody that it has loaded a run
                    await asyncio.sleep(0)
                store.history_is_readable.set()
                while engine.worker.mail.loading:  # noqa: ASYNC110 - nor that it has not
                    await asyncio.sleep(0)
                assert not engine.worker.active
                await run.signal(go, 9)
                assert await run.result() == 9


async def test_the_lease_is_kept_after_an_unexpected_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    store = FaultyStore()
    store.renewal_error = KeyError("unexpected")
    async with Engine(store, settings=Settings(lease_seconds=60.0, lease_renewals=6_000)):
        await store.renewed.wait()
    assert "renewing the lease failed" in caplog.text


async def test_runs_are_dropped_with_a_lease_that_had_passed_whatever_else_fails() -> None:
    class Late(FaultyStore):
        async def renew_lease(self, *, now: Timestamp) -> bool:
            self.free_error = StoreUnavailableError("not now")
            await super().renew_lease(now=now)
            return False

    async with Engine(Late(), settings=Settings(lease_seconds=60.0, lease_renewals=6_000)) as engine:
        await engine.start(held, id="owned")
        run = next(iter(engine.worker.active.values()))
        await engine.worker.endings.wait(run.run_key)  # told when the run leaves memory
        assert run.run_key not in engine.worker.active


async def test_trust_in_a_lease_that_cannot_be_renewed_ends_before_the_lease() -> None:
    class Unrenewable(FaultyStore):
        async def renew_lease(self, *, now: object) -> bool:
            message = "not now"
            raise StoreUnavailableError(message)

    async with Engine(Unrenewable(), settings=Settings(lease_seconds=1.0, lease_renewals=2)) as engine:
        await engine.start(held, id="owned")
        run = next(iter(engine.worker.active.values()))
        begun_at = engine.worker.loop.time()
        await engine.worker.endings.wait(run.run_key)  # told when the run leaves memory
        assert engine.worker.loop.time() - begun_at < 1.0


async def test_trust_in_a_lease_ends_also_while_its_renewal_does_not_come_back() -> None:
    class Hanging(FaultyStore):
        async def renew_lease(self, *, now: Timestamp) -> bool:
            await asyncio.Event().wait()
            raise AssertionError

    async with Engine(Hanging(), settings=Settings(lease_seconds=0.4, lease_renewals=4)) as engine:
        await engine.start(held, id="owned")
        run = next(iter(engine.worker.active.values()))
        await engine.worker.endings.wait(run.run_key)  # told when the run leaves memory
        assert run.run_key not in engine.worker.active


async def test_news_of_a_run_that_is_loaded_twice_at_a_time_reach_the_second_loading(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(idle_seconds=FOR_EVER)) as engine:
        run = await engine.start(held, id="twice")
        (active,) = engine.worker.active.values()
        del engine.worker.active[active.run_key], engine.worker._by_id["default", "twice"]
        mail = engine.worker.mail
        with mail.while_loading(active.run_key):
            with mail.while_loading(active.run_key):
                pass
            await run.signal(go, 5)  # into the inbox, as long as the run is not in memory
            engine.worker.active[active.run_key] = active
        assert await run.result() == 5


async def test_a_store_is_closed_again_when_the_engine_fails_to_open() -> None:
    store = FaultyStore()
    store.free_error = StoreUnavailableError("not now")
    with pytest.raises(StoreUnavailableError):
        await Engine(store).__aenter__()
    assert not store.database.sessions


async def test_handles_of_a_closed_engine_say_so(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(held)
    for call in (run.result, run.describe, run.terminate, lambda: run.signal(go, 1), lambda: run.query("any")):
        with pytest.raises(EngineClosedError):
            await call()


async def test_a_parked_run_can_be_terminated_without_its_code() -> None:
    database = MemoryDatabase()

    @workflow(name="changing")
    async def before(ctx: Context) -> int:
        return await ctx.wait_for(go)

    async with Engine(MemoryStore(database)) as engine:
        kinds = {"now": await engine.start(before, id="now"), "later": await engine.start(before, id="later")}
        assert len(kinds) == 2

    @workflow(name="changing")
    async def after(ctx: Context) -> int:
        await ctx.sleep(1)
        return await ctx.wait_for(go)

    async with Engine(MemoryStore(database), works=False) as engine:
        await (await engine.get_run("now")).terminate("ordered before it was parked")
    ended: asyncio.Queue[str] = asyncio.Queue()
    async with Engine(MemoryStore(database)) as engine:
        assert after.name == "changing"
        engine.worker.listeners.append(lambda ref, _events: ended.put_nowait(ref.id))
        assert await ended.get() == "now"
        run = await engine.get_run("later")
        await run.terminate("ordered after it was parked")
        assert await ended.get() == "later"
        assert {(await run.describe()).status, (await (await engine.get_run("now")).describe()).status} == {
            RunStatus.TERMINATED
        }


tokens: asyncio.Queue[str] = asyncio.Queue()


@activity(retry=Retry(attempts=1), timeout=timedelta(milliseconds=50))
async def handed_out() -> int:
    tokens.put_nowait(current_attempt().token)
    defer()


@workflow
async def handing_out(_ctx: Context) -> int:
    return await handed_out()


async def test_an_outcome_that_was_acknowledged_counts_although_its_limit_passes_before_it_is_read() -> None:
    class HardOfHearing(FaultyStore):
        def __init__(self, database: MemoryDatabase) -> None:
            super().__init__(database)
            self.has_refused = asyncio.Event()

        async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
            outcomes = await super().commit(writes)
            if any(isinstance(outcome, Unread) for outcome in outcomes):
                self.has_refused.set()
            return outcomes

        async def read_inbox(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[InboxEntry]:
            await self.has_refused.wait()
            return await super().read_inbox(run_key, after=after, limit=limit)

    database = MemoryDatabase()
    async with (
        Engine(HardOfHearing(database)) as engine,
        Engine(MemoryStore(database), works=False) as outside,
        asyncio.timeout(10),
    ):
        run = await engine.start(handing_out)
        await outside.complete(await tokens.get(), 7)
        assert await run.result() == 7


@workflow(name="worker.counting_aloud")
async def counting_aloud(ctx: Context) -> None:
    heard: list[int] = []
    ctx.query("heard")(lambda: list(heard))
    while True:
        heard.append(await ctx.wait_for(go))


async def test_a_query_hears_of_nothing_that_is_not_durable_yet() -> None:
    database, gate = MemoryDatabase(), Gate()
    async with Engine(MemoryStore(database, gate=gate)) as engine, Engine(MemoryStore(database), works=False) as other:
        run = await engine.start(counting_aloud, id="counting")
        gate.is_open.clear()
        gate.reached.clear()
        sending = asyncio.ensure_future(run.signal(go, 1))
        await gate.reached.wait()
        asking = [asyncio.ensure_future(run.query("heard")) for _ in range(2)]
        assert await (await other.get_run("counting")).query("heard") == []
        assert not any(asked.done() for asked in asking)
        later = asyncio.ensure_future(run.signal(go, 2))
        gate.is_open.set()
        assert await asyncio.gather(*asking) == [[1], [1]]
        await asyncio.gather(sending, later)
        assert await run.query("heard") == [1, 2]
        assert await (await other.get_run("counting")).query("heard") == [1, 2]


async def test_a_query_of_a_run_that_is_lost_meanwhile_hears_what_is_durable() -> None:
    gate = Gate()
    async with Engine(MemoryStore(gate=gate)) as engine:
        run = await engine.start(counting_aloud, id="counting")
        gate.is_open.clear()
        gate.reached.clear()
        sending = asyncio.ensure_future(run.signal(go, 1))
        await gate.reached.wait()
        asking = asyncio.ensure_future(run.query("heard"))
        engine.worker.drop_all("the test says so")
        assert await asking == []
        gate.is_open.set()
        await sending
        assert await run.query("heard") == [1]


async def test_a_run_that_was_to_advance_when_somebody_looked_stands_still_until_then(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(counting_aloud, id="counting")
        summary = await run.describe()
        sending = asyncio.ensure_future(run.signal(go, 1))
        await asyncio.sleep(0)  # the signal is with the run
        async with engine.worker.view(summary) as journal:
            for _ in range(9):
                await asyncio.sleep(0)
            assert not sending.done()
            assert journal.answer("heard", (), {}) == []
        await sending
        assert await run.query("heard") == [1]


async def test_a_timer_that_comes_due_while_somebody_looks_is_not_lost(make_engine: MakeEngine) -> None:
    @workflow(name="worker.napping")
    async def napping(ctx: Context) -> str:
        await ctx.sleep(timedelta(milliseconds=20))
        return "awake"

    async with make_engine(Settings(idle_seconds=FOR_EVER)) as engine:
        run = await engine.start(napping, id="napping")
        summary = await run.describe()
        async with engine.worker.view(summary):
            while engine.worker.clock.now() < summary.updated_at + 40_000:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not (await run.describe()).status.is_closed
        assert await run.result() == "awake"
