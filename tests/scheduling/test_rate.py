"""Rate limits against a leaky bucket in exact fractions, and against what any window of time may hold."""

from datetime import timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from perdure.kernel.limits import RateLimit
from perdure.kernel.time import Timestamp, duration_microseconds
from perdure.scheduling.item import Item
from perdure.scheduling.rate import ArrivalTimes, RateGate

START = Timestamp(1_700_000_000_000_000)
ITEM = Item(key=1, enqueued_at=START)
LIMITS = st.builds(
    RateLimit,
    st.integers(1, 7),
    per=st.sampled_from([timedelta(microseconds=10), timedelta(microseconds=97), timedelta(seconds=1)]),
    burst=st.integers(1, 5),
)


def gate_of(limit: RateLimit, times: ArrivalTimes | None = None) -> RateGate:
    return RateGate(ArrivalTimes() if times is None else times, "key", limit)


def starts_of(gate: RateGate, tries: list[Timestamp]) -> list[Timestamp]:
    starts = []
    for now in tries:
        if not gate.refuses(ITEM, now):
            gate.take(ITEM, now)
            starts.append(now)
    return starts


def moments(gaps: list[int]) -> list[Timestamp]:
    now, tries = int(START), []
    for gap in gaps:
        now += gap
        tries.append(Timestamp(now))
    return tries


@given(
    st.builds(RateLimit, st.sampled_from([1, 2, 5]), per=st.just(timedelta(microseconds=10)), burst=st.integers(1, 4)),
    st.lists(st.integers(0, 30), max_size=60),
)
def test_it_decides_as_a_leaky_bucket_does(limit: RateLimit, gaps: list[int]) -> None:
    level, before, expected = Fraction(0), int(START), []
    for now in moments(gaps):
        level = max(Fraction(0), level - Fraction((now - before) * limit.count, duration_microseconds(limit.per)))
        before = now
        if level + 1 <= limit.burst:
            level += 1
            expected.append(now)
    assert starts_of(gate_of(limit), moments(gaps)) == expected


@given(LIMITS, st.lists(st.integers(0, 400_000), max_size=60))
def test_no_window_holds_more_than_burst_and_rate_allow(limit: RateLimit, gaps: list[int]) -> None:
    starts, per = starts_of(gate_of(limit), moments(gaps)), duration_microseconds(limit.per)
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            length = starts[last] - starts[first]
            assert last - first + 1 <= limit.burst + Fraction(length * limit.count, per)


@given(st.integers(1, 7), st.lists(st.integers(0, 400_000), max_size=60))
def test_with_a_burst_of_one_no_period_holds_more_than_the_count(count: int, gaps: list[int]) -> None:
    starts = starts_of(gate_of(RateLimit(count, per=timedelta(seconds=1))), moments(gaps))
    for begin in starts:
        assert sum(begin <= start < begin + 1_000_000 for start in starts) <= count


@given(LIMITS, st.lists(st.integers(0, 400_000), max_size=40))
def test_it_opens_at_the_very_moment_it_names(limit: RateLimit, gaps: list[int]) -> None:
    gate = gate_of(limit)
    for now in moments(gaps):
        opens_at = gate.opens_at(now)
        assert gate.refuses(ITEM, now) is (opens_at > now)
        if opens_at > now:
            assert gate.refuses(ITEM, Timestamp(opens_at - 1))
            now = opens_at  # noqa: PLW2901 - the next try comes at the moment that was named, or later
        if not gate.refuses(ITEM, now):
            gate.take(ITEM, now)


def test_who_always_comes_when_it_opens_gets_the_whole_rate() -> None:
    gate, now = gate_of(RateLimit(300, per=timedelta(minutes=1), burst=10)), START
    for _ in range(3_010):
        now = max(now, gate.opens_at(now))
        assert not gate.refuses(ITEM, now)
        gate.take(ITEM, now)
    assert now - START == 600_000_000


def test_keys_are_limited_apart_and_equal_keys_together() -> None:
    times, limit = ArrivalTimes(), RateLimit(1, per=timedelta(seconds=1))
    one, other, same = RateGate(times, "a", limit), RateGate(times, "b", limit), RateGate(times, "a", limit)
    one.take(ITEM, START)
    assert same.refuses(ITEM, START)
    assert not other.refuses(ITEM, START)


def test_a_clock_that_is_set_back_does_not_stop_a_key_for_that_long() -> None:
    gate = gate_of(RateLimit(1, per=timedelta(seconds=1)))
    gate.take(ITEM, START)
    an_hour_before = Timestamp(START - 3_600_000_000)
    assert gate.opens_at(an_hour_before) == an_hour_before + 1_000_000


def test_keys_whose_time_has_passed_are_forgotten() -> None:
    times, limit = ArrivalTimes(), RateLimit(1_000, per=timedelta(seconds=1))
    for number in range(10_000):
        RateGate(times, number, limit).take(ITEM, Timestamp(START + 1_000 * number))
    assert len(times) <= 1_024
