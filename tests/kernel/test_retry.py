"""Retry policies: each backoff against its formula, bounds for any attempt and draw, and every reason to give up."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from statistics import fmean

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import InvalidArgumentError
from perdure.kernel.backoff import (
    LONGEST_DELAY,
    Backoff,
    Jitter,
    SteadyBackoff,
    backoff_delay,
    decorrelated_jitter,
    exponential,
    fixed,
    full_jitter,
    jitter,
    linear,
)
from perdure.kernel.retry import (
    NO_RETRY,
    GiveUp,
    GiveUpReason,
    Retry,
    RetryAfter,
    RetryDecision,
    decide_retry,
    draw_for,
)
from perdure.kernel.time import duration_microseconds

SECOND = timedelta(seconds=1)
LAST_DRAW = 1 - 2.0**-53

durations = st.timedeltas(timedelta(0), LONGEST_DELAY)
positive_durations = st.timedeltas(timedelta(microseconds=1), LONGEST_DELAY)
attempts = st.one_of(st.integers(1, 40), st.integers(1, 10**6))
draws = st.one_of(st.just(0.0), st.just(LAST_DRAW), st.floats(0, 1, exclude_max=True))


@st.composite
def linear_backoffs(draw: st.DrawFn) -> SteadyBackoff:
    first, maximum = sorted([draw(durations), draw(durations)])
    return linear(first, draw(durations), maximum=draw(st.sampled_from([None, maximum])))


@st.composite
def exponential_backoffs(draw: st.DrawFn) -> SteadyBackoff:
    first, maximum = sorted([draw(positive_durations), draw(positive_durations)])
    factor = draw(st.one_of(st.floats(1, 10), st.floats(1, 1e300)))
    return exponential(first, factor, maximum=draw(st.sampled_from([None, maximum])))


@st.composite
def decorrelated_backoffs(draw: st.DrawFn) -> Backoff:
    first, maximum = sorted([draw(positive_durations), draw(positive_durations)])
    return decorrelated_jitter(first, maximum=maximum)


steady_backoffs = st.one_of(durations.map(fixed), linear_backoffs(), exponential_backoffs())
backoffs: st.SearchStrategy[Backoff] = st.one_of(
    steady_backoffs,
    st.builds(jitter, steady_backoffs, st.floats(0, 1)),
    st.builds(full_jitter, steady_backoffs),
    decorrelated_backoffs(),
)
error_names = st.sampled_from(["ValueError", "KeyError", "LookupError", "CardDeclined", "OSError"])
budgets = st.one_of(st.none(), st.timedeltas(timedelta(microseconds=1), timedelta(days=400)))


@st.composite
def policies(draw: st.DrawFn) -> Retry:
    budget = draw(budgets)
    limit = draw(st.integers(1, 10**6) if budget is None else st.one_of(st.none(), st.integers(1, 50)))
    excluded = draw(st.lists(error_names, max_size=3))
    return Retry(attempts=limit, backoff=draw(backoffs), non_retryable=tuple(excluded), budget=budget)


def longest(backoff: Backoff) -> int:
    match backoff:
        case Jitter():
            spread = int(longest(backoff.base) * (1 + backoff.ratio))
            return min(spread, getattr(backoff.base, "maximum_microseconds", duration_microseconds(LONGEST_DELAY)))
        case _:
            for field in ("delay_microseconds", "maximum_microseconds"):
                if (value := getattr(backoff, field, None)) is not None:
                    return int(value)
            return longest(backoff.base)  # type: ignore[union-attr]  # what is left is full jitter


def decide(
    policy: Retry, *, attempt: int = 1, error: type[BaseException] = RuntimeError, draw: float = 0.5
) -> RetryDecision:
    types = tuple(base.__name__ for base in error.__mro__ if base not in {object, BaseException, Exception})
    return decide_retry(
        policy, attempt=attempt, error_type=error.__name__, error_types=types, elapsed_microseconds=0, draw=draw
    )


@pytest.mark.parametrize(
    ("backoff", "seconds"),
    [
        (fixed(5 * SECOND), [5, 5, 5, 5, 5]),
        (linear(SECOND, 2 * SECOND), [1, 3, 5, 7, 9]),
        (linear(SECOND, 2 * SECOND, maximum=6 * SECOND), [1, 3, 5, 6, 6]),
        (exponential(SECOND), [1, 2, 4, 8, 16]),
        (exponential(SECOND, factor=3, maximum=20 * SECOND), [1, 3, 9, 20, 20]),
        (exponential(2 * SECOND, 1.5), [2, 3, 4.5, 6.75, 10.125]),
    ],
)
def test_a_steady_backoff_follows_its_formula(backoff: Backoff, seconds: list[float]) -> None:
    delays = [backoff_delay(backoff, attempt=attempt, draw=0.9) for attempt in range(1, 6)]
    assert delays == [int(second * 1_000_000) for second in seconds]


@given(backoff=steady_backoffs, attempt=attempts)
def test_a_steady_backoff_never_shrinks_from_one_attempt_to_the_next(backoff: Backoff, attempt: int) -> None:
    delay = backoff_delay(backoff, attempt=attempt, draw=0.0)
    assert delay <= backoff_delay(backoff, attempt=attempt + 1, draw=0.0)


@given(backoff=backoffs, attempt=attempts, draw=draws, previous=durations)
def test_no_delay_is_negative_or_longer_than_its_maximum(
    backoff: Backoff, attempt: int, draw: float, previous: timedelta
) -> None:
    delay = backoff_delay(
        backoff, attempt=attempt, draw=draw, previous_delay_microseconds=duration_microseconds(previous)
    )
    assert isinstance(delay, int)
    assert 0 <= delay <= longest(backoff) <= duration_microseconds(LONGEST_DELAY)


@given(backoff=backoffs, attempt=attempts, first=draws, second=draws)
def test_a_larger_draw_never_gives_a_shorter_delay(backoff: Backoff, attempt: int, first: float, second: float) -> None:
    low, high = sorted([first, second])
    assert backoff_delay(backoff, attempt=attempt, draw=low) <= backoff_delay(backoff, attempt=attempt, draw=high)


@given(base=steady_backoffs, ratio=st.floats(0, 1), attempt=attempts, draw=draws)
def test_jitter_stays_within_its_ratio_of_the_base(
    base: SteadyBackoff, ratio: float, attempt: int, draw: float
) -> None:
    middle = backoff_delay(base, attempt=attempt, draw=draw)
    delay = backoff_delay(jitter(base, ratio), attempt=attempt, draw=draw)
    assert middle - middle * ratio - 1 <= delay <= middle + middle * ratio + 1


def test_jitter_reaches_both_ends_of_its_range() -> None:
    backoff = jitter(5 * SECOND, 0.3)
    assert backoff_delay(backoff, attempt=1, draw=0.0) == 3_500_000
    assert backoff_delay(backoff, attempt=1, draw=LAST_DRAW) == 6_500_000


def test_jitter_keeps_its_spread_where_the_base_has_reached_its_maximum() -> None:
    backoff = jitter(exponential(SECOND, maximum=10 * SECOND), 0.5)
    delays = {backoff_delay(backoff, attempt=50, draw=step / 100) for step in range(100)}
    assert len(delays) == 100
    assert min(delays) == 5_000_000
    assert max(delays) <= 10_000_000


@given(base=steady_backoffs, attempt=attempts, draw=draws)
def test_full_jitter_lies_between_zero_and_the_base(base: SteadyBackoff, attempt: int, draw: float) -> None:
    delay = backoff_delay(full_jitter(base), attempt=attempt, draw=draw)
    assert 0 <= delay <= backoff_delay(base, attempt=attempt, draw=draw)


def test_full_jitter_reaches_both_ends_of_its_range() -> None:
    backoff = full_jitter(exponential(SECOND))
    assert backoff_delay(backoff, attempt=3, draw=0.0) == 0
    assert backoff_delay(backoff, attempt=3, draw=LAST_DRAW) == 4_000_000


@given(st.lists(draws, min_size=1, max_size=30))
def test_decorrelated_jitter_is_the_published_formula_on_the_delay_before(chain: list[float]) -> None:
    base, cap = 1_000_000, 60_000_000
    backoff = decorrelated_jitter(SECOND, maximum=60 * SECOND)
    sleep, previous = base, 0
    for attempt, draw in enumerate(chain, start=1):
        sleep = min(cap, base + draw * (sleep * 3 - base))  # type: ignore[assignment]  # the reference is in floats
        previous = backoff_delay(backoff, attempt=attempt, draw=draw, previous_delay_microseconds=previous)
        assert previous == pytest.approx(sleep, abs=3**attempt if attempt < 5 else 100)
        sleep = previous


def test_an_exponential_without_a_maximum_stops_at_a_hundred_times_its_initial_delay() -> None:
    assert backoff_delay(exponential(SECOND), attempt=10**6, draw=0.0) == 100_000_000
    assert backoff_delay(exponential(LONGEST_DELAY), attempt=2, draw=0.0) == duration_microseconds(LONGEST_DELAY)


@given(policy=policies(), attempt=attempts, elapsed=durations, deadline=st.one_of(st.none(), durations), draw=draws)
def test_a_retry_is_granted_only_within_attempts_budget_and_deadline(
    policy: Retry, attempt: int, elapsed: timedelta, deadline: timedelta | None, draw: float
) -> None:
    spent = duration_microseconds(elapsed)
    left = None if deadline is None else duration_microseconds(deadline)
    decision = decide_retry(
        policy,
        attempt=attempt,
        error_type="TimeoutError",
        elapsed_microseconds=spent,
        until_deadline_microseconds=left,
        draw=draw,
    )
    delay = backoff_delay(policy.backoff, attempt=attempt, draw=draw)
    attempts_left = policy.attempts is None or attempt < policy.attempts
    within_budget = policy.budget is None or spent + delay < duration_microseconds(policy.budget)
    within_deadline = left is None or delay < left
    match decision:
        case RetryAfter(delay_microseconds=granted):
            assert granted == delay
            assert attempts_left
            assert within_budget
            assert within_deadline
        case GiveUp(reason=reason):
            expected = {
                GiveUpReason.ATTEMPTS_EXHAUSTED: not attempts_left,
                GiveUpReason.BUDGET_EXHAUSTED: attempts_left and not within_budget,
                GiveUpReason.DEADLINE_REACHED: attempts_left and within_budget and not within_deadline,
            }
            assert expected[reason]


def test_the_last_allowed_attempt_is_not_followed_by_another() -> None:
    policy = Retry(attempts=3, backoff=fixed(SECOND))
    assert decide(policy, attempt=2) == RetryAfter(delay_microseconds=1_000_000)
    assert decide(policy, attempt=3) == GiveUp(reason=GiveUpReason.ATTEMPTS_EXHAUSTED)
    assert decide(policy, attempt=4) == GiveUp(reason=GiveUpReason.ATTEMPTS_EXHAUSTED)


def test_without_a_limit_of_attempts_the_budget_decides() -> None:
    policy = Retry(attempts=None, backoff=fixed(SECOND), budget=10 * SECOND)

    def at(elapsed: int) -> RetryDecision:
        return decide_retry(policy, attempt=10**6, error_type="OSError", elapsed_microseconds=elapsed, draw=0.0)

    assert at(8_999_999) == RetryAfter(delay_microseconds=1_000_000)
    assert at(9_000_000) == GiveUp(reason=GiveUpReason.BUDGET_EXHAUSTED)


def test_no_attempt_begins_at_a_deadline() -> None:
    policy = Retry(attempts=5, backoff=fixed(SECOND))

    def with_left(left: int) -> RetryDecision:
        return decide_retry(
            policy,
            attempt=1,
            error_type="OSError",
            elapsed_microseconds=0,
            until_deadline_microseconds=left,
            draw=0.0,
        )

    assert with_left(1_000_001) == RetryAfter(delay_microseconds=1_000_000)
    assert with_left(1_000_000) == GiveUp(reason=GiveUpReason.DEADLINE_REACHED)
    assert with_left(-5) == GiveUp(reason=GiveUpReason.DEADLINE_REACHED)


def test_an_error_that_rules_out_another_try_ends_the_retries_before_anything_else() -> None:
    policy = Retry(attempts=1, non_retryable=("ValueError",))
    decision = decide_retry(
        policy, attempt=9, error_type="ValueError", retryable=False, elapsed_microseconds=0, draw=0.0
    )
    assert decision == GiveUp(reason=GiveUpReason.ERROR_NOT_RETRYABLE)


@pytest.mark.parametrize("excluded", [(KeyError,), ("KeyError",), (LookupError,), ("LookupError", "OSError")])
def test_an_excluded_class_ends_the_retries_of_itself_and_its_subclasses(excluded: tuple[str, ...]) -> None:
    policy = Retry(attempts=5, non_retryable=excluded)
    assert decide(policy, error=KeyError) == GiveUp(reason=GiveUpReason.ERROR_TYPE_EXCLUDED)


def test_an_excluded_class_says_nothing_about_its_bases_and_strangers() -> None:
    policy = Retry(attempts=5, non_retryable=(KeyError,))
    assert isinstance(decide(policy, error=LookupError), RetryAfter)
    assert isinstance(decide(policy, error=ValueError), RetryAfter)


def test_the_class_of_the_error_is_enough_where_its_bases_are_unknown() -> None:
    policy = Retry(attempts=5, non_retryable=(KeyError,))
    decision = decide_retry(policy, attempt=1, error_type="KeyError", elapsed_microseconds=0, draw=0.0)
    assert decision == GiveUp(reason=GiveUpReason.ERROR_TYPE_EXCLUDED)


def test_excluding_exception_excludes_every_error() -> None:
    policy = Retry(attempts=5, non_retryable=(Exception,))
    assert decide(policy, error=ZeroDivisionError) == GiveUp(reason=GiveUpReason.ERROR_TYPE_EXCLUDED)


def test_the_policy_of_a_single_attempt_never_retries() -> None:
    assert Retry.never() is NO_RETRY
    assert decide(NO_RETRY) == GiveUp(reason=GiveUpReason.ATTEMPTS_EXHAUSTED)


def test_a_policy_without_a_backoff_waits_exponentially_from_one_second_up_to_one_minute() -> None:
    policy = Retry(attempts=100)
    decisions = [decide(policy, attempt=attempt) for attempt in (1, 2, 3, 99)]
    assert decisions == [RetryAfter(delay_microseconds=seconds * 1_000_000) for seconds in (1, 2, 4, 60)]


@given(policies())
def test_a_policy_survives_json(policy: Retry) -> None:
    encoded = msgspec.json.encode(policy)
    assert msgspec.json.decode(encoded, type=Retry) == policy


def test_the_recorded_form_of_a_policy_is_stable() -> None:
    policy = Retry(
        attempts=3,
        backoff=jitter(exponential(SECOND, maximum=60 * SECOND), 0.3),
        non_retryable=(ValueError,),
        budget=timedelta(hours=1),
    )
    assert msgspec.json.encode(policy) == (
        b'{"attempts":3,"backoff":{"kind":"jitter","base":{"kind":"exponential","initial_microseconds":1000000,'
        b'"maximum_microseconds":60000000},"ratio":0.3},"non_retryable":["ValueError"],"budget":"PT3600S"}'
    )
    assert msgspec.json.encode(NO_RETRY) == b'{"attempts":1}'
    assert msgspec.json.encode([fixed(SECOND), decorrelated_jitter(SECOND, maximum=SECOND), full_jitter(SECOND)]) == (
        b'[{"kind":"fixed","delay_microseconds":1000000},'
        b'{"kind":"decorrelated_jitter","initial_microseconds":1000000,"maximum_microseconds":1000000},'
        b'{"kind":"full_jitter","base":{"kind":"fixed","delay_microseconds":1000000}}]'
    )


@pytest.mark.parametrize(
    "text",
    [
        b'{"attempts":0}',
        b'{"attempts":null}',
        b'{"attempts":2,"backoff":{"kind":"fixed","delay_microseconds":-1}}',
        b'{"attempts":2,"backoff":{"kind":"jitter","base":{"kind":"fixed","delay_microseconds":1},"ratio":7}}',
        b'{"attempts":2,"backoff":{"kind":"spiral"}}',
        b'{"attempts":2,"non_retryable":["no name"]}',
    ],
)
def test_a_damaged_policy_is_not_read(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Retry)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: fixed(5), ["fixed", "delay", "5", "timedelta"]),  # type: ignore[arg-type]
        (lambda: fixed(-SECOND), ["fixed", "delay", "-1 s", "0 s to 3650 days"]),
        (lambda: fixed(timedelta(days=3651)), ["fixed", "delay", "3650 days"]),
        (lambda: linear(SECOND, -SECOND), ["linear", "increment", "-1 s"]),
        (lambda: linear(-SECOND, SECOND), ["linear", "initial", "-1 s"]),
        (lambda: linear(2 * SECOND, SECOND, maximum=SECOND), ["linear", "maximum", "1 s", "2 s to"]),
        (lambda: linear(SECOND, SECOND, maximum=9), ["linear", "maximum", "9", "timedelta"]),  # type: ignore[arg-type]
        (lambda: exponential(timedelta(0)), ["exponential", "initial", "0 s", "1e-06 s to"]),
        (lambda: exponential(SECOND, 0.5), ["exponential", "factor", "0.5", "at least 1"]),
        (lambda: exponential(SECOND, float("nan")), ["exponential", "factor", "nan"]),
        (lambda: exponential(SECOND, float("inf")), ["exponential", "factor", "inf"]),
        (lambda: exponential(2 * SECOND, maximum=SECOND), ["exponential", "maximum", "1 s", "2 s to"]),
        (lambda: jitter(SECOND, 1.5), ["jitter", "ratio", "1.5", "0 to 1"]),
        (lambda: jitter(full_jitter(SECOND), 0.5), ["jitter", "base", "FullJitter", "fixed, linear or exponential"]),  # type: ignore[arg-type]
        (lambda: full_jitter("1s"), ["full_jitter", "base", "'1s'"]),  # type: ignore[arg-type]
        (lambda: decorrelated_jitter(timedelta(0), maximum=SECOND), ["decorrelated_jitter", "initial"]),
        (lambda: decorrelated_jitter(2 * SECOND, maximum=SECOND), ["decorrelated_jitter", "maximum"]),
        (lambda: Retry(attempts=0), ["Retry", "attempts", "0", "from 1"]),
        (lambda: Retry(attempts=True), ["Retry", "attempts", "True"]),
        (lambda: Retry(attempts=2.5), ["Retry", "attempts", "2.5"]),  # type: ignore[arg-type]
        (lambda: Retry(attempts=None), ["Retry", "attempts", "budget is required"]),
        (lambda: Retry(attempts=2, budget=timedelta(0)), ["Retry", "budget", "positive"]),
        (lambda: Retry(attempts=2, budget=30), ["Retry", "budget", "30", "timedelta"]),  # type: ignore[arg-type]
        (lambda: Retry(attempts=2, backoff=SECOND), ["Retry", "backoff", "fixed(timedelta(seconds=1))"]),  # type: ignore[arg-type]
        (lambda: Retry(attempts=2, non_retryable=ValueError), ["Retry", "non_retryable", "tuple"]),  # type: ignore[arg-type]
        (lambda: Retry(attempts=2, non_retryable=(int,)), ["Retry", "non_retryable", "int"]),  # type: ignore[arg-type]
        (lambda: Retry(attempts=2, non_retryable=("app.errors.Bad",)), ["Retry", "app.errors.Bad", "without module"]),
    ],
)
def test_a_wrong_argument_is_refused_with_its_name_its_value_and_what_is_allowed(
    build: Callable[[], object], words: list[str]
) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        build()
    for word in words:
        assert word in str(refused.value)


def test_a_draw_is_fixed_by_its_arguments_for_ever() -> None:
    assert [draw_for(1, 1, 1), draw_for(7, 3, 2), draw_for(2**62, 10**6, 10**6)] == [
        0.11001744242944478,
        0.23779485903561137,
        0.24024008914707484,
    ]


@given(st.integers(-(2**70), 2**70), st.integers(0, 10**9), st.integers(1, 10**6))
def test_a_draw_lies_in_zero_to_one(run_key: int, operation: int, attempt: int) -> None:
    assert 0.0 <= draw_for(run_key, operation, attempt) < 1.0


@pytest.mark.parametrize("varied", [0, 1, 2])
def test_draws_are_uniform_and_differ_along_each_argument(varied: int) -> None:
    def draw(step: int) -> float:
        arguments = [981_273, 5, 1]
        arguments[varied] += step
        return draw_for(*arguments)

    sample = [draw(step) for step in range(20_000)]
    assert len(set(sample)) == len(sample)
    assert fmean(sample) == pytest.approx(0.5, abs=0.01)
    counts = [0] * 20
    for value in sample:
        counts[int(value * 20)] += 1
    chi_squared = sum((count - 1_000) ** 2 / 1_000 for count in counts)
    assert chi_squared < 50, "19 degrees of freedom: above 50 has a chance of 1 in 7,000 for a uniform draw"
    steps = [abs(after - before) for before, after in pairwise(sample)]
    assert fmean(steps) == pytest.approx(1 / 3, abs=0.01), "neighbours are independent"
