"""Facts about a fork, as they stand in its event: why it was made, what it keeps, what it may do again."""

from enum import StrEnum

import msgspec

from perdure.kernel.identity import Operation
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.time import Timestamp

__all__ = ["CarriedResult", "ForkCause", "RepeatedStep", "StepFate"]


class ForkCause(StrEnum):
    """What was asked for: the run once more from where it failed; from an event; a new run beside it."""

    RETRY = "retry"
    RESET = "reset"
    FORK = "fork"


class StepFate(StrEnum):
    """How far a step had come in the history that was left behind.

    Unknown: an at-most-once attempt had been started, and nothing says what came of it. In a fork it counts as lost.
    """

    IN_FLIGHT = "in_flight"
    UNKNOWN = "unknown"
    FAILED = "failed"
    FINISHED = "finished"


class CarriedResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a step that was called in the part that was copied, and finished after it."""

    operation: Operation
    result: Payload = NULL
    attempt: int = 1
    started_at: Timestamp | None = None


class RepeatedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step whose effect may be there already, and that is done again or may be asked for again.

    `name` is the activity's, the child run's id, or the target and the name of a signal.
    """

    operation: Operation
    name: str
    was: StepFate
