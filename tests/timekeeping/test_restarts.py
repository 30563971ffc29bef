"""Ten thousand days of daily schedules under crashes, restarts and clock jumps: no time lost, none double."""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from perdure.errors import StoreUnavailableError
from perdure.kernel.events import Event
from perdure.kernel.identity import RunKey, RunRef, WorkerId
from perdure.kernel.payload import NULL
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp, timestamp_from_datetime
from perdure.kernel.transition import Outcome, Write
from perdure.ports.agenda import AgendaChange, AgendaKey
from perdure.ports.store import Changes
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.timekeeping.decisions import due_at_of
from perdure.timekeeping.schedules import SCHEDULE_KIND, Overlap, Plan, Reason, Schedule, read_schedule, run_id_of
from perdure.timekeeping.settling import new_entry, settle_schedule
from perdure.timekeeping.specs import Cron

DAYS = 10_000
FIRST = datetime(2007, 1, 1, 12, tzinfo=UTC)
LAST = FIRST + timedelta(days=DAYS)
CATCH_UP = timedelta(days=5)


class Unreliable:
    """Lets a commit fail before it is applied, or its answer be lost."""

    def __init__(self, random: Random) -> None:
        self._random = random

    async def before(self, _worker: WorkerId, _writes: Sequence[Write]) -> None:
        await asyncio.sleep(0)
        if self._random.random() < 0.1:
            raise StoreUnavailableError("crashed before the commit")

    async def after(self, _worker: WorkerId, _outcomes: Sequence[Outcome]) -> None:
        if self._random.random() < 0.1:
            raise StoreUnavailableError("crashed after the commit")


class Clock:
    def __init__(self) -> None:
        self.moment = timestamp_from_datetime(FIRST)

    def now(self) -> Timestamp:
        return self.moment


class Process:
    """What a keeper needs of a worker: a store and a clock. Its runs are never worked on."""

    def __init__(self, store: MemoryStore, clock: Clock) -> None:
        self.store = store
        self.clock = clock

    def hear(self, _changes: Changes) -> None:
        pass

    def closing(self, _run_key: RunKey) -> "asyncio.Future[Event | None]":
        raise NotImplementedError

    def stop_waiting(self, _run_key: RunKey, _future: "asyncio.Future[Event | None]") -> None:
        raise NotImplementedError


def expected_times(zone: str) -> list[Timestamp]:
    """Return 02:30 of each local day, found by asking each minute of the night what the local clock shows."""
    tz = ZoneInfo(zone)
    found: list[Timestamp] = []
    day = FIRST.astimezone(tz).date()
    while True:
        day += timedelta(days=1)
        midnight = datetime(day.year, day.month, day.day, tzinfo=tz).astimezone(UTC)
        minutes = (midnight + timedelta(minutes=minute) for minute in range(110, 300))
        moment = next(one for one in minutes if one.astimezone(tz).time() >= time(2, 30))
        found.append(timestamp_from_datetime(moment))
        if moment > LAST + timedelta(days=20):
            return found


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
async def test_each_day_has_its_run_or_its_reason_through_crashes_races_and_jumps_of_the_clock(zone: str) -> None:
    random, clock, database = Random(zone), Clock(), MemoryDatabase()
    processes = [Process(MemoryStore(database, gate=Unreliable(random)), clock) for _ in range(2)]
    for process in processes:
        await process.store.open(session_name="keeper", lease_seconds=1e12, on_changes=lambda _changes: None)
    key = AgendaKey(kind=SCHEDULE_KIND, namespace="default", id="s")
    plan = Plan(
        when=Cron("30 2 * * *", tz=zone),
        workflow="w",
        definition_version="1",
        overlap=Overlap.ALLOW_ALL,
        catch_up_microseconds=CATCH_UP // timedelta(microseconds=1),
        jitter_microseconds=60 * MICROSECONDS_PER_SECOND,
    )
    schedule = Schedule(plan=plan, created_at=clock.now(), cursor=clock.now())
    entry = new_entry(processes[0], key, schedule, due_at=due_at_of("s", schedule), inputs=(NULL,))
    await retried(processes[0], AgendaChange(key=key, expected=None, entry=entry))
    moments = expected_times(zone)
    started = skipped = 0
    while clock.moment < timestamp_from_datetime(LAST):
        due_at = await processes[0].store.next_agenda_at()
        assert due_at is not None
        jump = random.choice([0, 0, 0, 1, 1, 8]) * 86_400 + random.choice([0, 0, -7_200, 40_000])
        clock.moment = Timestamp(max(due_at, clock.moment) + jump * MICROSECONDS_PER_SECOND)
        before = await standing(processes[0], key)
        await settle_at_once(processes, key)
        after = await standing(processes[0], key)
        due = moments[bisect_right(moments, before.cursor) : bisect_right(moments, after.cursor)]
        unstarted = [moment for moment in due if not await processes[0].store.find(RunRef(id=run_id_of("s", moment)))]
        assert after.skipped - before.skipped == len(unstarted)
        assert after.started - before.started == len(due) - len(unstarted)
        if unstarted:
            last = after.skips[-1]
            assert last.reason is Reason.MISSED
            assert last.first <= unstarted[0]
            assert last.last == unstarted[-1]
        started += len(due) - len(unstarted)
        skipped += len(unstarted)
    assert bisect_right(moments, (await standing(processes[0], key)).cursor) == started + skipped
    assert len(database.runs) == started
    assert started > DAYS / 2
    assert skipped > DAYS / 50


async def settle_at_once(processes: list[Process], key: AgendaKey) -> None:
    """Let all processes settle the schedule from what they know now; a crash may befall each of them."""
    entry = await processes[0].store.find_agenda(key)
    assert entry is not None
    settling = (settle_schedule(process, entry, newest=lambda _workflow: None) for process in processes)
    answers = await asyncio.gather(*settling, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, StoreUnavailableError):
            raise answer


async def standing(process: Process, key: AgendaKey) -> Schedule:
    entry = await process.store.find_agenda(key)
    assert entry is not None
    return read_schedule(entry)


async def retried(process: Process, change: AgendaChange) -> None:
    while await process.store.find_agenda(change.key) is None:
        with suppress(StoreUnavailableError):
            await process.store.change_agenda(change)
