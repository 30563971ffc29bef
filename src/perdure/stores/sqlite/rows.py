"""Rows of the tables as the port's records."""

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import UnionType
from typing import Any, Final, TypeVar

import msgspec

from perdure.errors import HistoryError, StoreError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.failure import Failure
from perdure.kernel.identity import FencingToken, RunKey, RunRef, WorkerId, WorkflowVersion
from perdure.kernel.messages import decode_message
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import Task
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Parking, RunStatus
from perdure.ports.store import InboxEntry, RunSummary
from perdure.ports.tasks import decode_task
from perdure.stores.sql.chain import digest_of_message, digest_of_task

__all__ = [
    "as_typed",
    "inbox_of",
    "parking_of",
    "ref_of",
    "sound_message_of",
    "sound_task",
    "status_of",
    "summary_of",
    "versions_as_json",
]

T = TypeVar("T")

# Any in this file: a row holds what SQLite found, which the records give its types.


@lru_cache(maxsize=8)
def versions_as_json(workflows: frozenset[WorkflowVersion]) -> str:
    """Return what a worker has the code of, as statements take it: each claim names the same."""
    return msgspec.json.encode(sorted(workflows)).decode()


def summary_of(row: Sequence[Any]) -> RunSummary:
    """Read the columns `RUN_COLUMNS`. A damaged one must not keep others' rows from being read, or this run from being
    claimed: what no Perdure wrote is left out and named."""
    reading = _Reading()
    if not all(map(isinstance, row, _TYPES)):
        row = [reading.as_typed(*column) for column in zip(row, _TYPES, _NAMES, strict=False)]
    is_open = row[15] is None
    return RunSummary(
        run_key=RunKey(row[0]),
        ref=RunRef(namespace=row[1], id=row[2], generation=row[3]),
        workflow=row[4],
        definition_version=row[5],
        status=reading.of("status", RunStatus, row[6], _status_instead(is_open=is_open)),
        stage=row[7],
        progress=row[8],
        priority=reading.of("priority", Priority, row[9], Priority.NORMAL),
        tenant=row[10],
        parent_key=None if row[11] is None else RunKey(row[11]),
        created_at=Timestamp(row[12]),
        started_at=_time(row[13]),
        updated_at=Timestamp(row[14]),
        closed_at=_time(row[15]),
        sequence=row[16],
        owner=None if row[17] is None else WorkerId(row[17]),
        fencing_token=FencingToken(row[18]),
        wake_at=_time(row[19]),
        labels=reading.of("labels", _labels, row[20], {}),
        parked=None if row[21] is None else reading.of("parked", _PARKING.decode, row[21], _parked_somehow(row[14])),
        damage=reading.damage,
    )


def status_of(value: str, *, is_open: bool) -> RunStatus:
    """Read a status by itself; see `summary_of`."""
    try:
        return RunStatus(value)
    except ValueError:
        return _status_instead(is_open=is_open)


def _status_instead(*, is_open: bool) -> RunStatus:
    return RunStatus.RUNNING if is_open else RunStatus.FAILED


class _Reading:
    """The reading of one row; `damage` says what could not be read."""

    def __init__(self) -> None:
        self.damage = ""

    def of(self, name: str, read: Callable[[Any], T], value: Any, instead: T) -> T:  # noqa: ANN401 - see above
        """Return a column's value, or the other one and note the damage."""
        try:
            return read(value)
        except (ValueError, *UNDECODABLE) as error:
            self._note(name, str(error))
            return instead

    def as_typed(self, value: Any, kind: type | UnionType, name: str) -> Any:  # noqa: ANN401
        """Return a column's value as one of its types, and note the damage if it is of none."""
        if not isinstance(value, kind):
            self._note(name, f"it is {value!r:.60}")
        return as_typed(value, kind)

    def _note(self, name: str, why: str) -> None:
        self.damage += f"{'; ' if self.damage else ''}{name} cannot be read: {why}"


def as_typed(value: Any, kind: type | UnionType) -> Any:  # noqa: ANN401 - see above
    """Return a column's value if it is of one of its types, or else one that is."""
    if isinstance(value, kind):
        return value
    if isinstance("", kind):
        return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    return None if isinstance(None, kind) else 0


