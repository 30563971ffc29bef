"""Databases of every released schema: opened by today's code, read, replayed, and brought to their end."""

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from perdure import Activity, Engine, NonRetryableError, RunFailedError, RunStatus, RunTerminatedError, current_attempt
from perdure.authoring.registry import Registry
from perdure.errors import SchemaTooNewError, SchemaTooOldError, StoreCorruptError
from perdure.kernel.events import EVENT_NAMES, ActivityScheduled, RunCancelRequested, RunCreated
from perdure.kernel.history import EVENT_VERSIONS, RecordedEvent, decode_event, encode_event
from perdure.kernel.messages import CancelMessage, TerminateMessage, encode_message
from perdure.kernel.time import Timestamp
from perdure.ports.store import RunQuery
from perdure.stores.sql.migrations import migrations
from perdure.stores.sqlite.looking import SqliteLook
from perdure.testing.replaying import Verdict, replay_history
from tests.data.make_databases import dumped, file_of
from tests.data.specimen import double, go, order, part

SCHEMAS = range(1, len(migrations()) + 1)
KEY_OF = "(SELECT run_key FROM runs WHERE id = ?)"
EVENTS = Path(__file__).parents[2] / "data" / "events"


def test_every_schema_has_a_saved_database() -> None:
    missing = [number for number in SCHEMAS if not file_of(number).exists()]
    assert missing == [], "save a database of each new schema: uv run python -m tests.data.make_databases"


def test_every_older_version_of_an_event_has_a_saved_specimen_that_is_still_read() -> None:
    """A saved specimen is the JSON of the event's row, in tests/data/events/TYPE.VERSION.json."""
    older = [(EVENT_NAMES[kind], n) for kind, newest in EVENT_VERSIONS.items() for n in range(1, newest)]
    for name, version in older:
        saved = EVENTS / f"{name}.{version}.json"
        assert saved.exists(), f"save an event {name} as version {version} wrote it: {saved}"
        assert decode_event(1, name, version, 1, saved.read_bytes()).type == name


