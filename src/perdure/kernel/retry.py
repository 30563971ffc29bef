"""Whether a failed attempt is tried again, and after how long.

**Duty.** A `Retry` policy is data that lives in a history; `decide_retry` is the one place that reads it and answers
with `RetryAfter` or `GiveUp` and a reason. **Promise.** The answer depends on the arguments alone: the random number
that a jitter needs arrives as `draw` (see `draw_for`), the time that has passed as a duration. No delay is negative,
longer than its backoff's maximum, or longer than `LONGEST_DELAY`, whatever the number of the attempt.

| backoff | delay after failed attempt n = 1, 2, 3, ... |
|---|---|
| `fixed` | the same delay |
| `linear` | initial + (n - 1) x increment, up to a maximum |
| `exponential` | initial x factor^(n - 1), up to a maximum |
| `jitter` | another backoff's delay x (1 ± ratio), uniform |
| `full_jitter` | uniform between 0 and another backoff's delay |
| `decorrelated_jitter` | uniform between the initial delay and 3 x the delay before, up to a maximum |

**Source.** Full and decorrelated jitter: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015:
``sleep = random_between(0, min(cap, base * 2 ** attempt))`` and ``sleep = min(cap, random_between(base, sleep * 3))``.
Decorrelated jitter is defined by the delay before, so that is an argument of `decide_retry` and not a hidden state.
Rejected: recomputing the chain of delays from the attempt's number, which costs O(attempt) and needs the draws of all
attempts before, for a value that the caller has at hand (the timer it has just waited for).

Every decision is O(1). A decision is made once and its delay recorded, so that a last-digit difference of floating
point between machines never reaches a replay.
"""

from datetime import timedelta
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

import msgspec

from perdure.errors import InvalidArgumentError
from perdure.kernel.time import MICROSECONDS_PER_SECOND, duration_microseconds

__all__ = [
    "LONGEST_DELAY",
    "NO_RETRY",
    "Backoff",
    "DecorrelatedJitter",
    "Exponential",
    "Fixed",
    "FullJitter",
    "GiveUp",
    "GiveUpReason",
    "Jitter",
    "Linear",
    "Retry",
    "RetryAfter",
    "RetryDecision",
    "SteadyBackoff",
    "backoff_delay",
    "decide_retry",
    "decorrelated_jitter",
    "draw_for",
    "excludes",
    "exponential",
    "fixed",
    "full_jitter",
    "jitter",
    "linear",
]

LONGEST_DELAY: Final = timedelta(days=3650)
"""No backoff waits longer: a longer wait is a schedule, not a retry. Keeps every instant far inside 64 bits."""

_LONGEST: Final = duration_microseconds(LONGEST_DELAY)
_MAXIMUM_IN_INITIALS: Final = 100
"""Where `exponential` is given no maximum it stops at this many times its initial delay (as Temporal does)."""


# --- checks; above the records because the records' own defaults are built, and so checked, on import ----------------


def _check_delay(function: str, argument: str, delay: int, *, at_least: int = 0) -> None:
    if not at_least <= delay <= _LONGEST:
        raise InvalidArgumentError(
            f"{function}: {argument} is {delay / MICROSECONDS_PER_SECOND:.15g} s; "
            f"allowed is {at_least / MICROSECONDS_PER_SECOND:.15g} s to {LONGEST_DELAY.days} days"
        )


def _check_attempts(attempts: object, budget: object) -> None:
    if attempts is None and budget is None:
        raise InvalidArgumentError("Retry: attempts is None; without a limit of attempts a budget is required")
    if attempts is not None and (not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1):
        raise InvalidArgumentError(f"Retry: attempts is {attempts!r}; allowed is an integer from 1, or None")


def _check_budget(budget: object) -> None:
    if budget is not None and not (isinstance(budget, timedelta) and budget > timedelta(0)):
        raise InvalidArgumentError(f"Retry: budget is {budget!r}; allowed is a positive timedelta, or None")


