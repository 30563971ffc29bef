"""Replacing: ending a generation that is open, in favour of another that begins with a part of its history.

A reset of an open run must not depend on who owns it: its code may be what is broken, and then it is parked, or nobody
has it. So whoever resets takes the run from its owner (`Seizure`): the fencing token of its row grows, and what the
owner has under way is refused when that is committed. From then on the history grows no more, and one transition ends
the run and creates its successor. Both are committed together, if the history that was read before is all that there
is; else the transition is made again on what has come.

What the old generation had pending is given up, as at every end. Its children that were open at the point and still are
go along; those that it began later end by their policy. Updates that were accepted before the point are left open: the
successor answers them, and whoever waits follows the run there. Its inbox goes to the successor: what nobody has read
is not lost. A cancellation is a wish about the run, not about a part of its history: one that was taken in after the
point is put into the successor's inbox again, with the grace that it had left when it was taken in; one that nobody had
read is there already, and its grace begins anew with the fork (`message_rules.cancellation`).
"""

from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.consequences import ending_of
from perdure.kernel.expansion import close_events
from perdure.kernel.fork_points import History
from perdure.kernel.forking import ForkOrder, grace_of
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import FencingToken, WorkerId
from perdure.kernel.locking import LockRelease
from perdure.kernel.state import RunState, demand_own, fold
from perdure.kernel.task_rules import queued_operations
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Creation, Delivery, Transition

__all__ = ["replace"]


def replace(
    history: History, creation: Creation, order: ForkOrder, *, fencing_token: FencingToken, by: WorkerId
) -> Transition:
    """Return the write that ends the open run of this whole `history` and makes `creation`, a fork of it by `order`.

    `fencing_token` is what its row holds then; `by` is the session that has seized it. Complexity: linear.

    Raises HistoryError for the history of another run.
    """
    state = fold(RunState(), history)
    demand_own(state, order.origin)
    following = fold(RunState(), (creation.created, *creation.copied))
    withdrawn = tuple(queued_operations(state))
    kept = [operation for operation in state.children if operation in following.children]
    at = max(order.now, state.updated_at)
    events: list[RecordedEvent] = []
    deliveries: list[Delivery] = []
    locks: list[LockRelease] = []
    reset = e.RunReset(
        next_generation=order.ref.generation,
        point=len(creation.copied),
        reason=order.reason,
        by=order.by,
    )
    for event in close_events(state, reset, kept=kept, kept_updates=following.updates):
        child = state.children.get(event.operation) if isinstance(event, e.ChildCancelled) else None
        state.record(event, at)
        events.append(RecordedEvent(state.sequence, at, event))
        if isinstance(event, e.LockReleased):
            locks.append(LockRelease(operation=event.operation))
        ending = None if child is None else ending_of(child, order.origin_key)
        if child is not None and ending is not None:
            target, message = ending
            message_id = f"{order.origin_key}:{state.sequence}:{child.operation}"
            deliveries.append(Delivery(target=target, message=message, message_id=message_id, at=order.now))
    if state.cancel is not None and following.cancel is None:
        cancel = _asked_again(state.cancel, at, grace=grace_of(history))
        message_id = f"{order.origin_key}:{state.sequence}:cancel"
        deliveries.append(Delivery(target=creation.run_key, message=cancel, message_id=message_id, at=order.now))
    return Transition(
        run_key=order.origin_key,
        fencing_token=fencing_token,
        expected_sequence=len(history),
        owner=by,
        events=tuple(events),
        row=state.row(),
        deliveries=tuple(deliveries),
        creations=(creation,),
        moves_inbox_to=creation.run_key,
        locks=tuple(locks),
        withdrawn=withdrawn,
    )


def _asked_again(cancel: e.RunCancelRequested, at: Timestamp, *, grace: int | None) -> m.CancelMessage:
    until = None if grace is None else Timestamp(at + grace)
    return m.CancelMessage(reason=cancel.reason, by=cancel.by, grace_until=until, grace_microseconds=grace)
