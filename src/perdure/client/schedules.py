"""Schedules, as programs and operators use them: ``engine.schedules``."""

from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypedDict, TypeVar, TypeVarTuple, Unpack

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
from perdure.client.agenda_pages import read_all
from perdure.client.gateway import Gateway
from perdure.client.schedule_reports import (
    NEXT_TIMES,
    ScheduleDescription,
    ScheduleHistory,
    described,
    with_outcomes,
)
from perdure.client.starting import require_id
from perdure.configuration import MAXIMUM_BACKFILLS, MAXIMUM_WAITING_STARTS
from perdure.errors import InvalidArgumentError, ScheduleExistsError, ScheduleNotFoundError, UsageError
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey, AgendaQuery
from perdure.timekeeping.decisions import due_at_of, revised
from perdure.timekeeping.schedules import (
    SCHEDULE_KIND,
    Backfill,
    Cause,
    Overlap,
    Pause,
    Pending,
    Plan,
    Schedule,
    encode_schedule,
    read_schedule,
    run_id_of,
)
from perdure.timekeeping.specs import Calendar, Cron, Every, When

__all__ = ["DAY", "ScheduleChanges", "ScheduleHandle", "ScheduleOptions", "Schedules"]

Ts = TypeVarTuple("Ts")
R = TypeVar("R")

DAY: Final = timedelta(days=1)
_LONGEST_ID_CHARACTERS: Final = 400
"""Shorter than a run's: the nominal time is added."""


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
            start_at=_moment(start_at, "start_at"),
            end_at=_moment(end_at, "end_at"),
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
        """Yield every schedule of the namespace, in the order of their ids.

        Raises HistoryError after the last if there are some that cannot be read; it names them.
        """
        gateway = self._gateway()
        queries = [AgendaQuery(kind=SCHEDULE_KIND, namespace=self._namespace)]
        async for _, description in read_all(gateway.store, queries, partial(described, now=gateway.clock.now())):
            yield description

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
            schedule = change(read_schedule(entry), now)
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
        gateway = self._gateway()
        return described(await self.entry(id), now=gateway.clock.now(), times=times)

    async def describe_with_outcomes(self, id: str, *, times: int) -> ScheduleDescription:
        """Return a schedule as it stands, with its latest runs. Raises ScheduleNotFoundError."""
        return await with_outcomes(
            await self.describe(id, times=times), self._gateway().store, namespace=self._namespace
        )

    def _key(self, id: str) -> AgendaKey:
        if len(require_id(id)) > _LONGEST_ID_CHARACTERS:
            message = f"the id of the schedule has {len(id)} characters; at most {_LONGEST_ID_CHARACTERS} are allowed"
            raise InvalidArgumentError(message)
        return AgendaKey(kind=SCHEDULE_KIND, namespace=self._namespace, id=id)


class ScheduleOptions(TypedDict, total=False):
    """What a new schedule may be told and an old one again; see `Schedules.create`."""

    overlap: Overlap | str
    catch_up: timedelta | None
    jitter: timedelta
    end_at: datetime | None
    limit: int | None
    note: str