def _error_type_name(entry: object) -> str:
    if isinstance(entry, type) and issubclass(entry, BaseException):
        return entry.__name__
    if isinstance(entry, str) and entry.isidentifier():
        return entry
    raise InvalidArgumentError(
        f"Retry: non_retryable holds {entry!r}; allowed are exception classes and their names without module"
    )


# --- records and what makes them -------------------------------------------------------------------------------------


class _BackoffRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """What the backoffs share: frozen, JSON tagged by `kind`."""


class Fixed(_BackoffRecord, frozen=True, kw_only=True, tag="fixed"):
    """The same delay after every failed attempt. Made by `fixed`."""

    delay_microseconds: int

    def __post_init__(self) -> None:
        _check_delay("fixed", "delay", self.delay_microseconds)


class Linear(_BackoffRecord, frozen=True, kw_only=True, tag="linear"):
    """A delay that grows by the same amount each time, up to `maximum_microseconds`. Made by `linear`."""

    initial_microseconds: int
    increment_microseconds: int
    maximum_microseconds: int = _LONGEST

    def __post_init__(self) -> None:
        _check_delay("linear", "initial", self.initial_microseconds)
        _check_delay("linear", "increment", self.increment_microseconds)
        _check_delay("linear", "maximum", self.maximum_microseconds, at_least=self.initial_microseconds)


class Exponential(_BackoffRecord, frozen=True, kw_only=True, tag="exponential"):
    """A delay that is multiplied by `factor` each time, up to `maximum_microseconds`. Made by `exponential`."""

    initial_microseconds: int
    factor: float = 2.0
    maximum_microseconds: int

    def __post_init__(self) -> None:
        _check_delay("exponential", "initial", self.initial_microseconds, at_least=1)
        _check_delay("exponential", "maximum", self.maximum_microseconds, at_least=self.initial_microseconds)
        if not 1.0 <= self.factor < inf:
            raise InvalidArgumentError(
                f"exponential: factor is {self.factor!r}; allowed is a finite number of at least 1"
            )


SteadyBackoff: TypeAlias = Fixed | Linear | Exponential
"""The backoffs whose delay depends on the attempt's number alone."""


class Jitter(_BackoffRecord, frozen=True, kw_only=True, tag="jitter"):
    """Another backoff's delay x (1 ± `ratio`). Made by `jitter`."""

    base: SteadyBackoff
    ratio: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.ratio <= 1.0:
            raise InvalidArgumentError(f"jitter: ratio is {self.ratio!r}; allowed is 0 to 1 (0.3 means ±30 %)")


class FullJitter(_BackoffRecord, frozen=True, kw_only=True, tag="full_jitter"):
    """Between 0 and another backoff's delay. Made by `full_jitter`."""

    base: SteadyBackoff


class DecorrelatedJitter(_BackoffRecord, frozen=True, kw_only=True, tag="decorrelated_jitter"):
    """Between the initial delay and three times the delay before. Made by `decorrelated_jitter`."""

    initial_microseconds: int
    maximum_microseconds: int

    def __post_init__(self) -> None:
        _check_delay("decorrelated_jitter", "initial", self.initial_microseconds, at_least=1)
        _check_delay("decorrelated_jitter", "maximum", self.maximum_microseconds, at_least=self.initial_microseconds)


Backoff: TypeAlias = Fixed | Linear | Exponential | Jitter | FullJitter | DecorrelatedJitter
"""How long to wait before the next attempt."""


def fixed(delay: timedelta) -> Fixed:
    """Wait `delay` after every failed attempt; zero means at once.

    Raises InvalidArgumentError where `delay` is negative or longer than `LONGEST_DELAY`.

    >>> fixed(timedelta(seconds=10))
    Fixed(delay_microseconds=10000000)
    """
    return Fixed(delay_microseconds=_microseconds("fixed", "delay", delay))


