"""Connections whose clients stand still amid a message, spoken to as the driver never leaves them."""

import asyncio
import struct
from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import urlsplit

import asyncpg
import pytest
from msgspec import structs

from perdure.stores.postgres import home
from perdure.stores.postgres.standstill import Standing, end_standing, ripens_in
from perdure.testing.store_conformance.harness import LEASE_SECONDS, later
from perdure.torture.programs.postgres_harness import PostgresHarness
from perdure.torture.severed.proxy import socket_of

LOCK_RUNS = "BEGIN; SELECT FROM perdure.runs FOR UPDATE"


class Wire:
    """A client of a server, message by message: https://www.postgresql.org/docs/current/protocol-message-formats.html"""

    def __init__(self, url: str) -> None:
        self.url = url

    async def begin(self) -> None:
        read = urlsplit(self.url)
        self.reader, self.writer = await asyncio.open_unix_connection(socket_of(self.url))
        names = f"user\0{read.username}\0database\0{read.path[1:]}\0\0".encode()
        self.writer.write(struct.pack("!ii", len(names) + 8, 196_608) + names)
        await self.hear(b"Z")

    def say(self, kind: bytes, content: bytes = b"") -> None:
        self.writer.write(kind + struct.pack("!i", len(content) + 4) + content)

    async def hear(self, kind: bytes) -> None:
        """Read until a message of a kind has come."""
        while True:
            head = await self.reader.readexactly(5)
            await self.reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
            if head[:1] == kind:
                return

    async def query(self, text: str, *, until: bytes = b"Z") -> None:
        self.say(b"Q", text.encode() + b"\0")
        await self.hear(until)

    async def stand_still_amid_a_batch(self) -> None:
        """Have a statement executed, and say no Sync after it."""
        self.say(b"P", b"\0SELECT 1\0\0\0")
        self.say(b"B", b"\0\0\0\0\0\0\0\0")
        self.say(b"E", b"\0\0\0\0\0")
        self.say(b"H")
        await self.hear(b"C")

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


@pytest.fixture
async def wire(postgres: str) -> AsyncIterator[Wire]:
    wire = Wire(postgres)
    await wire.begin()
    yield wire
    await wire.close()


async def wait_until_somebody_waits(harness: PostgresHarness) -> None:
    waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid')"
    async with asyncio.timeout(30):
        while not await harness.fetchval(waiting):
            pass


async def end_them(harness: PostgresHarness) -> int:
    connection = await harness.connection()
    try:
        return len(await end_standing(connection, schema="perdure", idle_seconds=0.0, seen={}))
    finally:
        await connection.close()


async def test_runs_are_taken_over_though_the_one_cut_off_amid_a_batch_has_locked_them(
    postgres: str, harness: PostgresHarness, wire: Wire
) -> None:
    watchful = PostgresHarness(
        postgres, structs.replace(harness.settings, safety_check_seconds=0.01, idle_seconds=0.05, absence_seconds=600.0)
    )
    finder, late = [await watchful.session(name) for name in ("finder", "late")]
    run = await late.hold()
    await wire.query(LOCK_RUNS)
    await wire.stand_still_amid_a_batch()
    assert await finder.store.free_expired(now=later(LEASE_SECONDS + 1)) == 1
    assert (await finder.row(run.run_key)).owner is None
    await watchful.close()


async def test_who_stands_still_is_ended_only_if_each_look_finds_it_so(harness: PostgresHarness, wire: Wire) -> None:
    """An application that thinks between two messages of a pipeline has not stood still since its last statement."""
    await (await harness.session()).hold()
    await wire.query(LOCK_RUNS)
    await wire.stand_still_amid_a_batch()
    waiting = asyncio.ensure_future(harness.execute("SELECT FROM perdure.runs FOR UPDATE"))
    await wait_until_somebody_waits(harness)
    connection, seen = await harness.connection(), Standing()
    try:
        assert await end_standing(connection, schema="perdure", idle_seconds=600.0, seen=seen) == []
        assert len(seen) == 1
        wire.say(b"S")
        await wire.hear(b"Z")
        assert await end_standing(connection, schema="perdure", idle_seconds=0.0, seen=seen) == []
        assert seen == {}
        await wire.query("ROLLBACK")
        await waiting
    finally:
        await connection.close()


