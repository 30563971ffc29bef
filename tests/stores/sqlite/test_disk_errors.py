"""P1, P2, P14: whatever the disk does, what was acknowledged is there, and what was refused never comes."""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from perdure.errors import InternalError, StoreError, StoreFullError, StoreLockedError, StoreUnavailableError
from perdure.kernel.identity import RunRef
from perdure.kernel.transition import Applied
from perdure.stores.sqlite.locks import FileLock
from perdure.stores.sqlite.log import Log
from perdure.stores.sqlite.presence import sidecar_folder
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import creation, delivery
from perdure.torture.disks.failing import FailingDisk, QuotaError, failing_disk

# Small enough that checkpoints happen within a test; a short pause, since a planned failure is soon over.
SETTINGS = SqliteSettings(checkpoint_pages=12, settling_pause_seconds=0.002, lock_patience_seconds=1)
COMMITS = 8


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    with failing_disk() as disk:
        yield disk


@asynccontextmanager
async def opened(path: Path, disk: FailingDisk) -> AsyncIterator[StoreSession]:
    session = StoreSession(SqliteStore(path, settings=SETTINGS, disk=disk))
    await session.open(name="worker", lease_seconds=30)
    try:
        yield session
    finally:
        disk.heal()
        await session.store.close()


@asynccontextmanager
async def accompanied(path: Path, *, by_another: bool = True) -> AsyncIterator[None]:
    """Have another session in the file, whose disk is sound."""
    if not by_another:
        yield
        return
    another = StoreSession(SqliteStore(path, settings=SETTINGS))
    await another.open(name="another", lease_seconds=30)
    try:
        yield
    finally:
        await another.store.close()


async def commit_many(
    session: StoreSession, path: Path, *, prefix: str = "run", commits: int = COMMITS
) -> dict[str, bool]:
    """Create runs one after the other; return for each whether it was acknowledged.

    A crash right after a refusal must not bring back what was refused.
    """
    answers: dict[str, bool] = {}
    for number in range(commits):
        run_id = f"{prefix} {number}"
        try:
            outcome = await session.commit_one(creation(session.store.new_run_key(), run_id))
        except StoreUnavailableError:
            answers[run_id] = False
            assert run_id not in recovered(path, path.with_name("copy"))
        else:
            assert isinstance(outcome, Applied)
            answers[run_id] = True
    return answers


