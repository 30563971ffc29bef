"""Events as lines of files, written for people and programs: the same in saved histories and in exported runs."""

from datetime import datetime
from typing import Final

import msgspec

from perdure.errors import HistoryError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.events import EVENT_NAMES
from perdure.kernel.history import EVENT_VERSIONS, RecordedEvent, decode_event
from perdure.kernel.time import Timestamp, timestamp_from_datetime, timestamp_to_datetime

__all__ = ["event_record", "iso_text", "read_event"]


def iso_text(moment: Timestamp) -> str:
    """Return an instant in ISO 8601, UTC, exact."""
    return timestamp_to_datetime(moment).isoformat(timespec="microseconds").replace("+00:00", "Z")


def event_record(recorded: RecordedEvent) -> dict[str, object]:
    """Return an event whole, its payloads as the JSON they are."""
    kind = type(recorded.event)
    return {
        "sequence": recorded.sequence,
        "at": iso_text(recorded.at),
        "event": EVENT_NAMES[kind],
        "version": EVENT_VERSIONS[kind],
        "data": recorded.event,
    }


def read_event(line: bytes) -> RecordedEvent:
    """Read a line, of an older version of its event, too. Raises HistoryError."""
    try:
        said = _DECODER.decode(line)
        at = timestamp_from_datetime(said.at)
        return decode_event(said.sequence, said.event, said.version, at, bytes(said.data))
    except (*UNDECODABLE, ValueError) as error:
        raise HistoryError(str(error)) from error


class _SavedEvent(msgspec.Struct):
    sequence: int
    at: datetime
    event: str
    version: int
    data: msgspec.Raw


_DECODER: Final = msgspec.json.Decoder(_SavedEvent)
