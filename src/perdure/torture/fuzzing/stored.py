"""What lies in the database: rows of histories, inboxes, runs, locks and the agenda."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from perdure.errors import HistoryError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.events import EVENT_NAMES
from perdure.kernel.history import EVENT_VERSIONS, RecordedEvent, decode_event, encode_event
from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.messages import Message, encode_message
from perdure.kernel.tasks import Task
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Parking
from perdure.ports.agenda import AgendaEntry
from perdure.ports.tasks import decode_task, encode_task
from perdure.stores.postgres.rows import agenda_entry_of as entry_of_postgres
from perdure.stores.postgres.rows import agenda_row, run_of
from perdure.stores.sql.blocks import BLOCK, BlockRow, events_of_row, parts_of_events, rows_of
from perdure.stores.sql.chain import digest_of_entry
from perdure.stores.sqlite.agenda import agenda_entry_of
from perdure.stores.sqlite.lock_lines import lock_entry_of
from perdure.stores.sqlite.rows import inbox_of, parking_of, summary_of
from perdure.timekeeping.debouncing import Burst, read_burst
from perdure.timekeeping.deduplication import Remembered, read_remembered
from perdure.timekeeping.schedules import Schedule, encode_schedule, read_schedule
from perdure.timekeeping.singletons import Line, read_line
from perdure.torture.fuzzing.sampling import kinds_of, samples
from perdure.torture.fuzzing.target import Target, demand_equal

__all__ = ["STORED"]

_KINDS: Final = tuple(EVENT_NAMES)
_RUN: Final = RunKey(1)
_AT: Final = Timestamp(0)
_SAMPLES_IN_BLOCKS: Final = 40
_OLD: Final = ("0",)
"""Versions that are upgraded."""


def _events() -> list[bytes]:
    rows = (encode_event(RecordedEvent(1, _AT, sample)) for kind in _KINDS for sample in samples(kind))  # type: ignore[arg-type]
    written = [row[1].encode() + b" " + row[4] for row in rows]
    return [*written, *(entry.replace(b" ", b"@0 ", 1) for entry in written[:4])]


def _read_event(data: bytes) -> None:
    name, _, body = data.partition(b" ")
    kind, _, number = name.decode("utf-8", "replace").partition("@")
    version = next((EVENT_VERSIONS[each] for each, known in EVENT_NAMES.items() if known == kind), 1)
    if number in _OLD:
        version = int(number)
    upgrades = {(kind, version): _changed_in_nothing}
    found = decode_event(1, kind, version, 0, body, upcasts=upgrades)
    demand_equal(decode_event(*encode_event(found)), found)


def _blocks() -> list[bytes]:
    sampled = [sample for kind in _KINDS for sample in samples(kind)][:_SAMPLES_IN_BLOCKS]
    events = [RecordedEvent(place, Timestamp(place), sample) for place, sample in enumerate(sampled, start=1)]  # type: ignore[arg-type]
    return [row[4].encode() for size in (2, 3, len(events)) for row in _rows_of(events[:size]) if row[1] == BLOCK]


def _rows_of(events: list[RecordedEvent]) -> list[BlockRow]:
    return list(rows_of(parts_of_events(events), in_blocks=True))


def _read_block(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        count = len(msgspec.json.decode(text, type=list[msgspec.Raw]))
    except UNDECODABLE:
        count = 2
    found = events_of_row((count, BLOCK, 1, 0, text, b"", count))
    again = [event for *row, events in _rows_of(found) for event in events_of_row((*row, b"", events))]
    demand_equal(again, found)


def _changed_in_nothing(fields: dict[str, Any]) -> dict[str, Any]:
    return fields


def _messages() -> list[bytes]:
    return [encode_message(sample) for kind in kinds_of(Message) for sample in samples(kind)]  # type: ignore[arg-type]


def _read_message(data: bytes) -> None:
    [entry] = inbox_of(_RUN, [(1, data, "id", 0, None)])
    demand_equal(inbox_of(_RUN, [(1, encode_message(entry.message), "id", 0, None)]), [entry])


def _tasks() -> list[bytes]:
    return [encode_task(sample) for sample in samples(Task)]  # type: ignore[arg-type]


def _read_task(data: bytes) -> None:
    found = decode_task(data)
    demand_equal(decode_task(encode_task(found)), found)


_SEPARATOR: Final = b"\x1e"


def _run_rows() -> list[bytes]:
    parkings = [msgspec.json.encode(sample) for sample in samples(Parking)]
    labels = (b"[]", msgspec.json.encode([("customer", "ö"), ("region", "eu")]))
    return [
        _SEPARATOR.join((status, label, parking))
        for status in (b"running", b"failed")
        for label in labels
        for parking in parkings
    ]


def _read_run_row(data: bytes) -> None:
    status, labels, parked, *_ = (*data.split(_SEPARATOR), b"", b"")
    row = (1, "n", "id", 1, "w", "1", status.decode("utf-8", "replace"), "", 0.0, 2, "", None, 0, None, 0, None, 1)
    found = summary_of((*row, None, 0, None, labels, parked))
    parking = parking_of(parked)
    if not found.damage:
        demand_equal(parking, found.parked)


def _lock_rows() -> list[bytes]:
    return [msgspec.json.encode(holding) for holding in ((), (Operation(3),), tuple(map(Operation, range(50))))]


def _read_lock_row(data: bytes) -> None:
    found = lock_entry_of((1, "key", 1, "n", "id", 1, 4, 1, data, 0, None))
    demand_equal(msgspec.json.decode(msgspec.json.encode(found.holding)), list(found.holding))


_Reader = Callable[[AgendaEntry], Any]


def _agenda_corpus(kind: type[msgspec.Struct]) -> Callable[[], list[bytes]]:
    inputs = (b"[]", b'[{"a":1},null]')
    return lambda: [msgspec.json.encode(sample) + _SEPARATOR + each for sample in samples(kind) for each in inputs]


def _agenda_reader(read: _Reader) -> Callable[[bytes], None]:
    def read_row(data: bytes) -> None:
        said, _, inputs = data.partition(_SEPARATOR)
        found = read(agenda_entry_of(("n", "kind", "id", 1, None, 0, said, inputs, None)))
        again = encode_schedule(found) if isinstance(found, Schedule) else msgspec.json.encode(found).decode()
        demand_equal(read(agenda_entry_of(("n", "kind", "id", 1, None, 0, again.encode(), b"[]", None))), found)

    return read_row


def _agenda_target(name: str, kind: type[msgspec.Struct], read: _Reader) -> Target:
    return Target(name=name, corpus=_agenda_corpus(kind), read=_agenda_reader(read), expected=(HistoryError,))


def _read_postgres_row(data: bytes) -> None:
    status, labels, parked, *_ = (*data.decode("utf-8", "replace").split("\x1e"), "", "")
    stored = (*_STANDING.values(), status, labels or None, parked or None)
    found = run_of(dict(zip((*_STANDING, "status", "labels", "parked"), stored, strict=True)))
    demand_equal(parking_of(parked.encode()) if parked else None, found.parked)


_STANDING: Final[dict[str, Any]] = {
    **dict.fromkeys(("run_key", "generation", "created_at", "updated_at", "sequence", "fencing_token"), 1),
    **dict.fromkeys(("namespace", "id", "workflow", "definition_version", "stage", "tenant"), "n"),
    **dict.fromkeys(("parent_key", "started_at", "closed_at", "owner", "wake_at", "end_at")),
    "progress": 0.0,
    "priority": 2,
    "recovering": False,
}


def _postgres_rows() -> list[bytes]:
    labels = ("", msgspec.json.encode({"customer": "ö\x01\x01", "region": "eu"}).decode())
    parkings = ("", *(msgspec.json.encode(sample).decode() for sample in samples(Parking)))
    return [f"running\x1e{label}\x1e{parking}".encode() for label in labels for parking in parkings]


def _read_postgres_entry(data: bytes) -> None:
    said, _, inputs = data.decode("utf-8", "replace").partition("\x1e")
    columns = ("n", "kind", "id", 1, None, 0, said, inputs)
    found = entry_of_postgres((*columns[:5], False, said, inputs, digest_of_entry(columns)))
    if not found.damage:
        demand_equal(entry_of_postgres(agenda_row(found)), found)


def _postgres_entries() -> list[bytes]:
    return [b"{}\x1e[]", b'{"a":1}\x1e[{"a":1},null]']


STORED: Final = (
    Target(name="event", corpus=_events, read=_read_event, expected=(HistoryError,)),
    Target(name="message", corpus=_messages, read=_read_message, expected=(HistoryError,)),
    Target(name="task", corpus=_tasks, read=_read_task, expected=(msgspec.DecodeError,)),
    Target(name="run-row", corpus=_run_rows, read=_read_run_row),
    Target(name="postgres-block", corpus=_blocks, read=_read_block, expected=(HistoryError,)),
    Target(name="postgres-entry", corpus=_postgres_entries, read=_read_postgres_entry),
    Target(name="postgres-row", corpus=_postgres_rows, read=_read_postgres_row, expected=(HistoryError,)),
    Target(name="lock-row", corpus=_lock_rows, read=_read_lock_row, expected=(HistoryError,)),
    _agenda_target("schedule", Schedule, read_schedule),
    _agenda_target("debounce", Burst, read_burst),
    _agenda_target("deduplication", Remembered, read_remembered),
    _agenda_target("singleton", Line, read_line),
)
