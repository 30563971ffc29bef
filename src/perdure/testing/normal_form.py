"""The normal form of an event: what must be equal however often the processes died, and whenever a run ran.

Taken out: times (a time that was computed from its event's own is kept as the distance), run keys, the names of
workers, the ids of messages, the tokens of locks, heartbeats, events about recovery and about the starts of attempts.
Where a workflow does things in parallel, the order of its events is not compared, and neither are the operation numbers
that follow from it.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from perdure.kernel.history import RecordedEvent

__all__ = ["normal_event", "normal_history", "normal_text"]


def normal_history(history: Iterable[RecordedEvent], *, in_order: bool) -> list[str]:
    """Return the normal forms of the events that count; without `in_order` sorted, and without operation numbers.

    Ids that a client made by chance, as those of updates, are taken out, too.
    """
    rows = [row for recorded in history if (row := normal_event(recorded, in_order=in_order))]
    rows = [_RANDOM_ID.sub('"random id"', row) for row in rows]
    return rows if in_order else sorted(rows)


_RANDOM_ID: Final = re.compile(r'"[0-9a-f]{32}"')


def normal_event(recorded: RecordedEvent, *, in_order: bool) -> str:
    """Return the normal form of an event; an empty text for one that does not count."""
    event = recorded.event
    kind = type(event).__name__
    if kind in _LEFT_OUT:
        return ""
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(event))
    for name in _DROPPED:
        fields.pop(name, None)
    for name in _INSTANTS:
        if fields.get(name) is not None:
            fields[name] -= recorded.at
    _forget_other_times(fields)
    for child in fields.get("carried_children", ()):
        child.pop("run_key", None)
    if isinstance(fields.get("failure"), dict):
        _forget_traceback(fields["failure"])
    if isinstance(fields.get("parent"), dict):
        del fields["parent"]["run_key"]
    if not in_order:
        for name in _NUMBERS:
            fields.pop(name, None)
        if isinstance(fields.get("parent"), dict):
            fields["parent"].pop("operation", None)
    return f"{kind} {normal_text(fields)}"


def normal_text(value: object) -> str:
    """Return a value as JSON with its keys in order."""
    return msgspec.json.encode(value, order="sorted").decode()


def _forget_other_times(fields: dict[str, Any]) -> None:
    """Forget when a deadline is that was not set by this event, but before it."""
    if isinstance(fields.get("within"), dict):
        del fields["within"]["at"]
    if fields.get("deadline_of"):
        fields.pop("deadline_at", None)


def _forget_traceback(failure: dict[str, Any]) -> None:
    failure.pop("traceback", None)
    if isinstance(failure.get("cause"), dict):
        _forget_traceback(failure["cause"])


_LEFT_OUT: Final = frozenset(
    {"RecoveryStarted", "RecoveryCompleted", "ActivityAttemptStarted", "ActivityHeartbeatRecorded"}
)
_DROPPED: Final = (
    "worker", "started_at", "message_id", "run_key", "start_at", "first_attempt_at", "grace_until", "fencing_token",
    "call_name",
)  # fmt: skip
_INSTANTS: Final = ("due_at", "next_attempt_at", "deadline_at", "next_at")
_NUMBERS: Final = ("operation", "compensates", "seed", "holding")
