"""Events and payloads as text: complete JSON for programs, short lines for people."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from perdure.cli.printing import leniently_read, printable, shortened
from perdure.cli.times import show_duration, show_moment
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.events import Event
from perdure.kernel.payload import Payload, is_enveloped
from perdure.kernel.time import Timestamp
from perdure.redaction import has_secrets, masked

__all__ = ["event_details", "payload_text"]

_VALUE_CHARACTERS: Final = 60
_DETAIL_CHARACTERS: Final = 160
# Long, and told elsewhere: the traceback by `show`, the seed by nobody.
_LEFT_OUT: Final = frozenset({"seed", "types", "traceback", "trace_context", "cause", "ref"})


def event_details(event: Event, *, now: Timestamp) -> str:
    """Return what an event says, on one line, each value shortened."""
    fields: dict[str, object] = _without_secrets(msgspec.json.encode(event))
    parts = [f"{name}={_value(name, value, now=now)}" for name, value in fields.items() if name not in _LEFT_OUT]
    return shortened("  ".join(parts), _DETAIL_CHARACTERS)


def payload_text(payload: Payload, *, limit: int = 400) -> str:
    """Return a payload's JSON, printable and at most `limit` characters long; of an encoded one by what it was."""
    if is_enveloped(payload):
        return _encoded(msgspec.json.decode(payload))
    text = bytes(payload).decode("utf-8", "replace")
    if has_secrets(text):
        with suppress(*UNDECODABLE):  # a damaged one is shown as it is
            text = msgspec.json.encode(_without_secrets(bytes(payload))).decode()
    return shortened(printable(text), limit)


def _without_secrets(encoded: bytes) -> Any:  # noqa: ANN401 - any value of JSON
    return masked(leniently_read(encoded))


def _value(name: str, value: object, *, now: Timestamp) -> str:
    match value:
        case int() if name.endswith("_at") or name == "grace_until":
            return show_moment(Timestamp(value), now=now)
        case int() if name.endswith("_microseconds"):
            return show_duration(value)
        case str():
            return shortened(printable(value), _VALUE_CHARACTERS)
        case {"type": failed, "message": message} if name in {"failure", "reason"}:
            return shortened(printable(f"{failed}: {message}"), _VALUE_CHARACTERS)
        case {"$perdure": _, **envelope}:
            return _encoded(envelope)
        case {"id": run_id} if name in {"child", "target", "origin"}:
            return printable(str(run_id))
        case _:
            return shortened(printable(msgspec.json.encode(value).decode()), _VALUE_CHARACTERS)


def _encoded(envelope: Mapping[object, object]) -> str:
    """Return what stands for a value that this command has no codec for."""
    by = envelope.get("by") or ["blob"]
    return printable(f"<encoded: {', '.join(map(str, by)) if isinstance(by, list) else '?'}>")