def recovered(path: Path, to: Path) -> set[str]:
    """Return the ids of the runs that a crash now would leave: those that SQLite recovers from the files alone."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copy(source, to / f"copy.db{suffix}")
    connection = apsw.Connection(str(to / "copy.db"))
    try:
        assert connection.pragma("integrity_check") == "ok"
        return {run_id for (run_id,) in connection.execute("SELECT id FROM runs")}
    finally:
        connection.close()


# (operation, the numbers of it that fail first, one after the other)
SWEEPS = [
    ("sync log", range(1, 7)),
    ("write log", range(1, 60, 9)),
    ("sync database", (1, 2)),
    ("write database", (1,)),
]


@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("is_shared", [False, True], ids=["unread", "read"])
@pytest.mark.parametrize("by_another", [False, True], ids=["alone", "accompanied"])
async def test_wherever_the_disk_fails_the_file_holds_what_was_acknowledged_and_nothing_else(
    tmp_path: Path, disk: FailingDisk, *, after: bool, length: int, is_shared: bool, by_another: bool
) -> None:
    disk.after = after
    for operation, number in [(operation, number) for operation, numbers in SWEEPS for number in numbers]:
        path = tmp_path / f"{operation} {number}.db"
        async with opened(path, disk) as session, accompanied(path, by_another=by_another):
            if is_shared:
                # An open connection keeps what SQLite believes of the log in memory: nothing recovers it from the file.
                await session.store.find(RunRef(id="none"))
            disk.plan(operation, first=number, length=length)
            answers = await commit_many(session, path)
            expected = {run_id for run_id, is_acknowledged in answers.items() if is_acknowledged}
            assert recovered(path, tmp_path / "copy") == expected
            disk.heal()
            more = await commit_many(session, path, prefix="later", commits=2)
            assert all(more.values()), "it resumes unaided when the cause is gone"
            assert recovered(path, tmp_path / "copy") == expected | more.keys()
    assert set(disk.failed) == {operation for operation, _ in SWEEPS}


@pytest.mark.parametrize("error", [apsw.FullError, QuotaError])
async def test_a_full_disk_is_named_and_work_goes_on_when_there_is_room(
    error: type[apsw.Error], tmp_path: Path, disk: FailingDisk
) -> None:
    path = tmp_path / "full.db"
    disk.error = error
    async with opened(path, disk) as session:
        await session.create("before")
        disk.plan("write log", first=1, length=1_000)
        for _ in range(2):
            with pytest.raises(StoreFullError, match=r"disk is full.*quota.*Make room"):
                await session.create("run")
        assert recovered(path, tmp_path / "copy") == {"before"}
        assert await session.store.find(RunRef(id="before")) is not None
        disk.heal()
        await session.create("run")
    assert recovered(path, tmp_path / "copy") == {"before", "run"}


@pytest.mark.parametrize("error", [apsw.FullError, QuotaError])
async def test_a_full_disk_is_named_by_an_opening(error: type[apsw.Error], tmp_path: Path, disk: FailingDisk) -> None:
    disk.error = error
    disk.plan("write log", first=1, length=1_000)
    with pytest.raises(StoreFullError, match=r"opening failed .* disk is full"):
        await SqliteStore(tmp_path / "full.db", settings=SETTINGS, disk=disk).open(
            session_name="worker", lease_seconds=30, on_changes=lambda _: None
        )
    disk.heal()
    async with opened(tmp_path / "full.db", disk) as session:
        await session.create("run")


async def test_nobody_is_answered_while_an_outcome_is_unknown_and_the_log_says_so(
    tmp_path: Path, disk: FailingDisk, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "unknown.db"
    async with opened(path, disk) as session:
        await session.store.find(RunRef(id="none"))
        disk.plan("sync log", first=1, length=10_000)
        committing = [asyncio.ensure_future(session.create(f"run {number}")) for number in range(3)]
        # The commit, perhaps a copying of the log before it, a first settling; with the next one that has been told.
        await disk.has_failed(4)
        assert not any(commit.done() for commit in committing)
        assert "callers wait, trying again" in caplog.text
        disk.heal()
        answers = await asyncio.gather(*committing, return_exceptions=True)
        expected = {f"run {number}" for number, answer in enumerate(answers) if not isinstance(answer, StoreError)}
        assert recovered(path, tmp_path / "copy") == expected


async def test_a_store_that_closes_while_an_outcome_is_unknown_says_that_it_is(
    tmp_path: Path, disk: FailingDisk
) -> None:
    store = SqliteStore(tmp_path / "unknown.db", settings=SETTINGS, disk=disk)
    session = StoreSession(store)
    await session.open(name="worker", lease_seconds=30)
    await store.find(RunRef(id="none"))
    disk.plan("sync log", first=1, length=10_000)
    committing = asyncio.ensure_future(session.create())
    await disk.has_failed(1)
    with pytest.raises(StoreError):
        await store.close()
    with pytest.raises(StoreUnavailableError, match="closed before it could be found out"):
        await committing


async def test_a_store_that_closes_never_settles_in_the_turn_of_another_process(
    tmp_path: Path, disk: FailingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = threading.Event()
    ask = FileLock.wait_exclusive

    def ask_and_tell(lock: FileLock, *, patience_seconds: float) -> bool:
        is_taken = ask(lock, patience_seconds=patience_seconds)
        if not is_taken:
            refused.set()
        return is_taken

    monkeypatch.setattr(FileLock, "wait_exclusive", ask_and_tell)
    path = tmp_path / "unknown.db"
    store = SqliteStore(path, settings=SETTINGS, disk=disk)
    session = StoreSession(store)
    await session.open(name="worker", lease_seconds=30)
    await store.find(RunRef(id="none"))
    async with accompanied(path):
        disk.plan("sync log", first=1, length=10_000)
        committing = asyncio.ensure_future(session.create())
        await disk.has_failed(2)
        with FileLock(sidecar_folder(path) / "writer.lock") as turn_of_another:
            assert await asyncio.to_thread(turn_of_another.wait_exclusive, patience_seconds=30)
            refused.clear()
            assert await asyncio.to_thread(refused.wait, 30)
            disk.heal()
            with pytest.raises(StoreError):
                await store.close()
            with pytest.raises(StoreUnavailableError, match="closed before it could be found out"):
                await committing


async def test_nobody_comes_in_between_while_an_outcome_is_told_by_an_event(tmp_path: Path, disk: FailingDisk) -> None:
    path = tmp_path / "unknown.db"
    newcomer = SqliteStore(path, settings=SqliteSettings(lock_patience_seconds=0.01))
    async with opened(path, disk) as session:
        await session.store.find(RunRef(id="none"))
        disk.plan("sync log", first=1, length=10_000)
        committing = asyncio.ensure_future(session.create("run"))
        await disk.has_failed(4)
        with pytest.raises(StoreLockedError):
            await StoreSession(newcomer).open(name="newcomer", lease_seconds=30)
        disk.heal()
        (answer,) = await asyncio.gather(committing, return_exceptions=True)
        is_saved = not isinstance(answer, StoreError)
        assert recovered(path, tmp_path / "copy") == ({"run"} if is_saved else set())


async def test_a_transaction_is_not_told_by_an_event_that_was_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = [False]
    learn = Log._committed

    def fail_once(log: Log, connection: apsw.Connection, database: str, pages: int) -> int:
        if fails.pop():
            fails.append(False)
            raise apsw.IOError("after the commit has become valid")
        fails.append(False)
        return learn(log, connection, database, pages)

    monkeypatch.setattr(Log, "_committed", fail_once)
    session = StoreSession(SqliteStore(tmp_path / "perdure.db", settings=SETTINGS))
    await session.open(name="worker", lease_seconds=30)
    taken = await session.create("taken")
    wrong = creation(taken, "another id under the same key")
    fails[:] = [True]
    answers = await asyncio.gather(
        session.commit(creation(session.store.new_run_key(), "taken back"), wrong),
        session.commit(delivery(RunRef(id="taken"))),
        return_exceptions=True,
    )
    assert isinstance(answers[0], InternalError)
    assert answers[1] == [Applied(taken)], "the delivery is in the file, whatever became of the other call"
    assert len(await session.store.read_inbox(taken)) == 1
    await session.store.close()


async def test_a_log_whose_lock_fails_is_copied_another_time(
    tmp_path: Path, disk: FailingDisk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ask = FileLock.wait_exclusive

    def fail_without_patience(lock: FileLock, *, patience_seconds: float) -> bool:
        if not patience_seconds:
            message = "no locks available"
            raise OSError(message)
        return ask(lock, patience_seconds=patience_seconds)

    monkeypatch.setattr(FileLock, "wait_exclusive", fail_without_patience)
    async with opened(tmp_path / "perdure.db", disk) as session:
        assert all((await commit_many(session, tmp_path / "perdure.db", commits=30)).values())
    assert "could not be copied into it, and is kept: no locks available" in caplog.text


async def test_an_error_of_one_caller_harms_no_other_of_the_same_transaction(tmp_path: Path, disk: FailingDisk) -> None:
    async with opened(tmp_path / "perdure.db", disk) as session:
        taken = await session.create("taken")
        wrong = creation(taken, "another id under the same key")
        answers = await asyncio.gather(
            session.commit(creation(session.store.new_run_key(), "one"), wrong),
            session.commit(creation(session.store.new_run_key(), "two")),
            return_exceptions=True,
        )
        assert isinstance(answers[0], InternalError)
        assert isinstance(answers[1], list)
        assert await session.store.find(RunRef(id="one")) is None
        assert await session.store.find(RunRef(id="two")) is not None