@pytest.fixture(params=SCHEMAS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database as the code of a schema left it."""
    return saved(request.param, tmp_path)


def saved(schema: int, folder: Path) -> Path:
    path = folder / "old.db"
    connection = apsw.Connection(str(path))
    for _ in connection.execute(file_of(schema).read_text(encoding="utf-8")):
        pass
    assert connection.pragma("user_version") == schema
    connection.close()
    return path


async def test_an_old_database_is_migrated_and_its_runs_are_read_replayed_and_brought_to_their_end(
    database: Path,
) -> None:
    async with Engine(f"sqlite:///{database}") as engine:
        assert (await engine.worker.store.status()).schema_version == len(migrations())
        page = await engine.worker.store.list_runs(RunQuery())
        rows = {run.ref.id: run for run in page.runs}
        assert sorted(rows) == ["closed", "part of 1", "part of 2", "part of 3", "told", "waiting"]
        assert rows["closed"].labels == {"made": "then"}
        assert rows["told"].tenant == "ada"
        for row in page.runs:
            history = [recorded async for recorded in (await engine.get_run(row.ref.id)).history()]
            assert replay_history(history).verdict is Verdict.SAME
        assert await (await engine.get_run("closed")).result() == 22
        for name in ("waiting", "part of 2", "part of 3"):
            await (await engine.get_run(name)).signal(go, 30)
        assert await (await engine.get_run("waiting")).result() == 64
        assert await (await engine.get_run("told")).result() == 66
        page = await engine.worker.store.list_runs(RunQuery())
        assert {run.status for run in page.runs} == {RunStatus.COMPLETED}


async def test_calls_of_runs_that_were_begun_before_an_upgrade_have_the_idempotency_keys_that_they_had(
    database: Path,
) -> None:
    keys: list[str] = []

    async def fails_once(number: int) -> int:
        keys.append(current_attempt().idempotency_key)
        if len(keys) == 1:
            raise NonRetryableError("the answer was lost")
        return 2 * number

    registry = Registry()
    registry.add_workflow(order)
    registry.add_workflow(part)
    registry.add_activity(Activity(fails_once, name=double.name, options=double.defaults))
    async with Engine(f"sqlite:///{database}", registry=registry) as engine:
        for name in ("waiting", "part of 2"):
            await (await engine.get_run(name)).signal(go, 30)
        run = await engine.get_run("waiting")
        run_key = (await run.describe()).run_key
        with pytest.raises(RunFailedError):
            await run.result()
        assert await (await run.retry()).result() == 64
        events = [one.event async for one in run.history()]
    created, scheduled = events[0], [event for event in events if isinstance(event, ActivityScheduled)]
    assert isinstance(created, RunCreated)
    assert keys == [f"{created.call_name or f'{run_key:x}'}-{scheduled[-1].operation}"] * 2


async def test_a_migrated_database_has_the_tables_of_a_new_one(database: Path, tmp_path: Path) -> None:
    for path in (database, tmp_path / "new.db"):
        async with Engine(f"sqlite:///{path}", works=False):
            pass
    old, new = (_schema(path) for path in (database, tmp_path / "new.db"))
    assert old == new


async def test_a_database_with_a_column_of_another_name_is_not_migrated(tmp_path: Path) -> None:
    """The error says that nothing was changed."""
    path = saved(5, tmp_path)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'fencing_token', 'fensing_token')")
    before = dumped(path)
    with pytest.raises(StoreCorruptError, match=r"there is no runs\.fencing_token\. Nothing was changed"):
        async with Engine(f"sqlite:///{path}"):
            pass
    assert dumped(path) == before


async def test_an_upgrade_finds_out_of_histories_and_inboxes_when_runs_are_to_be_ended(tmp_path: Path) -> None:
    path = saved(5, tmp_path)
    connection = apsw.Connection(str(path))
    has_deadline = "UPDATE history SET data = json_set(data, '$.deadline_at', ?) WHERE sequence = 1 AND run_key = "
    for name, deadline_at in (("waiting", 500), ("part of 3", 500), ("closed", 500)):
        connection.execute(has_deadline + KEY_OF, (deadline_at, name))
    cancelled = encode_event(RecordedEvent(11, Timestamp(1), RunCancelRequested(grace_until=Timestamp(400))))
    columns, row = "run_key, sequence, type, version, at, data", f"{KEY_OF}, ?, ?, ?, ?, CAST(? AS TEXT)"
    connection.execute(f"INSERT INTO history ({columns}) VALUES ({row})", ("told", *cancelled))
    connection.execute(f"UPDATE runs SET sequence = 11 WHERE run_key = {KEY_OF}", ("told",))
    put(connection, "part of 2", encode_message(TerminateMessage()), at=300)
    put(connection, "part of 3", encode_message(CancelMessage(grace_until=Timestamp(200))))
    put(connection, "waiting", b"{")
    connection.close()
    async with Engine(f"sqlite:///{path}", works=False):
        pass
    connection = apsw.Connection(str(path))
    ends = dict(connection.execute("SELECT id, end_at FROM runs"))
    connection.close()
    assert ends == {
        "closed": None,
        "waiting": 500,
        "told": 400,
        "part of 1": None,
        "part of 2": 300,
        "part of 3": 200,
    }


async def test_a_run_that_was_terminated_before_the_upgrade_ends_after_it_without_its_code(tmp_path: Path) -> None:
    path = saved(5, tmp_path)
    connection = apsw.Connection(str(path))
    put(connection, "part of 2", encode_message(TerminateMessage(reason="enough")))
    connection.close()
    async with Engine(f"sqlite:///{path}", registry=Registry()) as engine:
        with pytest.raises(RunTerminatedError, match="enough"):
            await (await engine.get_run("part of 2")).result()


async def test_a_database_of_a_newer_schema_is_refused_and_not_touched(database: Path) -> None:
    connection = apsw.Connection(str(database))
    connection.pragma("user_version", len(migrations()) + 1)
    connection.close()
    before = dumped(database)
    with pytest.raises(SchemaTooNewError, match=r"has schema version \d+; this Perdure knows versions up to \d+"):
        async with Engine(f"sqlite:///{database}"):
            pass
    assert dumped(database) == before


async def test_a_database_of_another_schema_is_not_looked_at_but_named(database: Path) -> None:
    connection = apsw.Connection(str(database))
    version = connection.pragma("user_version")
    if version == len(migrations()):
        connection.pragma("user_version", len(migrations()) + 1)
    connection.close()
    before = dumped(database)
    with pytest.raises((SchemaTooOldError, SchemaTooNewError), match=r"Open it once with|Upgrade Perdure") as refused:
        async with SqliteLook(database):
            pass
    assert isinstance(refused.value, SchemaTooOldError) is (version < len(migrations()))
    assert dumped(database) == before


async def test_a_database_of_another_program_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE runs (id)")
    connection.close()
    with pytest.raises(StoreCorruptError, match="database of another program"):
        async with SqliteLook(path):
            pass


def put(connection: apsw.Connection, name: str, message: bytes, *, at: int = 1) -> None:
    row = f"?, ?, '', {KEY_OF}"
    connection.execute(
        f"INSERT INTO inbox (data, at, message_id, run_key) VALUES ({row})", (message.decode(), at, name)
    )


def _schema(path: Path) -> list[tuple[str, str, str]]:
    connection = apsw.Connection(str(path))
    try:
        rows = connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_schema")
        return sorted((str(kind), str(name), " ".join(str(sql).split())) for kind, name, sql in rows)
    finally:
        connection.close()
