"""A replication that goes on until it is stopped."""

import asyncio
import threading
from pathlib import Path

import pytest

from perdure.errors import StoreLockedError, StoreUnavailableError
from perdure.ports.clock import SystemClock
from perdure.stores.sqlite.copies.following import Following, pause_seconds
from perdure.stores.sqlite.copies.points import read_contents
from perdure.stores.sqlite.copies.standing import Standing, read_standings
from tests.stores.sqlite.copies.live_database import create, opened, replicating, rows_at, rows_of


class Told:
    """What is done when a round has ended, in the thread that made it."""

    def __init__(self) -> None:
        self.standings: list[Standing] = []
        self.following: Following | None = None

    def __call__(self, standing: Standing) -> None:
        self.standings.append(standing)

    def stop(self) -> None:
        assert self.following is not None
        self.following.stop()


def following(folder: Path, told: Told, *, every_seconds: float = 3_600.0, target: Path | None = None) -> Following:
    told.following = Following(
        folder / "data.db",
        target or folder / "copy",
        clock=SystemClock(),
        every_seconds=every_seconds,
        keep_seconds=86_400.0,
        on_standing=told,
        on_progress=lambda _done, _total: None,
    )
    return told.following


async def test_what_was_committed_before_it_was_stopped_is_in_its_last_round(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with opened(tmp_path / "data.db") as session:

        class StoppingAmid(Told):
            def __call__(self, standing: Standing) -> None:
                super().__call__(standing)
                if len(self.standings) == 1:
                    asyncio.run_coroutine_threadsafe(create(session, "late"), loop).result(30)
                    self.stop()

        told = StoppingAmid()
        await asyncio.to_thread(following(tmp_path, told).run, waits_for_turn=False)
        rows = rows_of(tmp_path / "data.db")
    assert [standing.point for standing in told.standings] == ["generation-000001/0", "generation-000001/1"]
    assert rows_at(tmp_path / "copy", read_contents(tmp_path / "copy").points[-1], tmp_path / "scratch.db") == rows


def test_after_failures_the_pauses_grow_to_a_minute_and_no_further() -> None:
    pauses = [pause_seconds(0.5, failures=failures) for failures in range(2_000)]
    assert pauses[:4] == [0.5, 2.0, 4.0, 8.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 60.0
    assert pause_seconds(3_600.0, failures=0) == 3_600.0
    assert pause_seconds(3_600.0, failures=1) == 60.0, "what a long interval has to lose is tried again soon"


async def test_another_one_is_not_begun_beside_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "data.db"):
        with replicating(tmp_path / "data.db", tmp_path / "copy"):
            with pytest.raises(StoreLockedError):
                await asyncio.to_thread(following(tmp_path, Told()).run, waits_for_turn=False)
            told = Told()
            waiting = following(tmp_path, told)
            waiting.stop()
            await asyncio.to_thread(waiting.run, waits_for_turn=True)
            assert told.standings == []


async def test_a_copy_that_cannot_be_begun_is_tried_again_and_says_so_meanwhile(tmp_path: Path) -> None:
    target, words = tmp_path / "mount" / "copy", list[Standing]()

    class Mounting(threading.Event):
        """The folder comes to be while the next attempt is waited for."""

        def wait(self, timeout: float | None = None) -> bool:
            words.extend(read_standings(tmp_path / "data.db"))
            target.parent.mkdir(exist_ok=True)
            return super().wait(0 if words else timeout)

    class Stopping(Told):
        def __call__(self, standing: Standing) -> None:
            super().__call__(standing)
            self.stop()

    async with opened(tmp_path / "data.db"):
        refused = following(tmp_path, Told(), target=target)
        with pytest.raises(StoreUnavailableError):
            await asyncio.to_thread(refused.run, waits_for_turn=False)
        told = Stopping()
        trying = following(tmp_path, told, target=target)
        trying._stopped = Mounting()  # type: ignore[misc]
        await asyncio.to_thread(trying.run, waits_for_turn=True)
    assert told.standings[0].point == "generation-000001/0"
    assert told.standings[0].error == ""
    assert words[0].target == str(target)
    assert "No such file" in words[0].error
