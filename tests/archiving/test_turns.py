"""Whose turn it is to remove runs: one process at a time, for as long as it takes."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from perdure.archiving.duty import RetentionDuty
from perdure.archiving.pruning import PruneReport, Pruning, Selection
from perdure.archiving.turns import Turn, read_turn
from perdure.configuration import Retention
from perdure.errors import StoreLockedError
from perdure.ports.clock import Clock
from perdure.ports.keeping import ClosedQuery
from perdure.ports.store import RunQuery, RunStore, RunSummary
from perdure.testing.store_conformance import StoreSession
from perdure.torture.programs.harnesses import MemoryHarness
from tests.archiving.test_pruning import HOUR, Watch, ended
from tests.archiving.worlds import session_on
from tests.journeys.workflows import until

SOON = timedelta(milliseconds=20)


async def test_one_process_at_a_time_has_the_turn_and_others_learn_whose_it_is() -> None:
    async with session_on(MemoryHarness()) as session:
        watch = Watch()
        one, other = (Turn(session.store, watch, name) for name in ("one", "other"))
        assert await one.take() is None
        busy = await other.take()
        assert busy is not None
        assert busy.holder == "one"
        await one.end(passed="default")
        assert (await read_turn(session.store)).passes == {"default": watch.now()}
        assert await other.take() is None


async def test_a_turn_that_was_taken_by_a_clock_that_has_been_set_back_since_is_nobodys() -> None:
    async with session_on(MemoryHarness()) as session:
        watch = Watch(hours=9_000)
        one, other = (Turn(session.store, watch, name) for name in ("one", "other"))
        assert await one.take() is None
        watch.set(1)
        assert await other.take() is None
        assert not await one.prolong()
        assert await other.prolong()


async def test_a_pass_that_no_engine_made_is_none_that_engines_need_not_make() -> None:
    async with session_on(MemoryHarness()) as session:
        for is_duty in (False, True):
            pruning = Pruning(session.store, Watch(), Retention(keep=HOUR), Selection(namespace="a"))
            await pruning.run(holder="somebody", is_duty=is_duty)
            assert ("a" in (await read_turn(session.store)).passes) is is_duty


async def test_a_turn_is_prolonged_in_time_and_lost_after_it() -> None:
    async with session_on(MemoryHarness()) as session:
        watch = Watch()
        one, other = (Turn(session.store, watch, name) for name in ("one", "other"))
        await one.take()
        watch.set(45 / 3_600)
        assert await one.prolong()
        watch.set(75 / 3_600)
        assert await other.take() is not None
        watch.set(106 / 3_600)
        assert await other.take() is None
        assert not await one.prolong()
        await one.end(passed="default")
        assert (await read_turn(session.store)).holder == "other"


async def test_a_clock_that_is_wrong_at_first_has_an_engine_remove_nothing() -> None:
    async with session_on(MemoryHarness()) as session:
        watch = Watch(hours=9_000)
        await ended(session, "run", 1)
        duty = RetentionDuty(Process(session.store, watch), Retention(keep=2 * HOUR, every=SOON), namespace="default")
        task = asyncio.create_task(duty.work())
        await asyncio.sleep(0)
        watch.set(2)
        await until(lambda: has_passed(session))
        task.cancel()
        assert await session.store.count_runs(RunQuery()) == 1


async def has_passed(session: StoreSession) -> bool:
    return bool((await read_turn(session.store)).passes)


class Process(msgspec.Struct):
    """One that works."""

    store: RunStore
    clock: Clock
    name: str = "process"


async def test_a_turn_is_kept_while_runs_that_stay_are_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    async with session_on(MemoryHarness()) as session:
        for number in range(250):
            await ended(session, f"run {number}", 1)
        watch, store = Watch(100), session.store
        listing, seen = store.list_closed, list[bool]()

        async def list_slowly(query: ClosedQuery) -> list[RunSummary]:
            watch.set(100 + 50 * (len(seen) + 1) / 3_600)
            page = await listing(query)
            seen.append(await Turn(store, watch, "other").take() is not None)
            return page

        monkeypatch.setattr(store, "list_closed", list_slowly)
        retention = Retention(keep=HOUR, by_workflow={"order": None})
        await Pruning(store, watch, retention).run(holder="one")
        assert seen == [True] * 4


async def test_a_pass_rests_as_long_as_it_works_unless_runs_end_faster_than_they_go() -> None:
    async with session_on(MemoryHarness()) as session:
        run = await session.store.find(await ended(session, "run", 1))
        assert run is not None
        watch = Watch(4)
        pruning = Pruning(session.store, watch, Retention(keep=HOUR, every=HOUR), rests=2)
        assert [pruning._rest(seconds, run) for seconds in (0, 0.5, 60)] == [0, 1, 5]
        watch.set(4.1)
        assert pruning._rest(0.5, run) == 0


async def waiting_for(one: Turn, session: StoreSession, watch: Watch) -> asyncio.Task[PruneReport]:
    """Begin a pass that waits for the turn of another."""
    assert await one.take() is None
    pruning = Pruning(session.store, watch, Retention(keep=HOUR))
    waiting = asyncio.create_task(pruning.run(holder="other", waits=True))
    for _ in range(9):
        await asyncio.sleep(0)
    assert not waiting.done()
    return waiting


async def test_the_short_pass_of_another_is_waited_for() -> None:
    async with session_on(MemoryHarness()) as session:
        watch = Watch()
        one = Turn(session.store, watch, "one")
        waiting = await waiting_for(one, session, watch)
        watch.set(59 / 3_600)
        await one.end()
        assert (await waiting).runs == 0


async def test_the_turn_of_one_who_has_died_is_waited_for_until_its_end() -> None:
    async with session_on(MemoryHarness()) as session:
        watch = Watch()
        waiting = await waiting_for(Turn(session.store, watch, "dead"), session, watch)
        watch.set(61 / 3_600)
        assert (await waiting).runs == 0


async def test_a_short_pass_of_one_who_had_a_turn_before_is_waited_for_too() -> None:
    async with session_on(MemoryHarness()) as session:
        watch = Watch()
        one = Turn(session.store, watch, "one")
        waiting = await waiting_for(one, session, watch)
        watch.set(5 / 3_600)
        await one.end()
        again = Turn(session.store, watch, "one")
        assert await again.take() is None
        for _ in range(9):
            await asyncio.sleep(0)
        assert not waiting.done()
        await again.end()
        assert (await waiting).runs == 0


async def test_who_prolongs_its_turn_is_not_waited_for() -> None:
    async with session_on(MemoryHarness()) as session:
        watch = Watch()
        one = Turn(session.store, watch, "one")
        waiting = await waiting_for(one, session, watch)
        watch.set(45 / 3_600)
        assert await one.prolong()
        with pytest.raises(StoreLockedError, match="one is removing runs"):
            await waiting