class ScheduleChanges(ScheduleOptions, total=False):
    """What `ScheduleHandle.update` may change; see `Schedules.create`. What is not given stays as it is.

    None lifts a bound: `catch_up`, `end_at`, `limit`. A schedule that had come to its end goes on from now.
    """

    when: When


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
        """Return how it stands, with so many of its next nominal times, and what has become of its latest runs."""
        return await self._schedules.describe_with_outcomes(self._id, times=times)

    async def history(self) -> ScheduleHistory:
        """Return what it did last: which runs it started, and why it skipped times."""
        description = await self._schedules.describe(self._id, times=0)
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
        """Start a run now, also while paused, if the overlap policy (the schedule's) allows it; return its id.

        Raises UsageError when 1,000 triggers wait already for a process that works.
        """
        policy = None if overlap is None else require_choice(overlap, Overlap, "overlap")

        def trigger(schedule: Schedule, now: Timestamp) -> Schedule:
            _require_room(schedule.requests, MAXIMUM_WAITING_STARTS, f"triggers of the schedule {self._id!r}")
            number = schedule.triggered + 1
            run_id = f"{run_id_of(self._id, now)}!{number}"
            pending = Pending(now, run_id, Cause.TRIGGER, policy or schedule.plan.overlap)
            return msgspec.structs.replace(schedule, triggered=number, requests=(*schedule.requests, pending))

        schedule = await self._schedules.change(self._id, trigger)
        return schedule.requests[-1].run_id

    async def backfill(self, start: datetime, end: datetime, *, overlap: Overlap | str = Overlap.BUFFER_ALL) -> None:
        """Start the runs of the nominal times from `start` to `end`, both inclusive, that have none yet.

        `overlap` is this backfill's own policy; one run after the other unless told otherwise.

        Raises UsageError when 100 backfills are unfinished already.
        """
        after, until = Timestamp(require_moment(start, "start") - 1), require_moment(end, "end")
        if until <= after:
            message = f"backfill: start is {start}, after end, which is {end}"
            raise InvalidArgumentError(message)
        backfill = Backfill(after, until, require_choice(overlap, Overlap, "overlap"))

        def add(schedule: Schedule, _now: Timestamp) -> Schedule:
            _require_room(schedule.backfills, MAXIMUM_BACKFILLS, f"backfills of the schedule {self._id!r}")
            return msgspec.structs.replace(schedule, backfills=(*schedule.backfills, backfill))

        await self._schedules.change(self._id, add)

    async def update(self, **changes: Unpack["ScheduleChanges"]) -> None:
        """Change what is given, for the nominal times from now on; see `ScheduleChanges`.

        Times that were due and are no nominal times any more are recorded as skipped (`replanned`).
        """
        fields = _plan_fields(changes)
        note = require_text(changes["note"], "note") if "note" in changes else None

        def update(schedule: Schedule, now: Timestamp) -> Schedule:
            changed = revised(schedule, msgspec.structs.replace(schedule.plan, **fields), now=now)
            return changed if note is None else msgspec.structs.replace(changed, note=note)

        await self._schedules.change(self._id, update)

    async def delete(self) -> None:
        """Delete it. Its runs go on; starts that waited for them do not come."""
        await self._schedules.delete(self._id)


def _require_when(when: object) -> When:
    if not isinstance(when, Cron | Every | Calendar):
        message = f"when is {when!r:.60}; it must be a Cron, an Every or a Calendar"
        raise InvalidArgumentError(message)
    return when


def _catch_up(value: timedelta | None) -> int | None:
    return None if value is None else require_duration(value, "catch_up", may_be_zero=True)


def _plan_fields(changes: ScheduleChanges) -> dict[str, object]:
    """Return what of a plan changes. Raises InvalidArgumentError."""
    known = ScheduleChanges.__annotations__
    if unknown := sorted(changes.keys() - known.keys()):
        message = f"update: {', '.join(unknown)} cannot be changed; what can be is {', '.join(known)}"
        raise InvalidArgumentError(message)
    fields: dict[str, object] = {}
    if "when" in changes:
        fields["when"] = _require_when(changes["when"])
    if "overlap" in changes:
        fields["overlap"] = require_choice(changes["overlap"], Overlap, "overlap")
    if "catch_up" in changes:
        fields["catch_up_microseconds"] = _catch_up(changes["catch_up"])
    if "jitter" in changes:
        fields["jitter_microseconds"] = require_duration(changes["jitter"], "jitter", may_be_zero=True)
    if "end_at" in changes:
        fields["end_at"] = _moment(changes["end_at"], "end_at")
    if "limit" in changes:
        fields["limit"] = require_count(changes["limit"], "limit")
    return fields


def _moment(value: datetime | None, subject: str) -> Timestamp | None:
    return None if value is None else require_moment(value, subject)


def _require_room(waiting: tuple[object, ...], maximum: int, what: str) -> None:
    if len(waiting) >= maximum:
        message = f"{len(waiting)} {what} wait already, as many as may: is there a process that works on this database?"
        raise UsageError(message)
