"""The row of a run as a member of a file: what `run_lines` writes of it, and reads."""

from datetime import datetime
from typing import Annotated, Final

import msgspec

from perdure.archiving.event_lines import iso_text
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import FencingToken, RunKey, RunRef
from perdure.kernel.locking import LockEntry
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp, timestamp_from_datetime
from perdure.kernel.transition import Parking, RunStatus
from perdure.ports.keeping import WholeRun
from perdure.ports.store import InboxEntry, RunSummary

__all__ = ["SavedRow", "SavedRun", "row_record"]


class SavedRun(msgspec.Struct, frozen=True):
    """A run that was read whole, and where the run keys that it names were given out (`RunStore.origins_of`)."""

    run: WholeRun
    origins: dict[RunKey, int]


def row_record(saved: SavedRun) -> dict[str, object]:
    """Return the members of a run's line. A run that somebody owns would be due at once if nobody did."""
    run, summary = saved.run, saved.run.summary
    if summary.owner is not None:
        summary = msgspec.structs.replace(summary, wake_at=summary.updated_at)
    return {
        "id": summary.ref.id,
        "namespace": summary.ref.namespace,
        "generation": summary.ref.generation,
        "run_key": summary.run_key,
        "workflow": summary.workflow,
        "definition_version": summary.definition_version,
        "status": summary.status,
        "stage": summary.stage,
        "progress": summary.progress,
        "priority": summary.priority,
        "tenant": summary.tenant,
        "labels": summary.labels,
        "parent_key": summary.parent_key,
        **{name: _iso(getattr(summary, name)) for name in _TIMES},
        "end_at": _iso(run.end_at),
        "fencing_token": summary.fencing_token,
        "recovered": run.recovered,
        "parked": summary.parked,
        "request_id": run.request_id,
        "requests": run.requests,
        "locks": run.locks,
        "queues": run.queues,
        "origins": saved.origins,
        "events": len(run.history),
        "messages": len(run.inbox),
    }


_TIMES: Final = ("created_at", "started_at", "updated_at", "closed_at", "wake_at")


def _iso(moment: Timestamp | None) -> str | None:
    return None if moment is None else iso_text(moment)


_Stored = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A number that fits into a column of a database."""


class SavedRow(msgspec.Struct, kw_only=True):
    """The members of a run's line, as `row_record` writes them."""

    id: str
    namespace: str
    generation: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    run_key: _Stored
    workflow: str
    definition_version: str
    status: RunStatus
    stage: str
    progress: float
    priority: Priority
    tenant: str
    labels: dict[str, str]
    parent_key: _Stored | None
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    closed_at: datetime | None
    wake_at: datetime | None
    end_at: datetime | None
    fencing_token: Annotated[int, msgspec.Meta(ge=0, le=2**62)]  # it goes on growing
    recovered: bool
    parked: Parking | None
    request_id: str
    requests: tuple[str, ...]
    locks: tuple[LockEntry, ...]
    origins: dict[RunKey, int]
    events: Annotated[int, msgspec.Meta(ge=0)]
    messages: Annotated[int, msgspec.Meta(ge=0)]
    queues: tuple[str, ...] = ()

    def whole(self, *, history: tuple[RecordedEvent, ...], inbox: tuple[InboxEntry, ...]) -> WholeRun:
        """Return the run with its history and inbox."""
        summary = RunSummary(
            run_key=RunKey(self.run_key),
            ref=RunRef(namespace=self.namespace, id=self.id, generation=self.generation),
            workflow=self.workflow,
            definition_version=self.definition_version,
            status=self.status,
            stage=self.stage,
            progress=self.progress,
            priority=self.priority,
            tenant=self.tenant,
            labels=self.labels,
            parent_key=None if self.parent_key is None else RunKey(self.parent_key),
            created_at=timestamp_from_datetime(self.created_at),
            started_at=_moment(self.started_at),
            updated_at=timestamp_from_datetime(self.updated_at),
            closed_at=_moment(self.closed_at),
            sequence=self.events,
            owner=None,
            fencing_token=FencingToken(self.fencing_token),
            wake_at=_moment(self.wake_at),
            parked=self.parked,
        )
        return WholeRun(
            summary=summary,
            request_id=self.request_id,
            end_at=_moment(self.end_at),
            recovered=self.recovered,
            history=history,
            inbox=inbox,
            requests=self.requests,
            locks=self.locks,
            queues=self.queues,
        )


def _moment(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else timestamp_from_datetime(moment)
