"""The effect of a fork on the state of the run that was copied: what is pending becomes the new run's."""

from typing import TYPE_CHECKING

import msgspec

from perdure.kernel import events as e
from perdure.kernel.deadline import Deadline
from perdure.kernel.fork_facts import ForkCause, StepFate
from perdure.kernel.pending import PendingActivity, carried_child
from perdure.kernel.relatives import demand_relative, demand_relatives
from perdure.kernel.standing import as_fork
from perdure.kernel.time import Timestamp

if TYPE_CHECKING:
    from perdure.kernel.state import RunState

__all__ = ["become_fork"]


def become_fork(state: "RunState", event: e.RunForked, at: Timestamp) -> None:
    """Go on under the fork's own name; what is pending has all its attempts and all its time once more."""
    copied, called_by = state.created, state.call_name(event.caller_key)
    assert copied is not None  # the first event of every history
    standing = as_fork(copied, event)
    demand_relative(copied.ref, event.ref, e.RunForked)
    demand_relatives(standing)
    state.created, state.created_at = standing, at
    if state.started_at is None and event.carried_signals:
        begins_with = copied.carried_signals + event.carried_signals
        state.created = msgspec.structs.replace(state.created, carried_signals=begins_with)
    state.deadline = None if event.deadline_at is None else Deadline(at=event.deadline_at, of=f"run {event.ref}")
    if state.cancel is not None and event.grace_until is not None:
        state.cancel = msgspec.structs.replace(state.cancel, grace_until=event.grace_until)
    state.forked, state.forked_at, state.renewed_at = event, state.sequence + 1, at
    state.retries.clear()
    state.deferrals.clear()
    unknown = {step.operation for step in event.repeats if step.was is StepFate.UNKNOWN}
    known_since = event.ref.generation if event.cause is ForkCause.FORK else copied.ref.generation
    for operation, activity in state.activities.items():
        _renew(activity, at, called_by=called_by, is_unknown=operation in unknown)
        activity.known_since = min(activity.known_since or known_since, known_since)
    for child in state.children.values():
        child.origin = carried_child(child, copied.ref.generation, event.caller_key)


def _renew(activity: PendingActivity, at: Timestamp, *, called_by: str, is_unknown: bool) -> None:
    """Begin the count of attempts and the time anew. A start of which nobody knows what came counts as recorded here,
    also where it came after the point."""
    if activity.deadline_at is not None:
        activity.deadline_at = Timestamp(at + activity.deadline_at - activity.scheduled_at)
    activity.scheduled_at = at
    activity.attempts_spent = activity.attempt - 1
    activity.attempt_started = is_unknown
    activity.next_attempt_at = None
    activity.retry_delay_microseconds = 0
    activity.called_by = activity.called_by or called_by
