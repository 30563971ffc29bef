"""Schedules for programs without an event loop: ``SyncEngine.schedules``."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TypeVar, TypeVarTuple, Unpack

from perdure.authoring.workflow import Workflow
from perdure.client.loop_thread import LoopThread
from perdure.client.schedule_reports import NEXT_TIMES, ScheduleDescription, ScheduleHistory
from perdure.client.schedules import DAY, ScheduleChanges, ScheduleHandle, Schedules
from perdure.kernel.priority import Priority
from perdure.timekeeping.schedules import Overlap
from perdure.timekeeping.specs import When

__all__ = ["SyncScheduleHandle", "SyncSchedules"]

Ts = TypeVarTuple("Ts")
R = TypeVar("R")


class SyncSchedules:
    """The methods of `Schedules`, waiting instead of awaiting."""

    def __init__(self, loop: LoopThread, schedules: Schedules) -> None:
        """Build from parts; `SyncEngine.schedules` gives one."""
        self._loop = loop
        self._schedules = schedules

    def create(
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
    ) -> "SyncScheduleHandle":
        """Start a run at each nominal time; see `Schedules.create`."""
        handle = self._loop.call(
            self._schedules.create(
                id,
                workflow,
                *args,
                when=when,
                overlap=overlap,
                catch_up=catch_up,
                jitter=jitter,
                start_at=start_at,
                end_at=end_at,
                limit=limit,
                paused=paused,
                note=note,
                priority=priority,
                tenant=tenant,
                labels=labels,
                execution_timeout=execution_timeout,
            )
        )
        return SyncScheduleHandle(self._loop, handle)

    def get(self, id: str) -> "SyncScheduleHandle":
        """Return the handle of a schedule. Raises ScheduleNotFoundError."""
        return SyncScheduleHandle(self._loop, self._loop.call(self._schedules.get(id)))

    def all(self) -> Iterator[ScheduleDescription]:
        """Yield every schedule of the namespace, in the order of their ids."""
        return self._loop.iterate(self._schedules.all())


class SyncScheduleHandle:
    """A schedule that exists; the methods of `ScheduleHandle`, waiting instead of awaiting."""

    def __init__(self, loop: LoopThread, handle: ScheduleHandle) -> None:
        """Build from parts; `SyncSchedules.create` and `get` return handles."""
        self._loop = loop
        self._handle = handle

    @property
    def id(self) -> str:
        """The schedule's id."""
        return self._handle.id

    def describe(self, *, times: int = NEXT_TIMES) -> ScheduleDescription:
        """Return how it stands."""
        return self._loop.call(self._handle.describe(times=times))

    def history(self) -> ScheduleHistory:
        """Return what it did last."""
        return self._loop.call(self._handle.history())

    def pause(self, note: str = "") -> None:
        """Skip nominal times until `resume`."""
        self._loop.call(self._handle.pause(note))

    def resume(self, note: str = "") -> None:
        """Act on nominal times again."""
        self._loop.call(self._handle.resume(note))

    def trigger(self, *, overlap: Overlap | str | None = None) -> str:
        """Start a run now, if the overlap policy allows it; return its id."""
        return self._loop.call(self._handle.trigger(overlap=overlap))

    def backfill(self, start: datetime, end: datetime, *, overlap: Overlap | str = Overlap.BUFFER_ALL) -> None:
        """Start the runs of a period's nominal times that have none yet."""
        self._loop.call(self._handle.backfill(start, end, overlap=overlap))

    def update(self, **changes: Unpack[ScheduleChanges]) -> None:
        """Change what is given, for the nominal times from now on; see `ScheduleHandle.update`."""
        self._loop.call(self._handle.update(**changes))

    def delete(self) -> None:
        """Delete it."""
        self._loop.call(self._handle.delete())
