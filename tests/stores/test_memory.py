"""The store in memory: the conformance suite, and what only it promises."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NoReturn

import msgspec
import pytest

from perdure.errors import InternalError, StoreError
from perdure.kernel.identity import RunKey, WorkerId, WorkflowVersion
from perdure.kernel.transition import Applied, Outcome, RunStatus, Write
from perdure.ports.store import RunQuery
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.testing.store_conformance import (
    START,
    StoreConformance,
    StoreHarness,
    StoreSession,
)
from perdure.testing.store_conformance.harness import creation, delivery, later, transition
from perdure.torture.programs.harnesses import MemoryHarness


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    async def harness(self) -> AsyncIterator[StoreHarness]:
        harness = MemoryHarness()
        yield harness
        await harness.close()


class Gate:
    """Holds commits at either side until a test lets them through, or crashes the session there."""

    def __init__(self) -> None:
        self.may_begin = asyncio.Event()
        self.may_end = asyncio.Event()
        self.reached_begin = asyncio.Event()
        self.reached_end = asyncio.Event()

    async def before(self, worker: WorkerId, writes: Sequence[Write]) -> None:
        self.reached_begin.set()
        await self.may_begin.wait()

    async def after(self, worker: WorkerId, outcomes: Sequence[Outcome]) -> None:
        self.reached_end.set()
        await self.may_end.wait()


class Crash(Exception):  # noqa: N818 - not an error of the program
    pass


class CrashingGate:
    async def before(self, worker: WorkerId, writes: Sequence[Write]) -> NoReturn:
        raise Crash

    async def after(self, worker: WorkerId, outcomes: Sequence[Outcome]) -> NoReturn:
        raise AssertionError


async def opened(database: MemoryDatabase, gate: Gate | CrashingGate | None = None) -> StoreSession:
    session = StoreSession(MemoryStore(database, gate=gate))
    await session.open(name="worker", lease_seconds=30)
    return session


async def test_a_crash_before_the_commit_leaves_nothing_of_it() -> None:
    database, gate = MemoryDatabase(), Gate()
    session = await opened(database, gate)
    before = database.dump()["runs"]
    committing = asyncio.ensure_future(session.create())
    await gate.reached_begin.wait()
    database.kill(session.worker)
    gate.may_begin.set()
    with pytest.raises(StoreError, match="was killed"):
        await committing
    assert database.dump()["runs"] == before == []


async def test_a_crash_after_the_commit_leaves_all_of_it_and_the_caller_without_an_answer() -> None:
    database, gate = MemoryDatabase(), Gate()
    session = await opened(database, gate)
    gate.may_begin.set()
    committing = asyncio.ensure_future(session.create())
    await gate.reached_end.wait()
    database.kill(session.worker)
    gate.may_end.set()
    with pytest.raises(StoreError, match="was killed"):
        await committing
    assert len(database.dump()["runs"]) == 1


async def test_what_the_gate_raises_before_a_commit_goes_to_the_committer_and_nothing_is_applied() -> None:
    database = MemoryDatabase()
    session = await opened(database, CrashingGate())
    with pytest.raises(Crash):
        await session.create()
    assert database.dump()["events"] == []


async def test_a_commit_without_a_gate_gives_way_to_other_tasks_before_it_is_applied() -> None:
    database = MemoryDatabase()
    session = await opened(database)
    committing = asyncio.ensure_future(session.create())
    await asyncio.sleep(0)
    assert database.dump()["runs"] == []
    await committing
    assert len(database.dump()["runs"]) == 1


async def test_a_killed_session_answers_nothing_any_more() -> None:
    database = MemoryDatabase()
    session = await opened(database)
    run = await session.hold()
    database.kill(session.worker)
    for call in (session.commit(), session.claim(), session.row(run.run_key), session.store.renew_lease(now=START)):
        with pytest.raises(StoreError, match="was killed"):
            await call
    await session.store.close()
    assert database.runs[run.run_key].owner == session.worker


async def test_a_read_under_way_when_the_session_is_killed_has_no_answer() -> None:
    database = MemoryDatabase()
    session = await opened(database)
    reading = asyncio.ensure_future(session.store.count_runs(RunQuery()))
    await asyncio.sleep(0)
    database.kill(session.worker)
    with pytest.raises(StoreError, match="was killed"):
        await reading


async def test_a_killed_session_is_forgotten_once_its_runs_are_given_back() -> None:
    database = MemoryDatabase()
    dying, living = await opened(database), await opened(database)
    run = await dying.hold()
    database.kill(dying.worker)
    assert await living.store.free_expired(now=later(1)) == 1
    assert list(database.sessions) == [living.worker]
    assert database.runs[run.run_key].owner is None


async def test_an_inbox_that_should_move_to_a_run_that_was_refused_stays() -> None:
    session = await opened(MemoryDatabase())
    run = await session.hold()
    await session.commit(delivery(run.run_key, "kept"))
    nobody = session.store.new_run_key()
    await session.advance(run, status=RunStatus.CONTINUED, moves_inbox_to=nobody)
    assert await session.signals(run.run_key) == ["kept"]


async def test_a_store_that_is_not_open_says_so() -> None:
    store = MemoryStore()
    with pytest.raises(StoreError, match="not open"):
        await store.commit([])
    with pytest.raises(StoreError, match="not open"):
        _ = store.worker
    await store.close()


async def test_a_store_is_one_session_at_a_time_and_may_be_opened_again() -> None:
    database = MemoryDatabase()
    session = await opened(database)
    with pytest.raises(StoreError, match="open already"):
        await session.open(name="again", lease_seconds=30)
    await session.store.close()
    await session.store.close()
    first = session.worker
    await session.open(name="again", lease_seconds=30)
    assert session.worker != first


async def test_the_same_calls_make_the_same_tables() -> None:
    dumps = []
    for _ in range(2):
        database = MemoryDatabase()
        session = await opened(database)
        run = await session.hold("run", labels={"a": "b"}, request_id="request")
        await session.commit(delivery(run.run_key, "one"), transition(run, events=3))
        await session.store.close()
        dumps.append(database.dump())
    assert dumps[0] == dumps[1]
    assert {table: len(rows) for table, rows in dumps[0].items()} == {
        "runs": 1,
        "events": 4,
        "inbox": 1,
        "requests": 1,
        "message_requests": 0,
        "sessions": 0,
        "agenda": 0,
        "locks": 0,
        "tasks": 0,
        "task_shares": 0,
    }


async def test_a_dump_differs_where_any_table_differs() -> None:
    database = MemoryDatabase()
    session = await opened(database)
    run = await session.hold()
    dumps = [database.dump()]
    for write in (delivery(run.run_key), transition(run), creation(RunKey(99), "x", request_id="r")):
        await session.commit(write)
        dumps.append(database.dump())
    await session.claim()
    dumps.append(database.dump())
    await session.store.renew_lease(now=later(1))
    dumps.append(database.dump())
    assert all(one != other for place, one in enumerate(dumps) for other in dumps[:place])


async def test_what_a_reader_does_to_a_row_does_not_reach_the_tables() -> None:
    session = await opened(MemoryDatabase())
    run_key = await session.create(labels={"a": "b"})
    (await session.row(run_key)).labels["a"] = "changed"
    assert (await session.row(run_key)).labels == {"a": "b"}


async def test_a_lease_begins_at_the_first_time_that_anybody_mentions() -> None:
    database = MemoryDatabase()
    silent = MemoryStore(database)
    await silent.open(session_name="silent", lease_seconds=30, on_changes=print)
    session = await opened(database)
    await session.create()
    assert await session.store.renew_lease(now=later(25))
    claimed = await silent.claim(now=later(100), limit=1, workflows=frozenset({WorkflowVersion("order", "1")}))
    assert len(claimed) == 1
    assert await session.store.free_expired(now=later(129)) == 0
    assert await session.store.free_expired(now=later(130)) == 1


async def test_a_lease_that_had_passed_begins_anew_with_its_renewal_and_without_its_runs() -> None:
    session = await opened(MemoryDatabase())
    run = await session.hold()
    assert not await session.store.renew_lease(now=later(31))
    assert await session.store.renew_lease(now=later(60))
    (claimed,) = await session.claim(now=later(31))
    assert (claimed.summary.run_key, claimed.recovered) == (run.run_key, True)


async def test_a_transition_with_a_gap_is_an_error_of_its_maker_and_changes_nothing() -> None:
    database = MemoryDatabase()
    session = await opened(database)
    run = await session.hold()
    write = transition(run, events=3)
    before = database.dump()
    for events in (write.events[1:], write.events[:2], write.events[::-1]):
        broken = msgspec.structs.replace(write, events=events)
        with pytest.raises(InternalError, match="without gaps"):
            await session.commit(broken)
    assert database.dump() == before


async def test_a_key_that_another_run_has_is_an_error_of_its_maker() -> None:
    session = await opened(MemoryDatabase())
    run_key = await session.create("one")
    with pytest.raises(InternalError, match="belongs to default/one"):
        await session.commit(creation(run_key, "two"))


async def test_two_databases_share_nothing() -> None:
    one, two = await opened(MemoryDatabase()), await opened(MemoryDatabase())
    assert isinstance(await one.commit_one(creation(one.store.new_run_key())), Applied)
    assert isinstance(await two.commit_one(creation(two.store.new_run_key())), Applied)


async def test_a_session_knows_that_it_is_alone() -> None:
    assert (await opened(MemoryDatabase())).store.is_alone()
