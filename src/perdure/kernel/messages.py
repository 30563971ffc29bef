"""Messages: what others put into a run's inbox. The owner turns them into events when it advances the run."""

from typing import Final

import msgspec

from perdure.kernel.events import ChildOutcome, SignalOutcome, TimeoutKind
from perdure.kernel.failure import Failure
from perdure.kernel.identity import Operation, WorkerId
from perdure.kernel.locking import LockWait
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.priority import Priority
from perdure.kernel.retry import Retry
from perdure.kernel.time import Timestamp

__all__ = [
    "QUEUED_ATTEMPT",
    "AttemptMessage",
    "CancelMessage",
    "ChildCompletedMessage",
    "ChildFailedMessage",
    "CompleteActivityMessage",
    "DeferActivityMessage",
    "FailActivityMessage",
    "HeartbeatMessage",
    "LockDeniedMessage",
    "LockGrantedMessage",
    "Message",
    "PriorityMessage",
    "PublishMessage",
    "ResumeMessage",
    "SignalAnswerMessage",
    "SignalMessage",
    "StartActivityMessage",
    "SuspendMessage",
    "TerminateMessage",
    "TimeOutActivityMessage",
    "UpdateMessage",
    "decode_message",
    "encode_message",
    "ends_by",
    "outcome_id",
    "request_of_update",
    "wakes_parked",
]


