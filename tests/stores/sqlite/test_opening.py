"""Opening: which files are taken, which are refused and left as they are, and what each error says."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import pytest

from perdure.configuration import Settings
from perdure.errors import (
    SchemaTooNewError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreUnavailableError,
    StoreVersionError,
    UsageError,
)
from perdure.kernel.identity import RunRef
from perdure.stores.memory import MemoryStore
from perdure.stores.opening import open_store
from perdure.stores.sql.migrations import migrations
from perdure.stores.sqlite import locks
from perdure.stores.sqlite.connection import APPLICATION_ID, demand_sound_sqlite, open_writing, pragma, use_log
from perdure.stores.sqlite.locks import FileLock
from perdure.stores.sqlite.presence import sidecar_folder
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import creation

NOBODY = 65534
IMPATIENT = SqliteSettings(lock_patience_seconds=0.05)


async def opened(path: Path, settings: SqliteSettings | None = None) -> StoreSession:
    session = StoreSession(SqliteStore(path, settings=settings))
    await session.open(name="worker", lease_seconds=30)
    return session


async def made(path: Path) -> None:
    session = await opened(path)
    await session.create("kept")
    await session.store.close()


def changed(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()


def test_a_url_names_a_file_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("sqlite:///data.db").location == str(tmp_path / "data.db")
    assert open_store(f"sqlite:///{tmp_path}/a%20b.db").location == str(tmp_path / "a b.db")
    assert list(tmp_path.iterdir()) == [], "nothing is touched before it is opened"


async def test_a_url_opens_a_store_with_the_engines_settings(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/data.db", settings=Settings(commit_batch=7))
    assert isinstance(store, SqliteStore)
    assert store._settings.writes_per_transaction == 7
    await store.open(session_name="worker", lease_seconds=30, on_changes=lambda _: None)
    await store.close()
    assert isinstance(open_store("memory:"), MemoryStore)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("sqlite:///", "names no file"),
        ("sqlite:///folder/", "names no file"),
        ("sqlite:data.db", "three slashes"),
        ("data.db", "use 'sqlite:///path'"),
        ("", "use 'sqlite:///path'"),
        ("mysql://host/database", "use 'sqlite:///path'"),
    ],
)
def test_a_url_that_names_no_store_is_an_error_of_its_writer(url: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        open_store(url)


async def test_a_missing_folder_is_made_but_not_a_whole_path(tmp_path: Path) -> None:
    await made(tmp_path / "new" / "data.db")
    with pytest.raises(StoreUnavailableError, match="Create it, or choose another path"):
        await opened(tmp_path / "no" / "such" / "data.db")
    assert not (tmp_path / "no").exists()


async def test_two_spellings_of_a_path_are_one_database(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    await made(path)
    (tmp_path / "link.db").symlink_to(path)
    session, other = await opened(path), await opened(tmp_path / "link.db")
    (run,) = await session.claim()
    assert (await other.row(run.summary.run_key)).owner == session.worker
    assert not sidecar_folder(tmp_path / "link.db").exists()
    await session.store.close()
    await other.store.close()


async def test_a_folder_is_not_a_database(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="is a folder"):
        await opened(tmp_path)


async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"my notes\n" * 500)
    with pytest.raises(StoreCorruptError, match="not an SQLite database"):
        await opened(path)
    assert path.read_bytes() == b"my notes\n" * 500


async def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    changed(path, "CREATE TABLE theirs (a)")
    before = path.read_bytes()
    with pytest.raises(StoreCorruptError, match="another program"):
        await opened(path)
    assert path.read_bytes() == before


async def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    await made(path)


async def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    await made(path)
    changed(path, f"PRAGMA user_version = {len(migrations()) + 1}")
    with pytest.raises(SchemaTooNewError, match="Upgrade Perdure"):
        await opened(path)
    connection = apsw.Connection(str(path))
    assert pragma(connection, "user_version") == len(migrations()) + 1
    connection.close()


async def test_tables_made_by_other_migrations_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    await made(path)
    changed(path, "UPDATE schema_migrations SET checksum = 'other'")
    with pytest.raises(StoreCorruptError, match="other migrations"):
        await opened(path)


async def test_a_failed_opening_lets_go_of_everything(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    changed(path, "CREATE TABLE theirs (a)")
    with pytest.raises(StoreCorruptError):
        await opened(path, IMPATIENT)
    path.unlink()
    session = await opened(path, IMPATIENT)
    await session.store.close()


@contextmanager
def bound_by_permissions(folder: Path) -> Iterator[None]:
    """Go on as a user whom the permissions of the folder bind: root becomes nobody for a while, and gives it away."""
    user = os.geteuid()
    if user == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, -1)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


async def test_a_file_without_write_permission_is_named() -> None:
    with TemporaryDirectory() as folder:  # unlike those of tmp_path it has no parents that only root may enter
        path = Path(folder) / "data.db"
        await made(path)
        path.chmod(0o444)
        with bound_by_permissions(Path(folder)), pytest.raises(StoreUnavailableError) as refused:
            await opened(path)
    assert str(refused.value) == (
        f"opening failed on the database {path}: the file is read-only. The file or its folder cannot be written by "
        f"this user; nothing of this call was saved. Give write permission on the file and its folder."
    )


@pytest.mark.parametrize(
    ("version", "is_sound"), [("3.51.2", False), ("3.7.0", False), ("3.51.3", True), ("4.0", True)]
)
def test_a_sqlite_that_can_lose_its_log_is_refused(version: str, is_sound: bool) -> None:
    if is_sound:
        demand_sound_sqlite(version)
    else:
        with pytest.raises(StoreVersionError, match="Upgrade the package apsw"):
            demand_sound_sqlite(version)


async def test_a_platform_without_file_locks_is_told_what_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    with pytest.raises(UsageError, match="Linux or macOS"):
        await opened(tmp_path / "data.db")


def test_every_setting_of_the_writing_connection_holds(tmp_path: Path) -> None:
    connection = open_writing(tmp_path / "data.db", settings=SqliteSettings())
    use_log(connection)
    for name, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("wal_autocheckpoint", 0)):
        assert pragma(connection, name) == value
    connection.execute("CREATE TABLE a (b)")
    connection.close()
    assert (tmp_path / "data.db-wal").exists(), "closing keeps the log"


async def test_the_mark_stands_in_the_file_before_the_log_is_copied(tmp_path: Path) -> None:
    session = await opened(tmp_path / "data.db")
    assert (tmp_path / "data.db").read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big")
    await session.store.close()


async def test_an_opening_that_takes_too_long_elsewhere_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    await made(path)
    with FileLock(sidecar_folder(path) / "opening.lock") as lock:
        assert lock.try_exclusive()
        with pytest.raises(StoreLockedError, match="has been opening the database"):
            await opened(path, IMPATIENT)
    session = await opened(path, IMPATIENT)
    await session.store.close()


async def test_a_foreign_programs_lock_is_named_and_work_goes_on_after_it(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    session = await opened(path, IMPATIENT)
    foreign = apsw.Connection(str(path))
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreLockedError, match="Another program holds"):
        await session.create()
    foreign.execute("ROLLBACK")
    foreign.close()
    await session.create()
    await session.store.close()


async def test_another_process_that_does_not_end_its_transaction_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    session = await opened(path, IMPATIENT)
    with FileLock(sidecar_folder(path) / "writer.lock") as lock:
        assert lock.wait_exclusive(patience_seconds=5)
        with pytest.raises(StoreLockedError, match="another process has been writing"):
            await session.create()
        assert await session.store.find(RunRef(id="run")) is None, "questions need no lock"
    await session.create()
    await session.store.close()


async def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data.db")
    with pytest.raises(StoreError, match="not open"):
        await store.commit([creation(store.new_run_key())])
    await store.close()
    session = await opened(tmp_path / "data.db")
    with pytest.raises(UsageError, match="open already"):
        await session.open(name="again", lease_seconds=30)
    await session.store.close()
    await session.store.close()


async def test_a_session_that_ends_leaves_no_row_and_no_file(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    session, other = await opened(path), await opened(path)
    await session.hold()
    await session.store.close()
    assert (await other.store.status()).facts["sessions"] == f"{other.worker}"
    assert {file.name for file in sidecar_folder(path).glob("session-*")} == {
        f"session-{other.worker}.lock",
        f"session-{other.worker}.sock",
    }
    await other.store.close()


async def test_the_status_tells_what_an_operator_asks(tmp_path: Path) -> None:
    session = await opened(tmp_path / "data.db")
    await session.create()
    status = await session.store.status()
    assert status.location == str(tmp_path / "data.db")
    assert status.schema_version == len(migrations())
    assert status.size_bytes > 10_000
    assert status.facts["journal_mode"] == "wal"
    assert status.facts["synchronous"] == "2"
    assert status.facts["sessions"] == f"{session.worker}"
    assert status.facts["sqlite"] == apsw.sqlite_lib_version()
    await session.store.close()


async def test_run_keys_of_one_session_end_before_they_are_anothers(tmp_path: Path) -> None:
    session = await opened(tmp_path / "data.db")
    store = session.store
    assert isinstance(store, SqliteStore)
    first = store.new_run_key()
    store._next_run_key = first + 2**36 - 3
    last = store.new_run_key()
    assert last >> 36 == first >> 36 == session.worker
    with pytest.raises(StoreError, match="close and open"):
        store.new_run_key()
    await store.close()
