"""Whether a failed attempt is tried again, and after how long.

**Duty.** A `Retry` policy is data that lives in a history; `decide_retry` is the one place that reads it and answers
with `RetryAfter` or `GiveUp` and a reason. **Promise.** The answer depends on the arguments alone: the random number
that a jitter needs arrives as `draw` (see `draw_for`), the time that has passed as a duration. The policy's backoff
says how long the wait is (`perdure.kernel.backoff`).

Every decision is O(1). A decision is made once and its delay recorded, so that a last-digit difference of floating
point between machines never reaches a replay.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from perdure.errors import InvalidArgumentError
from perdure.kernel.backoff import Backoff, Exponential, backoff_delay
from perdure.kernel.time import duration_microseconds

__all__ = [
    "NO_RETRY",
    "GiveUp",
    "GiveUpReason",
    "Retry",
    "RetryAfter",
    "RetryDecision",
    "decide_retry",
    "draw_for",
    "excludes",
]

# Checks stand above the record because `NO_RETRY` is built, and so checked, on import.


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

    >>> Retry(attempts=3, non_retryable=(ValueError,)).non_retryable
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


REASONS: Final[Mapping[str, str]] = {
    GiveUpReason.ERROR_NOT_RETRYABLE: "its error rules out a retry",
    GiveUpReason.ERROR_TYPE_EXCLUDED: "its policy does not retry this error",
    GiveUpReason.ATTEMPTS_EXHAUSTED: "the last one",
    GiveUpReason.BUDGET_EXHAUSTED: "its time budget is used up",
    GiveUpReason.DEADLINE_REACHED: "another attempt would begin after its deadline",
}
"""Each reason as it is told to people, of an attempt that failed."""


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
