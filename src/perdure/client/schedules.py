"""Schedules, as programs and operators use them: ``engine.schedules``."""

from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar, TypeVarTuple

import msgspec

from perdure.authoring.arguments import (
    require_choice,
    require_count,
    require_duration,
    require_moment,
    require_text,
    require_texts,
)
from perdure.authoring.workflow import Workflow, require_workflow
from perdure.client.gateway import Gateway
from perdure.client.starting import require_id
from perdure.errors import InvalidArgumentError, ScheduleExistsError, ScheduleNotFoundError
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp, timestamp_to_datetime
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey, AgendaQuery
from perdure.timekeeping.decisions import due_at_of, next_times
from perdure.timekeeping.schedules import (
    SCHEDULE_KIND,
    Backfill,
    Cause,
    Overlap,
    Pause,
    Pending,
    Plan,
    Schedule,
    Skip,
    Start,
    decode_schedule,
    encode_schedule,
    run_id_of,
)
from perdure.timekeeping.specs import Calendar, Cron, Every, When

__all__ = ["DAY", "NEXT_TIMES", "ScheduleDescription", "ScheduleHandle", "ScheduleHistory", "Schedules"]

Ts = TypeVarTuple("Ts")
R = TypeVar("R")

DAY: Final = timedelta(days=1)
NEXT_TIMES: Final = 5
_PAGE: Final = 100
_LONGEST_ID_CHARACTERS: Final = 400
"""Shorter than a run's: the nominal time is added."""


class ScheduleDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it stands now.

    `next_times`: the next nominal times, if it is not paused until then; empty: there are none. `waiting`: how many
    starts wait for an open run to end. `started` and `skipped` count since its creation. `starts` and `skips` are the
    latest, oldest first.
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


class ScheduleHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What a schedule did last: 50 starts, and 50 skipped times, or unbroken rows of them, with their reason."""

    starts: tuple[Start, ...]
    skips: tuple[Skip, ...]


class Schedules:
    """Makes schedules and finds them again."""

    def __init__(self, open_gateway: Callable[[], Gateway], namespace: str) -> None:
        """Work through the gateway of an open client, in one namespace."""
        self._gateway = open_gateway
        self._namespace = namespace

    async def create(
        self,
        id: str,
        workflow: Workflow[*Ts, R],
        *args: *Ts,
        when: When,
        overlap: Overlap | str = Overlap.SKIP,
        catch_up: timedelta | None = DAY,
        jitter: timedelta = timedelta(0),
        start_at: datetime | None = None,
        end_at: datetime | None = None,
        limit: int | None = None,
        paused: bool = False,
        note: str = "",
        priority: Priority | None = None,
        tenant: str = "",
        labels: dict[str, str] | None = None,
        execution_timeout: timedelta | None = None,
    ) -> "ScheduleHandle":
        """Start a run of `workflow` with these arguments at each nominal time of `when`, from now on.

        The run of a nominal time has the id ``ID@TIME``, such as ``nightly@2026-01-01T03:00:00Z``, and the label
        ``perdure.schedule``. `overlap`: see `Overlap`. `catch_up`: a time found due later than this is skipped (None:
        never), as after downtime. `jitter`: each time is acted on up to so much later, always the same for one time.
        `start_at`, `end_at`: bounds of the nominal times, both inclusive. `limit`: so many runs in all. `paused`: begin
        paused. The others: see `Client.start`.

        Raises UsageError for wrong arguments, ScheduleExistsError, StoreError.
        """
        require_workflow(workflow, "schedules.create")
        gateway = self._gateway()
        now = gateway.clock.now()
        plan = Plan(
            when=_require_when(when),
            workflow=workflow.name,
            definition_version=workflow.version,
            stages=workflow.stages,
            priority=workflow.priority if priority is None else require_choice(priority, Priority, "priority"),
            tenant=require_text(tenant, "tenant"),
            labels=require_texts(labels or {}, "labels"),
            execution_timeout_microseconds=workflow.execution_timeout_microseconds
            if execution_timeout is None
            else require_duration(execution_timeout, "execution_timeout"),
            overlap=require_choice(overlap, Overlap, "overlap"),
            catch_up_microseconds=_catch_up(catch_up),
            jitter_microseconds=require_duration(jitter, "jitter", may_be_zero=True),
            start_at=None if start_at is None else require_moment(start_at, "start_at"),
            end_at=None if end_at is None else require_moment(end_at, "end_at"),
            limit=require_count(limit, "limit"),
        )
        pauses = (Pause(now),) if paused else ()
        schedule = Schedule(plan=plan, created_at=now, cursor=now, pauses=pauses, note=require_text(note, "note"))
        key = self._key(id)
        entry = AgendaEntry(
            key=key,
            version=gateway.store.new_run_key(),
            due_at=due_at_of(id, schedule),
            waits=False,
            data=encode_schedule(schedule),
            inputs=(workflow.signature.encode_arguments(args, {}),),
        )
        if not await gateway.store.change_agenda(AgendaChange(key=key, expected=None, entry=entry)):
            message = f"a schedule {id!r} exists already; change it with `update`, or delete it first"
            raise ScheduleExistsError(message)
        gateway.agenda_changed()
        return ScheduleHandle(self, id)

    async def get(self, id: str) -> "ScheduleHandle":
        """Return the handle of a schedule. Raises ScheduleNotFoundError."""
        await self.entry(id)
        return ScheduleHandle(self, id)

    async def all(self) -> AsyncGenerator[ScheduleDescription, None]:
        """Yield every schedule of the namespace, in the order of their ids."""
        gateway = self._gateway()
        query = AgendaQuery(kind=SCHEDULE_KIND, namespace=self._namespace, limit=_PAGE)
        while page := await gateway.store.list_agenda(query):
            for entry in page:
                yield described(entry, now=gateway.clock.now())
            query = msgspec.structs.replace(query, after=page[-1].key)

    async def entry(self, id: str) -> AgendaEntry:
        """Return the entry of a schedule. Raises ScheduleNotFoundError."""
        entry = await self._gateway().store.find_agenda(self._key(id))
        if entry is None:
            message = f"there is no schedule {id!r}; compare its id with those that `schedules.all()` gives"
            raise ScheduleNotFoundError(message)
        return entry

    async def change(self, id: str, change: Callable[[Schedule, Timestamp], Schedule]) -> Schedule:
        """Change a schedule, and have it looked at. Raises ScheduleNotFoundError."""
        gateway = self._gateway()
        while True:
            entry = await self.entry(id)
            now = gateway.clock.now()
            schedule = change(decode_schedule(entry.data), now)
            new = msgspec.structs.replace(
                entry, version=gateway.store.new_run_key(), due_at=now, data=encode_schedule(schedule)
            )
            if await gateway.store.change_agenda(AgendaChange(key=entry.key, expected=entry.version, entry=new)):
                gateway.agenda_changed()
                return schedule

    async def delete(self, id: str) -> None:
        """Delete a schedule. Raises ScheduleNotFoundError."""
        gateway = self._gateway()
        while True:
            entry = await self.entry(id)
            if await gateway.store.change_agenda(AgendaChange(key=entry.key, expected=entry.version, entry=None)):
                return

    async def describe(self, id: str, *, times: int = NEXT_TIMES) -> ScheduleDescription:
        """Return a schedule as it stands. Raises ScheduleNotFoundError."""
        return described(await self.entry(id), now=self._gateway().clock.now(), times=times)

    def _key(self, id: str) -> AgendaKey:
        if len(require_id(id)) > _LONGEST_ID_CHARACTERS:
            message = f"the id of the schedule has {len(id)} characters; at most {_LONGEST_ID_CHARACTERS} are allowed"
            raise InvalidArgumentError(message)
        return AgendaKey(kind=SCHEDULE_KIND, namespace=self._namespace, id=id)


class ScheduleHandle:
    """A schedule that exists. Every change is durable when it returns."""

    def __init__(self, schedules: Schedules, id: str) -> None:
        """Build from parts; `Schedules.create` and `Schedules.get` return handles."""
        self._schedules = schedules
        self._id = id

    @property
    def id(self) -> str:
        """The schedule's id."""
        return self._id

    async def describe(self, *, times: int = NEXT_TIMES) -> ScheduleDescription:
        """Return how it stands, with so many of its next nominal times."""
        return await self._schedules.describe(self._id, times=times)

    async def history(self) -> ScheduleHistory:
        """Return what it did last: which runs it started, and why it skipped times."""
        description = await self.describe(times=0)
        return ScheduleHistory(starts=description.starts, skips=description.skips)

    async def pause(self, note: str = "") -> None:
        """Skip nominal times until `resume`. Open runs, and starts that wait for them, go on; so does `trigger`."""
        text = require_text(note, "note")

        def pause(schedule: Schedule, now: Timestamp) -> Schedule:
            pauses = schedule.pauses if schedule.is_paused else (*schedule.pauses, Pause(now))
            return msgspec.structs.replace(schedule, pauses=pauses, note=text)

        await self._schedules.change(self._id, pause)

    async def resume(self, note: str = "") -> None:
        """Act on nominal times again. Those of the pause are recorded as skipped; `backfill` makes them up."""
        text = require_text(note, "note")

        def resume(schedule: Schedule, now: Timestamp) -> Schedule:
            pauses = schedule.pauses
            if schedule.is_paused:
                pauses = (*pauses[:-1], Pause(pauses[-1].after, max(now, pauses[-1].after)))
            return msgspec.structs.replace(schedule, pauses=pauses, note=text)

        await self._schedules.change(self._id, resume)

    async def trigger(self, *, overlap: Overlap | str | None = None) -> str:
        """Start a run now, also while paused, if the overlap policy (the schedule's) allows it; return its id."""
        policy = None if overlap is None else require_choice(overlap, Overlap, "overlap")

        def trigger(schedule: Schedule, now: Timestamp) -> Schedule:
            number = schedule.triggered + 1
            run_id = f"{run_id_of(self._id, now)}!{number}"
            pending = Pending(now, run_id, Cause.TRIGGER, policy or schedule.plan.overlap)
            return msgspec.structs.replace(schedule, triggered=number, requests=(*schedule.requests, pending))

        schedule = await self._schedules.change(self._id, trigger)
        return schedule.requests[-1].run_id

    async def backfill(self, start: datetime, end: datetime, *, overlap: Overlap | str = Overlap.BUFFER_ALL) -> None:
        """Start the runs of the nominal times from `start` to `end`, both inclusive, that have none yet.

        `overlap` is this backfill's own policy; one run after the other unless told otherwise.
        """
        after, until = Timestamp(require_moment(start, "start") - 1), require_moment(end, "end")
        if until <= after:
            message = f"backfill: start is {start}, after end, which is {end}"
            raise InvalidArgumentError(message)
        backfill = Backfill(after, until, require_choice(overlap, Overlap, "overlap"))

        def add(schedule: Schedule, _now: Timestamp) -> Schedule:
            return msgspec.structs.replace(schedule, backfills=(*schedule.backfills, backfill))

        await self._schedules.change(self._id, add)

    async def update(
        self,
        *,
        when: When | None = None,
        overlap: Overlap | str | None = None,
        catch_up: timedelta | None = None,
        jitter: timedelta | None = None,
        end_at: datetime | None = None,
        limit: int | None = None,
        note: str | None = None,
    ) -> None:
        """Change what is given, for the nominal times from now on; see `Schedules.create`."""
        changes: dict[str, object] = {}
        if when is not None:
            changes["when"] = _require_when(when)
        if overlap is not None:
            changes["overlap"] = require_choice(overlap, Overlap, "overlap")
        if catch_up is not None:
            changes["catch_up_microseconds"] = _catch_up(catch_up)
        if jitter is not None:
            changes["jitter_microseconds"] = require_duration(jitter, "jitter", may_be_zero=True)
        if end_at is not None:
            changes["end_at"] = require_moment(end_at, "end_at")
        if limit is not None:
            changes["limit"] = require_count(limit, "limit")
        text = None if note is None else require_text(note, "note")

        def update(schedule: Schedule, now: Timestamp) -> Schedule:
            plan = msgspec.structs.replace(schedule.plan, **changes)
            cursor = max(schedule.cursor, now) if when is not None else schedule.cursor
            return msgspec.structs.replace(
                schedule, plan=plan, cursor=cursor, note=schedule.note if text is None else text
            )

        await self._schedules.change(self._id, update)

    async def delete(self) -> None:
        """Delete it. Its runs go on; starts that waited for them do not come."""
        await self._schedules.delete(self._id)


def described(entry: AgendaEntry, *, now: Timestamp, times: int = NEXT_TIMES) -> ScheduleDescription:
    """Return the schedule of an entry."""
    schedule = decode_schedule(entry.data)
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


def _require_when(when: object) -> When:
    if not isinstance(when, Cron | Every | Calendar):
        message = f"when is {when!r:.60}; it must be a Cron, an Every or a Calendar"
        raise InvalidArgumentError(message)
    return when


def _catch_up(value: timedelta | None) -> int | None:
    return None if value is None else require_duration(value, "catch_up", may_be_zero=True)
