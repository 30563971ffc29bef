"""Steady time goes on with the clock, and not by its being set."""

from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.copies.steady import SteadyClock

SECOND = 1_000_000
NOW = 1_700_000_000 * SECOND


class Told:
    """A clock that says what it is told."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> Timestamp:
        return Timestamp(self.time)


def test_a_clock_that_is_set_is_a_moment_like_any_other() -> None:
    told = Told()
    clock = SteadyClock(told, every_microseconds=SECOND)
    passed = []
    for told.time in (NOW, NOW + SECOND, NOW + 999 * SECOND, NOW + 1_000 * SECOND, NOW, NOW + SECOND // 2):
        assert clock.now() == told.time
        passed.append(clock.time - NOW)
    assert passed == [0, SECOND, 3 * SECOND, 4 * SECOND, 4 * SECOND, 4.5 * SECOND]


def test_whoever_comes_back_goes_on_by_no_more_than_at_any_other_look() -> None:
    told = Told()
    clock = SteadyClock(told, every_microseconds=SECOND)
    for away, counted in ((SECOND, SECOND), (999 * SECOND, 2 * SECOND), (-999 * SECOND, 0)):
        clock.go_on_from(Timestamp(5 * SECOND), seen_at=Timestamp(NOW))
        told.time = NOW + away
        clock.now()
        assert clock.time == 5 * SECOND + counted
