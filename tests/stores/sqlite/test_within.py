"""Runs started within a transaction of a caller's on an SQLite file: there with the rest, or not."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from pathlib import Path

import apsw
import pytest

from perdure import Context, Engine, RunExistsError, Settings, UsageError, workflow
from perdure.codecs import Encryption, Payloads

PATIENT = Settings(lease_seconds=3_600, idle_seconds=3_600)
"""Of a worker that never looks by itself for what is due."""


@workflow(name="ship within SQLite")
async def ship(ctx: Context, order: str) -> str:
    return f"{ctx.info.id} ships {order}"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine(f"sqlite:///{tmp_path / 'shop.db'}", settings=PATIENT) as engine:
        yield engine


@pytest.fixture
def connection(tmp_path: Path, engine: Engine) -> Iterator[apsw.Connection]:
    del engine  # which has made the file
    with closing(apsw.Connection(str(tmp_path / "shop.db"))) as connection:
        connection.set_busy_timeout(5_000)
        connection.execute("CREATE TABLE orders (id)")
        yield connection


async def test_a_run_is_there_with_what_else_is_committed_and_goes_on_at_once(
    engine: Engine, connection: apsw.Connection
) -> None:
    with connection:
        run = await engine.start(ship, "one", id="one", labels={"a": "b"}, within=connection)
        connection.execute("INSERT INTO orders VALUES (1)")
        assert (await engine.list_runs()).runs == ()
    assert await run.result() == "one ships one"
    assert [(found.id, found.labels) for found in (await engine.list_runs()).runs] == [("one", {"a": "b"})]
    assert (await engine.verify()).is_sound


async def test_a_worker_of_another_session_hears_of_it(tmp_path: Path, connection: apsw.Connection) -> None:
    async with Engine(f"sqlite:///{tmp_path / 'shop.db'}", works=False) as client:
        with connection:
            run = await client.start(ship, "one", id="one", within=connection)
        assert await run.result() == "one ships one"


async def test_a_run_is_not_there_where_the_transaction_is_undone(engine: Engine, connection: apsw.Connection) -> None:
    with suppress(ZeroDivisionError), connection:
        await engine.start(ship, "one", id="one", within=connection)
        raise ZeroDivisionError
    assert (await engine.list_runs()).runs == ()
    assert await (await engine.start(ship, "one", id="one")).result() == "one ships one"


async def test_a_run_that_is_there_already_is_returned_or_refused_and_the_transaction_goes_on(
    engine: Engine, connection: apsw.Connection
) -> None:
    await (await engine.start(ship, "one", id="one", request_id="first")).result()
    with connection:
        connection.execute("INSERT INTO orders VALUES (1)")
        assert (await engine.start(ship, "two", id="one", within=connection)).id == "one"
        assert (await engine.start(ship, "two", request_id="first", id_policy="fail", within=connection)).id == "one"
        new = await engine.start(ship, "three", request_id="second", within=connection)
        assert (await engine.start(ship, "three", request_id="second", within=connection)).id == new.id
        with pytest.raises(RunExistsError, match="a run default/one exists already"):
            await engine.start(ship, "two", id="one", id_policy="fail", within=connection)
    assert connection.execute("SELECT count(*) FROM orders").get == 1
    assert await new.result() == f"{new.id} ships three"


async def test_what_is_no_transaction_on_the_file_is_refused(
    engine: Engine, connection: apsw.Connection, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "shop.db")
    elsewhere, careless = apsw.Connection(":memory:"), apsw.Connection(str(tmp_path / "shop.db"))
    careless.pragma("synchronous", "normal")
    with closing(other), closing(elsewhere), closing(careless), elsewhere, careless:
        for within, reason in (
            (connection, "no transaction is open on this connection"),
            (other, "no connection of apsw"),
            (elsewhere, "the connection is to no file, and the engine's to "),
            (careless, "PRAGMA synchronous = 1, with which what is committed can be lost"),
        ):
            with pytest.raises(UsageError, match=reason):
                await engine.start(ship, "one", within=within)


async def test_a_store_in_memory_has_no_transactions() -> None:
    async with Engine("memory:") as engine:
        with pytest.raises(UsageError, match="a store in memory is none"):
            await engine.start(ship, "one", within=object())


async def test_what_it_starts_with_passes_the_codecs(tmp_path: Path, connection: apsw.Connection) -> None:
    payloads = Payloads(Encryption({"k": Encryption.new_key()}))
    async with Engine(f"sqlite:///{tmp_path / 'shop.db'}", payloads=payloads, namespace="secret") as engine:
        with connection:
            run = await engine.start(ship, "attack at dawn", within=connection)
        assert await run.result() == f"{run.id} ships attack at dawn"
    assert not any("dawn" in data for (data,) in connection.execute("SELECT data FROM history"))
