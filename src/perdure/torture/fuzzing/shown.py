"""What is shown of payloads and rows that somebody wrote: harmless lines, JSON of the same value, defects by name."""

import json
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

import msgspec

from perdure.cli.payload_text import event_details, payload_text
from perdure.cli.printing import json_text, leniently_read
from perdure.errors import HistoryError
from perdure.kernel.events import RunCompleted
from perdure.kernel.history import decode_event
from perdure.kernel.time import Timestamp
from perdure.redaction import masked
from perdure.stores.sqlite.verification.runs import StoredRun
from perdure.torture.fuzzing.sampling import samples
from perdure.torture.fuzzing.target import BrokenLawError, Target, demand_equal

__all__ = ["SHOWN"]

_NOW: Final = Timestamp(1_767_236_400_000_000)
_VALUES: Final = (
    b'{"user":"ann\\u202e\\u001b[2J","dbPassword":"x","list":[1,2.5,null,{"api_key":[1]}]}',
    b'"text \xf3\xa0\x81\x81"', b"[]",
    b'{"$perdure":1,"by":["deflate"],"data":"eA=="}',
)  # fmt: skip


def _show_payload(data: bytes) -> None:
    """Show a result that stands in a history: what is no JSON never becomes an event."""
    event = decode_event(1, "run_completed", 1, 0, b'{"operation":1,"result":' + data + b"}").event
    if not isinstance(event, RunCompleted):
        raise BrokenLawError(f"it was read as {event!r:.100}")
    for line in (payload_text(event.result), event_details(event, now=_NOW)):
        if not line.isprintable():
            raise BrokenLawError(f"a terminal would obey {line!r:.100}")
    shown = json_text({"result": event.result})
    if {character for character in shown if not character.isprintable()} - {"\n"}:
        raise BrokenLawError(f"a terminal would obey {shown!r:.100}")
    recorded = masked({"result": leniently_read(bytes(event.result))})
    demand_equal(_value(shown), _value(msgspec.json.encode(recorded).decode("utf-8", "replace")))


def _value(text: str) -> object:
    """Read JSON otherwise than the library does; its integers may have any number of digits."""
    return json.loads(text, parse_int=Decimal)


def _rows() -> list[bytes]:
    return [*(msgspec.json.encode(sample) for sample in samples(StoredRun)), b"[1]"]


def _read_row(data: bytes) -> None:
    """Read a row of which each column is any value that SQLite has; bytes stand for texts that are none."""
    width = len(StoredRun.__struct_fields__)
    columns: list[Any] = [data]
    with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
        columns = msgspec.json.decode(data, type=list[int | float | str | None])
    found = StoredRun.of(tuple([*columns, *[None] * width][:width]))
    str(found.ref)


SHOWN: Final = (
    Target(name="shown-payload", corpus=lambda: list(_VALUES), read=_show_payload, expected=(HistoryError,)),
    Target(name="verified-row", corpus=_rows, read=_read_row),
)
