"""The log rewritten onto itself: where it is done, and that it changes nothing."""

from pathlib import Path

import apsw
import pytest

from perdure.errors import StoreCorruptError
from perdure.stores.sqlite import opened
from perdure.stores.sqlite.settling import is_marked_as_ours, make_log_durable
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession


async def test_a_rewritten_log_holds_what_it_held(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    session = StoreSession(SqliteStore(path))
    await session.open(name="worker", lease_seconds=30)
    run_key = await session.create()
    log = tmp_path / "data.db-wal"
    before, written_at = log.read_bytes(), log.stat().st_mtime_ns
    make_log_durable(path)
    assert log.read_bytes() == before
    assert log.stat().st_mtime_ns > written_at
    assert (await session.row(run_key)).sequence == 1
    await session.create("another")
    await session.store.close()


def test_a_database_without_a_log_needs_nothing(tmp_path: Path) -> None:
    make_log_durable(tmp_path / "data.db")
    assert list(tmp_path.iterdir()) == []


def test_only_a_file_with_the_mark_is_ours(tmp_path: Path) -> None:
    assert not is_marked_as_ours(tmp_path / "missing.db")
    short = tmp_path / "short.db"
    short.write_bytes(b"SQLite")
    assert not is_marked_as_ours(short)
    foreign = tmp_path / "foreign.db"
    connection = apsw.Connection(str(foreign))
    connection.execute("CREATE TABLE a (b)")
    connection.close()
    assert not is_marked_as_ours(foreign)


async def test_who_opens_alone_rewrites_the_log_first_and_who_joins_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewritten: list[Path] = []

    def watched(database: Path) -> None:
        rewritten.append(database)
        make_log_durable(database)

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