async def test_who_has_stood_still_for_long_is_ended_as_soon_as_it_is_in_the_way(
    harness: PostgresHarness, wire: Wire
) -> None:
    await (await harness.session()).hold()
    await wire.query(LOCK_RUNS)
    await wire.stand_still_amid_a_batch()
    connection, seen = await harness.connection(), Standing()
    look = partial(end_standing, connection, schema="perdure", seen=seen)
    try:
        assert await look(idle_seconds=600.0) == []
        [since] = seen.values()
        assert 0 < (ripens_in(seen, idle_seconds=600.0) or 0) <= 600
        assert ripens_in(seen, idle_seconds=0.0) is None
        assert await look(idle_seconds=0.0) == [], "it is in nobody's way"
        waiting = asyncio.ensure_future(harness.execute("SELECT FROM perdure.runs FOR UPDATE"))
        await wait_until_somebody_waits(harness)
        seen[next(iter(seen))] = since - 600.0
        assert len(await look(idle_seconds=600.0)) == 1
        await waiting
    finally:
        await connection.close()


async def test_who_stands_still_in_nobodys_way_is_let_be(harness: PostgresHarness, wire: Wire) -> None:
    await (await harness.session()).hold()
    await wire.query(LOCK_RUNS)
    await wire.stand_still_amid_a_batch()
    assert await end_them(harness) == 0


@pytest.mark.parametrize(("is_of_the_store", "ended"), [(True, 1), (False, 0)])
async def test_who_holds_nothing_of_the_store_is_let_be(
    harness: PostgresHarness, wire: Wire, is_of_the_store: bool, ended: int
) -> None:
    await (await harness.session()).hold()
    await harness.execute("CREATE TABLE public.others (number integer)")
    try:
        table = "perdure.runs" if is_of_the_store else "public.others"
        await harness.execute("INSERT INTO public.others VALUES (1)")
        await wire.query(f"BEGIN; SELECT FROM {table} FOR UPDATE")
        await wire.stand_still_amid_a_batch()
        waiting = asyncio.ensure_future(harness.execute(f"SELECT FROM {table} FOR UPDATE"))
        await wait_until_somebody_waits(harness)
        assert await end_them(harness) == ended
        await wire.close()
        await waiting
    finally:
        await harness.execute("DROP TABLE public.others")


async def test_who_works_is_let_be_while_somebody_else_stands_still(harness: PostgresHarness, wire: Wire) -> None:
    """It is in the way, and holds what the other one does not."""
    await (await harness.session()).hold()
    await wire.query("BEGIN; SELECT FROM perdure.runs")
    await wire.stand_still_amid_a_batch()
    working = await harness.connection()
    try:
        async with working.transaction():
            await working.execute("SELECT FROM runs FOR UPDATE")
            waiting = asyncio.ensure_future(harness.execute("SELECT FROM runs FOR UPDATE"))
            await wait_until_somebody_waits(harness)
            assert await end_them(harness) == 0
        await waiting
    finally:
        await working.close()


async def test_a_look_that_may_not_see_who_waits_finds_the_dead_all_the_same(
    postgres: str, harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(connection: object, **settings: object) -> list[int]:
        raise asyncpg.InsufficientPrivilegeError("permission denied to terminate process")

    monkeypatch.setattr(home, "end_standing", refused)
    watchful = PostgresHarness(
        postgres, structs.replace(harness.settings, safety_check_seconds=0.01, absence_seconds=0.02)
    )
    finder, dying = [await watchful.session(name) for name in ("finder", "dying")]
    run = await dying.hold()
    connection = finder.store._opened.home._connection  # type: ignore[attr-defined]
    await watchful.kill(dying)
    async with asyncio.timeout(30):
        while (await finder.row(run.run_key)).owner is not None:
            pass
    assert finder.store._opened.home._connection is connection  # type: ignore[attr-defined]
    await watchful.close()


@pytest.mark.parametrize("before", ["", "/* service=orders */ ", "SELECT 1; "])
async def test_a_copy_that_waits_for_what_is_to_be_copied_is_let_be(
    harness: PostgresHarness, wire: Wire, before: str
) -> None:
    await (await harness.session()).hold()
    await wire.query("CREATE TEMPORARY TABLE lines (line text)")
    await wire.query(LOCK_RUNS)
    await wire.query(f"{before}COPY lines FROM STDIN", until=b"G")
    waiting = asyncio.ensure_future(harness.execute("SELECT FROM runs FOR UPDATE"))
    await wait_until_somebody_waits(harness)
    assert await end_them(harness) == 0
    wire.say(b"c")
    await wire.query("ROLLBACK")
    await waiting