def linear(initial: timedelta, increment: timedelta, *, maximum: timedelta | None = None) -> Linear:
    """Wait `initial`, then `increment` longer each time, up to `maximum` (None: up to `LONGEST_DELAY`).

    Raises InvalidArgumentError where a duration is negative or too long, or `maximum` is below `initial`.

    >>> backoff_delay(linear(timedelta(seconds=1), timedelta(seconds=2)), attempt=3, draw=0.0)
    5000000
    """
    return Linear(
        initial_microseconds=_microseconds("linear", "initial", initial),
        increment_microseconds=_microseconds("linear", "increment", increment),
        maximum_microseconds=_LONGEST if maximum is None else _microseconds("linear", "maximum", maximum),
    )


def exponential(initial: timedelta, factor: float = 2.0, *, maximum: timedelta | None = None) -> Exponential:
    """Wait `initial`, then `factor` times longer each time, up to `maximum` (None: 100 x `initial`).

    Raises InvalidArgumentError where `initial` is not positive, `factor` is below 1 or not finite, a duration is too
    long, or `maximum` is below `initial`.

    >>> backoff_delay(exponential(timedelta(seconds=1), maximum=timedelta(minutes=1)), attempt=4, draw=0.0)
    8000000
    """
    start = _microseconds("exponential", "initial", initial)
    return Exponential(
        initial_microseconds=start,
        factor=float(factor),
        maximum_microseconds=min(start * _MAXIMUM_IN_INITIALS, _LONGEST)
        if maximum is None
        else _microseconds("exponential", "maximum", maximum),
    )


def jitter(base: SteadyBackoff | timedelta, ratio: float) -> Jitter:
    """Wait as `base` says (a timedelta means `fixed`), times a random number between 1 - `ratio` and 1 + `ratio`.

    The maximum of `base` holds for the result too: at the maximum the delay is drawn from [maximum x (1 - ratio),
    maximum], so that the spread survives there.

    Raises InvalidArgumentError where `ratio` is outside 0..1 or `base` is itself random.

    >>> backoff_delay(jitter(timedelta(seconds=5), 0.3), attempt=1, draw=0.0)
    3500000
    """
    return Jitter(base=_steady("jitter", base), ratio=float(ratio))


def full_jitter(base: SteadyBackoff | timedelta) -> FullJitter:
    """Wait a random time between 0 and what `base` says (a timedelta means `fixed`).

    Raises InvalidArgumentError where `base` is itself random.

    >>> backoff_delay(full_jitter(exponential(timedelta(seconds=1))), attempt=3, draw=0.5)
    2000000
    """
    return FullJitter(base=_steady("full_jitter", base))


def decorrelated_jitter(initial: timedelta, *, maximum: timedelta) -> DecorrelatedJitter:
    """Wait a random time between `initial` and three times the delay before (first: `initial`), up to `maximum`.

    Raises InvalidArgumentError where `initial` is not positive, a duration is too long, or `maximum` is below it.

    >>> backoff = decorrelated_jitter(timedelta(seconds=1), maximum=timedelta(minutes=1))
    >>> backoff_delay(backoff, attempt=2, draw=0.5, previous_delay_microseconds=3_000_000)
    5000000
    """
    return DecorrelatedJitter(
        initial_microseconds=_microseconds("decorrelated_jitter", "initial", initial),
        maximum_microseconds=_microseconds("decorrelated_jitter", "maximum", maximum),
    )


if TYPE_CHECKING:
    ErrorType: TypeAlias = str | type[BaseException]
else:
    # msgspec cannot decode classes; `Retry.__post_init__` has turned them into their names by the time one encodes.
    ErrorType: TypeAlias = str


