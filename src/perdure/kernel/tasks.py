"""Tasks: attempts of activities that wait in a task queue for a worker that serves it, or are under way there.

The run's owner puts an attempt into its queue with the transition that records this (`ActivityDeferred` with a
`queue`). Whoever claims it is given all that there is to know, reads no history, and tells the outcome by the run's
inbox. Retries, limits and cancellation stay the owner's: each attempt is a task of its own, and what the run does not
want any more is taken out of the queue by the transition that says so.

A task is claimed by a session, whose lease holds for it. If that session is lost, the task is claimed again; the claims
of a task are counted, so that whoever had it before is fenced: what it tells then is refused.
"""

import msgspec

from perdure.kernel.deadline import Deadline
from perdure.kernel.identity import FencingToken, Operation, RunKey, RunRef
from perdure.kernel.options import ActivityOptions
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp

__all__ = ["Task", "TaskClaim", "TaskOrigin", "start_id"]


class TaskOrigin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Whose a task is: the run, what names it in idempotency keys, the token of the attempt, the run's deadline, and
    the fencing token under which its owner has queued the task."""

    ref: RunRef
    workflow: str
    tenant: str = ""
    called_by: str = ""
    token: str = ""
    trace_context: dict[str, str] = {}
    deadline_at: Timestamp | None = None
    fencing_token: FencingToken = FencingToken(0)


class Task(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One attempt of an activity, as whoever serves its queue needs it.

    `options` are those in force; the other fields are as in `PendingActivity`. `queued_at` is when this attempt was put
    into its queue, `around` the nearest deadline of the stages and the run it is called in.
    """

    operation: Operation
    attempt: int
    queue: str
    activity: str
    input: Payload
    options: ActivityOptions
    priority: Priority
    queued_at: Timestamp
    origin: TaskOrigin
    scheduled_at: Timestamp
    deadline_at: Timestamp | None = None
    around: Deadline | None = None
    heartbeat: Payload = NULL

    @property
    def ref(self) -> RunRef:
        """The run that calls."""
        return self.origin.ref

    @property
    def tells_start(self) -> bool:
        """Whether the run is to learn that somebody has begun: it counts the wait, or no second begin may follow."""
        return bool(self.options.at_most_once) or self.options.schedule_to_start_microseconds is not None


class TaskClaim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A task that a session has claimed, for the `number`th time that somebody did."""

    run_key: RunKey
    operation: Operation
    attempt: int
    number: int


def start_id(generation: int, operation: int, attempt: int) -> str:
    """Return the message id by which a run learns that its task was begun."""
    return f"start:{generation}:{operation}:{attempt}"
