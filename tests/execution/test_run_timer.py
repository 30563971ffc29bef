"""The timer of a run: what is due, what is far away, what is asked for twice."""

import asyncio

from perdure.execution.run_timer import RunTimer
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp

NOW = Timestamp(1_000_000)
HOUR = 3_600 * MICROSECONDS_PER_SECOND


class Calls:
    """A loop that notes what it is asked to call later."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.loop = asyncio.get_running_loop()
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, *_callback: object) -> asyncio.TimerHandle:
        self.delays.append(delay)
        return self.loop.call_later(delay, lambda: None)


def timer(calls: Calls) -> RunTimer:
    return RunTimer(calls)  # type: ignore[arg-type]  # as much of a loop as is used


async def test_what_is_due_rings_before_arming_returns() -> None:
    rung: list[int] = []
    timer(calls := Calls()).arm(NOW, NOW, lambda: rung.append(1))
    assert (rung, calls.delays) == ([1], [])


async def test_a_moment_that_is_armed_already_is_not_armed_again() -> None:
    armed = timer(calls := Calls())
    for moment in (HOUR, HOUR, 2 * HOUR, HOUR):
        armed.arm(Timestamp(NOW + moment), NOW, lambda: None)
    armed.cancel()
    assert calls.delays == [3_600.0, 7_200.0, 3_600.0]


async def test_a_moment_that_comes_sooner_since_the_clock_was_set_is_armed_again() -> None:
    armed = timer(calls := Calls())
    armed.arm(Timestamp(NOW + 2 * HOUR), NOW, lambda: None)
    calls.now = 60.0
    armed.arm(Timestamp(NOW + 2 * HOUR), Timestamp(NOW + HOUR), lambda: None)
    armed.cancel()
    assert calls.delays == [7_200.0, 3_600.0]


async def test_a_moment_too_far_away_for_a_loop_is_approached_by_the_day() -> None:
    armed = timer(calls := Calls())
    armed.arm(Timestamp(NOW + 10_000 * HOUR), NOW, lambda: None)
    armed.cancel()
    assert calls.delays == [24 * 3_600.0]


async def test_nothing_to_wait_for_ends_what_was_armed() -> None:
    armed = timer(calls := Calls())
    armed.arm(Timestamp(NOW + HOUR), NOW, lambda: None)
    armed.arm(None, NOW, lambda: None)
    armed.arm(Timestamp(NOW + HOUR), NOW, lambda: None)
    armed.cancel()
    assert calls.delays == [3_600.0, 3_600.0]
