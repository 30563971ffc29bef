"""What follows when a schedule is looked at: a pure function of the schedule, the time, and its runs.

Order of one look: what waited for runs that have ended starts; triggers; backfills; times that an
update took away; then the nominal times that are due, in their order, each of which gives a start, a place in the
buffer or a skip with its reason. A look deals with a bounded number of times; the rest is due at once.

A run that has ended is known until another is open: it may be retried or reset, and is then open again.
"""

import hashlib
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final, TypeVar

import msgspec

from perdure.kernel.time import Timestamp
from perdure.timekeeping.schedules import (
    Backfill,
    Cause,
    Outdated,
    Overlap,
    Pending,
    Plan,
    Reason,
    Schedule,
    Start,
    run_id_of,
)
from perdure.timekeeping.specs import When, next_after

__all__ = ["Decision", "decide", "due_at_of", "jitter_of", "next_times", "revised"]

Span = TypeVar("Span", Backfill, Outdated)

_TIMES_AT_ONCE: Final = 200


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What follows. `starts` are runs to create; `cancelled` and `terminated` are ids of runs to ask to end.

    `due_at`: when to look again. `waits`: also when one of the open runs has ended.
    """

    schedule: Schedule
    starts: tuple[Start, ...]
    cancelled: frozenset[str]
    terminated: frozenset[str]
    due_at: Timestamp | None

    @property
    def waits(self) -> bool:
        """Whether something starts when an open run ends."""
        return bool(self.schedule.buffer)


def decide(
    schedule_id: str,
    schedule: Schedule,
    *,
    now: Timestamp,
    open_run_ids: AbstractSet[str],
    taken: AbstractSet[str] = frozenset(),
) -> Decision:
    """Return what follows at `now`.

    `open_run_ids`: which of the schedule's runs are open. `taken`: ids that runs have already; none
    is started for these.
    """
    look = _Look(schedule_id, schedule, now=now, open_run_ids=open_run_ids, taken=taken)
    look.empty_buffer()
    look.take_requests()
    look.make_up_backfills()
    look.account_for_outdated_times()
    look.take_due_times()
    return look.decision()


def due_at_of(schedule_id: str, schedule: Schedule) -> Timestamp | None:
    """Return when a nominal time must next be acted on; None: none will be, as things are."""
    nominal_at = _next_nominal(schedule)
    if nominal_at is None or _is_held(schedule, nominal_at):
        return None
    return Timestamp(nominal_at + jitter_of(schedule_id, schedule, nominal_at))


def next_times(schedule: Schedule, *, now: Timestamp, count: int) -> list[Timestamp]:
    """Return the next nominal times after `now`, at most `count`."""
    times: list[Timestamp] = []
    following = msgspec.structs.replace(schedule, cursor=max(now, schedule.cursor))
    while len(times) < count and (nominal_at := _next_nominal(following)) is not None:
        times.append(nominal_at)
        following = msgspec.structs.replace(following, cursor=nominal_at)
    return times


def revised(schedule: Schedule, plan: Plan, *, now: Timestamp) -> Schedule:
    """Return the schedule with another plan for the nominal times from now on.

    Times that were due by the old plan, and are none by the new one, are kept as outdated, to be recorded as skipped.
    A schedule that had ended goes on with the times after `now`: those in between were never its own.
    """
    if _next_nominal(schedule) is None:
        return msgspec.structs.replace(schedule, plan=plan, cursor=max(schedule.cursor, now))
    old = schedule.plan
    keeps_times = plan.when == old.when
    until = now if old.end_at is None else min(now, old.end_at)
    after = max(schedule.cursor, (old.start_at or 1) - 1)
    if keeps_times:
        after = max(after, until if plan.end_at is None else plan.end_at)
    outdated = (*schedule.outdated, Outdated(old.when, Timestamp(after), until)) if after < until else schedule.outdated
    cursor = schedule.cursor if keeps_times else max(schedule.cursor, now)
    return msgspec.structs.replace(schedule, plan=plan, cursor=cursor, outdated=outdated)


def jitter_of(schedule_id: str, schedule: Schedule, nominal_at: Timestamp) -> int:
    """Return by how many microseconds a time is acted on later: the same each time it is asked."""
    if not schedule.plan.jitter_microseconds:
        return 0
    digest = hashlib.blake2b(f"{schedule_id}\0{nominal_at}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % schedule.plan.jitter_microseconds


class _Look:
    """One look at a schedule, on the way to its decision."""

    def __init__(
        self,
        schedule_id: str,
        schedule: Schedule,
        *,
        now: Timestamp,
        open_run_ids: AbstractSet[str],
        taken: AbstractSet[str],
    ) -> None:
        self._id = schedule_id
        self._now = now
        self._taken = taken
        self._open = [run_id for run_id in schedule.open_run_ids if run_id in open_run_ids]
        self._schedule = schedule
        self._starts: list[Start] = []
        self._cancelled: set[str] = set()
        self._terminated: set[str] = set()
        self._left = _TIMES_AT_ONCE

    def empty_buffer(self) -> None:
        """Start what has waited, one after the other as far as nothing is open."""
        while not self._open and self._schedule.buffer:
            pending, *rest = self._schedule.buffer
            self._change(buffer=tuple(rest))
            self._start(pending)

    def take_requests(self) -> None:
        """Act on triggers."""
        requests = self._schedule.requests
        self._change(requests=())
        for pending in requests:
            self._act(pending)

    def make_up_backfills(self) -> None:
        """Act on the times of backfills, as many as one look may."""
        left: list[Backfill] = []
        for backfill in self._schedule.backfills:
            left += self._walk(backfill, self._schedule.plan.when, partial(self._make_up, backfill.overlap))
        self._change(backfills=tuple(left))

    def _make_up(self, overlap: Overlap, nominal_at: Timestamp) -> None:
        self._act(Pending(nominal_at, run_id_of(self._id, nominal_at), Cause.BACKFILL, overlap))

    def account_for_outdated_times(self) -> None:
        """Record why there is no run for the times that an update took away, as many as one look may."""
        left: list[Outdated] = []
        for outdated in self._schedule.outdated:
            left += self._walk(outdated, outdated.when, lambda nominal_at: self._skip(nominal_at, Reason.REPLANNED))
        self._change(outdated=tuple(left))

    def _walk(self, span: Span, when: When, act: Callable[[Timestamp], None]) -> list[Span]:
        """Act on the nominal times of a span; return what is left of it for another look, if anything is."""
        after = span.after
        while self._left:
            nominal_at = next_after(when, after)
            if nominal_at is None or nominal_at > span.until:
                return []
            self._left -= 1
            after = nominal_at
            act(nominal_at)
        return [msgspec.structs.replace(span, after=after)]

    def take_due_times(self) -> None:
        """Act on the nominal times that are due."""
        while self._left:
            due_at = due_at_of(self._id, self._schedule)
            nominal_at = _next_nominal(self._schedule)
            if due_at is None or nominal_at is None or due_at > self._now:
                return
            self._left -= 1
            self._change(cursor=nominal_at)
            self._take(nominal_at, late=self._now - due_at)

    def _take(self, nominal_at: Timestamp, *, late: int) -> None:
        plan = self._schedule.plan
        if any(pause.after < nominal_at <= (pause.until or nominal_at) for pause in self._schedule.pauses):
            self._skip(nominal_at, Reason.PAUSED)
        elif plan.catch_up_microseconds is not None and late > plan.catch_up_microseconds:
            self._skip(nominal_at, Reason.MISSED)
        else:
            self._act(Pending(nominal_at, run_id_of(self._id, nominal_at), Cause.TIME, plan.overlap))

    def decision(self) -> Decision:
        """Return what follows."""
        schedule = self._schedule
        pauses = tuple(pause for pause in schedule.pauses if pause.until is None or pause.until > schedule.cursor)
        self._change(pauses=pauses, open_run_ids=tuple(self._open) or schedule.open_run_ids)
        is_unfinished = bool(self._schedule.backfills or self._schedule.outdated)
        return Decision(
            schedule=self._schedule,
            starts=tuple(self._starts),
            cancelled=frozenset(self._cancelled),
            terminated=frozenset(self._terminated),
            due_at=self._now if is_unfinished else due_at_of(self._id, self._schedule),
        )

    def _act(self, pending: Pending) -> None:
        """Start, buffer or skip, as the overlap policy says."""
        schedule = self._schedule
        if not _may_start(schedule):
            self._skip(pending.nominal_at, Reason.LIMIT)
        elif pending.overlap is Overlap.ALLOW_ALL or not (self._open or schedule.buffer):
            self._start(pending)
        elif pending.overlap is Overlap.SKIP:
            self._skip(pending.nominal_at, Reason.OVERLAP)
        elif pending.overlap in (Overlap.CANCEL_OTHER, Overlap.TERMINATE_OTHER):
            self._supersede(pending)
        elif not schedule.has_room or (schedule.buffer and pending.overlap is Overlap.BUFFER_ONE):
            self._skip(pending.nominal_at, Reason.BUFFER_FULL)
        else:
            self._change(buffer=(*schedule.buffer, pending))

    def _supersede(self, pending: Pending) -> None:
        for waiting in self._schedule.buffer:
            self._skip(waiting.nominal_at, Reason.SUPERSEDED)
        self._change(buffer=(pending,))
        ended = self._cancelled if pending.overlap is Overlap.CANCEL_OTHER else self._terminated
        ended.update(self._open)

    def _start(self, pending: Pending) -> None:
        if pending.run_id in self._taken:
            self._skip(pending.nominal_at, Reason.EXISTS)
            return
        start = Start(pending.nominal_at, self._now, pending.run_id, pending.cause)
        self._starts.append(start)
        self._schedule = self._schedule.with_start(start)
        if pending.overlap is not Overlap.ALLOW_ALL:
            self._open.append(pending.run_id)

    def _skip(self, nominal_at: Timestamp, reason: Reason) -> None:
        self._schedule = self._schedule.with_skip(nominal_at, reason)

    def _change(self, **changes: object) -> None:
        self._schedule = msgspec.structs.replace(self._schedule, **changes)


def _next_nominal(schedule: Schedule) -> Timestamp | None:
    plan = schedule.plan
    after = schedule.cursor
    if plan.start_at is not None:
        after = Timestamp(max(after, plan.start_at - 1))
    nominal_at = next_after(plan.when, after) if _may_start(schedule) else None
    return None if nominal_at is None or (plan.end_at is not None and nominal_at > plan.end_at) else nominal_at


def _may_start(schedule: Schedule) -> bool:
    limit = schedule.plan.limit
    return limit is None or schedule.started + len(schedule.buffer) < limit


def _is_held(schedule: Schedule, nominal_at: Timestamp) -> bool:
    """Whether a time lies in a pause that lasts: then it is dealt with when that ends."""
    return schedule.is_paused and nominal_at > schedule.pauses[-1].after
