"""Standby: which runs it copies, where it has no room for all, and how it finds those that nobody tells of."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from perdure import Engine, Settings
from perdure.errors import StoreUnavailableError
from perdure.execution.standby import Standby
from perdure.kernel.identity import RunKey
from perdure.ports.following import HistoryPart
from tests.execution.followed import STANDBY, Reads, Shared, has, is_warm, start, steps, stop, waits
from tests.execution.waiting_workflows import go
from tests.journeys.workflows import until


@pytest.fixture
def in_memory(tmp_path: Path) -> Shared:
    return Shared("memory", tmp_path, "")


async def test_no_more_runs_are_copied_than_there_is_room_for(in_memory: Shared) -> None:
    settings = Settings(standby=True, standby_runs=2, standby_share=1.0)
    async with in_memory.engine() as owner:
        runs = await start(owner, "a", "b", "c")
        async with in_memory.engine(settings) as standby:
            await until(lambda: is_warm(standby, runs[1:]))  # the last moved
            await in_memory.pass_on(owner, standby)
            await until(lambda: has(standby, runs))
            assert (standby.worker.standby.taken_over, standby.worker.standby.thrown_away) == (2, 0)


async def test_runs_of_which_nothing_was_read_yet_make_no_copy_leave(in_memory: Shared) -> None:
    """Behind the history that makes a read long enough, nothing is read of the others that were asked for with it."""
    settings = Settings(standby=True, standby_runs=2, standby_share=1.0)
    async with in_memory.engine() as owner, in_memory.engine(settings) as standby:
        runs = await start(owner, "useful")
        await until(lambda: is_warm(standby, runs))
        stop(standby, "perdure-standby")
        runs += await start(owner, "first", "second", "third")
        keys = [(await run.describe()).run_key for run in runs]
        following, store = standby.worker.standby, cast("Any", standby.worker.store)
        read_on = store.read_on
        store.read_on = lambda places, *, limit: read_on(places, limit=limit, most_bytes=1)
        following.hear(keys[1:])
        await following._follow()
        assert list(following.warm) == [keys[0], keys[-1]]  # the last moved is read first
        assert set(following._told) == set(keys[1:])


async def test_a_run_that_is_longer_than_there_is_room_for_is_not_copied(in_memory: Shared) -> None:
    settings = Settings(standby=True, standby_bytes=3_000, standby_share=1.0)
    async with in_memory.engine() as owner, in_memory.engine(settings) as standby:
        await start(owner, "long", count=40)
        runs = await start(owner, "short", count=1)
        await until(lambda: is_warm(standby, runs))


async def test_looks_at_all_that_find_nothing_become_rare_until_one_finds_something(in_memory: Shared) -> None:
    async with in_memory.engine() as owner, in_memory.engine(STANDBY) as standby:
        runs = await start(owner, "a")
        await until(lambda: is_warm(standby, runs))
        stop(standby, "perdure-standby")
        following = standby.worker.standby
        pauses: list[float] = []
        for _ in range(9):
            await following._look_at_all()
            pauses.append(following._looks.quiet_seconds)
        assert [later / before for before, later in pairwise(pauses)][:3] == [2, 2, 2]
        assert pauses[-2:] == [600, 600]
        await runs[0].signal(go, 1)
        await until(lambda: waits(owner, runs[0]))
        following._told.clear()  # as if none of it had been told
        await following._look_at_all()
        assert 9 < following._seconds_until_look() <= 10
        following.hear([(await runs[0].describe()).run_key])  # it was only late
        assert 599 < following._seconds_until_look() <= 600


async def test_what_nobody_tells_of_is_found_amid_news_of_others(
    in_memory: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.execution.standby_looks.LOOK_SECONDS", 0.05)
    async with in_memory.engine() as owner, in_memory.engine(STANDBY) as standby:
        runs = await start(owner, "told")
        await until(lambda: is_warm(standby, runs))
        following = standby.worker.standby
        told, hear = [(await runs[0].describe()).run_key], following.hear
        monkeypatch.setattr(following, "hear", lambda _: hear(told))
        runs += await start(owner, "untold")

        async def is_found_amid_news() -> bool:
            following.hear(told)
            return await is_warm(standby, runs)

        await until(is_found_amid_news)


async def test_a_run_that_does_not_move_is_copied_where_there_is_a_place_again(
    in_memory: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(standby=True, standby_runs=1, standby_share=1.0)
    async with in_memory.engine() as owner:
        runs = await start(owner, "still", "moving")
        async with in_memory.engine(settings) as standby:
            await until(lambda: is_warm(standby, runs[1:]))
            following = standby.worker.standby
            for _ in range(9):
                await following._look_at_all()
            assert following._looks.quiet_seconds == 600
            monkeypatch.setattr("perdure.execution.standby_looks.LOOK_SECONDS", 0.05)
            await runs[1].signal(go, 0)
            await until(lambda: is_warm(standby, runs[:1]))


async def test_a_place_that_is_free_again_is_no_reason_to_look_where_no_run_was_left_out(in_memory: Shared) -> None:
    settings = Settings(standby=True, standby_runs=2, standby_share=1.0)
    async with in_memory.engine() as owner:
        runs = await start(owner, "stays", "ends")
        async with in_memory.engine(settings) as standby:
            await until(lambda: is_warm(standby, runs))
            following = standby.worker.standby
            for _ in range(9):
                await following._look_at_all()
            await runs[1].signal(go, 0)
            await until(lambda: is_warm(standby, runs[:1]))
            assert following._seconds_until_look() > 500


async def test_runs_are_followed_while_a_long_look_at_all_is_rested_from(
    in_memory: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(standby=True, standby_share=0.01)
    async with in_memory.engine() as owner, in_memory.engine(settings) as standby:
        runs = await start(owner, "a")
        await until(lambda: is_warm(standby, runs))
        store: Any = standby.worker.store
        list_standings, looked = store.list_standings, asyncio.Event()

        async def list_slowly(*, among: object = None, **asked: object) -> object:
            if among is None:
                await asyncio.sleep(0.5)  # to be rested from for most of a minute
                looked.set()
            return await list_standings(among=among, **asked)

        monkeypatch.setattr(store, "list_standings", list_slowly)
        standby.worker.standby.hear(None)
        await looked.wait()

        async def is_rested_from() -> bool:
            return standby.worker.standby._seconds_until_look() > 1

        await until(is_rested_from)
        await runs[0].signal(go, 1)
        await until(lambda: waits(owner, runs[0]))
        await until(lambda: is_warm(standby, runs))


async def test_a_look_at_all_that_fails_is_rested_from_and_what_is_told_is_followed_meanwhile(
    in_memory: Shared, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(standby=True, standby_share=0.01)
    async with in_memory.engine() as owner, in_memory.engine(settings) as standby:
        runs = await start(owner, "a")
        await until(lambda: is_warm(standby, runs))
        store: Any = standby.worker.store
        list_standings, looked, has_looked = store.list_standings, list[float](), asyncio.Event()

        async def time_out(*, among: object = None, **asked: object) -> object:
            if among is not None:
                return await list_standings(among=among, **asked)
            await asyncio.sleep(0.2)  # to be rested from for 20 seconds
            looked.append(standby.worker.loop.time())
            has_looked.set()
            raise StoreUnavailableError("it took too long")

        monkeypatch.setattr(store, "list_standings", time_out)
        standby.worker.standby.hear(None)
        await has_looked.wait()
        for number in (1, 2):
            await runs[0].signal(go, number)
            await until(lambda: waits(owner, runs[0]))
            await until(lambda: is_warm(standby, runs))
        assert len(looked) == 1
        assert "will be tried again: it took too long" in caplog.text
        assert standby.worker.standby._seconds_until_look() > 1


async def test_what_was_told_is_not_forgotten_where_following_fails(in_memory: Shared) -> None:
    async with in_memory.engine() as owner, in_memory.engine(STANDBY) as standby:
        runs = await start(owner, "a")
        await until(lambda: is_warm(standby, runs))
        stop(standby, "perdure-standby")
        following, store = standby.worker.standby, cast("Any", standby.worker.store)
        await runs[0].signal(go, 1)
        await until(lambda: waits(owner, runs[0]))
        key = (await runs[0].describe()).run_key
        following.hear([key])
        read_on = store.read_on

        async def fail(places: object, **limits: int) -> list[HistoryPart]:
            raise StoreUnavailableError("it is away")

        store.read_on = fail
        with pytest.raises(StoreUnavailableError):
            await following._follow()
        assert following._told == {key: True}
        store.read_on = read_on
        await following._follow()
        assert await is_warm(standby, runs)


async def test_runs_of_which_no_copy_can_be_made_hide_no_other_from_looks(in_memory: Shared) -> None:
    settings = Settings(standby=True, standby_runs=3, standby_share=1.0)
    async with in_memory.engine() as owner:
        runs = await start(owner, "still", "first", "second", "third")
        async with in_memory.engine(settings) as standby:
            stop(standby, "perdure-standby")
            following = standby.worker.standby
            following._warm.clear()
            following._unfit |= {(await run.describe()).run_key: None for run in runs[1:]}
            await look_at_all(following)
            assert await is_warm(standby, runs[:1])


async def test_runs_that_do_not_move_take_no_turns_in_what_there_is_room_for(in_memory: Shared) -> None:
    settings = Settings(standby=True, standby_bytes=6_000, standby_share=1.0, idle_seconds=0.001)
    async with in_memory.engine() as owner:
        await start(owner, *"abcdefghijklmnopqrst")
        async with in_memory.engine(settings) as standby:
            stop(standby, "perdure-standby")
            following, reads = standby.worker.standby, Reads(standby)
            await look_at_all(following)
            copies = dict(following.warm)
            assert 8 < len(copies) < 20
            reads.clear()
            for _ in range(5):
                await look_at_all(following)
            assert (reads.events, following.warm) == (0, copies)


@pytest.mark.parametrize(("room", "copied"), [(1.6, 1), (2.5, 2), (4.9, 4)])
async def test_runs_that_do_not_move_take_no_turns_in_what_has_no_room_for_another(
    in_memory: Shared, room: float, copied: int
) -> None:
    async with in_memory.engine() as owner:
        await start(owner, *"abcdef")
        size_bytes = await size_of_copy(in_memory, "a")
        settings = Settings(standby=True, standby_bytes=int(size_bytes * room), standby_share=1.0, idle_seconds=0.001)
        async with in_memory.engine(settings) as standby:
            stop(standby, "perdure-standby")
            following, reads = standby.worker.standby, Reads(standby)
            await look_at_all(following)
            copies = dict(following.warm)
            assert len(copies) == copied
            reads.clear()
            for _ in range(5):
                await look_at_all(following)
            assert (reads.events, following.warm) == (0, copies)
            assert following._seconds_until_look() > 300


async def test_a_run_that_moves_displaces_one_that_does_not_which_comes_back_when_there_is_room(
    in_memory: Shared,
) -> None:
    async with in_memory.engine() as owner:
        moving, still = await start(owner, "moving", "still")
        moving_key, still_key = [(await run.describe()).run_key for run in (moving, still)]
        size_bytes = await size_of_copy(in_memory, "still")
        settings = Settings(standby=True, standby_bytes=int(size_bytes * 1.9), standby_share=1.0, idle_seconds=0.001)
        async with in_memory.engine(settings) as standby:
            stop(standby, "perdure-standby")
            following = standby.worker.standby
            await look_at_all(following)
            assert list(following.warm) == [still_key]
            await moving.signal(go, 1)
            await until(lambda: waits(owner, moving))
            await asyncio.sleep(0.002)  # no copy has moved just now
            following.hear([moving_key])
            await following._follow()
            await look_at_all(following)
            assert list(following.warm) == [moving_key]
            await moving.signal(go, 0)
            await moving.result()
            following._looks.quiet_seconds = 600
            assert following._seconds_until_look() > 500
            following.hear([moving_key])
            await following._follow()
            assert following._seconds_until_look() <= 10
            await look_at_all(following)
            assert list(following.warm) == [still_key]


async def size_of_copy(shared: Shared, name: str) -> int:
    async with shared.engine(STANDBY) as standby:
        run = await standby.get_run(name, steps)
        key = (await run.describe()).run_key
        await until(lambda: is_copied(standby, key))
        copy_of_it = standby.worker.standby._warm.find(key)
        assert copy_of_it is not None
        return copy_of_it.size_bytes


async def is_copied(standby: Engine, key: RunKey) -> bool:
    return key in standby.worker.standby.warm


async def look_at_all(following: Standby) -> None:
    """Look, and follow what was found, a while after all copies have moved."""
    await asyncio.sleep(0.002)
    await following._look_at_all()
    while following._told:
        await following._follow()
