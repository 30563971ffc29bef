"""Who tells of runs that come with the commit of somebody else: each is looked for less and less often."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from perdure.errors import StoreError
from perdure.kernel.identity import RunKey
from perdure.ports.store import Changes
from perdure.stores import announcing
from perdure.stores.announcing import Announcer


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.001)


class Database:
    """Runs that are there, and how often each was looked for."""

    def __init__(self) -> None:
        self.there: set[RunKey] = set()
        self.looks: list[RunKey] = []
        self.told: list[RunKey] = []
        self.changes: list[Changes] = []
        self.is_away = False

    async def find(self, run_key: RunKey) -> object | None:
        self.looks.append(run_key)
        if self.is_away:
            raise StoreError("away")
        return run_key if run_key in self.there else None

    async def tell(self, run_key: RunKey) -> None:
        self.told.append(run_key)

    async def looked(self, times: int) -> None:
        await until(lambda: len(self.looks) >= times)

    def announcer(self) -> Announcer:
        return Announcer(self.find, self.tell, self.changes.append)


async def test_it_tells_of_a_run_once_it_is_there() -> None:
    database = Database()
    announcer = database.announcer()
    announcer.expect(RunKey(1))
    await database.looked(2)
    assert database.told == []
    database.is_away = True
    await database.looked(len(database.looks) + 1)
    database.is_away = False
    database.there.add(RunKey(1))
    await until(lambda: database.told)
    assert database.told == [1]
    assert database.changes == [Changes(run_keys=frozenset({RunKey(1)}), ready=True)]
    await announcer.close()


async def test_one_that_never_comes_is_not_looked_for_more_often_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database()
    announcer = database.announcer()
    monkeypatch.setattr(announcing, "_FIRST_PAUSE_SECONDS", 3_600.0)
    announcer.expect(RunKey(1))
    monkeypatch.setattr(announcing, "_FIRST_PAUSE_SECONDS", 0.005)
    for key in map(RunKey, range(2, 6)):
        database.there.add(key)
        announcer.expect(key)
        await until(partial(database.told.__contains__, key))
    assert RunKey(1) not in database.looks
    await announcer.close()


async def test_what_does_not_come_is_given_up_and_nothing_is_looked_for_after_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(announcing, "_PATIENCE_SECONDS", 0.01)
    database = Database()
    announcer = database.announcer()
    announcer.expect(RunKey(1))
    await database.looked(2)
    await until(lambda: not announcer._expected)
    await announcer.close()
    looks = len(database.looks)
    announcer.expect(RunKey(2))
    await asyncio.sleep(0.02)
    assert len(database.looks) == looks
