"""The circuit breaker: a state machine that decides whether something may be tried.

    closed ── enough failures within the window ──► open
      ▲                                              │ `open_for` has passed
      │ as many probes have succeeded as may be made ▼
      └────────────────────────────────────────── half open ── a probe fails ──► open

**Promise.** `STEPS` is the whole machine: for each phase and happening the following state, a pure function of the
state, the policy and the time. What is not in the table changes nothing: an outcome of an attempt that began in another
period of the breaker says nothing about this one (`Breaker` keeps the periods apart). In each half-open period at most
`half_open` attempts are under way or have succeeded.

**How.** The window slides: the latest `failures` failure times are kept, and the breaker opens when the oldest of them
is still inside. O(`failures`) per failure, O(1) for all else. A clock that was set back ends the open phase.

**Rejected.** Counting failures in a row: under concurrency one success among many time-outs would keep it closed. A
rate over a minimum of calls needs to see every success; it comes with breakers that workers share.

**Source.** Nygard, "Release It!", 2nd edition 2018, chapter 5.
"""

from collections.abc import Callable, Hashable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from perdure.kernel.limits import CircuitBreaker
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp, duration_microseconds

__all__ = ["CLOSED", "STEPS", "Breaker", "BreakerState", "Happening", "Phase"]


class Phase(StrEnum):
    """What the breaker does: let all attempts through, none, or a few probes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Happening(StrEnum):
    """What the breaker learns: time has passed; an attempt begins, succeeds, fails, or ends without an outcome."""

    TIME_PASSED = "time_passed"
    BEGUN = "begun"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABANDONED = "abandoned"


class BreakerState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a breaker stands. `period` counts the changes of phase.

    `failed_at`: the latest failures while closed, oldest first. `opened_at`: when it last opened. `probing`,
    `succeeded`: how many probes are under way and have succeeded while half open.
    """

    phase: Phase = Phase.CLOSED
    period: int = 0
    failed_at: tuple[Timestamp, ...] = ()
    opened_at: Timestamp = Timestamp(0)
    probing: int = 0
    succeeded: int = 0


CLOSED: Final = BreakerState()
"""The beginning."""


def _note_failure(state: BreakerState, policy: CircuitBreaker, now: Timestamp) -> BreakerState:
    failed_at = (*state.failed_at, now)[-policy.failures :]
    if len(failed_at) == policy.failures and now - failed_at[0] < duration_microseconds(policy.window):
        return _open(state, policy, now)
    return msgspec.structs.replace(state, failed_at=failed_at)


def _open(state: BreakerState, _policy: CircuitBreaker, now: Timestamp) -> BreakerState:
    return BreakerState(phase=Phase.OPEN, period=state.period + 1, opened_at=now)


def _half_open_in_time(state: BreakerState, policy: CircuitBreaker, now: Timestamp) -> BreakerState:
    if 0 <= now - state.opened_at < duration_microseconds(policy.open_for):
        return state
    return BreakerState(phase=Phase.HALF_OPEN, period=state.period + 1, opened_at=state.opened_at)


def _begin_probe(state: BreakerState, _policy: CircuitBreaker, _now: Timestamp) -> BreakerState:
    return msgspec.structs.replace(state, probing=state.probing + 1)


def _abandon_probe(state: BreakerState, _policy: CircuitBreaker, _now: Timestamp) -> BreakerState:
    return msgspec.structs.replace(state, probing=state.probing - 1)


def _note_success(state: BreakerState, policy: CircuitBreaker, _now: Timestamp) -> BreakerState:
    if state.succeeded + 1 >= policy.half_open:
        return BreakerState(period=state.period + 1)
    return msgspec.structs.replace(state, probing=state.probing - 1, succeeded=state.succeeded + 1)


STEPS: Final[
    Mapping[tuple[Phase, Happening], Callable[[BreakerState, CircuitBreaker, Timestamp], BreakerState]]
] = {
    (Phase.CLOSED, Happening.FAILED): _note_failure,
    (Phase.OPEN, Happening.TIME_PASSED): _half_open_in_time,
    (Phase.HALF_OPEN, Happening.BEGUN): _begin_probe,
    (Phase.HALF_OPEN, Happening.SUCCEEDED): _note_success,
    (Phase.HALF_OPEN, Happening.FAILED): _open,
    (Phase.HALF_OPEN, Happening.ABANDONED): _abandon_probe,
}  # fmt: skip
"""(phase, happening) -> the step; what is missing changes nothing."""


class Breaker:
    """One breaker: its state, and in which period each attempt under way began."""

    __slots__ = ("_begun", "state")

    def __init__(self) -> None:
        """Begin closed."""
        self.state = CLOSED
        self._begun: dict[Hashable, int] = {}

    def lets_through(self, policy: CircuitBreaker, now: Timestamp) -> bool:
        """Whether an attempt may be made now."""
        self._step(Happening.TIME_PASSED, policy, now)
        state = self.state
        if state.phase is Phase.HALF_OPEN:
            return state.probing + state.succeeded < policy.half_open
        return state.phase is Phase.CLOSED

    def opens_at(self, policy: CircuitBreaker) -> Timestamp | None:
        """Return when a probe may be made while it is open; None while that depends on outcomes."""
        if self.state.phase is not Phase.OPEN:
            return None
        return Timestamp(self.state.opened_at + duration_microseconds(policy.open_for))

    def begin(self, attempt: Hashable, policy: CircuitBreaker, now: Timestamp) -> None:
        """Learn that an attempt that was let through begins."""
        self._step(Happening.BEGUN, policy, now)
        self._begun[attempt] = self.state.period

    def end(self, attempt: Hashable, happening: Happening, policy: CircuitBreaker, now: Timestamp) -> bool:
        """Learn how an attempt has ended: the first word counts. Return whether others may be let through now.

        That is also so when the breaker has opened, for what waited for a probe now waits for a time.
        """
        before = self.state
        if self._begun.pop(attempt, None) == before.period:
            self._step(happening, policy, now)
        return self.state.phase is not before.phase or self.state.probing < before.probing

    def is_at_rest(self, policy: CircuitBreaker, now: Timestamp) -> bool:
        """Whether nothing would be lost if the breaker were forgotten."""
        state, window = self.state, duration_microseconds(policy.window)
        is_clean = not state.failed_at or now - state.failed_at[-1] >= window
        return state.phase is Phase.CLOSED and is_clean and not self._begun

    def sentence(self, policy: CircuitBreaker, now: Timestamp) -> str:
        """Say where it stands, with the numbers."""
        state = self.state
        match state.phase:
            case Phase.CLOSED:
                return (
                    f"closed: {len(state.failed_at)} recent failures, {policy.failures} within {policy.window} open it"
                )
            case Phase.OPEN:
                wait = max((self.opens_at(policy) or now) - now, 0) / MICROSECONDS_PER_SECOND
                return f"open after {policy.failures} failures within {policy.window}; the next probe in {wait:.6g} s"
            case Phase.HALF_OPEN:
                return f"half open: {state.probing} probes under way, {state.succeeded} of {policy.half_open} succeeded"

    def _step(self, happening: Happening, policy: CircuitBreaker, now: Timestamp) -> None:
        step = STEPS.get((self.state.phase, happening))
        if step is not None:
            self.state = step(self.state, policy, now)
