"""The function's side of an attempt on a cluster: what waits there until the engine fetches it."""

import threading

import pytest

from perdure import Stream, activity, heartbeat, publish
from perdure.errors import InternalError
from perdure.execution.clusters.performance import MOST_REPORTS, Performance
from perdure.execution.process_messages import Beat, Leave, Published, Ready, Returned, encode_order
from tests.execution.clusters.orders import order_of, reports_of

NUMBERS = Stream("numbers of a performance", int)


@activity
def beat_many_times(times: int) -> None:
    for number in range(times):
        heartbeat(number)
    heartbeat()


@activity
def publish_many(times: int) -> None:
    for number in range(times):
        publish(NUMBERS, number)


def test_of_several_heartbeats_the_last_details_wait() -> None:
    performance = Performance(order_of(beat_many_times, 5), on_news=lambda: None)
    performance.perform()
    ready, beat, returned = reports_of(performance.fetch())
    assert isinstance(ready, Ready)
    assert isinstance(beat, Beat)
    assert bytes(beat.details) == b"4"
    assert isinstance(returned, Returned)
    assert performance.is_over


def test_a_function_that_publishes_faster_than_it_is_heard_waits() -> None:
    performance = Performance(order_of(publish_many, 3 * MOST_REPORTS), on_news=lambda: None)
    performing = threading.Thread(target=performance.perform)
    performing.start()
    published = 0
    while not performance.is_over:
        reports = reports_of(performance.fetch())
        assert len(reports) <= MOST_REPORTS + 1  # with the outcome
        published += sum(isinstance(report, Published) for report in reports)
    performing.join()
    assert published == 3 * MOST_REPORTS


def test_a_function_that_was_given_up_waits_for_nobody() -> None:
    performance = Performance(order_of(publish_many, 3 * MOST_REPORTS), on_news=lambda: None)
    performance.give_up()
    performance.perform()
    performance.wait_until_fetched()
    assert performance.is_given_up


def test_what_is_no_order_to_perform_is_refused() -> None:
    for told in (encode_order(Leave()), b"{]"):
        with pytest.raises(InternalError):
            Performance(told, on_news=lambda: None)
