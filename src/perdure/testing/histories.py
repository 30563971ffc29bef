"""Histories in assertions: one readable line per event that a test cares about, and a diff when they differ.

    assert_history(
        await env.history(run),
        [
            "activity charge(500) called",
            "activity charge returned *",
            "timer of 30 days, 0:00:00 set",
            ...,
            'run completed with "done"',
        ],
    )

A text may hold ``*`` for anything and ``?`` for any character; ``...`` stands for any number of lines.
"""

import difflib
from collections.abc import Iterable, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from types import EllipsisType
from typing import Final

import msgspec

from perdure.errors import InvalidArgumentError
from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.time import Timestamp

__all__ = ["Expected", "assert_history", "history_lines"]

Expected = Sequence[str | EllipsisType]
"""The lines that a history shall have; ``...`` stands for any number of them."""

KINDS: Final = (
    "run",
    "activity",
    "timer",
    "signal",
    "update",
    "stage",
    "child",
    "state",
    "compensation",
    "lock",
    "other",
)
"""The first word of each line: what `only` chooses among."""


def assert_history(history: Iterable[RecordedEvent], expected: Expected, *, only: Sequence[str] = ()) -> None:
    """Fail with a diff unless a history's lines are as expected.

    `only`: compare the lines of these kinds: ``activity``, ``timer``, ``signal``, ``stage`` and so on. Raises
    InvalidArgumentError for a kind that there is not.
    """
    __tracebackhide__ = True
    unknown = [kind for kind in only if kind not in KINDS]
    if unknown:
        message = f"assert_history: there is no kind {unknown[0]!r} of lines; there are {', '.join(KINDS)}"
        raise InvalidArgumentError(message)
    lines = [line for line in history_lines(history) if not only or line.partition(" ")[0] in only]
    if not _matches(lines, tuple(expected)):
        raise AssertionError(_difference(lines, expected))


def history_lines(history: Iterable[RecordedEvent]) -> list[str]:
    """Return a history's lines. Left out: when workers took a run over, began attempts, saved heartbeats."""
    names: dict[int | str, str] = {}
    return [line for recorded in history if (line := _line(recorded.event, recorded.at, names))]


def _matches(lines: Sequence[str], expected: Expected) -> bool:
    """Match like a pattern of a file name, with whole lines for characters. Complexity: lines times expected."""
    reachable = {0}
    for want in expected:
        if want is ...:
            reachable = set(range(min(reachable, default=0), len(lines) + 1)) if reachable else set()
        else:
            reachable = {at + 1 for at in reachable if at < len(lines) and _is_line(lines[at], want)}
    return len(lines) in reachable


def _is_line(line: str, want: str) -> bool:
    return line == want or fnmatchcase(line, want.replace("[", "[[]"))


def _difference(lines: Sequence[str], expected: Expected) -> str:
    """Return a unified diff; what matches a pattern counts as the same line."""
    wanted = ["..." if want is ... else want for want in expected]
    found = [next((want for want in wanted if want != "..." and _is_line(line, want)), line) for line in lines]
    diff = difflib.unified_diff(wanted, found, "expected", "history", lineterm="", n=1_000)
    whole = "\n".join(f"    {line}" for line in lines)
    return "\n".join(["the history is not as expected", *diff, "", "the whole history:", whole])


def _line(event: e.Event, at: Timestamp, names: dict[int | str, str]) -> str:
    """Return an event's line. `names` remembers what the operations of a history were called."""
    number = getattr(event, "operation", 0)
    match event:
        case e.ActivityScheduled(activity=name, input=given, compensates=undone):
            names[number] = f"activity {name}"
            why = f" to undo {names[undone].removeprefix('activity ')}" if undone in names else ""
            return f"activity {name}({_arguments(given)}) called{why}"
        case e.StageStarted(name=name):
            names[number] = f"stage {name}"
            return f"stage {name} entered"
        case e.TimerStarted(due_at=due):
            names[number] = f"timer of {timedelta(microseconds=due - at)}"
            return f"{names[number]} set"
        case e.ChildRequested(workflow=workflow, child=child, input=given):
            names[number] = f"child {child.id}"
            return f"child {child.id} started as {workflow}({_arguments(given)})"
        case e.LockRequested(key=key):
            names[number] = f"lock {key}"
            return f"lock {key} requested"
        case e.UpdateAccepted(update_id=update, name=name, body=body):
            names[update] = f"update {name}"
            return f"update {name} accepted: {_value(body)}"
        case e.UpdateRejected() | e.UpdateCompleted():
            return _update_line(event, names)
        case _:
            return _outcome(event, names.get(number, "")) or _run_line(event)


