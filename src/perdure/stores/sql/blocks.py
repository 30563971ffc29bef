"""Blocks: the events of a transition as one row of a history.

What an event costs a server is its row more than itself: a header, an entry in the index, a digest, and columns on
the way there. So events that are committed together are one row, whose type is `*`, whose number is that of the last,
and whose time is that of the first:

    sequence  type  version  at                data                                                 events
    7         *     1        1795823784982810  [["activity_completed",{...}],["run_completed",{...}]]  2

Each is [type, event], or [type, event, microseconds since the row's time, version] where these are not 0 and 1;
`events` says how many there are. An event alone is a row as it always was, with its type and version in their columns.

**Limits.** A block holds at most `MOST_EVENTS`, so that who reads up to some event reads few too many; and at most
65,536 characters. `run_forked` is in none: the server finds forks by the types of rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Final

import msgspec

from perdure.errors import HistoryError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.events import EVENT_NAMES, Event, RunForked
from perdure.kernel.history import EVENT_VERSIONS, EventRow, RecordedEvent, decode_event
from perdure.kernel.loop import LAST_INSTANT
from perdure.stores.sql.checking import StoredEvent, events_in

__all__ = ["BLOCK", "MOST_EVENTS", "BlockRow", "Part", "events_of_row", "parts_of_events", "parts_of_rows", "rows_of"]

BLOCK: Final = "*"
"""The type of a row that holds several events."""
MOST_EVENTS: Final = 100

Part = tuple[int, str, int, int, Event | msgspec.Raw]
"""(sequence, type, version, at, event): of what a block is made."""

BlockRow = tuple[int, str, int, int, str, int]
"""(sequence, type, version, at, data, events): what a store keeps of an event, or of several."""


def parts_of_events(events: Iterable[RecordedEvent]) -> list[Part]:
    """Return events as parts of blocks."""
    return [
        (one.sequence, EVENT_NAMES[kind := type(one.event)], EVENT_VERSIONS[kind], one.at, one.event) for one in events
    ]


def parts_of_rows(rows: Iterable[EventRow]) -> list[Part]:
    """Return events that are encoded as parts of blocks."""
    return [(sequence, name, version, at, msgspec.Raw(data)) for sequence, name, version, at, data in rows]


def rows_of(parts: Sequence[Part], *, in_blocks: bool) -> Iterator[BlockRow]:
    """Yield the rows of events that are committed together, in their order; `in_blocks`, or one for each."""
    if not in_blocks:
        yield from map(_row_of, parts)
        return
    begin = 0
    for place, part in enumerate(parts):
        if part[1] == _ALONE:
            yield from _blocks_of(parts[begin:place])
            yield _row_of(part)
            begin = place + 1
    yield from _blocks_of(parts[begin:])


def _blocks_of(parts: Sequence[Part]) -> Iterator[BlockRow]:
    for begin in range(0, len(parts), MOST_EVENTS):
        yield from _cut(parts[begin : begin + MOST_EVENTS])


def _cut(parts: Sequence[Part]) -> Iterator[BlockRow]:
    """Yield one block, or several where it would be too long."""
    row = _block_of(parts)
    if len(row[4]) <= _MOST_CHARACTERS or row[-1] == 1:
        yield row
        return
    encoded = [_ENCODE(part[4]) for part in parts]
    ready = [(*part[:4], msgspec.Raw(data)) for part, data in zip(parts, encoded, strict=True)]
    begin, size = 0, 0
    for place, data in enumerate(encoded):
        length = len(data) + _BESIDE_EVENT
        if size + length > _MOST_CHARACTERS and place > begin:
            yield _block_of(ready[begin:place])
            begin, size = place, 0
        size += length
    yield _block_of(ready[begin:])


def _block_of(parts: Sequence[Part]) -> BlockRow:
    if len(parts) == 1:
        return _row_of(parts[0])
    at = parts[0][3]
    data = _ENCODE(
        [
            (name, event) if its == at and version == 1 else (name, event, its - at, version)
            for _, name, version, its, event in parts
        ]
    )
    return (parts[-1][0], BLOCK, _VERSION, at, data.decode(), len(parts))


def _row_of(part: Part) -> BlockRow:
    sequence, name, version, at, event = part
    return (sequence, name, version, at, _ENCODE(event).decode(), 1)


def events_of_row(row: StoredEvent) -> list[RecordedEvent]:
    """Read a row back. Raises HistoryError for what is unknown, or does not fit."""
    sequence, name, version, at, data = row[:5]
    events = events_in(row)
    if name != BLOCK or events == 1:
        return [decode_event(sequence, name, version, at, data)]
    if version != _VERSION:
        raise HistoryError(
            f"the block of events up to {sequence} has the form {version}; this library reads form {_VERSION}; a newer "
            f"Perdure is needed to read it"
        )
    try:
        parts = _DECODE(data)
    except UNDECODABLE as error:
        raise HistoryError(f"the block of events up to {sequence} cannot be decoded: {error}") from error
    if len(parts) != events:
        raise HistoryError(f"the block of events up to {sequence} has {len(parts)} of them, and should have {events}")
    is_long = len(data) > _KEPT_WHOLE  # values of an event are views of its text, and keep it
    return [
        decode_event(number, part.type, part.version, at + part.since, part.event.copy() if is_long else part.event)
        for number, part in enumerate(parts, start=sequence - events + 1)
    ]


class _Stored(msgspec.Struct, array_like=True, gc=False):
    """An event in a block."""

    type: str
    event: msgspec.Raw
    since: Annotated[int, msgspec.Meta(ge=0, le=LAST_INSTANT)] = 0
    version: int = 1


_VERSION: Final = 1
_MOST_CHARACTERS: Final = 65_536
_BESIDE_EVENT: Final = 100
"""What stands beside an event in a block, at most: its type, time and version, brackets and commas."""
_KEPT_WHOLE: Final = 1_024
_ALONE: Final = EVENT_NAMES[RunForked]
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE: Final = msgspec.json.Decoder(list[_Stored]).decode