def ref_of(namespace: Any, run_id: Any, generation: Any) -> RunRef:  # noqa: ANN401
    """Name a run as its row, or an index, does. Either may be damaged: no run has what is named instead."""
    # The default's own text is left out where a reference is recorded, as in every other record of a run.
    name = sys.intern(as_typed(namespace, str))
    return RunRef(namespace=name, id=as_typed(run_id, str), generation=as_typed(generation, int))


_COLUMNS: Final[dict[str, type | UnionType]] = {
    "run_key": int,
    "namespace": str,
    "id": str,
    "generation": int,
    "workflow": str,
    "definition_version": str,
    "status": str,
    "stage": str,
    "progress": float,
    "priority": int,
    "tenant": str,
    "parent_key": int | None,
    "created_at": int,
    "started_at": int | None,
    "updated_at": int,
    "closed_at": int | None,
    "sequence": int,
    "owner": int | None,
    "fencing_token": int,
    "wake_at": int | None,
    "labels": bytes,
    "parked": bytes | None,
}
"""The first columns of `RUN_COLUMNS`, and what SQLite gives for them: tables keep to that, flipped bits do not."""
_NAMES: Final = tuple(_COLUMNS)
_TYPES: Final = tuple(_COLUMNS.values())


def inbox_of(run_key: RunKey, rows: list[tuple[Any, ...]]) -> list[InboxEntry]:
    """Read rows of an inbox. Raises HistoryError for one that cannot be decoded."""
    try:
        return [_message_of(run_key, row) for row in rows]
    except msgspec.DecodeError as error:
        raise HistoryError(f"the inbox of run {run_key} holds what is no message: {error}") from error


def sound_message_of(run_key: RunKey, row: tuple[Any, ...]) -> list[InboxEntry]:
    """Read a row of an inbox, with its texts as bytes; none, if it is damaged."""
    position, data, message_id, at, digest = row
    try:
        return [_message_of(run_key, (position, data.decode(), message_id.decode(), at, digest))]
    except (HistoryError, AttributeError, *UNDECODABLE):
        return []


def _message_of(run_key: RunKey, row: tuple[Any, ...]) -> InboxEntry:
    position, data, message_id, at, digest = row
    if digest is not None and digest != digest_of_message(run_key, message_id, at, data):
        raise HistoryError(
            f"the message at position {position} of the inbox of run {run_key} is not the one that was put there: its "
            f"digest differs"
        )
    return InboxEntry(position=position, message=decode_message(data), message_id=message_id, at=Timestamp(at))


def sound_task(fields: Sequence[Any], digest: Any, *, share: Any, cost: Any) -> Task | None:  # noqa: ANN401
    """Read the `TASK_FIELDS` of a row, with its texts as bytes; None, if it is not as it was written."""
    try:
        texts = [field.decode() if isinstance(field, bytes) else field for field in fields]
        if digest != digest_of_task(texts):
            return None
        task = decode_task(texts[_DATA_OF_TASK])
        return task if (share.decode(), cost) == (task.share, task.expected_seconds) else None
    except (AttributeError, *UNDECODABLE):
        return None


_DATA_OF_TASK: Final = 8
"""Where among the fields that are hashed a task itself stands."""

_PARKING: msgspec.json.Decoder[Parking] = msgspec.json.Decoder(Parking)
_LABELS: msgspec.json.Decoder[list[tuple[str, str]]] = msgspec.json.Decoder(list[tuple[str, str]])


def parking_of(stored: bytes | None) -> Parking | None:
    """Read why a run is parked; None if it is not, or if that cannot be read."""
    try:
        return None if stored is None else _PARKING.decode(stored)
    except UNDECODABLE:
        return None


def _parked_somehow(since: int) -> Parking:
    reason = Failure(type=StoreError.__name__, message="why it is parked is not known: the row is damaged")
    return Parking(reason=reason, since=Timestamp(since), tried=())


def _labels(value: bytes) -> dict[str, str]:
    return dict(_LABELS.decode(value))


def _time(value: int | None) -> Timestamp | None:
    return None if value is None else Timestamp(value)
