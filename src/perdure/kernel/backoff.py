"""Backoffs: how long to wait before a further attempt.

A backoff is data that lives in a history. **Promise.** A delay depends on the arguments alone: the random number that a
jitter needs arrives as `draw`. None is negative, longer than its backoff's maximum, or longer than `LONGEST_DELAY`,
whatever the number of the attempt.

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
Decorrelated jitter is defined by the delay before, so that is an argument of `backoff_delay` and not a hidden state.
Rejected: recomputing the chain of delays from the attempt's number, which costs O(attempt) and needs the draws of all
attempts before, for a value that the caller has at hand (the timer it has just waited for).
"""

from datetime import timedelta
from math import inf
from typing import Final, TypeAlias, assert_never

import msgspec

from perdure.errors import InvalidArgumentError
from perdure.kernel.time import MICROSECONDS_PER_SECOND, duration_microseconds

__all__ = [
    "LONGEST_DELAY",
    "Backoff",
    "DecorrelatedJitter",
    "Exponential",
    "Fixed",
    "FullJitter",
    "Jitter",
    "Linear",
    "SteadyBackoff",
    "backoff_delay",
    "decorrelated_jitter",
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


def _check_delay(function: str, argument: str, delay: int, *, at_least: int = 0) -> None:
    if not at_least <= delay <= _LONGEST:
        raise InvalidArgumentError(
            f"{function}: {argument} is {delay / MICROSECONDS_PER_SECOND:.15g} s; "
            f"allowed is {at_least / MICROSECONDS_PER_SECOND:.15g} s to {LONGEST_DELAY.days} days"
        )


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
