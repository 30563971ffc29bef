"""Databases of a server that a newer Perdure upgrades: while older ones work on them, at once, and in vain."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tarfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from msgspec import structs

from perdure import Context, Engine, Settings, activity, workflow
from perdure.errors import InternalError, SchemaTooNewError, StoreCorruptError, StoreUnavailableError
from perdure.kernel.identity import Operation
from perdure.kernel.locking import LockRequest
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Applied
from perdure.ports.store import LockQuery
from perdure.ports.tasks import TaskQuery
from perdure.stores.postgres import schema, securing
from perdure.stores.postgres.connection import connect
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sql.migrations import Migration
from perdure.testing.store_conformance.harness import LEASE_SECONDS, creation
from perdure.testing.store_conformance.tasks import change, claims, task
from perdure.torture.programs.postgres_harness import PATIENT, PostgresHarness
from tests.journeys.workflows import until
from tests.postgres_server import PostgresServer, until_waiting, value
from tests.stores.postgres import served_under
from tests.stores.postgres.upgraded_under import QUICK, going_on, told

ROOT: Final = Path(__file__).resolve().parents[3]
WORKER: Final = Path(__file__).with_name("upgraded_under.py")
SERVER: Final = Path(__file__).with_name("served_under.py")
FOLDER: Final = "src/perdure/stores/postgres/migrations"
KNOWN: Final = schema.migrations()
OLDEST: Final = max(schema.oldest_library(migration) for migration in KNOWN)
"""What a library must know to work on tables of today."""
VERSION: Final = "SELECT max(number) FROM perdure.schema_migrations"


@pytest.fixture
async def postgres(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """Give a database of the test's own, without tables."""
    async with postgres_server.database() as url:
        yield url


# --- the libraries of their times -------------------------------------------------------------------------------------


def git(*arguments: str) -> bytes:
    """Return what git says; nothing where it fails."""
    return subprocess.run(["git", *arguments], check=False, cwd=ROOT, capture_output=True).stdout


@pytest.fixture
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give the last library that knew so many migrations, out of the project's own past."""
    version = request.param
    if not (ROOT / ".git").exists():
        pytest.skip("older libraries are in the history of git, and these sources have none")
    [next_one] = (ROOT / FOLDER).glob(f"{version + 1:04}_*.sql")
    added = git("log", "-1", "--diff-filter=A", "--format=%H", "--", str(next_one)).decode().strip()
    archive = git("archive", f"{added}^", "src")
    if not archive:
        pytest.skip("older libraries are in the history of git, of which this clone has only the end")
    with tarfile.open(fileobj=BytesIO(archive)) as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path / "src"


