"""Outcomes: which limit an activity exceeded, how a child run ended, what became of a signal. The events carry them."""

from enum import StrEnum

__all__ = ["ChildOutcome", "SignalOutcome", "TimeoutKind"]


class TimeoutKind(StrEnum):
    """Which of an activity's time limits was exceeded; `deadline` is that of a stage around it."""

    SCHEDULE_TO_START = "schedule_to_start"
    START_TO_CLOSE = "start_to_close"
    SCHEDULE_TO_CLOSE = "schedule_to_close"
    DEADLINE = "deadline"
    HEARTBEAT = "heartbeat"


class ChildOutcome(StrEnum):
    """How a child run ended without a result."""

    FAILED = "failed"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"


class SignalOutcome(StrEnum):
    """What became of a signal that workflow code sent: it is in an inbox, or no such run exists, or it has ended."""

    DELIVERED = "delivered"
    MISSING = "missing"
    CLOSED = "closed"
