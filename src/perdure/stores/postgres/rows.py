"""Rows of the tables as records.

**Columns are named**, never asked for by `*`: a newer Perdure may add one while this one is at work, and the server
refuses the next execution of a statement that a connection has prepared when its result has another shape by then.

**Tasks that demand labels are kept under a marked queue**, `queue || LABELLED`, for which no Perdure looks that knows
of no labels: it would claim one by its queue alone, and take it for damaged, since its digest is of the labels, too.
The digest is of the queue without the mark. What is only kept for a session (sticky) has none: whoever knows nothing
of that makes it somewhere else, no more. Rejected: a new column, which older claims do not ask for; another `activity`
or a priority that there is not, by which they pass over a task, too, but neither is what a task is looked up by.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from perdure.errors import HistoryError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.identity import FencingToken, Operation, RunKey, RunRef, WorkerId
from perdure.kernel.locking import LockEntry
from perdure.kernel.payload import Payload
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Parking, RunStatus
from perdure.ports.agenda import AgendaEntry, AgendaKey
from perdure.stores.memory.tables import Run, TaskRow
from perdure.stores.postgres.connection import Record
from perdure.stores.postgres.names import unescaped
from perdure.stores.sql.chain import digest_of_entry

__all__ = [
    "EVENT_COLUMNS",
    "LABELLED",
    "LOCK_COLUMNS",
    "QUEUE_OF_TASK",
    "RUN_COLUMNS",
    "TASK_COLUMNS",
    "agenda_entry_of",
    "agenda_row",
    "lock_entry_of",
    "parking_as_text",
    "run_of",
    "task_row_of",
]

# Any in this file: a row holds what the server found, which the records give its types.

RUN_COLUMNS: Final = """
    runs.run_key, runs.namespace, runs.id, runs.generation, runs.workflow, runs.definition_version, runs.status,
    runs.stage, runs.progress, runs.priority, runs.tenant, runs.parent_key, runs.created_at, runs.started_at,
    runs.updated_at, runs.closed_at, runs.sequence, runs.owner, runs.fencing_token, runs.wake_at, runs.end_at,
    runs.recovering, runs.parked,
    (SELECT json_object_agg(name, value)::text FROM run_labels WHERE run_labels.run_key = runs.run_key) AS labels
"""

EVENT_COLUMNS: Final = "sequence, type, version, at, data, digest, events"
"""Those of a history: what `perdure.stores.sql.checking` takes."""

LOCK_COLUMNS: Final = """
    locks.position, locks.namespace, locks.key, locks.run_key, locks.operation, locks.most, locks.holding,
    locks.requested_at, locks.granted_at, runs.id, runs.generation
"""

LABELLED: Final = r"E'\x01\x03'"
"""Ends the queue of a task that demands labels: no text of a user, escaped (`names`), ends so."""

QUEUE_OF_TASK: Final = f"""
    CASE WHEN tasks.labels <> '' AND right(tasks.queue, 2) = {LABELLED}
        THEN left(tasks.queue, -2)::varchar ELSE tasks.queue END
"""
"""A varchar, as all texts are that are escaped."""

TASK_COLUMNS: Final = f"""
    tasks.run_key, tasks.operation, tasks.attempt, tasks.namespace, {QUEUE_OF_TASK} AS queue, tasks.activity,
    tasks.priority, tasks.queued_at, tasks.owner, tasks.claims, tasks.recovering, tasks.data, tasks.digest,
    tasks.labels, tasks.sticky_to, tasks.sticky_until, tasks.share, tasks.cost
