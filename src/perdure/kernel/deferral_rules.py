"""Rules of deferred attempts: those whose function has ended, and whose outcome somebody outside will tell.

What comes from outside means the same as if it came from the function. It counts as soon as it comes, also while the
function still runs, for it may have handed its token on long before it ends. A message about an attempt that is not the
current one is dropped: the first recorded outcome of an attempt stands.

A reset hands what nobody has read to the next generation. A result counts there, too, if that has the call; a failure
does not, since there the step is made again.

The limits of a deferred attempt are in the history, with the policy of its retries. So any process that has the run
ends it in time, also one without the activity's code.
"""

from typing import TYPE_CHECKING

from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.identity import Operation
from perdure.kernel.pending import PendingActivity
from perdure.kernel.retry import NO_RETRY
from perdure.kernel.time import Timestamp

if TYPE_CHECKING:
    from perdure.kernel.advance import Step
    from perdure.kernel.state import RunState

__all__ = ["call_of", "complete_activity", "completes", "fail_activity", "take_heartbeat", "time_out_deferred"]


def complete_activity(step: "Step", message: m.CompleteActivityMessage, _message_id: str) -> None:
    """Let the attempt succeed."""
    if completes(step.state, message):
        step.record(
            e.ActivityCompleted(
                operation=message.operation,
                attempt=message.attempt,
                result=message.result,
                started_at=message.started_at or _started_at(step, message),
                request_id=message.request_id,
                worker=message.worker,
            )
        )


def completes(state: "RunState", message: m.CompleteActivityMessage) -> bool:
    """Whether it ends an activity: by its current attempt, or by any that an earlier generation made of the call."""
    activity, created = call_of(state, message), state.created
    if activity is None or created is None:
        return False
    own = created.ref.generation
    return message.generation < own or (message.generation, message.attempt) == (own, activity.attempt)


def call_of(state: "RunState", message: m.CompleteActivityMessage) -> PendingActivity | None:
    """Return the pending call that a result is of, None if it is of another, which had the number before it."""
    activity, created = state.activities.get(message.operation), state.created
    if activity is None or created is None:
        return None
    return activity if (activity.known_since or created.ref.generation) <= message.generation else None


def fail_activity(step: "Step", message: m.FailActivityMessage, _message_id: str) -> None:
    """Let the attempt fail; it is tried again by the policy that was in force when it was deferred."""
    deferral = step.state.deferrals.get(message.operation)
    attempt = message.attempt
    if attempt == m.QUEUED_ATTEMPT and deferral is not None and deferral.queue:
        attempt = deferral.attempt
    if _is_of_this_generation(step, message):
        step.take(
            i.AttemptFailed(
                operation=message.operation,
                attempt=attempt,
                failure=message.failure,
                retry=(message.retry or NO_RETRY) if deferral is None else deferral.retry,
                started_at=message.started_at or _started_at(step, message),
                heartbeat=message.heartbeat,
                request_id=message.request_id,
            )
        )


def take_heartbeat(step: "Step", message: m.HeartbeatMessage, _message_id: str) -> None:
    """Note that somebody works on the attempt, and how far that is."""
    if _is_of_this_generation(step, message):
        step.take(i.HeartbeatSeen(operation=message.operation, attempt=message.attempt, details=message.details))


def time_out_deferred(step: "Step") -> None:
    """End the deferred attempts that have run out of time, the longest overdue first. Complexity: O(deferred).

    The clock decides, not the run's own time, which is later than it for a while after the clock was set back: an
    attempt that began since then has limits that the run's time may be past already.
    """
    overdue = sorted(
        (moment, operation, kind)
        for operation, deferral in step.state.deferrals.items()
        for kind, moment in deferral.limits.items()
        if moment <= step.now
    )
    for _, operation, kind in overdue:
        deferral = step.state.deferrals.get(operation)
        if deferral is not None:
            step.take(
                i.AttemptTimedOut(
                    operation=Operation(operation),
                    attempt=deferral.attempt,
                    timeout=kind,
                    retry=deferral.retry,
                    started_at=deferral.started_at,
                    heartbeat=step.state.activities[operation].heartbeat,
                )
            )


def _started_at(step: "Step", message: m.CompleteActivityMessage | m.FailActivityMessage) -> Timestamp | None:
    deferral = step.state.deferrals.get(message.operation)
    return None if deferral is None else deferral.started_at


def _is_of_this_generation(step: "Step", message: m.FailActivityMessage | m.HeartbeatMessage) -> bool:
    """Whether this generation's attempt is meant: a message to the one before may have moved here with the inbox."""
    return message.generation == step.created().ref.generation
