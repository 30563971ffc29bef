"""Inputs: what a worker tells the kernel about the outside world when it advances a run.

Policies that a decision needs (the retry policy of a failed attempt) travel with the input, so that `advance` stays a
function of its arguments.
"""

import msgspec

from perdure.kernel.events import Event, TimeoutKind
from perdure.kernel.failure import Failure
from perdure.kernel.identity import Operation
from perdure.kernel.messages import Message
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.retry import Retry
from perdure.kernel.tasks import Task
from perdure.kernel.time import Timestamp

__all__ = [
    "AttemptDeferred",
    "AttemptFailed",
    "AttemptQueued",
    "AttemptStarting",
    "AttemptSucceeded",
    "AttemptTimedOut",
    "Begin",
    "EndRun",
    "GoOn",
    "HeartbeatSeen",
    "Input",
    "MessageArrived",
    "Recovered",
    "ValueGiven",
]


class _Input(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


class Begin(_Input, frozen=True, kw_only=True):
    """Run the workflow's code from its start."""

    worker: str


class GoOn(_Input, frozen=True, kw_only=True):
    """Go on where the copied history of a fork ends, if nothing has happened since."""

    worker: str


class Recovered(_Input, frozen=True, kw_only=True):
    """The run was taken over from an owner that died; recorded with the next thing that happens."""

    worker: str


class AttemptStarting(_Input, frozen=True, kw_only=True):
    """An attempt of an at-most-once activity wants to start."""

    operation: Operation
    attempt: int
    worker: str


class AttemptSucceeded(_Input, frozen=True, kw_only=True):
    """An attempt returned; or somebody outside, with this `request_id`, completed it."""

    operation: Operation
    attempt: int
    result: Payload
    started_at: Timestamp | None
    request_id: str = ""


class AttemptDeferred(_Input, frozen=True, kw_only=True):
    """The function of an attempt ended and leaves the outcome to somebody outside. As `ActivityDeferred`."""

    operation: Operation
    attempt: int
    started_at: Timestamp
    retry: Retry
    limits: dict[TimeoutKind, Timestamp]
    heartbeat_microseconds: int | None
    heartbeat: Payload


class AttemptQueued(_Input, frozen=True, kw_only=True):
    """An attempt is to be made by a worker that serves its task queue. `limits`: as in `ActivityDeferred`."""

    task: Task
    retry: Retry
    limits: dict[TimeoutKind, Timestamp]


class AttemptFailed(_Input, frozen=True, kw_only=True):
    """An attempt raised; or somebody outside, with this `request_id`, failed it.

    `retry` is the policy in force, `heartbeat` the details of its last heartbeat.
    """

    operation: Operation
    attempt: int
    failure: Failure
    retry: Retry
    started_at: Timestamp | None
    heartbeat: Payload = NULL
    request_id: str = ""


class AttemptTimedOut(_Input, frozen=True, kw_only=True):
    """An attempt exceeded a limit."""

    operation: Operation
    attempt: int
    timeout: TimeoutKind
    retry: Retry
    started_at: Timestamp | None
    heartbeat: Payload = NULL


class HeartbeatSeen(_Input, frozen=True, kw_only=True):
    """Details of a heartbeat that shall survive the worker."""

    operation: Operation
    attempt: int
    details: Payload


class ValueGiven(_Input, frozen=True, kw_only=True):
    """An attempt that runs has published a value."""

    operation: Operation
    attempt: int
    stream: str
    value: Payload


class EndRun(_Input, frozen=True, kw_only=True):
    """End the run by `closing` without its code. `position` is that of the inbox row that asks for it, if one does."""

    closing: Event
    position: int | None = None


class MessageArrived(_Input, frozen=True, kw_only=True):
    """A message for the run. `position` is that of its inbox row, None if it did not come through the inbox."""

    message: Message
    message_id: str = ""
    position: int | None = None


Input = (
    Begin
    | GoOn
    | Recovered
    | AttemptStarting
    | AttemptSucceeded
    | AttemptDeferred
    | AttemptQueued
    | AttemptFailed
    | AttemptTimedOut
    | HeartbeatSeen
    | ValueGiven
    | EndRun
    | MessageArrived
)
"""Everything that `advance` takes."""
