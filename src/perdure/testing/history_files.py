"""Files of saved histories: JSON lines, first what is saved, then one event a line.

**Format 1** (``perdure history ID --export FILE``). The first line is an object with ``perdure_history`` (the number
of the format), ``id``, ``namespace``, ``generation``, ``workflow``, ``definition_version`` and ``events`` (how many
follow). Each further line is an event: ``sequence``, ``at`` (ISO 8601), ``event`` (its type), ``version`` (of the type)
and ``data``. Who reads ignores members that he does not know; a change that such a reader would misunderstand gets a
new number. Events keep their own versions and are upgraded on reading, as those in a database are.

Without the first line a file is what ``perdure history ID --json`` prints: the same events, and nothing that says how
many there must be.
"""

from pathlib import Path
from typing import Any, Final

import msgspec

from perdure.archiving.event_lines import event_record, read_event
from perdure.errors import HistoryError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.events import RunCreated
from perdure.kernel.history import RecordedEvent

__all__ = ["HISTORY_FORMAT", "history_text", "read_history_file"]

HISTORY_FORMAT: Final = 1
"""The format that is written. Older ones are read."""


def history_text(history: list[RecordedEvent]) -> bytes:
    """Return a history as a file of today's format. Raises HistoryError for one without its beginning."""
    created = history[0].event if history else None
    if not isinstance(created, RunCreated):
        message = "a history that does not begin with run_created cannot be saved"
        raise HistoryError(message)
    heading = {
        "perdure_history": HISTORY_FORMAT,
        "id": created.ref.id,
        "namespace": created.ref.namespace,
        "generation": created.ref.generation,
        "workflow": created.workflow,
        "definition_version": created.definition_version,
        "events": len(history),
    }
    return b"".join(msgspec.json.encode(line) + b"\n" for line in (heading, *map(event_record, history)))


def read_history_file(path: Path) -> list[RecordedEvent]:
    """Read a saved history. Raises HistoryError for what is none, or of a newer format, naming file and line."""
    lines = [(number, line) for number, line in enumerate(path.read_bytes().splitlines(), start=1) if line.strip()]
    expected = None
    if lines and (heading := _heading(lines[0][1])) is not None:
        expected = _demand_readable(path, heading)
        del lines[0]
    events = [_event(path, number, line) for number, line in lines]
    if expected is not None and len(events) != expected:
        message = f"{path}: it holds {len(events)} events and says that it holds {expected}: it was cut off or changed"
        raise HistoryError(message)
    return events


class _Heading(msgspec.Struct):
    perdure_history: int
    events: int


def _heading(line: bytes) -> dict[str, Any] | None:
    """Return the first line of a file that has a format; None where it is an event already, or nothing."""
    try:
        found = msgspec.json.decode(line)
    except UNDECODABLE:
        return None  # said of the event that it is not, either
    return found if isinstance(found, dict) and "perdure_history" in found else None


def _demand_readable(path: Path, heading: dict[str, Any]) -> int:
    """Return how many events must follow. Raises HistoryError for a newer format."""
    number = heading["perdure_history"]
    if isinstance(number, int) and number > HISTORY_FORMAT:
        message = (
            f"{path}: it is of format {number}; this Perdure reads formats up to {HISTORY_FORMAT}. Upgrade Perdure."
        )
        raise HistoryError(message)
    try:
        return msgspec.convert(heading, _Heading).events
    except msgspec.ValidationError as error:
        message = f"{path}:1: this is not the beginning of a saved history: {error}"
        raise HistoryError(message) from error


def _event(path: Path, number: int, line: bytes) -> RecordedEvent:
    try:
        return read_event(line)
    except HistoryError as error:
        message = f"{path}:{number}: this is no event as `perdure history ID --json` prints it: {error}"
        raise HistoryError(message) from error
