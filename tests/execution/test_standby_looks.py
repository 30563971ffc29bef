"""Looks: when a standby looks at all runs that others own."""

import pytest

from perdure.execution.standby_looks import Looks, rest_seconds
from perdure.kernel.identity import RunKey


def looked(looks: Looks, at: float, *, taken: float = 0.0, found: int = 0) -> None:
    looks.begin()
    looks.end(at - taken, at, found=[RunKey(number) for number in range(found)])


def left(looks: Looks, now: float, *, room_bytes: int = 1_000) -> float:
    return looks.seconds_left(now, room_bytes=room_bytes)


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
    for _ in range(3):
        looked(looks, now, found=1)
        assert left(looks, now) == 10
        assert left(looks, now + 4) == 6
        now += 10
    looked(looks, now)
    assert left(looks, now) == 20


def test_what_is_told_of_before_the_next_one_was_not_found() -> None:
    looks = Looks(share=1.0)
    looked(looks, 0.0, found=2)
    looks.hear([RunKey(0), RunKey(5)])
    assert left(looks, 0.0) == 10
    looks.hear([RunKey(1)])
    assert left(looks, 0.0) == 20
    looked(looks, 20.0, found=1)
    looks.hear([RunKey(0)])
    assert left(looks, 20.0) == 40


def test_one_that_fails_is_rested_from_and_then_made_again() -> None:
    looks = Looks(share=0.25)
    looked(looks, 100.0)
    looks.begin()
    looks.fail(120.0, 122.0)
    assert left(looks, 122.0) == 6
    looks.begin()
    looks.fail(128.0, 128.0)
    assert left(looks, 128.0) == 1


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
    looked(looks, 5_000.0, taken=300.0, found=1)
    assert left(looks, 5_000.0) == 600


def test_where_a_run_was_left_out_there_is_one_soon_when_there_is_room_for_it() -> None:
    looks = Looks(share=1.0)
    for _ in range(9):
        looked(looks, 0.0)
    assert left(looks, 0.0) == 600
    looks.leave_out(80)
    looks.leave_out(60)
    looks.leave_out(70)
    assert left(looks, 0.0, room_bytes=59) == 600
    assert left(looks, 0.0, room_bytes=60) == 10
    looked(looks, 10.0)
    assert left(looks, 10.0) == 600


@pytest.mark.parametrize(("taken", "share", "rest"), [(1.0, 0.25, 3.0), (0.3, 0.1, 2.7), (5.0, 1.0, 0.02)])
def test_the_rest_is_as_long_as_the_share_demands(taken: float, share: float, rest: float) -> None:
    assert rest_seconds(taken, share=share) == pytest.approx(rest)