@asynccontextmanager
async def older_engine(library: Path, url: str, *, program: Path = WORKER) -> AsyncIterator[Process]:
    """Let an engine of an older library work in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), url, "older", stdin=PIPE, stdout=PIPE, stderr=PIPE,
        env={**os.environ, "PYTHONPATH": f"{library}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def starts(process: Process, name: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{name}\n".encode())
    await process.stdin.drain()
    await has_done(process, name)


async def has_done(process: Process, what: str) -> None:
    assert process.stdout is not None
    assert (await process.stdout.readline()).decode() == f"did {what}\n"


@pytest.mark.parametrize(
    ("library", "is_refused"), [(number, number < OLDEST) for number in range(1, len(KNOWN))], indirect=["library"]
)
async def test_an_older_engine_works_on_while_the_database_is_upgraded_and_a_newer_one_takes_over(
    library: Path, postgres: str, *, is_refused: bool
) -> None:
    async with asyncio.timeout(60), older_engine(library, postgres) as older:
        await starts(older, "kept")
        await starts(older, "lost")
        assert await value(postgres, VERSION) < len(KNOWN)  # type: ignore[operator]
        async with Engine(postgres, works=False) as client:
            assert await value(postgres, VERSION) == len(KNOWN)
            kept = await client.get_run("kept", going_on)
            await kept.signal(told, "more")
            await has_done(older, "more")
            await starts(older, "new")
            await kept.signal(told, "end")
            await has_done(older, "end")
            assert await kept.result() == "kept more end"
        async with older_engine(library, postgres) as another:
            _, said = await another.communicate(b"" if not is_refused else b"refused\n")
            assert ("SchemaTooNewError" in said.decode()) is is_refused
        async with Engine(postgres, settings=QUICK) as newer:
            older.kill()
            for name in ("lost", "new"):
                run = await newer.get_run(name, going_on)
                await run.signal(told, "end")
                assert await run.result() == f"{name} end"


labelled = activity(name="served.labelled", queue=served_under.QUEUE, labels={"gpu": "a100"})(served_under.labelled)


@workflow(name="served.by_label")
async def by_label(ctx: Context) -> str:
    del ctx
    return await labelled()


@pytest.mark.parametrize("library", range(2, len(KNOWN)), indirect=True)
async def test_an_older_engine_passes_over_tasks_that_demand_labels_of_which_it_knows_nothing(
    library: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_under, "whose", ["newer"])
    serving = Settings(queues=(served_under.QUEUE,), only_queues=True, labels={"gpu": "a100"})
    async with asyncio.timeout(60), older_engine(library, postgres, program=SERVER) as older:
        await has_done(older, "open")
        async with Engine(postgres, settings=QUICK) as owner:
            demanding = await owner.start(by_label, id="by label")
            while not await owner.tasks():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            plainly = await owner.start(served_under.plainly, id="plainly")
            assert await plainly.result() == "older"
            (waiting,) = await owner.tasks()
            assert (waiting.run.id, waiting.queue, waiting.worker) == ("by label", served_under.QUEUE, "")
            async with Engine(postgres, settings=serving):
                assert await demanding.result() == "newer"


# --- several libraries, as stores that know other migrations ----------------------------------------------------------

ADDED: Final = Migration(
    number=len(KNOWN) + 1, name="added", text="ALTER TABLE runs ADD COLUMN colour text", checksum="added"
)
EXPANDED: Final = structs.replace(
    ADDED, text=f"-- Libraries go on that know version {len(KNOWN)}.\nALTER TABLE runs ADD COLUMN colour text"
)


async def opened(url: str, *, lock_seconds: float = 5.0) -> PostgresStore:
    store = PostgresStore(url, settings=structs.replace(PATIENT, lock_seconds=lock_seconds))
    await store.open(session_name="store", lease_seconds=LEASE_SECONDS, on_changes=lambda _: None)
    return store


async def demand_works(store: PostgresStore) -> None:
    run = creation(store.new_run_key(), f"run {store.new_run_key()}")
    assert await store.commit([run]) == [Applied(run.run_key)]


async def tables_of(url: str) -> object:
    return await value(
        url,
        "SELECT array_agg(format('%s.%s', table_name, column_name) ORDER BY 1) FROM information_schema.columns "
        "WHERE table_schema = 'perdure'",
    )


def know(monkeypatch: pytest.MonkeyPatch, *more: Migration) -> None:
    monkeypatch.setattr(schema, "migrations", lambda: (*KNOWN, *more))


async def test_an_older_library_goes_on_beside_a_newer_one_that_has_only_added_something(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = await opened(postgres)
    know(monkeypatch, EXPANDED)
    newer = await opened(postgres)
    know(monkeypatch)
    again = await opened(postgres)
    for store in (older, newer, again):
        await demand_works(store)
        assert (await store.status()).schema_version == EXPANDED.number
        await store.close()


def test_statements_name_the_columns_of_tables_lest_one_that_is_added_changes_what_they_return() -> None:
    texts = "".join(file.read_text() for file in (ROOT / FOLDER).parent.glob("*.py"))
    created = "".join(migration.text for migration in KNOWN)
    tables = "|".join(re.findall(r"^CREATE TABLE (\w+)", created, re.MULTILINE))
    assert "tasks" in tables
    assert not re.findall(rf"\b(?:{tables})\.\*(?!\*)|\*\s+FROM\s+(?:{tables})\b|RETURNING\s+\*", texts)


async def test_a_table_that_is_changed_while_an_engine_is_at_work_costs_it_another_try_and_no_error(
    postgres: str,
) -> None:
    """The server refuses a statement that was prepared when a column had another type."""
    harness = PostgresHarness(postgres, structs.replace(PATIENT, lanes=1, readers=1))
    session = await harness.session()
    lock = LockRequest(operation=Operation(1), key="printer", limit=1)
    for number, changed in enumerate(("varchar", "text", "varchar")):
        for table in ("tasks", "locks"):
            column = "activity" if table == "tasks" else "key"
            await harness.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {changed}")
        run = await session.hold(f"run {number}")
        await session.advance(run, locks=[lock])
        await change(session, run, queued=[task(run, 1), task(run, 2)])
        assert len(await session.store.list_tasks(TaskQuery(run_key=run.run_key))) == 2
        assert len(await session.store.list_locks(LockQuery(run_key=run.run_key))) == 1
        assert len(await claims(session)) == 2
        await change(session, run, withdrawn=[Operation(1), Operation(2)])
    await harness.close()


async def test_an_older_library_is_refused_where_a_newer_one_has_changed_what_it_uses(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a later one has only added something; who is open goes on all the same."""
    older = await opened(postgres)
    know(
        monkeypatch,
        ADDED,
        structs.replace(EXPANDED, number=len(KNOWN) + 2, text=EXPANDED.text.replace("colour", "shade")),
    )
    await (await opened(postgres)).close()
    know(monkeypatch)
    with pytest.raises(SchemaTooNewError, match="Upgrade Perdure"):
        await opened(postgres)
    await demand_works(older)
    await older.close()