def _update_line(event: e.UpdateRejected | e.UpdateCompleted, names: dict[int | str, str]) -> str:
    if isinstance(event, e.UpdateRejected):
        return f"update rejected: {_failure(event.failure)}"
    name = names.get(event.update_id, "update")
    became = f"returned {_value(event.result)}" if event.failure is None else f"failed: {_failure(event.failure)}"
    return f"{name} {became}"


def _outcome(event: e.Event, name: str) -> str:
    """Return the line of what became of an operation."""
    match event:
        case e.ActivityCompleted(result=result) | e.ChildCompleted(result=result):
            return f"{name} returned {_value(result)}"
        case e.ActivityAttemptFailed(attempt=attempt, failure=failure):
            return f"{name} failed attempt {attempt}: {_failure(failure)}"
        case e.ActivityFailed(failure=failure) | e.StageFailed(failure=failure):
            return f"{name} failed: {_failure(failure)}"
        case e.ChildFailed(outcome=outcome, failure=failure):
            return f"{name} {outcome}: {_failure(failure)}"
        case e.ActivityTimedOut(timeout=limit):
            return f"{name} timed out ({limit})"
        case e.StageCompleted():
            return f"{name} left"
        case e.TimerFired():
            return f"{name} fired"
        case e.LockDenied(cycle=()):
            return f"{name} refused: it is not free"
        case e.LockAcquired() | e.LockDenied() | e.LockReleased():
            return f"{name} {_LOCK_OUTCOMES[type(event)]}"
        case e.ActivityCancelled() | e.TimerCancelled() | e.ChildCancelled():
            return f"{name} cancelled"
        case _:
            return ""


def _run_line(event: e.Event) -> str:
    match event:
        case e.RunCreated(workflow=workflow, input=given):
            return f"run created: {workflow}({_arguments(given)})"
        case e.RunCompleted(result=result):
            return f"run completed with {_value(result)}"
        case e.RunFailed(failure=failure):
            return f"run failed: {_failure(failure)}"
        case e.RunContinued(input=given):
            return f"run continued as new with {_arguments(given)}"
        case e.SignalReceived(name=name, body=body):
            return f"signal {name} received: {_value(body)}"
        case e.SignalSent(target=target, name=name, body=body):
            return f"signal {name} sent to {target.id}: {_value(body)}"
        case e.StateKeySet(key=key, value=value):
            return f"state {key} = {_value(value)}"
        case e.StateKeyDeleted(key=key):
            return f"state {key} deleted"
        case e.CompensationStarted(steps=steps):
            return f"compensation of {steps} begun"
        case e.CompensationFinished(failed=failed):
            return f"compensation ended, {failed} failed" if failed else "compensation ended"
        case _:
            return _other_line(event)


def _other_line(event: e.Event) -> str:
    if type(event) in _UNTOLD:
        return ""
    name = e.EVENT_NAMES[type(event)].replace("_", " ")
    kind = "" if name.partition(" ")[0] in KINDS else "other "
    reason = getattr(event, "reason", "")
    return f"{kind}{name}{f': {reason}' if reason else ''}"


_LOCK_OUTCOMES: Final[dict[type[e.Event], str]] = {
    e.LockAcquired: "held",
    e.LockDenied: "refused: a deadlock",
    e.LockReleased: "given back",
}

_UNTOLD: Final[frozenset[type[e.Event]]] = frozenset(
    {
        e.RunStarted,
        e.ChildStarted,
        e.ActivityAttemptStarted,
        e.ActivityHeartbeatRecorded,
        e.RecoveryStarted,
        e.RecoveryCompleted,
        e.CompensationStepCompleted,
    }
)


def _arguments(given: Payload) -> str:
    """Return recorded arguments as a call shows them."""
    layout = msgspec.json.decode(given) if given != NULL else []
    if isinstance(layout, dict) and "arguments" in layout:
        positional, keywords = layout["arguments"], layout.get("keywords", {})
    else:
        positional, keywords = (layout if isinstance(layout, list) else [layout]), {}
    parts = [_text(value) for value in positional]
    return ", ".join(parts + [f"{name}={_text(value)}" for name, value in keywords.items()])


def _value(payload: Payload) -> str:
    return _text(msgspec.json.decode(payload))


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _failure(failure: Failure) -> str:
    return f"{failure.type}: {failure.message}"
