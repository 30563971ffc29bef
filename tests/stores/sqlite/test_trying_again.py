"""What is passed over is looked for and tried again: nobody waits for that for long, and nothing stays so for ever."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import apsw
import pytest

from perdure.errors import StoreCorruptError, StoreUnavailableError
from perdure.kernel.identity import RunKey, RunRef
from perdure.stores.sql.passing import NONE_PASSED
from perdure.stores.sqlite.scanning import UnreadableRun
from perdure.stores.sqlite.unreadable import MOST_WRITTEN, Stale, Unreadable, UnsoundRowsError


class Clock:
    seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Browsing:
    """Answers each question with the same runs, or fails; counts the questions."""

    def __init__(self, clock: Clock, *numbers: int, takes_seconds: float = 0.0) -> None:
        self.clock = clock
        self.runs = [unreadable_run(number) for number in numbers]
        self.takes_seconds = takes_seconds
        self.times = 0
        self.error: StoreUnavailableError | None = None
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def __call__(self, _question: Callable[[apsw.Connection], list[UnreadableRun]]) -> list[UnreadableRun]:
        self.times += 1
        await self.is_open.wait()
        self.clock.seconds += self.takes_seconds
        if self.error is not None:
            raise self.error
        return self.runs


def unreadable_run(number: int, *, is_damaged: bool = True) -> UnreadableRun:
    return UnreadableRun(run_key=RunKey(number), ref=RunRef(id=f"run {number}"), is_damaged=is_damaged)


async def well() -> str:
    return "well"


async def writable() -> bool:
    return True


async def unwritable() -> bool:
    return False


async def damaged() -> str:
    raise StoreCorruptError("damaged")


async def revised(unreadable: Unreadable) -> None:
    """Wait for what goes on beside the answers."""
    if unreadable._revision is not None:
        await unreadable._revision


async def test_what_is_passed_over_is_tried_again_after_pauses_that_double_up_to_an_hour() -> None:
    clock = Clock()
    unreadable = Unreadable(now=clock)
    unreadable.note([unreadable_run(1), unreadable_run(2, is_damaged=False)])
    assert unreadable.give_up([RunKey(3)], passed=NONE_PASSED)
    assert unreadable.keys == {1, 2}
    assert unreadable.unclaimable == {1, 3}
    browsing, revised_at = Browsing(clock, 1), list[float]()
    for _ in range(6 * 3600):
        before = browsing.times
        assert await unreadable.past_damage(well, browsing, writable) == "well"
        await revised(unreadable)
        if browsing.times > before:
            revised_at.append(clock.seconds - 1_000)
            assert unreadable.keys == unreadable.unclaimable == {1}
        clock.seconds += 1
    distances = [later - sooner for sooner, later in pairwise([0.0, *revised_at])]
    assert distances == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]
    browsing.runs = []
    clock.seconds += 3600
    await unreadable.past_damage(well, browsing, writable)
    await revised(unreadable)
    assert unreadable.keys == unreadable.unclaimable == set()


async def test_nobody_waits_for_what_is_tried_again_nor_fails_with_it(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    unreadable, browsing = Unreadable(now=clock), Browsing(clock, 1)
    unreadable.note([unreadable_run(1)])
    browsing.is_open.clear()  # behind a long list
    clock.seconds += 60
    for _ in range(2):
        assert await unreadable.past_damage(well, browsing, writable) == "well"
        await asyncio.sleep(0)
    browsing.error = StoreUnavailableError("a moment's trouble")
    browsing.is_open.set()
    await revised(unreadable)
    assert browsing.times == 1
    assert unreadable.keys == {1}
    assert "could not be tried again" in caplog.text


async def test_what_only_an_index_says_is_passed_over_for_a_minute_each_whatever_comes_after_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    told: list[float] = []
    unreadable, browsing = Unreadable(lambda: told.append(clock.seconds), now=clock), Browsing(clock, 1)
    unreadable.note([unreadable_run(1)])
    for number in range(2, 100):
        assert unreadable.leave({RunKey(number)}, Stale.DUE)
        clock.seconds += 45
        await unreadable.past_damage(well, browsing, writable)
        await revised(unreadable)
        assert unreadable.undue == {number}
    assert unreadable.unowned == set()
    assert len(told) >= 97
    assert 5 < caplog.text.count("are due by an index") < 20


async def test_of_those_who_come_to_the_same_rows_at_once_none_fails() -> None:
    unreadable, browsing = Unreadable(now=Clock()), Browsing(Clock())

    async def ask() -> str:
        passing = unreadable.unclaimable
        await asyncio.sleep(0)
        for key in (RunKey(1), RunKey(2)):
            if key not in passing:
                raise UnsoundRowsError([key], apsw.CorruptError("damaged"))
        return "answered"

    asking = [unreadable.past_damage(ask, browsing, writable) for _ in range(2)]
    assert await asyncio.gather(*asking) == ["answered"] * 2


async def test_what_fails_though_it_is_passed_over_is_not_asked_for_ever() -> None:
    unreadable, browsing = Unreadable(now=Clock()), Browsing(Clock())

    async def ask() -> str:
        raise UnsoundRowsError([RunKey(1)], apsw.CorruptError("damaged"))

    with pytest.raises(UnsoundRowsError):
        await unreadable.past_damage(ask, browsing, writable)


async def test_a_row_that_cannot_be_written_is_not_passed_over_where_none_can_be() -> None:
    unreadable, browsing = Unreadable(now=Clock()), Browsing(Clock())

    async def ask() -> str:
        raise UnsoundRowsError([RunKey(1)], apsw.CorruptError("damaged"))

    with pytest.raises(UnsoundRowsError):
        await unreadable.past_damage(ask, browsing, unwritable)
    assert unreadable.unclaimable == set()


async def test_those_who_ask_at_once_try_again_once() -> None:
    clock = Clock()
    unreadable, browsing = Unreadable(now=clock), Browsing(clock, 1)
    unreadable.note([unreadable_run(1)])
    browsing.is_open.clear()
    looking = asyncio.ensure_future(unreadable.past_damage(damaged, browsing, writable))
    for _ in range(2):  # for the look to begin
        await asyncio.sleep(0)
    assert browsing.times == 1
    clock.seconds += 60
    waiting = [asyncio.ensure_future(unreadable.past_damage(well, browsing, writable)) for _ in range(5)]
    await asyncio.sleep(0)
    browsing.is_open.set()
    assert await asyncio.gather(*waiting) == ["well"] * 5
    with pytest.raises(StoreCorruptError):
        await looking
    assert browsing.times == 2


async def test_looking_takes_a_small_part_of_the_time_however_long_a_look_takes() -> None:
    clock = Clock()
    unreadable, browsing = Unreadable(now=clock), Browsing(clock, takes_seconds=2)
    looks: list[float] = []
    for _ in range(100):
        before, begun = browsing.times, clock.seconds
        with pytest.raises(StoreCorruptError):
            await unreadable.past_damage(damaged, browsing, writable)
        if browsing.times > before:
            looks.append(begun)
        clock.seconds += 1
    assert [later - sooner for sooner, later in pairwise(looks)] == [42, 42]


async def test_a_look_goes_on_though_nobody_waits_for_it_any_more() -> None:
    unreadable, browsing = Unreadable(now=Clock()), Browsing(Clock(), 1)
    browsing.is_open.clear()
    for _ in range(3):  # renewals of a lease that are given up
        asking = asyncio.ensure_future(unreadable.past_damage(damaged, browsing, writable))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
    browsing.is_open.set()
    with pytest.raises(StoreCorruptError):
        await unreadable.past_damage(damaged, browsing, writable)
    assert browsing.times == 1
    assert unreadable.keys == {1}


async def test_fewer_are_written_together_after_damage_and_more_again_after_none() -> None:
    unreadable = Unreadable(now=Clock())
    assert unreadable.narrow([RunKey(number) for number in range(5)], passed=NONE_PASSED)
    assert unreadable.most_written == 2
    assert unreadable.narrow([RunKey(0), RunKey(1)], passed=NONE_PASSED)
    assert unreadable.most_written == 1
    assert not unreadable.narrow([RunKey(0)], passed=NONE_PASSED)
    assert unreadable.give_up([RunKey(0)], passed=NONE_PASSED)
    assert unreadable.narrow([RunKey(0)], passed=NONE_PASSED)  # by another, who asked before that was known
    assert unreadable.unclaimable == {0}
    for _ in range(20):
        unreadable.widen()
    assert unreadable.most_written == MOST_WRITTEN