class Retry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often, and how, something that failed is tried again.

    `attempts`: tries in total, the first included, from 1; None: no limit but the budget, which is then required.
    `backoff`: the wait before each further try (exponential 1 s x 2 up to 60 s).
    `non_retryable`: exception classes, or their names without module, that end the retries at once; a class stands for
    its subclasses too. They are kept as names, so that a history never depends on an import.
    `budget`: every try begins less than this after the first one began; None: no such limit.

    Raises InvalidArgumentError for a value that is not allowed, naming argument, value and what is.

    >>> Retry(attempts=3, backoff=fixed(timedelta(seconds=1)), non_retryable=(ValueError,)).non_retryable
    ('ValueError',)
    """

    attempts: int | None
    backoff: Backoff = Exponential(initial_microseconds=1_000_000, maximum_microseconds=60_000_000)
    non_retryable: tuple[ErrorType, ...] = ()
    budget: timedelta | None = None

    def __post_init__(self) -> None:
        _check_attempts(self.attempts, self.budget)
        if not isinstance(self.backoff, Backoff):
            raise InvalidArgumentError(
                f"Retry: backoff is {self.backoff!r}; allowed is a backoff such as fixed(timedelta(seconds=1))"
            )
        _check_budget(self.budget)
        if not isinstance(self.non_retryable, tuple):
            raise InvalidArgumentError(
                f"Retry: non_retryable is {self.non_retryable!r}; allowed is a tuple of exception classes or names, "
                "such as (ValueError,)"
            )
        names = tuple(_error_type_name(entry) for entry in self.non_retryable)
        msgspec.structs.force_setattr(self, "non_retryable", names)

    @staticmethod
    def never() -> "Retry":
        """Return the policy of a single attempt."""
        return NO_RETRY


NO_RETRY: Final = Retry(attempts=1)
"""A single attempt: the first failure is final."""


class GiveUpReason(StrEnum):
    """Why no further attempt is made; where several hold, the first of this order is given."""

    ERROR_NOT_RETRYABLE = "error_not_retryable"
    """Whoever raised the error ruled out another try (`NonRetryableError`)."""
    ERROR_TYPE_EXCLUDED = "error_type_excluded"
    """The policy lists the error's class, or one of its bases, as non-retryable."""
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    """The last allowed attempt has failed."""
    BUDGET_EXHAUSTED = "budget_exhausted"
    """The next attempt would begin at or after the end of the policy's time budget."""
    DEADLINE_REACHED = "deadline_reached"
    """The next attempt would begin at or after a deadline (schedule-to-close, run timeout)."""


class RetryAfter(msgspec.Struct, frozen=True, kw_only=True):
    """Try again once `delay_microseconds` have passed since the failure."""

    delay_microseconds: int


class GiveUp(msgspec.Struct, frozen=True, kw_only=True):
    """Make no further attempt: the failure is final, for this `reason`."""

    reason: GiveUpReason


RetryDecision: TypeAlias = RetryAfter | GiveUp
"""The answer to a failed attempt."""


def decide_retry(
    policy: Retry,
    *,
    attempt: int,
    error_type: str,
    error_types: tuple[str, ...] = (),
    retryable: bool = True,
    elapsed_microseconds: int,
    until_deadline_microseconds: int | None = None,
    previous_delay_microseconds: int = 0,
    draw: float,
) -> RetryDecision:
    """Decide what follows the failure of an attempt.

    `attempt`: the number of the attempt that failed, from 1. `error_type`, `error_types`: the class name of its error
    and those of its bases, without module (`Failure.type`, `Failure.types`). `retryable`: False where the raiser ruled
    out another try. `elapsed_microseconds`: since the first attempt began. `until_deadline_microseconds`: until the
    nearest deadline for the next attempt's beginning, None where there is none. `previous_delay_microseconds`: the
    delay before the attempt that failed, 0 for the first; only decorrelated jitter reads it. `draw`: in [0, 1).
    """
    if not retryable:
        return GiveUp(reason=GiveUpReason.ERROR_NOT_RETRYABLE)
    if policy.non_retryable and excludes(policy, error_type, error_types):
        return GiveUp(reason=GiveUpReason.ERROR_TYPE_EXCLUDED)
    if policy.attempts is not None and attempt >= policy.attempts:
        return GiveUp(reason=GiveUpReason.ATTEMPTS_EXHAUSTED)
    delay = backoff_delay(
        policy.backoff, attempt=attempt, draw=draw, previous_delay_microseconds=previous_delay_microseconds
    )
    if policy.budget is not None and elapsed_microseconds + delay >= duration_microseconds(policy.budget):
        return GiveUp(reason=GiveUpReason.BUDGET_EXHAUSTED)
    if until_deadline_microseconds is not None and delay >= until_deadline_microseconds:
        return GiveUp(reason=GiveUpReason.DEADLINE_REACHED)
    return RetryAfter(delay_microseconds=delay)


