"""The effect of what becomes of a lock that a run has asked for."""

from typing import TYPE_CHECKING

from perdure.kernel import events as e
from perdure.kernel.lifecycle import LOCK_LIFECYCLE, illegal, next_phase
from perdure.kernel.mappings import without
from perdure.kernel.pending import OpenLock
from perdure.kernel.time import Timestamp

if TYPE_CHECKING:
    from perdure.kernel.state import RunState

__all__ = ["move_lock"]


def move_lock(state: "RunState", event: e.LockAcquired | e.LockDenied | e.LockReleased, _at: Timestamp) -> None:
    """Let a lock be held, refused, or given back. Raises IllegalTransitionError."""
    subject = f"lock {event.operation}"
    lock = state.locks.get(event.operation)
    if lock is None:
        raise illegal("not requested", type(event), subject=subject)
    phase = next_phase(LOCK_LIFECYCLE, lock.phase, type(event), subject=subject)
    if type(event) is e.LockAcquired:
        held = OpenLock(key=lock.key, limit=lock.limit, phase=phase, token=event.fencing_token)
        state.locks = {**state.locks, event.operation: held}
    else:
        state.locks = without(state.locks, event.operation)
