"""What a schedule says of itself: how it stands, what it did, and what became of it."""

from datetime import datetime
from typing import Final

import msgspec

from perdure.kernel.identity import RunRef
from perdure.kernel.time import Timestamp, timestamp_to_datetime
from perdure.kernel.transition import RunStatus
from perdure.ports.agenda import AgendaEntry
from perdure.ports.store import RunStore
from perdure.timekeeping.decisions import next_times
from perdure.timekeeping.schedules import Cause, Plan, Skip, Start, read_schedule

__all__ = ["NEXT_TIMES", "ScheduleDescription", "ScheduleHistory", "ScheduledRun", "described", "with_outcomes"]

NEXT_TIMES: Final = 5
_LATEST_RUNS: Final = 10


class ScheduledRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that a schedule started: for which nominal time, when, why, and what has become of it.

    `status` None: the run is not in the database any more.
    """

    id: str
    nominal_at: datetime
    started_at: datetime
    cause: Cause
    status: RunStatus | None


class ScheduleDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it stands now.

    `next_times`: the next nominal times, if it is not paused until then; empty: there are none. `waiting`: how many
    starts wait for an open run to end. `started` and `skipped` count since its creation. `starts` and `skips` are the
    latest, oldest first. `runs`: the latest ten with their status, oldest first, where one schedule is described.
    """

    id: str
    plan: Plan
    created_at: datetime
    is_paused: bool
    note: str
    next_times: tuple[datetime, ...]
    waiting: int
    started: int
    skipped: int
    starts: tuple[Start, ...]
    skips: tuple[Skip, ...]
    runs: tuple[ScheduledRun, ...] = ()


class ScheduleHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What a schedule did last: 50 starts, and 50 skipped times, or unbroken rows of them, with their reason."""

    starts: tuple[Start, ...]
    skips: tuple[Skip, ...]


def described(entry: AgendaEntry, *, now: Timestamp, times: int = NEXT_TIMES) -> ScheduleDescription:
    """Return the schedule of an entry."""
    schedule = read_schedule(entry)
    return ScheduleDescription(
        id=entry.key.id,
        plan=schedule.plan,
        created_at=timestamp_to_datetime(schedule.created_at),
        is_paused=schedule.is_paused,
        note=schedule.note,
        next_times=tuple(map(timestamp_to_datetime, next_times(schedule, now=now, count=times))),
        waiting=len(schedule.buffer),
        started=schedule.started,
        skipped=schedule.skipped,
        starts=schedule.starts,
        skips=schedule.skips,
    )


async def with_outcomes(description: ScheduleDescription, store: RunStore, *, namespace: str) -> ScheduleDescription:
    """Return the description with what has become of its latest runs."""
    runs: list[ScheduledRun] = []
    for start in description.starts[-_LATEST_RUNS:]:
        summary = await store.find(RunRef(namespace=namespace, id=start.run_id))
        run = ScheduledRun(
            id=start.run_id,
            nominal_at=timestamp_to_datetime(start.nominal_at),
            started_at=timestamp_to_datetime(start.at),
            cause=start.cause,
            status=None if summary is None else summary.status,
        )
        runs.append(run)
    return msgspec.structs.replace(description, runs=tuple(runs))