def excludes(policy: Retry, error_type: str, error_types: tuple[str, ...]) -> bool:
    """Whether a policy lists an error's class, or one of its bases, as non-retryable. See `decide_retry`."""
    return any(name == error_type or name in error_types or name in _EVERY_ERROR for name in policy.non_retryable)


def backoff_delay(backoff: Backoff, *, attempt: int, draw: float, previous_delay_microseconds: int = 0) -> int:
    """Return the delay, in microseconds, between the failure of `attempt` (from 1) and the next attempt.

    `draw` in [0, 1) decides where a random backoff falls within its range; both ends of the range can be reached.
    `previous_delay_microseconds` is the delay that preceded the failed attempt (0: none), for decorrelated jitter.
    """
    match backoff:
        case Fixed() | Linear() | Exponential():
            return _steady_delay(backoff, attempt)
        case Jitter(base=base, ratio=ratio):
            middle = _steady_delay(base, attempt)
            spread = int(middle * ratio)
            return _uniform(middle - spread, min(middle + spread, _maximum(base)), draw)
        case FullJitter(base=base):
            return _uniform(0, _steady_delay(base, attempt), draw)
        case DecorrelatedJitter(initial_microseconds=initial, maximum_microseconds=maximum):
            highest = 3 * max(initial, previous_delay_microseconds)
            return min(_uniform(initial, highest, draw), maximum)
        case _:
            assert_never(backoff)


def draw_for(run_key: int, operation: int, attempt: int) -> float:
    """Return a number in [0, 1) that is fixed by its arguments and looks random over them. About 1 microsecond.

    The three integers are spread by odd 64-bit constants and mixed by the finaliser of SplitMix64 (Steele, Lea, Flood,
    "Fast splittable pseudorandom number generators", OOPSLA 2014); the upper 53 bits become the float. Equal on every
    platform and version, unlike `hash`. Not for secrets.
    """
    mixed = (run_key * 0x9E3779B97F4A7C15 + operation * 0xD1342543DE82EF95 + attempt * 0xDA942042E4DD58B5) & _64_BITS
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return ((mixed ^ (mixed >> 31)) >> 11) * 2.0**-53


_64_BITS: Final = 0xFFFF_FFFF_FFFF_FFFF
_EVERY_ERROR: Final = frozenset({"Exception", "BaseException"})
"""Bases that a recorded failure leaves out of its types because they hold for every error."""


def _microseconds(function: str, argument: str, duration: object) -> int:
    if not isinstance(duration, timedelta):
        raise InvalidArgumentError(f"{function}: {argument} is {duration!r}; allowed is a timedelta")
    return duration_microseconds(duration)


def _steady(function: str, base: object) -> SteadyBackoff:
    if isinstance(base, timedelta):
        return fixed(base)
    if not isinstance(base, Fixed | Linear | Exponential):
        raise InvalidArgumentError(
            f"{function}: base is {base!r}; allowed is a timedelta or a fixed, linear or exponential backoff"
        )
    return base


def _steady_delay(backoff: SteadyBackoff, attempt: int) -> int:
    match backoff:
        case Fixed(delay_microseconds=delay):
            return delay
        case Linear(initial_microseconds=initial, increment_microseconds=increment, maximum_microseconds=maximum):
            return min(initial + (attempt - 1) * increment, maximum)
        case Exponential(initial_microseconds=initial, factor=factor, maximum_microseconds=maximum):
            try:
                return int(min(initial * factor ** (attempt - 1), maximum))
            except OverflowError:
                return maximum
        case _:
            assert_never(backoff)


def _maximum(backoff: SteadyBackoff) -> int:
    return _LONGEST if isinstance(backoff, Fixed) else backoff.maximum_microseconds


def _uniform(lowest: int, highest: int, draw: float) -> int:
    """Return the integer at `draw` in [lowest, highest], both ends included, all equally likely."""
    return min(lowest + int(draw * (highest - lowest + 1)), highest)
