"""The circuit breaker: its table, and a long random life against a model that remembers everything."""

import random
from datetime import timedelta

import pytest

from perdure.kernel.limits import CircuitBreaker
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.resilience.breaker import STEPS, Breaker, Happening, Phase

POLICY = CircuitBreaker(failures=3, window=timedelta(seconds=10), open_for=timedelta(seconds=5))
TWO_PROBES = CircuitBreaker(failures=1, window=timedelta(seconds=10), open_for=timedelta(seconds=5), half_open=2)


def at(seconds: float) -> Timestamp:
    return Timestamp(int(1_000_000_000 + seconds * MICROSECONDS_PER_SECOND))


def attempt(breaker: Breaker, policy: CircuitBreaker, name: str, seconds: float, happening: Happening) -> None:
    assert breaker.lets_through(policy, at(seconds))
    breaker.begin(name, policy, at(seconds))
    breaker.end(name, happening, policy, at(seconds))


def phase_of(breaker: Breaker) -> Phase:
    return breaker.state.phase


def opened(policy: CircuitBreaker) -> Breaker:
    """Return a breaker that opened at second 0."""
    breaker = Breaker()
    for number in range(policy.failures):
        attempt(breaker, policy, f"failure {number}", 0, Happening.FAILED)
    assert phase_of(breaker) is Phase.OPEN
    return breaker


def test_the_table_leaves_an_open_breaker_only_by_time() -> None:
    assert {happening for phase, happening in STEPS if phase is Phase.OPEN} == {Happening.TIME_PASSED}


def test_enough_failures_within_the_window_open_it() -> None:
    breaker = Breaker()
    for seconds in (0, 5):
        attempt(breaker, POLICY, f"{seconds}", seconds, Happening.FAILED)
    attempt(breaker, POLICY, "between", 6, Happening.SUCCEEDED)
    attempt(breaker, POLICY, "third", 9.9, Happening.FAILED)
    assert not breaker.lets_through(POLICY, at(9.9))
    assert breaker.opens_at(POLICY) == at(14.9)


def test_failures_that_are_further_apart_than_the_window_do_not_open_it() -> None:
    breaker = Breaker()
    for seconds in (0, 5, 10, 15, 20):
        attempt(breaker, POLICY, f"{seconds}", seconds, Happening.FAILED)
    assert phase_of(breaker) is Phase.CLOSED


def test_after_its_time_it_lets_so_many_probes_through_and_closes_when_all_succeed() -> None:
    breaker = opened(TWO_PROBES)
    assert not breaker.lets_through(TWO_PROBES, at(4.999))
    for name in ("one", "two"):
        assert breaker.lets_through(TWO_PROBES, at(5))
        breaker.begin(name, TWO_PROBES, at(5))
    assert not breaker.lets_through(TWO_PROBES, at(5))
    assert breaker.opens_at(TWO_PROBES) is None
    breaker.end("one", Happening.SUCCEEDED, TWO_PROBES, at(6))
    assert not breaker.lets_through(TWO_PROBES, at(6))
    assert breaker.end("two", Happening.SUCCEEDED, TWO_PROBES, at(7))
    assert phase_of(breaker) is Phase.CLOSED


def test_a_probe_that_fails_opens_it_for_its_whole_time_again() -> None:
    breaker = opened(TWO_PROBES)
    attempt(breaker, TWO_PROBES, "good", 5, Happening.SUCCEEDED)
    attempt(breaker, TWO_PROBES, "bad", 6, Happening.FAILED)
    assert breaker.opens_at(TWO_PROBES) == at(11)


def test_a_probe_that_ends_without_an_outcome_makes_room_for_another() -> None:
    breaker = opened(POLICY)
    assert breaker.lets_through(POLICY, at(5))
    breaker.begin("cancelled", POLICY, at(5))
    assert not breaker.lets_through(POLICY, at(5))
    assert breaker.end("cancelled", Happening.ABANDONED, POLICY, at(6))
    assert breaker.lets_through(POLICY, at(6))


