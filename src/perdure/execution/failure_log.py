"""What went wrong, for whoever reads the log: each failed attempt once, and each failed run once.

Logged when it is durable, by the worker that committed it: a replay says nothing, and what a lost worker did not get
into the history is not said either. Each record has fields of its own (`extra`) for logging that reads them.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, assert_never

from perdure.kernel import events as e
from perdure.kernel.advance import FailedAttempt
from perdure.kernel.identity import RunRef
from perdure.kernel.time import timestamp_to_datetime
from perdure.logs import Lines, logger_named
from perdure.texts import printable

__all__ = ["log_failed_attempts", "log_failed_run"]

_ACTIVITIES: Final = logger_named("perdure.activities")
_RUNS: Final = logger_named("perdure.runs")


def log_failed_attempts(ref: RunRef, failed: Iterable[FailedAttempt]) -> None:
    """Warn of attempts that failed: what is said is the run, the activity, the error, and when the next one is due."""
    for attempt in failed:
        sentence, next_attempt_at = _told(attempt.event)
        _ACTIVITIES.warning(
            "run %s: attempt %d of %s %s",
            ref,
            attempt.event.attempt,
            attempt.activity,
            sentence,
            extra={
                **_of_run(ref),
                "activity": attempt.activity,
                "operation": attempt.event.operation,
                "attempt": attempt.event.attempt,
                "next_attempt_at": next_attempt_at,
            },
        )


def log_failed_run(ref: RunRef, closing: e.Event) -> None:
    """Report a run that failed as an error, with the lines that raised; warn of one that is tried again."""
    match closing:
        case e.RunFailed(failure=failure):
            sentence, traceback = printable(failure.sentence), failure.traceback
            text = sentence if traceback is None else Lines(f"{sentence}\n{traceback.rstrip()}")
            _RUNS.error("run %s failed: %s", ref, text, extra={**_of_run(ref), "error_type": failure.type})
        case e.RunContinued(failure=failure) if failure is not None:
            fields = {**_of_run(ref), "error_type": failure.type}
            _RUNS.warning("run %s failed and is tried again: %s", ref, failure.sentence, extra=fields)
        case _:
            pass


def _told(event: e.ActivityAttemptFailed | e.ActivityFailed | e.ActivityTimedOut) -> tuple[str, datetime | None]:
    """Return what happened in words, and when the next attempt is due."""
    match event:
        case e.ActivityAttemptFailed(failure=failure, next_attempt_at=due):
            moment = timestamp_to_datetime(due)
            return f"failed: {failure}; the next one is due at {moment.isoformat(timespec='milliseconds')}", moment
        case e.ActivityFailed(failure=failure, reason=reason):
            return f"failed: {failure}; there is no next one ({reason})", None
        case e.ActivityTimedOut(timeout=timeout):
            return f"exceeded its {timeout} limit; there is no next one", None
        case _:
            assert_never(event)


def _of_run(ref: RunRef) -> dict[str, object]:
    return {"namespace": ref.namespace, "run_id": ref.id, "generation": ref.generation}
