"""Limits that an activity declares, as data: a history keeps those that one call was given (`.options(...)`).

How they are kept is decided elsewhere: `perdure.scheduling.rate` and `perdure.resilience.breaker`.
"""

from datetime import timedelta

import msgspec

from perdure.errors import InvalidArgumentError

__all__ = ["CircuitBreaker", "RateLimit"]


class _Count(msgspec.Struct, frozen=True):
    """What comes first, and may be given without its name."""

    count: int


class RateLimit(_Count, frozen=True, kw_only=True, omit_defaults=True):
    """How often an activity may start: `count` times `per` duration, in one worker process.

    Starts are spread evenly: one each `per` / `count`. `burst`: so many may start at once after a pause (1). In any
    time of length t at most `burst` + t x `count` / `per` attempts start; with a burst of 1, no more than `count` in
    any `per`. Retries count. `key`: calls with the same key share one limit (the activity's name); an activity that
    shares another's limit should declare the same numbers, for each call keeps to its own.

    Raises InvalidArgumentError for a number below 1 and a duration that is not above zero.

    >>> RateLimit(100, per=timedelta(minutes=1), key="payment provider").burst
    1
    """

    per: timedelta
    burst: int = 1
    key: str | None = None

    def __post_init__(self) -> None:
        _require_numbers("RateLimit", count=self.count, burst=self.burst)
        _require_durations("RateLimit", per=self.per)


class CircuitBreaker(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When an activity is not tried any more because what it calls is broken; kept in one worker process.

    `failures` failed attempts within `window` open the breaker: for `open_for` no attempt is made. Then it is half
    open: `half_open` attempts are made as probes, and when all have succeeded the breaker closes; one that fails opens
    it again. Time-outs and failures that a retry may cure count as failures. One that rules out a retry
    (`NonRetryableError`, a `UsageError`, a type in the retry policy's `non_retryable`) shows that the other side
    answers. `key`: calls with the same key share one breaker (the activity's name).

    While no attempt may be made, a call waits, and uses up no attempt. A call that can do better fails at once, with
    CircuitOpenError: one that has a `fallback`, whose retry policy allows a single attempt, or whose retry policy
    lists CircuitOpenError as non-retryable.

    Raises InvalidArgumentError for a number below 1 and a duration that is not above zero.

    >>> CircuitBreaker(failures=5, window=timedelta(minutes=1), open_for=timedelta(seconds=30)).half_open
    1
    """

    failures: int
    window: timedelta
    open_for: timedelta
    half_open: int = 1
    key: str | None = None

    def __post_init__(self) -> None:
        _require_numbers("CircuitBreaker", failures=self.failures, half_open=self.half_open)
        _require_durations("CircuitBreaker", window=self.window, open_for=self.open_for)


def _require_numbers(record: str, **numbers: object) -> None:
    for name, number in numbers.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InvalidArgumentError(f"{record}: {name} is {number!r}; allowed is an integer from 1")


def _require_durations(record: str, **durations: object) -> None:
    for name, duration in durations.items():
        if not isinstance(duration, timedelta) or duration <= timedelta(0):
            raise InvalidArgumentError(f"{record}: {name} is {duration!r}; allowed is a timedelta above zero")
