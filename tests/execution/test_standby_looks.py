"""Looks: when a standby looks at all runs that others own."""

import pytest

from perdure.execution.standby_looks import Looks, rest_seconds


def looked(looks: Looks, at: float, *, taken: float = 0.0, has_found: bool = False) -> None:
    looks.begin()
    looks.end(at - taken, at, has_found=has_found)


def left(looks: Looks, now: float, *, has_place: bool = True) -> float:
    return looks.seconds_left(now, has_place=has_place)


def test_the_first_is_due_at_once_and_later_ones_ever_more_rarely_until_one_finds_something() -> None:
    looks, now = Looks(share=1.0), 1_000.0
    assert left(looks, now) == 0
    pauses = []
    for _ in range(9):
        looked(looks, now)
        pauses.append(left(looks, now))
        now += pauses[-1]
        assert left(looks, now) == 0
    assert pauses == [20, 40, 80, 160, 320, 600, 600, 600, 600]
    looked(looks, now, has_found=True)
    assert left(looks, now) == 10
    assert left(looks, now + 4) == 6


def test_one_that_is_demanded_comes_when_the_last_one_is_rested_from() -> None:
    looks = Looks(share=0.25)
    looked(looks, 100.0, taken=2.0)
    assert left(looks, 100.0) == 20
    looks.demand()
    assert left(looks, 100.0) == 6
    looked(looks, 106.0)
    assert left(looks, 106.0) == 40


def test_a_rest_lasts_ten_minutes_at_most() -> None:
    looks = Looks(share=0.01)
    looked(looks, 5_000.0, taken=300.0, has_found=True)
    assert left(looks, 5_000.0) == 600


def test_where_a_run_was_left_out_a_place_that_is_free_is_filled_soon() -> None:
    looks = Looks(share=1.0)
    for _ in range(9):
        looked(looks, 0.0)
    assert left(looks, 0.0) == 600
    looks.leave_out()
    assert left(looks, 0.0, has_place=False) == 600
    assert left(looks, 0.0) == 10
    looked(looks, 10.0)
    assert left(looks, 10.0) == 600


@pytest.mark.parametrize(("taken", "share", "rest"), [(1.0, 0.25, 3.0), (0.3, 0.1, 2.7), (5.0, 1.0, 0.02)])
def test_the_rest_is_as_long_as_the_share_demands(taken: float, share: float, rest: float) -> None:
    assert rest_seconds(taken, share=share) == pytest.approx(rest)
