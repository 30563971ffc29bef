"""The records of limits: what they refuse."""

from datetime import timedelta

import pytest

from perdure.errors import InvalidArgumentError
from perdure.kernel.limits import CircuitBreaker, RateLimit

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "3"])
def test_a_rate_counts_in_integers_from_one(count: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"RateLimit: count is .*; allowed is an integer from 1"):
        RateLimit(count, per=MINUTE)  # type: ignore[arg-type]  # what is refused


@pytest.mark.parametrize("per", [timedelta(0), -MINUTE, 60])
def test_a_rate_is_per_a_time_above_zero(per: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"RateLimit: per is .*; allowed is a timedelta above zero"):
        RateLimit(1, per=per)  # type: ignore[arg-type]  # what is refused


def test_a_breaker_says_which_of_its_numbers_is_wrong() -> None:
    with pytest.raises(InvalidArgumentError, match="CircuitBreaker: half_open is 0"):
        CircuitBreaker(failures=5, window=MINUTE, open_for=MINUTE, half_open=0)
    with pytest.raises(InvalidArgumentError, match="CircuitBreaker: open_for is"):
        CircuitBreaker(failures=5, window=MINUTE, open_for=timedelta(0))