class _Message(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", gc=False):
    pass


class SignalMessage(_Message, frozen=True, kw_only=True, tag="signal"):
    """A signal; `message_id` is the sender's request id."""

    name: str
    body: Payload = NULL
    message_id: str = ""


class UpdateMessage(_Message, frozen=True, kw_only=True, tag="update"):
    """An update; `update_id` is the sender's request id. It stays in the inbox until the run has answered it."""

    update_id: str
    name: str
    body: Payload = NULL


class CancelMessage(_Message, frozen=True, kw_only=True, tag="cancel"):
    """Ask for cancellation with clean-up; terminate at `grace_until` unless None.

    `grace_microseconds` is how long that was when it was asked for: a reset that hands the message on unread begins it
    anew. None: what is left of it counts. `parent_key` is set by a parent run: only its own child obeys.
    """

    reason: str = ""
    by: str = ""
    grace_until: Timestamp | None = None
    grace_microseconds: int | None = None
    parent_key: int = 0


class TerminateMessage(_Message, frozen=True, kw_only=True, tag="terminate"):
    """Stop the run without clean-up. `parent_key` is set by a parent run: only its own child obeys."""

    reason: str = ""
    by: str = ""
    parent_key: int = 0


class SuspendMessage(_Message, frozen=True, kw_only=True, tag="suspend"):
    """Hold the run still."""

    reason: str = ""
    by: str = ""


class ResumeMessage(_Message, frozen=True, kw_only=True, tag="resume"):
    """Let a suspended run go on."""

    by: str = ""


class PriorityMessage(_Message, frozen=True, kw_only=True, tag="priority"):
    """Change the run's priority class."""

    new: Priority
    reason: str = ""
    by: str = ""


class ChildCompletedMessage(_Message, frozen=True, kw_only=True, tag="child_completed"):
    """The child run of this operation returned.

    `generation` is that of the parent that asked: the next one numbers its operations anew, and is not meant.
    """

    operation: Operation
    generation: int = 1
    result: Payload = NULL


class ChildFailedMessage(_Message, frozen=True, kw_only=True, tag="child_failed"):
    """The child run of this operation ended without a result, or could not be created; `generation` as above."""

    operation: Operation
    generation: int = 1
    outcome: ChildOutcome
    failure: Failure


class SignalAnswerMessage(_Message, frozen=True, kw_only=True, tag="signal_answer"):
    """What became of the signal that this operation sent; `generation` as above."""

    operation: Operation
    generation: int = 1
    outcome: SignalOutcome


class LockGrantedMessage(_Message, frozen=True, kw_only=True, tag="lock_granted"):
    """The lock that this operation requested is the run's, with this fencing token; `generation` as above."""

    operation: Operation
    generation: int = 1
    token: int


class LockDeniedMessage(_Message, frozen=True, kw_only=True, tag="lock_denied"):
    """The lock that this operation requested is refused: to wait would close `cycle` (empty: it would have to wait);
    `generation` as above."""

    operation: Operation
    generation: int = 1
    cycle: tuple[LockWait, ...]


class AttemptMessage(_Message, frozen=True, kw_only=True):
    """Something from outside about an attempt, named by its token; `generation` as above."""

    operation: Operation
    attempt: int
    generation: int = 1


class CompleteActivityMessage(AttemptMessage, frozen=True, kw_only=True, tag="complete_activity"):
    """The attempt has succeeded, with this result. `request_id` is the sender's; `started_at` is told of an attempt
    that has not been deferred. `is_committed`: it was told in the transaction in which the attempt has written.
    `worker`: as in `ActivityCompleted`."""

    result: Payload = NULL
    request_id: str = ""
    started_at: Timestamp | None = None
    is_committed: bool = False
    worker: WorkerId | None = None


QUEUED_ATTEMPT: Final = 0
"""In place of the number of an attempt: whichever of the activity has a task. For where the number is lost."""


class FailActivityMessage(AttemptMessage, frozen=True, kw_only=True, tag="fail_activity"):
    """The attempt has failed. `retry` is added by the run's owner while the attempt's function still runs there;
    `started_at` and `heartbeat`, the details of its last one, are told of a task."""

    failure: Failure
    request_id: str = ""
    retry: Retry | None = None
    started_at: Timestamp | None = None
    heartbeat: Payload = NULL


class HeartbeatMessage(AttemptMessage, frozen=True, kw_only=True, tag="heartbeat"):
    """Whoever will tell the attempt's outcome is alive."""

    details: Payload = NULL


class StartActivityMessage(AttemptMessage, frozen=True, kw_only=True, tag="start_activity"):
    """A worker that serves the task's queue has begun; `at_most_once`: nobody may begin once more."""

    worker: str
    at_most_once: bool = False


class TimeOutActivityMessage(AttemptMessage, frozen=True, kw_only=True, tag="time_out_activity"):
    """The task has run out of time while its worker was at it. `heartbeat` holds the details of its last one."""

    timeout: TimeoutKind
    started_at: Timestamp | None = None
    heartbeat: Payload = NULL


class DeferActivityMessage(AttemptMessage, frozen=True, kw_only=True, tag="defer_activity"):
    """The task's function has ended, and somebody outside will tell the outcome; fields as in `ActivityDeferred`."""

    started_at: Timestamp
    limits: dict[TimeoutKind, Timestamp] = {}
    heartbeat_microseconds: int | None = None
    heartbeat: Payload = NULL


class PublishMessage(AttemptMessage, frozen=True, kw_only=True, tag="publish"):
    """The task has published a value."""

    stream: str
    value: Payload = NULL


Message = (
    SignalMessage
    | UpdateMessage
    | CancelMessage
    | TerminateMessage
    | SuspendMessage
    | ResumeMessage
    | PriorityMessage
    | ChildCompletedMessage
    | ChildFailedMessage
    | SignalAnswerMessage
    | LockGrantedMessage
    | LockDeniedMessage
    | CompleteActivityMessage
    | FailActivityMessage
    | HeartbeatMessage
    | StartActivityMessage
    | TimeOutActivityMessage
    | DeferActivityMessage
    | PublishMessage
)
"""Everything an inbox can hold."""


def wakes_parked(message: Message) -> bool:
    """Whether a message is a reason to try a parked run again: it needs no code, or its sender asks for that."""
    return isinstance(message, TerminateMessage | ResumeMessage)


def ends_by(message: Message, at: Timestamp, *, has_begun: bool) -> Timestamp | None:
    """Return when a run ends by a message of `at` though nobody has its code (`perdure.kernel.codeless`); None: never.

    It may not obey: a moment that is too early costs a look, one too late would leave the run as it is.
    """
    match message:
        case TerminateMessage():
            return at
        case CancelMessage(grace_until=grace_until):
            return grace_until if has_begun else at
        case _:
            return None


def request_of_update(update_id: str) -> str:
    """Return the request id under which stores remember an update. Updates have ids of their own: one that is also that
    of a signal means another request, so this one has a character that nobody writes."""
    return f"update\x1f{update_id}"


def outcome_id(generation: int, operation: int, attempt: int) -> str:
    """Return the message id by which the inbox takes one outcome of an attempt from outside, the first."""
    return f"outcome:{generation}:{operation}:{attempt}"


def lock_answer_id(generation: int, operation: int) -> str:
    """Return the message id of the one answer to a request for a lock: `LockGrantedMessage` or `LockDeniedMessage`."""
    return f"lock:{generation}:{operation}"


def encode_message(message: Message) -> bytes:
    """Return a message as tagged JSON."""
    return _ENCODER.encode(message)


def decode_message(data: bytes | str) -> Message:
    """Read a message. Raises msgspec.DecodeError for anything else."""
    try:
        return _DECODER.decode(data)
    except (UnicodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