async def test_a_database_whose_past_is_another_is_refused_however_new_it_is(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, EXPANDED)
    await (await opened(postgres)).close()
    other = structs.replace(KNOWN[0], checksum="another")
    monkeypatch.setattr(schema, "migrations", lambda: (other, *KNOWN[1:]))
    with pytest.raises(StoreCorruptError, match="other migrations"):
        await opened(postgres)


TRYING: Final = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'perdure'
    AND state <> 'idle in transaction' AND (query LIKE '%advisory_xact_lock%' OR query = 'COMMIT;')
"""


async def until_trying(url: str, count: int) -> None:
    """Return when so many wait for their turn to look at the tables."""

    async def are_trying() -> bool:
        return await value(url, f"SELECT count(*) FROM ({TRYING}) AS trying") == count

    await until(are_trying)


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
async def test_of_two_that_upgrade_at_once_one_waits_for_the_other(
    postgres: str, monkeypatch: pytest.MonkeyPatch, isolation: str
) -> None:
    """Whatever the database has by default, it sees the tables as they are afterwards."""
    await (await opened(postgres)).close()
    name = await value(postgres, "SELECT current_database()")
    await value(postgres, f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
    know(monkeypatch, ADDED)
    connection = await asyncpg.connect(postgres)
    try:
        async with connection.transaction():
            await connection.execute(schema._TRY_TURN)
            opening = [asyncio.create_task(opened(postgres)) for _ in range(2)]
            await until_trying(postgres, 2)
            assert await value(postgres, VERSION) == len(KNOWN)
        for store in await asyncio.gather(*opening):
            await demand_works(store)
            await store.close()
    finally:
        await connection.close()
    assert await value(postgres, "SELECT count(*) FROM perdure.schema_migrations") == len(KNOWN) + 1


async def test_who_opens_a_database_that_is_being_upgraded_waits_for_longer_than_for_other_locks_and_says_so(
    postgres: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await (await opened(postgres)).close()
    monkeypatch.setattr(schema, "_TOLD_AFTER_SECONDS", 0.0)
    upgrading = await asyncpg.connect(postgres)
    try:
        async with upgrading.transaction():
            await upgrading.execute(schema._TRY_TURN)
            opening = asyncio.create_task(opened(postgres, lock_seconds=0.001))

            async def is_told() -> bool:
                return "are being upgraded by another process" in caplog.text

            await until(is_told)
            await until_trying(postgres, 1)
        await (await opening).close()
    finally:
        await upgrading.close()


async def test_who_waits_for_an_upgrade_notices_that_the_server_has_gone_without_a_word(
    postgres: str,
) -> None:
    await (await opened(postgres)).close()
    waiter = PostgresStore(postgres, settings=structs.replace(PATIENT, answer_seconds=0.5))
    upgrading = await asyncpg.connect(postgres)
    stopped: Any = 0  # what a server says
    try:
        async with upgrading.transaction():
            await upgrading.execute(schema._TRY_TURN)
            opening = asyncio.create_task(
                waiter.open(session_name="waiter", lease_seconds=LEASE_SECONDS, on_changes=lambda _: None)
            )
            await until_trying(postgres, 1)
            while not stopped:
                stopped = await value(postgres, TRYING) or 0  # none while it is amid a try
            os.kill(stopped, signal.SIGSTOP)
            noticed, _ = await asyncio.wait([opening], timeout=10)
            assert noticed
            with pytest.raises(StoreUnavailableError, match="does not answer"):
                await opening
    finally:
        if stopped:
            os.kill(stopped, signal.SIGCONT)
        await upgrading.close()


async def test_who_waits_for_an_upgrade_for_an_hour_is_told_what_to_do(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await opened(postgres)).close()
    monkeypatch.setattr(schema, "_UPGRADE_SECONDS", 0.05)
    upgrading = await asyncpg.connect(postgres)
    try:
        async with upgrading.transaction():
            await upgrading.execute(schema._TRY_TURN)
            with pytest.raises(StoreUnavailableError, match="by another process for an hour"):
                await opened(postgres)
    finally:
        await upgrading.close()


@pytest.mark.parametrize("session_url", ["", "a pooler's"])
async def test_transactions_of_the_store_see_what_they_have_waited_for_whatever_the_database_has_by_default(
    postgres: str, session_url: str
) -> None:
    name = await value(postgres, "SELECT current_database()")
    await value(postgres, f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    connection = await connect(postgres, structs.replace(PATIENT, session_url=session_url))
    isolation = "SHOW transaction_isolation"
    try:
        assert await connection.fetchval(isolation) == "read committed"
        async with connection.transaction():
            assert await connection.fetchval(isolation) == "read committed"
        async with connection.transaction(isolation="repeatable_read"):
            assert await connection.fetchval(isolation) == "repeatable read"
    finally:
        await connection.close()


async def test_an_upgrade_that_fails_halfway_leaves_nothing_and_nobody_notices(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = await opened(postgres)
    before = await tables_of(postgres)
    know(monkeypatch, ADDED, Migration(number=len(KNOWN) + 2, name="bad", text="SELECT 1 / 0", checksum="bad"))
    with pytest.raises(InternalError, match="division by zero"):
        await opened(postgres)
    assert await tables_of(postgres) == before
    know(monkeypatch)
    for store in (older, await opened(postgres)):
        await demand_works(store)
        await store.close()


async def test_an_upgrade_for_which_a_transaction_is_in_the_way_changes_nothing_and_is_tried_again(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await opened(postgres)).close()
    before = await tables_of(postgres)
    know(monkeypatch, ADDED)
    connection = await asyncpg.connect(postgres)
    try:
        async with connection.transaction():
            await connection.execute("SELECT count(*) FROM perdure.runs")
            with pytest.raises(StoreUnavailableError, match="in the way"):
                await opened(postgres, lock_seconds=0.05)
            assert await tables_of(postgres) == before
    finally:
        await connection.close()
    store = await opened(postgres, lock_seconds=0.05)
    await demand_works(store)
    await store.close()


async def test_an_upgrade_of_secured_tables_and_who_is_at_work_do_not_stop_each_other(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It changes `tasks` first, and then the policies of all: engines lock runs before tasks."""
    await (await opened(postgres)).close()
    await securing.secure_rows(postgres, binding=None, forced=None, now=Timestamp(0))
    know(monkeypatch, structs.replace(EXPANDED, text=EXPANDED.text.replace("runs", "tasks")))
    at_work = await asyncpg.connect(postgres)
    try:
        await at_work.execute("BEGIN; SELECT FROM perdure.runs FOR UPDATE")
        upgrading = asyncio.create_task(opened(postgres, lock_seconds=30.0))
        await until_waiting(postgres, 1)
        await at_work.execute("SELECT FROM perdure.tasks FOR UPDATE; COMMIT")
        store = await upgrading
        await demand_works(store)
        await store.close()
    finally:
        await at_work.close()


async def test_an_upgrade_may_take_longer_than_other_statements(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    long = structs.replace(EXPANDED, text=f"{EXPANDED.text}; SELECT pg_sleep(1.2)")
    hasty = PostgresStore(postgres, settings=structs.replace(PATIENT, statement_seconds=0.5, answer_seconds=1.0))
    know(monkeypatch)
    await (await opened(postgres)).close()
    know(monkeypatch, long)
    await hasty.open(session_name="hasty", lease_seconds=LEASE_SECONDS, on_changes=lambda _: None)
    await hasty.close()
    assert await value(postgres, VERSION) == long.number


def test_a_migration_says_in_its_text_which_libraries_go_on() -> None:
    own = [*range(1, len(KNOWN) + 2)]
    own[3] = own[4] = 3  # 0004_shares.sql, 0005_processes.sql
    assert [schema.oldest_library(one) for one in (*KNOWN, ADDED, EXPANDED)] == [*own, len(KNOWN)]
