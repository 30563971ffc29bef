"""Options of activity calls: what a call says is laid over what the definition says."""

from datetime import timedelta

import msgspec

from perdure.kernel.backoff import fixed
from perdure.kernel.limits import CircuitBreaker, RateLimit
from perdure.kernel.options import ActivityOptions, Executor, merge_options
from perdure.kernel.priority import Priority
from perdure.kernel.retry import Retry

BASE = ActivityOptions(
    retry=Retry(attempts=3, backoff=fixed(timedelta(seconds=1))),
    queue="fast",
    executor=Executor.LOOP,
    at_most_once=True,
)


def test_a_call_that_says_nothing_gets_what_the_definition_says() -> None:
    assert merge_options(BASE, None) is BASE
    assert merge_options(BASE, ActivityOptions()) == BASE


def test_what_a_call_says_replaces_what_the_definition_says_and_nothing_else() -> None:
    merged = merge_options(BASE, ActivityOptions(queue="slow", priority=Priority.LOW, at_most_once=False))
    assert (merged.queue, merged.priority, merged.at_most_once) == ("slow", Priority.LOW, False)
    assert (merged.retry, merged.executor) == (BASE.retry, BASE.executor)


def test_options_of_before_there_were_limits_are_read_and_written_as_they_were() -> None:
    recorded = b'{"queue":"fast","resources":{"gpu":1}}'
    options = msgspec.json.decode(recorded, type=ActivityOptions)
    assert (options.rate_limit, options.circuit_breaker) == (None, None)
    assert msgspec.json.encode(options) == recorded


def test_limits_come_back_from_a_history_as_they_were_given() -> None:
    options = ActivityOptions(
        rate_limit=RateLimit(3, per=timedelta(milliseconds=1), key="k"),
        circuit_breaker=CircuitBreaker(failures=2, window=timedelta(minutes=1), open_for=timedelta(seconds=1)),
    )
    assert msgspec.json.decode(msgspec.json.encode(options), type=ActivityOptions) == options
