"""Readers that stay: the log grows while they do, says so and who it is, and is cut off when they have gone."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from perdure.kernel.identity import RunRef
from perdure.ports.store import LockQuery, RunQuery
from perdure.stores.sqlite import database
from perdure.stores.sqlite.copying import copy_log
from perdure.stores.sqlite.looking import SqliteLook
from perdure.stores.sqlite.onlookers import onlookers
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import code_of, later

PAGES = 64
LONG = 2_000_000
SMALL = SqliteSettings(checkpoint_pages=PAGES, long_log_bytes=LONG)

READER = """
import sys
import apsw
connection = apsw.Connection(sys.argv[1])
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM runs").get
print("reading", flush=True)
sys.stdin.read()
"""


@contextmanager
def somebody_reads(path: Path) -> Iterator[int]:
    """Let another program begin to read, and stay; yields its process."""
    command = [sys.executable, "-c", READER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        try:
            yield process.pid
        finally:
            process.communicate()


async def opened(path: Path) -> StoreSession:
    session = StoreSession(SqliteStore(path, settings=SMALL))
    await session.open(name="worker", lease_seconds=30.0)
    return session


async def write_until(session: StoreSession, log: Path, size: int) -> None:
    while size_of(log) < size:
        await session.create(f"run {session.store.new_run_key()}")


def size_of(file: Path) -> int:
    return file.stat().st_size


async def test_a_log_that_a_reader_keeps_from_beginning_anew_names_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, log = tmp_path / "data.db", tmp_path / "data.db-wal"
    session = await opened(path)
    await session.create("first")
    with somebody_reads(path) as reader, caplog.at_level(logging.WARNING, "perdure.stores"):
        await write_until(session, log, 3 * LONG)
        told = [record.getMessage() for record in caplog.records]
    await session.store.close()
    assert [message.split(" has grown to")[0] for message in told] == [f"the log of {path}"] * 2, (
        "and when it is twice that"
    )
    if sys.platform == "linux":
        assert all(f"while it is read: by process {reader} (" in message for message in told)


async def test_a_log_that_was_very_long_is_cut_off_when_it_has_begun_anew(tmp_path: Path) -> None:
    path, log = tmp_path / "data.db", tmp_path / "data.db-wal"
    session = await opened(path)
    await session.create("first")
    with somebody_reads(path):
        await write_until(session, log, 3 * LONG)
    longest = size_of(log)
    for number in range(2 * PAGES):
        await session.create(f"run {number}")
    assert size_of(log) <= LONG < longest
    keys = [run.run_key for run in (await session.store.list_runs(RunQuery(limit=5))).runs]
    await session.store.close()
    again = await opened(path)
    assert [(await again.row(key)).run_key for key in keys] == keys
    await again.store.close()


async def test_a_log_that_is_still_read_is_copied_when_it_has_grown_by_a_part_and_not_with_each_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[bool] = []

    def watched(*arguments: object) -> bool:
        copies.append(copy_log(*arguments))  # type: ignore[arg-type]
        return copies[-1]

    monkeypatch.setattr(database, "copy_log", watched)
    path = tmp_path / "data.db"
    session = StoreSession(SqliteStore(path, settings=SqliteSettings(checkpoint_pages=800)))
    await session.open(name="worker", lease_seconds=30.0)
    await session.create("first")
    commits = 0
    with somebody_reads(path):
        while len(copies) < 10:
            commits += 1
            await session.create(f"run {commits}")
    assert not any(copies)
    between = commits - 800 // PAGES_OF_A_COMMIT
    assert between > 2 * len(copies)
    copies.clear()
    while not copies:
        commits += 1
        await session.create(f"run {commits}")
    assert copies[0], "nobody reads any more"
    await session.store.close()


PAGES_OF_A_COMMIT = 8
"""Of one that creates a run, at least."""


def is_read(path: Path) -> bool:
    """Whether somebody keeps the log from beginning anew."""
    with closing(apsw.Connection(str(path))) as connection:
        _ = connection.execute("PRAGMA schema_version").get  # before it has read anything it knows of no log
        try:
            connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_RESTART)
        except apsw.BusyError:
            return True
    return False


async def test_no_reader_of_ours_holds_on_to_what_it_has_read(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    session = await opened(path)
    store = session.store
    run_key, *_ = [await session.create(f"run {number}", at=later(number)) for number in range(7)]
    with closing(apsw.Connection(str(path))) as connection:
        assert not is_read(path)
        await session.create("before a reader that stays")
        connection.execute("BEGIN")
        assert connection.execute("SELECT count(*) FROM runs").get == 8
        assert is_read(path), "or the questions below prove nothing"
    async with SqliteLook(path) as look:
        for question in (
            store.list_runs(RunQuery(limit=2)),
            store.count_runs(RunQuery()),
            store.count_runs(RunQuery(), most=1),
            store.find(RunRef(id="run 1")),
            store.find_by_request("default", "none"),
            store.read_history(run_key, limit=1),
            store.read_inbox(run_key, limit=1),
            store.next_wake_at(workflows=code_of("order")),
            store.next_agenda_at(),
            store.list_locks(LockQuery()),
            store.status(),
            look.list_runs(RunQuery(limit=2)),
            look.count_runs(RunQuery()),
            look.read_history(run_key, limit=1),
            look.read_inbox(run_key),
        ):
            await session.create(f"before question {session.store.new_run_key()}")
            await question
            assert not is_read(path)
    await store.close()


def name_of(process: int) -> str:
    return Path(f"/proc/{process}/comm").read_text(encoding="utf-8").strip()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who holds a lock")
async def test_onlookers_are_told_as_long_as_they_read(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    assert onlookers(path) == []
    session = await opened(path)
    await session.create("first")
    assert onlookers(path) == []
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("BEGIN")
        _ = connection.execute("SELECT count(*) FROM runs").get
        assert onlookers(path) == [], "this process looks at itself"
        with somebody_reads(path) as one, somebody_reads(path) as other:
            assert onlookers(path) == [f"process {process} ({name_of(process)})" for process in sorted([one, other])]
    assert onlookers(path) == []
    await session.store.close()
