"""The log: made durable without change, given room ahead, copied into the database when it is long."""

import errno
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from perdure.errors import StoreCorruptError, StoreUnavailableError
from perdure.stores.sqlite import database, opened
from perdure.stores.sqlite.copying import copy_log
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.log import Log
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.settling import is_marked_as_ours, make_log_durable
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.torture.disks.failing import QuotaError, failing_disk


async def test_a_log_that_somebody_reads_is_written_onto_itself(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    session = StoreSession(SqliteStore(path))
    await session.open(name="worker", lease_seconds=30)
    run_key = await session.create()
    log = tmp_path / "data.db-wal"
    before, written_at = log.read_bytes(), log.stat().st_mtime_ns
    make_log_durable(LocalDisk(), path)
    assert log.read_bytes() == before
    assert log.stat().st_mtime_ns > written_at
    assert (await session.row(run_key)).sequence == 1
    await session.create("another")
    await session.store.close()


async def test_a_log_that_nobody_reads_gives_its_place_to_a_copy_of_what_counts(tmp_path: Path) -> None:
    path, log = tmp_path / "data.db", tmp_path / "data.db-wal"
    store = SqliteStore(path)
    session = StoreSession(store)
    await session.open(name="worker", lease_seconds=30)
    run_key = await session.create()
    store.abandon()
    before, was = log.read_bytes(), log.stat().st_ino
    make_log_durable(LocalDisk(), path)
    after = log.read_bytes()
    assert log.stat().st_ino != was
    assert before.startswith(after)
    assert len(after) > 4_096
    assert not path.with_name("data.db-wal-copy").exists()
    async with opened_session(path) as another:
        assert (await another.row(run_key)).sequence == 1


async def test_a_log_for_whose_copy_there_is_no_room_is_written_onto_itself(tmp_path: Path) -> None:
    path, log = tmp_path / "data.db", tmp_path / "data.db-wal"
    store = SqliteStore(path)
    session = StoreSession(store)
    await session.open(name="worker", lease_seconds=30)
    run_key = await session.create()
    store.abandon()
    was, written_at = log.stat().st_ino, log.stat().st_mtime_ns
    with failing_disk() as disk:
        disk.error = apsw.FullError
        disk.plan("write copy", first=1, length=1)
        make_log_durable(disk, path)
        assert disk.failed == ["write copy"]
    assert log.stat().st_ino == was
    assert log.stat().st_mtime_ns > written_at
    async with opened_session(path) as another:
        assert (await another.row(run_key)).sequence == 1


async def test_a_log_that_finds_no_room_to_grow_begins_anew_in_the_room_that_it_has(tmp_path: Path) -> None:
    path, log = tmp_path / "data.db", tmp_path / "data.db-wal"
    with failing_disk() as disk:
        disk.error = apsw.FullError
        store = SqliteStore(path, disk=disk)
        session = StoreSession(store)
        await session.open(name="worker", lease_seconds=30)
        run_keys = [await session.create(f"run {number}") for number in range(20)]
        with_room = log.stat().st_size
        disk.plan("write room", first=1, length=1_000)
        run_keys += [await session.create(f"run {number}") for number in range(20, 200)]
        assert 1 <= len(disk.failed) < 20
        assert log.stat().st_size == with_room
        await session.store.close()
    async with opened_session(path) as another:
        assert [(await another.row(run_key)).sequence for run_key in run_keys] == [1] * 200


@pytest.mark.parametrize("error", [apsw.FullError, QuotaError])
async def test_a_log_whose_copying_finds_no_room_gives_back_what_it_has_ahead(
    error: type[apsw.Error], tmp_path: Path
) -> None:
    path, log = tmp_path / "data.db", tmp_path / "data.db-wal"
    with failing_disk() as disk:
        disk.error = error
        store = SqliteStore(path, settings=SqliteSettings(checkpoint_pages=100), disk=disk)
        session = StoreSession(store)
        await session.open(name="worker", lease_seconds=30)
        run_keys = [await session.create("first")]
        with_room = log.stat().st_size
        disk.plan("write database", first=1, length=1)
        while not disk.failed:
            run_keys.append(await session.create(f"run {len(run_keys)}"))
        run_keys.append(await session.create("after that"))
        assert log.stat().st_size < with_room, "before it is cut off by closing"
        await session.store.close()
    async with opened_session(path) as another:
        assert {(await another.row(run_key)).sequence for run_key in run_keys} == {1}


def refusing(refusals: list[Exception]) -> Callable[[apsw.Connection, Disk, Path], bool]:
    """Copy the log, but for as often as there are refusals."""

    def copy(connection: apsw.Connection, disk: Disk, path: Path) -> bool:
        if refusals:
            raise refusals.pop()
        return copy_log(connection, disk, path)

    return copy


async def test_a_log_that_cannot_even_be_marked_as_being_copied_gives_back_what_it_has_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, log = tmp_path / "data.db", tmp_path / "data.db-wal"
    refusals: list[Exception] = [OSError(errno.ENOSPC, "No space left on device")]

    monkeypatch.setattr(database, "copy_log", refusing(refusals))
    async with opened_session(path, settings=SqliteSettings(checkpoint_pages=130)) as session:
        await session.create("first")
        with_room = log.stat().st_size
        while refusals:
            await session.create(f"run {log.stat().st_mtime_ns}")
        await session.create("after that")
        assert log.stat().st_size < with_room, "before it is cut off by closing"


async def test_a_store_whose_file_cannot_be_opened_anew_to_copy_its_log_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusals: list[Exception] = [StoreUnavailableError("SQLite keeps the journal mode 'delete'")]

    monkeypatch.setattr(database, "copy_log", refusing(refusals))
    async with opened_session(tmp_path / "data.db", settings=SqliteSettings(checkpoint_pages=10)) as session:
        for number in range(5):
            await session.create(f"run {number}")
    assert not refusals
    assert "could not be copied into it, and is kept: SQLite keeps the journal mode" in caplog.text


async def test_a_log_that_cannot_be_copied_is_tried_again_when_it_has_grown_and_not_at_each_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals: list[Exception] = [OSError(errno.EIO, "the database's sectors are bad") for _ in range(100)]
    monkeypatch.setattr(database, "copy_log", refusing(refusals))
    async with opened_session(tmp_path / "data.db", settings=SqliteSettings(checkpoint_pages=160)) as session:
        while len(refusals) == 100:
            await session.create(f"run {session.store.new_run_key()}")
        for number in range(10):
            await session.create(f"later {number}")
        assert len(refusals) > 90
        refusals.clear()


async def test_the_copy_has_the_mode_of_the_log_and_leaves_nothing_behind_when_it_fails(
    tmp_path: Path,
) -> None:
    path, log = tmp_path / "data.db", tmp_path / "data.db-wal"
    store = SqliteStore(path)
    session = StoreSession(store)
    await session.open(name="worker", lease_seconds=30)
    await session.create()
    store.abandon()
    log.chmod(0o640)
    before = log.read_bytes()

    with failing_disk() as disk:
        disk.plan("replace log", first=1, length=1)
        with pytest.raises(StoreUnavailableError, match="planned failure"):
            await SqliteStore(path, disk=disk).open(session_name="w", lease_seconds=30, on_changes=lambda _: None)
    assert log.read_bytes() == before
    assert not path.with_name("data.db-wal-copy").exists()
    make_log_durable(LocalDisk(), path)
    assert stat.S_IMODE(log.stat().st_mode) == 0o640


async def test_a_database_with_pages_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    connection = apsw.Connection(str(path))
    for statement in ("PRAGMA page_size = 8192", "CREATE TABLE a (b)", "DROP TABLE a"):
        connection.execute(statement)
    connection.close()
    with pytest.raises(StoreCorruptError, match="pages of 8192 bytes"):
        await SqliteStore(path).open(session_name="worker", lease_seconds=30, on_changes=lambda _changes: None)


def test_a_database_without_a_log_needs_nothing(tmp_path: Path) -> None:
    make_log_durable(LocalDisk(), tmp_path / "data.db")
    assert list(tmp_path.iterdir()) == []


def test_only_a_file_with_the_mark_is_ours(tmp_path: Path) -> None:
    assert not is_marked_as_ours(LocalDisk(), tmp_path / "missing.db")
    short = tmp_path / "short.db"
    short.write_bytes(b"SQLite")
    assert not is_marked_as_ours(LocalDisk(), short)
    foreign = tmp_path / "foreign.db"
    connection = apsw.Connection(str(foreign))
    connection.execute("CREATE TABLE a (b)")
    connection.close()
    assert not is_marked_as_ours(LocalDisk(), foreign)


async def test_who_opens_alone_rewrites_the_log_first_and_who_joins_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewritten: list[Path] = []

    def watched(disk: Disk, database: Path) -> None:
        rewritten.append(database)
        make_log_durable(disk, database)

    monkeypatch.setattr(opened, "make_log_durable", watched)
    path = tmp_path / "data.db"
    for expected in ([], [path], [path, path]):
        alone, joining = StoreSession(SqliteStore(path)), StoreSession(SqliteStore(path))
        await alone.open(name="alone", lease_seconds=30)
        assert rewritten == expected, "a new file has no mark and no log yet"
        await joining.open(name="joining", lease_seconds=30)
        assert rewritten == expected
        await joining.store.close()
        await alone.store.close()


async def test_the_log_of_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    path, log = tmp_path / "theirs.db", tmp_path / "theirs.db-wal"
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE theirs (a)")
    before = log.stat().st_mtime_ns
    with pytest.raises(StoreCorruptError):
        await StoreSession(SqliteStore(path)).open(name="worker", lease_seconds=30)
    assert log.stat().st_mtime_ns == before
    connection.close()


async def test_the_log_has_room_before_it_is_needed_and_does_not_grow_by_each_commit(tmp_path: Path) -> None:
    log = tmp_path / "data.db-wal"
    async with opened_session(tmp_path / "data.db") as session:
        await session.create("first")
        sizes = {log.stat().st_size}
        for number in range(10):
            await session.create(f"run {number}")
            sizes.add(log.stat().st_size)
    assert len(sizes) == 1


async def test_a_long_log_is_copied_and_begun_anew(tmp_path: Path) -> None:
    path, log = tmp_path / "data.db", tmp_path / "data.db-wal"
    async with opened_session(path, settings=SqliteSettings(checkpoint_pages=30)) as session:
        for number in range(60):
            await session.create(f"run {number}")
        assert log.stat().st_size < 450 * 4_120, "60 commits write more than 9 pages each, a making of tables fewer"
        assert path.stat().st_size > 10 * 4_096


async def test_what_stands_beyond_the_end_of_the_records_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    async with opened_session(path) as session:
        run_key = await session.create()
    async with opened_session(path) as session:
        assert (await session.row(run_key)).sequence == 1
        assert apsw.Connection(str(path)).execute("PRAGMA integrity_check").get == "ok"


def test_a_log_that_cannot_grow_is_left_to_sqlite(tmp_path: Path) -> None:
    Log(LocalDisk(), tmp_path / "missing" / "data.db", checkpoint_pages=1).make_room()


def test_room_is_never_written_over_records(tmp_path: Path) -> None:
    file = tmp_path / "data.db-wal"
    records = b"\x01" * (5_000 * 1_024)
    file.write_bytes(records)
    log = Log(LocalDisk(), tmp_path / "data.db", checkpoint_pages=1)
    log.make_room()
    assert file.read_bytes() == records


@asynccontextmanager
async def opened_session(path: Path, *, settings: SqliteSettings | None = None) -> AsyncIterator[StoreSession]:
    session = StoreSession(SqliteStore(path, settings=settings))
    await session.open(name="worker", lease_seconds=30)
    try:
        yield session
    finally:
        await session.store.close()
