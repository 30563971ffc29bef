"""Reports: what an attempt of a task tells its run, as messages for the inbox of that."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.identity import WorkerId
from perdure.kernel.messages import outcome_id

__all__ = ["Report", "report_of"]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A message, the id under which the inbox takes it once (empty: it has none), and whether the task ends by it."""

    message: m.Message
    message_id: str = ""
    ends: bool = False


def report_of(given: i.Input, *, generation: int, maker: WorkerId | None) -> Report:
    """Return what an input would say to a run of this process, as a message to one elsewhere. `maker`: this session, if
    the run wants to know whose it is."""
    report = _REPORTS[type(given)](given, generation)
    if maker is None or not isinstance(report.message, m.CompleteActivityMessage):
        return report
    return msgspec.structs.replace(report, message=msgspec.structs.replace(report.message, worker=maker))


def _succeeded(given: i.AttemptSucceeded, generation: int) -> Report:
    message = m.CompleteActivityMessage(
        operation=given.operation,
        attempt=given.attempt,
        generation=generation,
        result=given.result,
        started_at=given.started_at,
    )
    return _outcome(message)


def _failed(given: i.AttemptFailed, generation: int) -> Report:
    message = m.FailActivityMessage(
        operation=given.operation,
        attempt=given.attempt,
        generation=generation,
        failure=given.failure,
        started_at=given.started_at,
        heartbeat=given.heartbeat,
    )
    return _outcome(message)


def _timed_out(given: i.AttemptTimedOut, generation: int) -> Report:
    message = m.TimeOutActivityMessage(
        operation=given.operation,
        attempt=given.attempt,
        generation=generation,
        timeout=given.timeout,
        started_at=given.started_at,
        heartbeat=given.heartbeat,
    )
    return _outcome(message)


def _deferred(given: i.AttemptDeferred, generation: int) -> Report:
    """Report that the function has ended; its outcome, which somebody tells, has the id of one."""
    message = m.DeferActivityMessage(
        operation=given.operation,
        attempt=given.attempt,
        generation=generation,
        started_at=given.started_at,
        limits=given.limits,
        heartbeat_microseconds=given.heartbeat_microseconds,
        heartbeat=given.heartbeat,
    )
    return Report(message=message, message_id=f"defer:{generation}:{given.operation}:{given.attempt}", ends=True)


def _beat(given: i.HeartbeatSeen, generation: int) -> Report:
    return Report(
        message=m.HeartbeatMessage(
            operation=given.operation, attempt=given.attempt, generation=generation, details=given.details
        )
    )


def _published(given: i.ValueGiven, generation: int) -> Report:
    return Report(
        message=m.PublishMessage(
            operation=given.operation,
            attempt=given.attempt,
            generation=generation,
            stream=given.stream,
            value=given.value,
        )
    )


def _outcome(message: m.CompleteActivityMessage | m.FailActivityMessage | m.TimeOutActivityMessage) -> Report:
    return Report(
        message=message, message_id=outcome_id(message.generation, message.operation, message.attempt), ends=True
    )


# Any: each takes its own type of input; the table pairs them by key, which the type system cannot follow.
_REPORTS: Final[Mapping[type, Callable[[Any, int], Report]]] = {
    i.AttemptSucceeded: _succeeded,
    i.AttemptFailed: _failed,
    i.AttemptTimedOut: _timed_out,
    i.AttemptDeferred: _deferred,
    i.HeartbeatSeen: _beat,
    i.ValueGiven: _published,
}
