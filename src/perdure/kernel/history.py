"""Recorded events: an event with its place and time, and its form as a row (type, version, JSON data).

Unknown types and versions are errors that name both; old versions are upgraded on reading by `UPCASTS`, one step at a
time, on plain dictionaries, so that the rest of the library knows only today's records.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from perdure.errors import HistoryError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.events import EVENT_NAMES, EVENT_TYPES, Event
from perdure.kernel.time import Timestamp, timestamp_to_datetime

__all__ = ["EVENT_VERSIONS", "UPCASTS", "EventRow", "RecordedEvent", "Upcast", "decode_event", "encode_event"]


class RecordedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event in its place: `sequence` counts from 1 without gaps, `at` (microseconds since 1970, UTC) never decreases
    within a run."""

    sequence: int
    at: Timestamp
    event: Event

    @property
    def type(self) -> str:
        """The event's type as the database, the command line and the documentation name it: ``activity_completed``."""
        return EVENT_NAMES[type(self.event)]

    @property
    def moment(self) -> datetime:
        """When it happened, as an aware datetime in UTC."""
        return timestamp_to_datetime(self.at)


EventRow = tuple[int, str, int, int, bytes]
"""(sequence, type, version, at, data): what a store keeps of a recorded event."""

EVENT_VERSIONS: Final[dict[type[Event], int]] = dict.fromkeys(EVENT_NAMES, 1)
"""Record class -> the version that this library writes."""

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the decoded data of version n of an event type into that of version n + 1."""

UPCASTS: Final[Mapping[tuple[str, int], Upcast]] = {}
"""(type name, version n) -> the step to version n + 1. Empty until a second version of some event is released."""


def encode_event(recorded: RecordedEvent) -> EventRow:
    """Return the row of a recorded event."""
    event = recorded.event
    kind = type(event)
    return (recorded.sequence, EVENT_NAMES[kind], EVENT_VERSIONS[kind], recorded.at, _ENCODER.encode(event))


def decode_event(
    sequence: int,
    type_name: str,
    version: int,
    at: int,
    data: bytes | str,
    *,
    upcasts: Mapping[tuple[str, int], Upcast] = UPCASTS,
) -> RecordedEvent:
    """Read a row back. Raises HistoryError for an unknown type or version and for data that does not fit the type."""
    kind = EVENT_TYPES.get(type_name)
    if kind is None:
        message = (
            f"event {sequence} has the unknown type {type_name!r} (version {version}); "
            f"was it written by a newer Perdure?"
        )
        raise HistoryError(message)
    try:
        if version == EVENT_VERSIONS[kind]:
            event = _DECODERS[kind].decode(data)
        else:
            event = _upgrade(kind, type_name, version, data, upcasts)
    except UNDECODABLE as error:
        message = f"event {sequence} ({type_name} version {version}) cannot be decoded: {error}"
        raise HistoryError(message) from error
    return RecordedEvent(sequence, Timestamp(at), event)


_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[type[Event], msgspec.json.Decoder[Event]] = {kind: msgspec.json.Decoder(kind) for kind in EVENT_NAMES}


def _upgrade(
    kind: type[Event], type_name: str, version: int, data: bytes | str, upcasts: Mapping[tuple[str, int], Upcast]
) -> Event:
    fields = msgspec.json.decode(data, type=dict[str, Any])
    for step in range(version, EVENT_VERSIONS[kind]):
        upcast = upcasts.get((type_name, step))
        if upcast is None:
            break
        fields = upcast(fields)
    else:
        if version < EVENT_VERSIONS[kind]:
            return msgspec.json.decode(msgspec.json.encode(fields), type=kind)
    message = (
        f"an event of type {type_name!r} has version {version}; this library reads version {EVENT_VERSIONS[kind]}"
        f"{'' if version < 1 else ' and those it has upgrades for'}; a newer Perdure is needed to read it"
    )
    raise HistoryError(message)
