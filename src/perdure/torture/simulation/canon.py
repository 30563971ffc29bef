"""The canonical form of all tables: what must be equal however often the processes died.

Taken out: times (a time that was computed from its event's own is kept as the distance), run keys (runs are named by
their reference), owners, fencing tokens, the names of workers, heartbeats, events about recovery and about the starts
of attempts. Where a workload does things in parallel, the order of its events is not compared, and neither are the
operation numbers that follow from it.
"""

import re
from collections import Counter
from typing import Any, Final

import msgspec

from perdure.kernel.history import RecordedEvent
from perdure.torture.simulation.tables import Tables

__all__ = ["Canon", "canonical"]


class Canon(msgspec.Struct, frozen=True, kw_only=True):
    """Tables in canonical form: table name -> rows in canonical form."""

    tables: dict[str, list[str]]

    def differences(self, expected: "Canon") -> list[str]:
        """Return, per table that is not as expected, what is missing and what is too much."""
        found: list[str] = []
        for name in sorted(self.tables.keys() | expected.tables.keys()):
            mine, wanted = self.tables.get(name, []), expected.tables.get(name, [])
            if mine == wanted:
                continue
            missing = list((Counter(wanted) - Counter(mine)).elements())
            surplus = list((Counter(mine) - Counter(wanted)).elements())
            if missing or surplus:
                found.append(f"{name} differs: missing {_shown(missing)}; too much {_shown(surplus)}")
            else:
                found.append(f"{name} differs in its order: {_shown(mine)}")
        return found


def _shown(rows: list[str]) -> str:
    text = "; ".join(rows) or "nothing"
    return text if len(text) <= _LONGEST_CHARACTERS else f"{text[:_LONGEST_CHARACTERS]}..."


_LONGEST_CHARACTERS: Final = 600


def canonical(tables: Tables, *, in_order: bool) -> Canon:
    """Return the canonical form of all tables; with `in_order` each history in its order."""
    database = tables.database
    names = {key: str(run.ref) for key, run in database.runs.items()}
    found: dict[str, list[str]] = {
        "runs": sorted(
            _text(
                {
                    "ref": names[key],
                    "workflow": run.workflow,
                    "version": run.definition_version,
                    "status": run.status,
                    "stage": run.stage,
                    "progress": run.progress,
                    "priority": run.priority,
                    "tenant": run.tenant,
                    "labels": run.labels,
                    "parent": names.get(run.parent_key) if run.parent_key is not None else None,
                    "is_waiting": key in database.waiting,
                }
            )
            for key, run in database.runs.items()
        ),
        "inbox": sorted(
            f"{names.get(key, 'no run')}: {entry.data.decode()}"
            for key, inbox in database.inboxes.items()
            for entry in inbox.values()
        ),
        "requests": sorted(f"{request}: {names[key]}" for (_, request), key in database.requests.items()),
        "message_requests": sorted(f"{run_id}: {request}" for _, run_id, request in database.message_requests),
        "message_ids": sorted(f"{names.get(key, 'no run')}" for key, _ in database.message_ids),
    }
    for key, name in names.items():
        rows = [_event(recorded, in_order=in_order) for recorded in tables.history(key)]
        rows = [row for row in rows if row]
        found[f"history of {name}"] = rows if in_order else sorted(rows)
    return Canon(tables=found)


def _text(value: object) -> str:
    return _TOKEN.sub("token", msgspec.json.encode(value, order="sorted").decode())


_TOKEN: Final = re.compile(r"token-\d+")


def _event(recorded: RecordedEvent, *, in_order: bool) -> str:
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
    return f"{kind} {_text(fields)}"


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
_DROPPED: Final = ("worker", "started_at", "message_id", "run_key", "start_at", "first_attempt_at", "grace_until")
_INSTANTS: Final = ("due_at", "next_attempt_at", "deadline_at", "next_at")
_NUMBERS: Final = ("operation", "compensates", "seed")