"""


def run_of(row: Record | Mapping[str, Any]) -> Run:
    """Read the columns `RUN_COLUMNS`. Raises HistoryError for what no Perdure wrote."""
    try:
        return _run_of(row)
    except (ValueError, *UNDECODABLE) as error:
        raise HistoryError(f"the row of run {row['run_key']} cannot be read: {error}") from error


def _run_of(row: Record | Mapping[str, Any]) -> Run:
    return Run(
        run_key=RunKey(row["run_key"]),
        ref=RunRef(namespace=row["namespace"], id=row["id"], generation=row["generation"]),
        workflow=row["workflow"],
        definition_version=row["definition_version"],
        status=RunStatus(row["status"]),
        stage=row["stage"],
        progress=row["progress"],
        priority=Priority(row["priority"]),
        tenant=row["tenant"],
        labels={} if row["labels"] is None else _labels(row["labels"]),
        parent_key=None if row["parent_key"] is None else RunKey(row["parent_key"]),
        created_at=Timestamp(row["created_at"]),
        started_at=_time(row["started_at"]),
        updated_at=Timestamp(row["updated_at"]),
        closed_at=_time(row["closed_at"]),
        sequence=row["sequence"],
        owner=None if row["owner"] is None else WorkerId(row["owner"]),
        fencing_token=FencingToken(row["fencing_token"]),
        wake_at=_time(row["wake_at"]),
        end_at=_time(row["end_at"]),
        is_recovered=row["recovering"],
        parked=None if row["parked"] is None else _PARKING.decode(row["parked"]),
    )


def parking_as_text(parking: Parking | None) -> str | None:
    """Return how a row says why its run is parked."""
    return None if parking is None else msgspec.json.encode(parking).decode()


def lock_entry_of(row: Record) -> LockEntry:
    """Read the columns `LOCK_COLUMNS`, of an entry of a line and its run."""
    return LockEntry(
        position=row["position"],
        key=row["key"],
        run_key=RunKey(row["run_key"]),
        run=RunRef(namespace=row["namespace"], id=row["id"], generation=row["generation"]),
        operation=Operation(row["operation"]),
        limit=row["most"],
        holding=tuple(map(Operation, row["holding"])),
        requested_at=Timestamp(row["requested_at"]),
        granted_at=_time(row["granted_at"]),
    )


def task_row_of(row: Record) -> TaskRow:
    """Read the columns `TASK_COLUMNS`."""
    return TaskRow(
        run_key=RunKey(row["run_key"]),
        operation=Operation(row["operation"]),
        attempt=row["attempt"],
        namespace=row["namespace"],
        queue=row["queue"],
        activity=row["activity"],
        priority=Priority(row["priority"]),
        queued_at=Timestamp(row["queued_at"]),
        data=row["data"].encode(),
        labels=row["labels"],
        share=row["share"],
        cost=row["cost"],
        sticky_to=None if row["sticky_to"] is None else WorkerId(row["sticky_to"]),
        sticky_until=None if row["sticky_until"] is None else Timestamp(row["sticky_until"]),
        owner=None if row["owner"] is None else WorkerId(row["owner"]),
        claims=row["claims"],
        is_recovered=row["recovering"],
    )


def agenda_entry_of(row: Iterable[Any]) -> AgendaEntry:
    """Read an entry of the agenda: one that cannot be read, too, since it must not hide those beside it."""
    namespace, kind, name, version, due_at, waits, data, inputs, digest = row
    entry = AgendaEntry(
        key=AgendaKey(kind=kind, namespace=namespace, id=name),
        version=RunKey(version),
        due_at=_time(due_at),
        waits=waits,
        data="",
    )
    columns = (namespace, kind, name, version, due_at, int(waits), data, inputs)
    if digest != digest_of_entry(columns):
        return msgspec.structs.replace(entry, damage="it is not what was written: its digest differs")
    try:
        return msgspec.structs.replace(entry, data=data, inputs=_INPUTS.decode(inputs))
    except UNDECODABLE as error:
        return msgspec.structs.replace(entry, damage=str(error))


def agenda_row(entry: AgendaEntry) -> tuple[object, ...]:
    """Return an entry of the agenda as a row."""
    key = entry.key
    name, inputs = (key.namespace, key.kind, key.id), msgspec.json.encode(entry.inputs).decode()
    digest = digest_of_entry((*name, entry.version, entry.due_at, int(entry.waits), entry.data, inputs))
    return (*name, entry.version, entry.due_at, entry.waits, entry.data, inputs, digest)


_LABELS: Final[msgspec.json.Decoder[dict[str, str]]] = msgspec.json.Decoder(dict[str, str])
_INPUTS: Final[msgspec.json.Decoder[tuple[Payload, ...]]] = msgspec.json.Decoder(tuple[msgspec.Raw, ...])
_PARKING: Final[msgspec.json.Decoder[Parking]] = msgspec.json.Decoder(Parking)


def _labels(text: str) -> dict[str, str]:
    """Read labels that the server has put together, as they stand in their rows."""
    return {unescaped(name): unescaped(value) for name, value in _LABELS.decode(text).items()}


def _time(value: int | None) -> Timestamp | None:
    return None if value is None else Timestamp(value)
