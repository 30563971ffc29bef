"""Tasks: attempts of activities that wait in a task queue for a worker that serves it, or are under way there.

The run's owner puts an attempt into its queue with the transition that records this (`ActivityDeferred` with a
`queue`). Whoever claims it is given all that there is to know, reads no history, and tells the outcome by the run's
inbox. Retries, limits and cancellation stay the owner's: each attempt is a task of its own, and what the run does not
want any more is taken out of the queue by the transition that says so.

A task is claimed by a session, whose lease holds for it. If that session is lost, the task is claimed again; the claims
of a task are counted, so that whoever had it before is fenced: what it tells then is refused.
"""

from typing import Final

import msgspec

from perdure.kernel.deadline import Deadline
from perdure.kernel.identity import FencingToken, Operation, RunKey, RunRef
from perdure.kernel.options import ActivityOptions
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp

__all__ = [
    "LONGEST_QUEUE_NAME", "Task", "TaskClaim", "TaskOrigin", "is_queue_name", "parts_of_token", "start_id",
    "step_token",
]  # fmt: skip


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


def is_queue_name(name: object) -> bool:
    """Whether a task queue may be called so: a text of 1 to `LONGEST_QUEUE_NAME` characters that can be recorded."""
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_QUEUE_NAME:
        return False
    try:
        name.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


LONGEST_QUEUE_NAME: Final = 200
"""The indexes of every store take as much."""


def step_token(of_run: FencingToken, attempt: int, claim_number: int) -> int:
    """Return the fencing token of a step, which grows whenever somebody else may have begun it before.

    In decimal digits: the run's, eight for the attempt, if it is a task, and four for how often this was claimed. The
    claims of an attempt begin anew, and so would a token that counts nothing else.
    """
    of_attempt = min(attempt, _ATTEMPTS - 1) if claim_number else 0
    return (of_run * _ATTEMPTS + of_attempt) * _CLAIMS + min(claim_number, _CLAIMS - 1)


def parts_of_token(token: int) -> tuple[FencingToken, int]:
    """Return the run's fencing token, and the number of the claim, 0 for what is no task, of a `step_token`."""
    return FencingToken(token // (_ATTEMPTS * _CLAIMS)), token % _CLAIMS


_ATTEMPTS: Final = 10**8
_CLAIMS: Final = 10**4


def start_id(generation: int, operation: int, attempt: int) -> str:
    """Return the message id by which a run learns that its task was begun."""
    return f"start:{generation}:{operation}:{attempt}"
