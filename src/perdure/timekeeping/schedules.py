"""Schedules as values: what one was told, and where it stands.

All of it is in one row of the agenda and bounded: of what happened the latest entries are kept, older ones are counted.
"""

from enum import StrEnum
from typing import Final

import msgspec

from perdure.configuration import MAXIMUM_WAITING_STARTS, REMEMBERED_TIMES
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp, timestamp_to_datetime
from perdure.ports.agenda import AgendaEntry
from perdure.timekeeping.entries import read_entry
from perdure.timekeeping.specs import Calendar, Cron, Every

__all__ = [
    "SCHEDULE_KIND",
    "Backfill",
    "Cause",
    "Outdated",
    "Overlap",
    "Pause",
    "Pending",
    "Plan",
    "Reason",
    "Schedule",
    "Skip",
    "Start",
    "encode_schedule",
    "read_schedule",
    "run_id_of",
]

SCHEDULE_KIND: Final = "schedule"


class Overlap(StrEnum):
    """What happens at a nominal time while a run of the schedule is still open.

    `skip`: nothing, the time is skipped. `buffer_one`: it starts when that run has ended; further times are skipped
    meanwhile. `buffer_all`: they all start, one after the other. `cancel_other`, `terminate_other`: the open run is
    asked to end, and the new one starts when it has. `allow_all`: it starts at once; such runs hinder no other.
    """

    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    BUFFER_ALL = "buffer_all"
    CANCEL_OTHER = "cancel_other"
    TERMINATE_OTHER = "terminate_other"
    ALLOW_ALL = "allow_all"


class Cause(StrEnum):
    """Why a run was started."""

    TIME = "time"
    BACKFILL = "backfill"
    TRIGGER = "trigger"


class Reason(StrEnum):
    """Why a nominal time was skipped.

    `overlap`: a run was still open. `buffer_full`: as many were waiting as may. `superseded`: a later time took its
    place in the buffer. `missed`: it was found due later than the catch-up window allows. `paused`: the schedule was.
    `exists`: a run of its id existed already. `limit`: as many runs had been started as shall be. `replanned`: it was
    not acted on yet when `update` gave the schedule other times.
    """

    OVERLAP = "overlap"
    BUFFER_FULL = "buffer_full"
    SUPERSEDED = "superseded"
    MISSED = "missed"
    PAUSED = "paused"
    EXISTS = "exists"
    LIMIT = "limit"
    REPLANNED = "replanned"


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a schedule was told.

    `catch_up_microseconds`: a time found due later than this after it is skipped; None: never. `jitter_microseconds`: a
    time is acted on up to so much later. `start_at` and `end_at` bound the nominal times, both inclusive. `limit`: so
    many runs in all; None: no limit.
    """

    when: Cron | Every | Calendar
    workflow: str
    definition_version: str
    stages: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL
    tenant: str = ""
    labels: dict[str, str] = {}
    execution_timeout_microseconds: int | None = None
    overlap: Overlap = Overlap.SKIP
    catch_up_microseconds: int | None = None
    jitter_microseconds: int = 0
    start_at: Timestamp | None = None
    end_at: Timestamp | None = None
    limit: int | None = None


class Pause(msgspec.Struct, frozen=True, omit_defaults=True):
    """A pause: of the nominal times after `after`, up to `until` (None: it lasts)."""

    after: Timestamp
    until: Timestamp | None = None


class Backfill(msgspec.Struct, frozen=True):
    """Nominal times after `after`, up to `until`, that are still to be made up."""

    after: Timestamp
    until: Timestamp
    overlap: Overlap


class Outdated(msgspec.Struct, frozen=True):
    """Nominal times after `after`, up to `until`, that the schedule had before an update and did not act on."""

    when: Cron | Every | Calendar
    after: Timestamp
    until: Timestamp


class Pending(msgspec.Struct, frozen=True, omit_defaults=True):
    """A start that waits: for an open run to end, or (a trigger) for the schedule to be looked at."""

    nominal_at: Timestamp
    run_id: str
    cause: Cause
    overlap: Overlap


class Start(msgspec.Struct, frozen=True):
    """A run that was started: for which nominal time, when, its id, and why."""

    nominal_at: Timestamp
    at: Timestamp
    run_id: str
    cause: Cause


class Skip(msgspec.Struct, frozen=True):
    """Nominal times that were skipped one after the other for one reason: the first, the last, and how many."""

    first: Timestamp
    last: Timestamp
    count: int
    reason: Reason


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a schedule stands.

    `cursor` is the last nominal time that was dealt with; what updates took away before it was is `outdated`.
    `open_run_ids`: runs that others must not overlap while they are open. `started` and `skipped` count all; `starts`
    and `skips` are the latest.
    """

    plan: Plan
    created_at: Timestamp
    cursor: Timestamp
    pauses: tuple[Pause, ...] = ()
    note: str = ""
    open_run_ids: tuple[str, ...] = ()
    requests: tuple[Pending, ...] = ()
    buffer: tuple[Pending, ...] = ()
    backfills: tuple[Backfill, ...] = ()
    outdated: tuple[Outdated, ...] = ()
    triggered: int = 0
    started: int = 0
    skipped: int = 0
    starts: tuple[Start, ...] = ()
    skips: tuple[Skip, ...] = ()

    @property
    def is_paused(self) -> bool:
        """Whether it is paused now."""
        return bool(self.pauses) and self.pauses[-1].until is None

    @property
    def has_room(self) -> bool:
        """Whether one more start may wait."""
        return len(self.buffer) < MAXIMUM_WAITING_STARTS

    def with_start(self, start: Start) -> "Schedule":
        """Return it with a start recorded."""
        starts = (*self.starts, start)[-REMEMBERED_TIMES:]
        return msgspec.structs.replace(self, started=self.started + 1, starts=starts)

    def with_skip(self, nominal_at: Timestamp, reason: Reason) -> "Schedule":
        """Return it with a skipped time recorded; one that continues the last entry makes that longer."""
        skips = (*self.skips, Skip(nominal_at, nominal_at, 1, reason))
        if self.skips:
            last = self.skips[-1]
            if last.reason is reason and last.last < nominal_at and not self._started_since(last):
                skips = (*self.skips[:-1], Skip(last.first, nominal_at, last.count + 1, reason))
        return msgspec.structs.replace(self, skipped=self.skipped + 1, skips=skips[-REMEMBERED_TIMES:])

    def _started_since(self, skip: Skip) -> bool:
        return any(start.nominal_at > skip.last for start in self.starts[-1:])


def run_id_of(schedule_id: str, nominal_at: Timestamp) -> str:
    """Return the id of the run of a nominal time: of that schedule and time there is one.

    >>> run_id_of("nightly", Timestamp(1_767_236_400_000_000))
    'nightly@2026-01-01T03:00:00Z'
    """
    return f"{schedule_id}@{timestamp_to_datetime(nominal_at).replace(tzinfo=None).isoformat()}Z"


def encode_schedule(schedule: Schedule) -> str:
    """Return a schedule as JSON."""
    return msgspec.json.encode(schedule).decode()


def read_schedule(entry: AgendaEntry) -> Schedule:
    """Return what an entry says. Raises HistoryError."""
    return read_entry(entry, _DECODER)


_DECODER: Final = msgspec.json.Decoder(Schedule)