def test_what_began_in_another_period_says_nothing_about_this_one() -> None:
    breaker = Breaker()
    for name in ("slow", "slower"):
        assert breaker.lets_through(POLICY, at(0))
        breaker.begin(name, POLICY, at(0))
    for number in range(3):
        attempt(breaker, POLICY, f"{number}", 1, Happening.FAILED)
    assert not breaker.end("slow", Happening.SUCCEEDED, POLICY, at(2))
    assert phase_of(breaker) is Phase.OPEN
    assert breaker.lets_through(POLICY, at(6))
    assert not breaker.end("slower", Happening.FAILED, POLICY, at(6))
    assert phase_of(breaker) is Phase.HALF_OPEN


def test_the_first_outcome_of_an_attempt_counts() -> None:
    breaker = Breaker()
    for number in range(2):
        attempt(breaker, POLICY, f"{number}", 0, Happening.FAILED)
        assert not breaker.end(f"{number}", Happening.FAILED, POLICY, at(0))
    assert phase_of(breaker) is Phase.CLOSED


def test_a_clock_that_is_set_back_does_not_keep_it_open() -> None:
    breaker = opened(POLICY)
    assert breaker.lets_through(POLICY, at(-1))


def test_it_is_at_rest_when_nothing_it_knows_matters() -> None:
    breaker = Breaker()
    assert breaker.is_at_rest(POLICY, at(0))
    attempt(breaker, POLICY, "failure", 0, Happening.FAILED)
    assert not breaker.is_at_rest(POLICY, at(9))
    assert breaker.is_at_rest(POLICY, at(10))
    breaker.begin("running", POLICY, at(10))
    assert not breaker.is_at_rest(POLICY, at(10))


def test_it_says_where_it_stands() -> None:
    breaker = Breaker()
    assert breaker.sentence(POLICY, at(0)) == "closed: 0 recent failures, 3 within 0:00:10 open it"
    breaker = opened(POLICY)
    assert breaker.sentence(POLICY, at(1)) == "open after 3 failures within 0:00:10; the next probe in 4 s"
    assert breaker.lets_through(POLICY, at(5))
    breaker.begin("probe", POLICY, at(5))
    assert breaker.sentence(POLICY, at(5)) == "half open: 1 probes under way, 0 of 1 succeeded"


@pytest.mark.parametrize("seed", range(20))
def test_a_long_life_agrees_with_a_model_that_remembers_everything(seed: int) -> None:
    chance, breaker, now = random.Random(seed), Breaker(), 0.0
    policy = CircuitBreaker(
        failures=chance.randint(1, 4), window=timedelta(seconds=10), open_for=timedelta(seconds=5),
        half_open=chance.randint(1, 3),
    )  # fmt: skip
    failed: list[float] = []
    opened_at: float | None = None
    probes: dict[int, bool | None] = {}  # attempt -> whether it succeeded, None while it runs; of this half-open period
    running: dict[int, str] = {}
    period = 0
    for number in range(2_000):
        now += chance.choice([0, 0, 0.25, 1, 3])
        half_open = opened_at is not None and now - opened_at >= 5
        allowed = opened_at is None or (half_open and len(probes) < policy.half_open)
        assert breaker.lets_through(policy, at(now)) is allowed
        if allowed and chance.random() < 0.6:
            breaker.begin(number, policy, at(now))
            running[number] = str(period)
            if half_open:
                probes[number] = None
        elif running:
            ended = chance.choice(list(running))
            happening = chance.choice([Happening.SUCCEEDED, Happening.FAILED, Happening.FAILED, Happening.ABANDONED])
            breaker.end(ended, happening, policy, at(now))
            if running.pop(ended) != str(period):
                continue
            if opened_at is None and happening is Happening.FAILED:
                failed.append(now)
                recent = [moment for moment in failed if now - moment < 10]
                if len(recent) >= policy.failures:
                    opened_at, failed, probes, period = now, [], {}, period + 1
            elif ended in probes and happening is Happening.FAILED:
                opened_at, probes, period = now, {}, period + 1
            elif ended in probes and happening is Happening.ABANDONED:
                del probes[ended]
            elif ended in probes:
                probes[ended] = True
                if sum(outcome is True for outcome in probes.values()) == policy.half_open:
                    opened_at, probes, period = None, {}, period + 1
