"""Renewals of a lease: one at a time, which goes on though its caller gives up; and whose leases it cuts."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.errors import StoreCorruptError, StoreError
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite import ownership, unreadable
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import LEASE_SECONDS, START, later

OWNED = 5
LATE = LEASE_SECONDS + 1

Opening = Callable[[str], Any]


class VirtualClock:
    def now(self) -> Timestamp:
        return START


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
async def opening(path: Path) -> AsyncIterator[Opening]:
    async with AsyncExitStack() as stack:

        async def opened(name: str) -> StoreSession:
            session = StoreSession(SqliteStore(path, clock=VirtualClock()))
            await session.open(name=name, lease_seconds=LEASE_SECONDS)
            stack.push_async_callback(session.store.close)
            return session

        yield opened


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs given back one at a time, as where a page may be damaged."""
    monkeypatch.setattr(unreadable, "MOST_WRITTEN", 1)


async def fill(session: StoreSession) -> None:
    """Have a session own some runs, and lose its lease unless it is renewed before `LATE`."""
    for number in range(OWNED):
        await session.create(f"run {number}")
    for _ in range(OWNED):
        await session.claim(now=later(1), limit=1)


@asynccontextmanager
async def busy(session: StoreSession) -> AsyncIterator[None]:
    """Have the writer do nothing that is asked within this before its end."""
    assert isinstance(session.store, SqliteStore)
    event = threading.Event()
    waiting = session.store._writing().call(lambda _connection, _news: event.wait())
    try:
        yield
    finally:
        event.set()
    await waiting


async def give_up(session: StoreSession, seconds: float) -> None:
    """Ask for a renewal, and wait no longer for it."""
    renewal = asyncio.ensure_future(session.store.renew_lease(now=later(seconds)))
    for _ in range(3):  # for it to ask the writer
        await asyncio.sleep(0)
    renewal.cancel()
    with pytest.raises(asyncio.CancelledError):
        await renewal


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(apsw.Connection(str(path))) as connection:
        return list(connection.execute(query))


def owned(path: Path) -> list[str]:
    return [run_id for (run_id,) in rows(path, "SELECT id FROM runs WHERE owner IS NOT NULL")]


@pytest.mark.usefixtures("in_pieces")
async def test_a_loss_that_nobody_waited_for_is_told_to_the_next_caller_and_nothing_is_claimed_before(
    opening: Opening, path: Path
) -> None:
    session = await opening("mine")
    await fill(session)
    async with busy(session):
        await give_up(session, LATE)
        claiming = asyncio.ensure_future(session.claim(now=later(LATE + 1)))
        await asyncio.sleep(0)
    assert await claiming == []
    assert owned(path) == []
    assert not await session.store.renew_lease(now=later(LATE + 2))
    assert len(await session.claim(now=later(LATE + 2), limit=1)) == 1
    assert await session.store.renew_lease(now=later(LATE + 3))
    assert len(owned(path)) == 1


async def test_what_becomes_the_sessions_while_a_loss_is_untold_is_given_back_with_it(
    opening: Opening, path: Path
) -> None:
    """As by a commit that creates a run and owns it: the worker drops it with all the others when it is told."""
    session = await opening("mine")
    await fill(session)
    async with busy(session):
        await give_up(session, LATE)
    assert isinstance(session.store, SqliteStore)
    await session.store._owning()._renewed()
    rows(path, f"UPDATE runs SET owner = {session.worker}, wake_at = NULL WHERE id = 'run 1'")
    assert not await session.store.renew_lease(now=later(LATE + 1))
    assert owned(path) == []


async def test_what_is_claimed_beside_a_renewal_that_finds_the_lease_lost_is_not_told_as_claimed(
    opening: Opening, path: Path
) -> None:
    session = await opening("mine")
    await fill(session)
    await session.create("new")
    async with busy(session):
        claiming = asyncio.ensure_future(session.claim(now=later(LATE)))
        await asyncio.sleep(0)
        await give_up(session, LATE)
    assert await claiming == []
    assert not await session.store.renew_lease(now=later(LATE + 1))
    assert owned(path) == []


@pytest.mark.usefixtures("in_pieces")
async def test_a_renewal_waits_for_the_one_under_way_and_cuts_no_lease(opening: Opening, path: Path) -> None:
    mine, owner = await opening("mine"), await opening("owner")
    await fill(mine)
    for seconds in (20, 40, 60):
        assert await owner.store.renew_lease(now=later(seconds))
    async with busy(mine):
        await give_up(mine, LATE)
        second = asyncio.ensure_future(mine.store.renew_lease(now=later(61)))
        await asyncio.sleep(0)
    assert not await second
    leases = dict(rows(path, "SELECT name, lease_until FROM sessions"))
    assert leases == {"mine": later(61 + LEASE_SECONDS), "owner": later(60 + LEASE_SECONDS)}


@pytest.mark.usefixtures("in_pieces")
async def test_a_late_renewal_that_gives_back_in_pieces_cuts_no_lease(opening: Opening) -> None:
    mine, owner = await opening("mine"), await opening("owner")
    await fill(mine)
    for seconds in (20, 40, 60):
        assert await owner.store.renew_lease(now=later(seconds))
    assert not await mine.store.renew_lease(now=later(LATE))
    assert await owner.store.renew_lease(now=later(60 + LEASE_SECONDS - 1))


async def test_what_a_renewal_learns_that_another_waits_for_makes_that_certain_of_nothing(opening: Opening) -> None:
    mine, owner = await opening("mine"), await opening("owner")
    assert await owner.store.renew_lease(now=later(20))
    async with busy(mine):
        await give_up(mine, 1)
        second = asyncio.ensure_future(mine.store.renew_lease(now=later(2)))
        await asyncio.sleep(0)
    assert await second
    assert await owner.store.renew_lease(now=later(20 + LEASE_SECONDS - 1))


async def test_a_session_ends_after_the_renewal_under_way_and_leaves_nothing(opening: Opening, path: Path) -> None:
    session = await opening("mine")
    async with busy(session):
        await give_up(session, LATE)
        waiting = asyncio.ensure_future(session.store.renew_lease(now=later(LATE + 1)))
        await asyncio.sleep(0)
        ending = asyncio.ensure_future(session.store.close())
        await asyncio.sleep(0)
    await ending
    with pytest.raises(StoreError, match="closed meanwhile"):
        await waiting
    assert rows(path, "SELECT * FROM sessions") == []


async def test_a_renewal_that_fails_after_its_caller_has_given_up_is_logged(
    opening: Opening, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreCorruptError("a page is damaged")

    session = await opening("mine")
    with monkeypatch.context() as patch:
        patch.setattr(ownership, "renew", fail)
        async with busy(session):
            await give_up(session, 1)
        await session.claim(now=later(1))
    assert "renewing the lease failed after its caller had given up: a page is damaged" in caplog.text
    assert await session.store.renew_lease(now=later(2))
