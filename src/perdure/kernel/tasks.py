"""Tasks: attempts of activities that wait in a task queue for a worker that serves it, or are under way there.

The run's owner puts an attempt into its queue with the transition that records this (`ActivityDeferred` with a
`queue`). Whoever claims it is given all that there is to know, reads no history, and tells the outcome by the run's
inbox. Retries, limits and cancellation stay the owner's: each attempt is a task of its own, and what the run does not
want any more is taken out of the queue by the transition that says so.

A task is claimed by a session, whose lease holds for it. If that session is lost, the task is claimed again; the claims
of a task are counted, so that whoever had it before is fenced: what it tells then is refused.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from perdure.kernel.deadline import Deadline
from perdure.kernel.identity import FencingToken, Operation, RunKey, RunRef, WorkerId
from perdure.kernel.options import ActivityOptions
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.priority import Priority
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp

__all__ = [
    "LABELS_WANTED", "LEAST_SECONDS", "LONGEST_LABELS", "LONGEST_QUEUE_NAME", "MOST_SECONDS", "SEPARATOR", "Task",
    "TaskClaim", "TaskOrigin",
    "are_labels", "is_queue_name", "label_text", "labels_of", "parts_of_token", "start_id", "step_token",
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
    into its queue, `around` the nearest deadline of the stages and the run it is called in. Until `sticky_until` it is
    kept for the session `sticky_to`, which has made the last sticky one of its run and queue, as long as that lives.
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
    sticky_to: WorkerId | None = None
    sticky_until: Timestamp | None = None

    @property
    def labels(self) -> str:
        """The labels that are demanded, as stores keep them."""
        return label_text(self.options.labels or {})

    @property
    def share(self) -> str:
        """Who is served with it, among those who share a queue: a tenant of a namespace."""
        return f"{self.ref.namespace}{SEPARATOR}{self.origin.tenant}"

    @property
    def expected_seconds(self) -> float:
        """How long it is expected to keep a slot: as its call says, within `LEAST_SECONDS` and `MOST_SECONDS`, or else
        a second."""
        expected = self.options.expected_duration_microseconds
        seconds = 1.0 if expected is None else expected / MICROSECONDS_PER_SECOND
        return min(max(seconds, LEAST_SECONDS), MOST_SECONDS)

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


def label_text(labels: Mapping[str, str]) -> str:
    """Return labels as stores keep them: the same text for the same labels; none: an empty one."""
    return SEPARATOR.join(sorted(f"{name}={value}" for name, value in labels.items()))


def labels_of(text: str) -> dict[str, str]:
    """Return the labels of such a text."""
    return dict(pair.partition("=")[::2] for pair in text.split(SEPARATOR)) if text else {}


def are_labels(labels: object) -> bool:
    """Whether a worker may announce these labels, or an activity demand them: texts without control characters, and
    names without `=`, of at most `LONGEST_LABELS` characters in all."""
    if not isinstance(labels, dict):
        return False
    for name, value in labels.items():
        if not (isinstance(name, str) and isinstance(value, str) and name and "=" not in name):
            return False
        if not (is_queue_name(name) and (not value or is_queue_name(value)) and f"{name}{value}".isprintable()):
            return False
    return len(label_text(labels)) <= LONGEST_LABELS


def is_queue_name(name: object) -> bool:
    """Whether a task queue may be called so: a text of 1 to `LONGEST_QUEUE_NAME` characters that can be recorded."""
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_QUEUE_NAME:
        return False
    try:
        name.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


LABELS_WANTED: Final = (
    "a dict of texts without control characters, names without '=', of at most 200 characters in all, such as "
    "{'gpu': 'a100'}"
)
LONGEST_QUEUE_NAME: Final = 200
LONGEST_LABELS: Final = 200
"""The indexes of every store take as much."""
LEAST_SECONDS: Final = 1e-6
MOST_SECONDS: Final = 1e9
"""What a task is expected to take is kept within these."""
SEPARATOR: Final = "\x1f"
"""Between the labels in a text of several, and in none."""


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
