"""What is pending in a run: activities without an outcome, those of others, open child runs, locks held or awaited."""

import msgspec

from perdure.kernel import events as e
from perdure.kernel.deadline import Deadline, nearest
from perdure.kernel.failure import Failure
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.lifecycle import ChildPhase, LockPhase
from perdure.kernel.options import ActivityOptions
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.retry import Retry
from perdure.kernel.time import Timestamp

__all__ = ["Deferral", "OpenChild", "OpenLock", "PendingActivity", "carried_child", "inherited_children"]


class PendingActivity(msgspec.Struct, kw_only=True, gc=False):
    """An activity without an outcome yet. `attempt` is the one running or due next; `attempt_started` says whether its
    start is recorded (at-most-once activities only); `next_attempt_at` is set while a retry is waited for, and
    `retry_delay_microseconds` is how long the last wait was. `within` is the nearest deadline of the stages around. In
    a fork `attempts_spent` is how many attempts do not count any more, `called_by` the name of the run whose call this
    was (`RunState.call_name`; empty: this one's), and `known_since` the first generation of this run's id that has the
    call (0: this one)."""

    operation: Operation
    activity: str
    input: Payload
    options: ActivityOptions | None
    scheduled_at: Timestamp
    deadline_at: Timestamp | None
    compensates: Operation
    attempt: int = 1
    attempt_started: bool = False
    next_attempt_at: Timestamp | None = None
    retry_delay_microseconds: int = 0
    last_failure: Failure | None = None
    heartbeat: Payload = NULL
    within: Deadline | None = None
    attempts_spent: int = 0
    called_by: str = ""
    known_since: int = 0

    def deadline(self, run: Deadline | None) -> Deadline | None:
        """Return the nearest of all that hold for it: its own, those of the stages around it, and that of its `run`."""
        own = None if self.deadline_at is None else Deadline(at=self.deadline_at, of="its schedule_to_close")
        return nearest(nearest(own, self.within), run)


class Deferral(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt whose outcome somebody outside will tell; see `ActivityDeferred`. It has run out of time when the
    first of its `limits` has passed. With a `queue` it is a task there."""

    attempt: int
    started_at: Timestamp
    retry: Retry
    limits: dict[e.TimeoutKind, Timestamp]
    heartbeat_microseconds: int | None
    queue: str = ""
    at_most_once: bool = False

    def heard_of(self, at: Timestamp) -> "Deferral":
        """Return the same after a sign of life."""
        if self.heartbeat_microseconds is None:
            return self
        limits = {**self.limits, e.TimeoutKind.HEARTBEAT: Timestamp(at + self.heartbeat_microseconds)}
        return msgspec.structs.replace(self, limits=limits)


class OpenChild(msgspec.Struct, kw_only=True, gc=False):
    """A child run that has not reported its end. `origin`: which generation asked for it; None: this one."""

    operation: Operation
    workflow: str
    ref: RunRef
    policy: e.ParentClosePolicy
    phase: ChildPhase = ChildPhase.REQUESTED
    run_key: int = 0
    origin: e.CarriedChild | None = None


class OpenLock(msgspec.Struct, frozen=True, kw_only=True):
    """A lock that is held, or waited for. `token` is the fencing token, 0 while it is waited for."""

    key: str
    limit: int | None
    phase: LockPhase = LockPhase.REQUESTED
    token: int = 0


def inherited_children(created: e.RunCreated) -> tuple[OpenChild, ...]:
    """Return the children that the generation before left open, with the operations that they have in this one."""
    return tuple(
        OpenChild(
            operation=Operation(-number),
            workflow=carried.workflow,
            ref=carried.ref,
            policy=carried.policy,
            phase=ChildPhase.STARTED,
            origin=carried,
        )
        for number, carried in enumerate(created.carried_children, start=1)
    )


def carried_child(child: OpenChild, generation: int, run_key: int = 0) -> e.CarriedChild:
    """Return an open child of this `generation`, whose key is `run_key`, as the next one finds it."""
    return child.origin or e.CarriedChild(
        run_key=run_key,
        generation=generation,
        operation=child.operation,
        workflow=child.workflow,
        ref=child.ref,
        policy=child.policy,
    )
