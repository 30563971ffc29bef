"""A whole copy: of one moment, checked, under its name only when it is done; nobody waits for it."""

import asyncio
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import apsw
import pytest

from perdure.copies import backup, restore
from perdure.errors import (
    CopyDamagedError,
    StateError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    UsageError,
)
from perdure.ports.store import RunQuery
from perdure.stores.sql.migrations import migrations
from perdure.stores.sqlite.contents import digest_of_contents
from perdure.stores.sqlite.copies import whole
from perdure.stores.sqlite.copies.operations import back_up
from perdure.stores.sqlite.copies.whole import unshared
from perdure.stores.sqlite.presence import sidecar_folder
from perdure.torture.disks.failing import FailingDisk, failing_disk
from tests.damaging import lose_page
from tests.stores.sqlite.copies.live_database import FailingTarget, create, files_in, opened, rows_of


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "data.db"


@pytest.fixture
def url(database: Path) -> str:
    return f"sqlite:///{database}"


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    with failing_disk() as disk:
        yield disk


def rows_in(path: Path) -> bytes:
    with unshared(path) as connection:
        return digest_of_contents(connection)


def change(database: Path, statement: str) -> None:
    with closing(apsw.Connection(str(database))) as other:
        other.execute(statement)


def rename(database: Path, before: str, after: str) -> None:
    """Give a column another name, as one bit of the text that made it does."""
    with closing(apsw.Connection(str(database))) as other:
        other.execute("PRAGMA writable_schema = 1")
        other.execute("UPDATE sqlite_schema SET sql = replace(sql, ?, ?)", (before, after))


async def test_a_copy_of_a_database_in_use_has_all_its_rows(database: Path, url: str, tmp_path: Path) -> None:
    async with opened(database) as session:
        await create(session, "run", runs=20)
        copied = await backup(url, tmp_path / "copy.db")
        assert rows_in(tmp_path / "copy.db") == rows_of(database)
        assert copied.contents == rows_of(database).hex()
        assert copied.size_bytes == (tmp_path / "copy.db").stat().st_size
    assert {name for name in files_in(tmp_path) if "copy" in name} == {"copy.db"}


async def test_a_copy_is_of_one_moment_while_others_write_and_is_not_begun_again(
    database: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "_PAGES_AT_ONCE", 4)
    loop = asyncio.get_running_loop()
    async with opened(database) as session:
        await create(session, "run", runs=50)
        before = rows_of(database)
        steps: list[int] = []

        def write(done: int, _total: int) -> None:
            """Commit amid the copy, from the loop that the store's calls belong to."""
            steps.append(done)
            asyncio.run_coroutine_threadsafe(create(session, f"amid-{done}"), loop).result(30)

        await backup(url, tmp_path / "copy.db", on_progress=write)
        assert len(steps) > 5
        assert steps == sorted(steps)
        assert rows_of(database) != before
    assert rows_in(tmp_path / "copy.db") == before


async def test_a_database_that_nobody_uses_is_copied_with_what_its_log_holds(
    database: Path, url: str, tmp_path: Path
) -> None:
    async with opened(database) as session:
        await create(session, "run", runs=5)
        rows = rows_of(database)
        session.store.abandon()  # type: ignore[attr-defined]
    await backup(url, tmp_path / "copy.db")
    assert rows_in(tmp_path / "copy.db") == rows


async def test_a_copy_can_be_restored(database: Path, url: str, tmp_path: Path) -> None:
    async with opened(database) as session:
        await create(session, "run", runs=5)
        await backup(url, tmp_path / "copy.db")
    restored = await restore(tmp_path / "copy.db", tmp_path / "restored.db")
    assert restored.taken_at is None
    async with opened(tmp_path / "restored.db") as session:
        assert len(await session.claim()) == 5


async def test_a_copy_in_which_a_payload_was_changed_is_refused(database: Path, url: str, tmp_path: Path) -> None:
    """No page is out of place: only the digests of the history know."""
    async with opened(database) as session:
        await session.create("run", input=b"PAY-ALICE-100")
        await backup(url, tmp_path / "copy.db")
    content = (tmp_path / "copy.db").read_bytes()
    assert b"PAY-ALICE-100" in content
    (tmp_path / "copy.db").write_bytes(content.replace(b"PAY-ALICE-100", b"PAY-ALICE-900"))
    with pytest.raises(CopyDamagedError, match=r"run run \(.*Nothing was restored"):
        await restore(tmp_path / "copy.db", tmp_path / "restored.db")
    assert "restored.db" not in files_in(tmp_path)


async def test_a_run_that_is_damaged_in_the_database_is_named_and_keeps_no_other_from_being_restored(
    database: Path, url: str, tmp_path: Path
) -> None:
    async with opened(database) as session:
        await session.create("damaged", input=b"PAY-ALICE-100")
        await create(session, "whole", runs=2)
    with closing(apsw.Connection(str(database))) as other:
        other.execute("UPDATE history SET data = replace(data, 'PAY-ALICE-100', 'PAY-ALICE-900')")
    copied = await backup(url, tmp_path / "copy.db")
    assert [what.partition(" (")[0] for what in copied.damaged] == ["run damaged"]
    with pytest.raises(CopyDamagedError, match=r"run damaged \(.* --accept-damaged: .* Nothing was restored"):
        await restore(tmp_path / "copy.db", tmp_path / "restored.db")
    restored = await restore(tmp_path / "copy.db", tmp_path / "restored.db", accepts_damaged=True)
    assert restored.damaged == copied.damaged
    async with opened(tmp_path / "restored.db") as session:
        found = {run.ref.id for run in (await session.store.list_runs(RunQuery())).runs}
        assert found == {"damaged", "whole-0", "whole-1"}


async def test_a_column_of_another_name_is_damage_that_a_copy_is_told_of_and_restored_with_if_that_is_said(
    database: Path, url: str, tmp_path: Path
) -> None:
    """The copy cannot be opened: it must not pass for a sound one."""
    async with opened(database) as session:
        await session.create("run")
    rename(database, "requested_at", "requusted_at")
    [damaged] = (await backup(url, tmp_path / "copy.db")).damaged
    assert "there is no locks.requested_at" in damaged
    assert (await backup(url, tmp_path / "copy.db", force=True)).damaged == (damaged,)
    with pytest.raises(CopyDamagedError, match=r"there is no locks\.requested_at.* --accept-damaged"):
        await restore(tmp_path / "copy.db", tmp_path / "restored.db")
    restored = await restore(tmp_path / "copy.db", tmp_path / "restored.db", accepts_damaged=True)
    assert "there is no locks.requested_at" in restored.damaged[0]


async def test_no_copy_in_which_something_is_damaged_replaces_one_in_which_that_may_be_whole(
    database: Path, url: str, tmp_path: Path
) -> None:
    async with opened(database) as session:
        await session.create("run", input=b"PAY-ALICE-100")
    copy = tmp_path / "copy.db"
    await backup(url, copy)
    whole_one = copy.read_bytes()
    lose_page(database)
    with pytest.raises(StoreCorruptError, match=r"never used: 1.*copy\.db was not replaced.*name another file"):
        await backup(url, copy, force=True)
    assert copy.read_bytes() == whole_one
    await backup(url, tmp_path / "other.db")
    assert (await backup(url, tmp_path / "other.db", force=True)).damaged  # that one has lost them, too
    with closing(apsw.Connection(str(database))) as other:
        other.execute("UPDATE history SET data = replace(data, 'PAY-ALICE-100', 'PAY-ALICE-900')")
    for older, found in ((copy, "never used"), (tmp_path / "other.db", "run run")):
        with pytest.raises(StoreCorruptError, match=f"{found}.*was not replaced"):
            await backup(url, older, force=True)


async def test_what_is_whole_behind_a_damaged_event_is_kept_though_the_same_is_said_of_both(
    database: Path, url: str, tmp_path: Path
) -> None:
    async with opened(database) as session:
        await session.advance(await session.hold("run"), events=9)
    change(database, "UPDATE history SET data = replace(data, 'event 3', 'event X') WHERE sequence = 3")
    copy = tmp_path / "copy.db"
    damaged = (await backup(url, copy)).damaged
    async with opened(database) as session:
        await create(session, "more", runs=1)
    assert (await backup(url, copy, force=True)).damaged == damaged, "nothing of the run is lost"
    change(database, "UPDATE history SET data = replace(data, 'event 7', 'event Y') WHERE sequence = 7")
    with pytest.raises(StoreCorruptError, match=r"run run.*was not replaced"):
        await backup(url, copy, force=True)
    assert (await backup(url, tmp_path / "other.db")).damaged == damaged


async def test_a_run_whose_row_is_lost_is_damaged(database: Path, url: str, tmp_path: Path) -> None:
    async with opened(database) as session:
        await create(session, "run", runs=2)
    copy = tmp_path / "copy.db"
    await backup(url, copy)
    change(database, "DELETE FROM runs WHERE id = 'run-0'")
    with pytest.raises(StoreCorruptError, match=r"there is no such run.*default/run-0.*was not replaced"):
        await backup(url, copy, force=True)
    [damaged] = (await backup(url, tmp_path / "other.db")).damaged
    assert (await backup(url, tmp_path / "other.db", force=True)).damaged == (damaged,)
    with pytest.raises(CopyDamagedError, match=r"there is no such run.*default/run-0"):
        await restore(tmp_path / "other.db", tmp_path / "restored.db")
    restored = await restore(tmp_path / "other.db", tmp_path / "restored.db", accepts_damaged=True)
    assert restored.damaged == (damaged,)


async def test_a_copy_with_fewer_lost_pages_replaces_one_with_more(database: Path, url: str, tmp_path: Path) -> None:
    async with opened(database) as session:
        await create(session, "run", runs=2)
    lose_page(database)
    fewer = tmp_path / "fewer.db"
    shutil.copy(database, fewer)
    lose_page(database)
    copy = tmp_path / "copy.db"
    [more] = (await backup(url, copy)).damaged
    [less] = (await backup(f"sqlite:///{fewer}", copy, force=True)).damaged
    assert less != more


async def test_tables_that_cannot_be_looked_into_replace_none_with_other_rows(
    database: Path, url: str, tmp_path: Path
) -> None:
    async with opened(database) as session:
        await session.create("run", input=b"PAY-ALICE-100")
    rename(database, "requested_at", "requusted_at")
    copy = tmp_path / "copy.db"
    await backup(url, copy)
    change(database, "UPDATE history SET data = replace(data, 'PAY-ALICE-100', 'PAY-ALICE-900')")
    with pytest.raises(StoreCorruptError, match=r"there is no locks\.requested_at.*was not replaced"):
        await backup(url, copy, force=True)


@pytest.mark.parametrize("names", [("value INTEGER", "valuf INTEGER"), ("name TEXT PRIMARY", "namf TEXT PRIMARY")])
async def test_a_copy_that_cannot_be_made_another_is_restored_as_it_is_if_that_is_said(
    database: Path, url: str, tmp_path: Path, names: tuple[str, str]
) -> None:
    async with opened(database) as session:
        await session.create("run")
    rename(database, *names)
    [damaged] = (await backup(url, tmp_path / "copy.db")).damaged
    assert "there is no store_meta." in damaged
    with pytest.raises(CopyDamagedError, match=r"there is no store_meta\..* --accept-damaged"):
        await restore(tmp_path / "copy.db", tmp_path / "restored.db")
    await restore(tmp_path / "copy.db", tmp_path / "restored.db", accepts_damaged=True)
    assert rows_in(tmp_path / "restored.db") == rows_in(tmp_path / "copy.db")


async def test_a_column_of_another_name_is_damage_also_in_the_tables_of_an_older_perdure(
    database: Path, url: str, tmp_path: Path
) -> None:
    async with opened(database) as session:
        await session.create("run")
    last = len(migrations())
    change(database, f"DELETE FROM schema_migrations WHERE number = {last}")
    change(database, f"PRAGMA user_version = {last - 1}")
    await backup(url, tmp_path / "copy.db")
    await restore(tmp_path / "copy.db", tmp_path / "restored.db")
    rename(tmp_path / "copy.db", "requested_at", "requusted_at")
    with pytest.raises(CopyDamagedError, match=r"there is no locks\.requested_at"):
        await restore(tmp_path / "copy.db", tmp_path / "again.db")


async def test_an_older_copy_that_cannot_be_read_is_not_replaced_by_a_damaged_one(
    database: Path, url: str, tmp_path: Path
) -> None:
    """It may be mended."""
    async with opened(database) as session:
        await session.create("run")
    (tmp_path / "copy.db").write_bytes(b"something")
    lose_page(database)
    with pytest.raises(StoreCorruptError, match="was not replaced"):
        await backup(url, tmp_path / "copy.db", force=True)
    assert (tmp_path / "copy.db").read_bytes() == b"something"


async def test_a_copy_is_for_no_more_eyes_than_the_database(database: Path, url: str, tmp_path: Path) -> None:
    async with opened(database):
        set_mode(database, 0o640)
        await backup(url, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o640
    set_mode(tmp_path / "copy.db", 0o600)
    await backup(url, tmp_path / "copy.db", force=True)
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    set_mode(tmp_path / "copy.db", 0o664)
    await backup(url, tmp_path / "copy.db", force=True)
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o640
    set_mode(tmp_path / "copy.db", 0o600)
    await restore(tmp_path / "copy.db", tmp_path / "restored.db")
    assert (tmp_path / "restored.db").stat().st_mode & 0o777 == 0o600


async def test_a_file_that_is_there_is_replaced_only_by_force(database: Path, url: str, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("precious")
    async with opened(database):
        with pytest.raises(StateError, match="exists; nothing was changed"):
            await backup(url, tmp_path / "copy.db")
        assert (tmp_path / "copy.db").read_text() == "precious"
        await backup(url, tmp_path / "copy.db", force=True)
        assert rows_in(tmp_path / "copy.db") == rows_of(database)


async def test_a_journal_that_another_program_has_left_is_not_taken_for_that_of_the_copy(
    database: Path, url: str, tmp_path: Path
) -> None:
    """SQLite would roll it back into the copy."""
    (tmp_path / "copies").mkdir()
    path, journal = tmp_path / "copies" / "copy.db", tmp_path / "copies" / "copy.db-journal"
    with closing(apsw.Connection(str(tmp_path / "other.db"))) as other:
        other.execute("CREATE TABLE mine (x)")
        other.executemany("INSERT INTO mine VALUES (zeroblob(?))", [(3_000,)] * 20)
        other.execute("PRAGMA cache_size = 5; BEGIN; UPDATE mine SET x = 1 || x")
        shutil.copyfile(tmp_path / "other.db-journal", journal)
    async with opened(database) as session:
        await create(session, "run", runs=20)
        with pytest.raises(StateError, match=r"copy\.db-journal exists; nothing was changed"):
            await backup(url, path)
        await backup(url, path, force=True)
        with closing(apsw.Connection(str(path))) as copy:
            assert digest_of_contents(copy) == rows_of(database)
    assert not journal.exists()


@pytest.mark.parametrize("name", ["data.db-wal", "data.db-journal", "other.db-shm", "data.db.perdure/presence.lock"])
async def test_no_copy_is_a_part_of_a_database(database: Path, url: str, tmp_path: Path, name: str) -> None:
    async with opened(database) as session:
        await create(session, "run", runs=5)
        await backup(url, tmp_path / "copy.db")
        before = files_in(tmp_path)
        for make in (
            backup(url, tmp_path / name, force=True),
            restore(tmp_path / "copy.db", tmp_path / name, force=True),
        ):
            with pytest.raises(UsageError, match=r"a part of the database|holds the lock files"):
                await make
        assert files_in(tmp_path) == before


async def test_only_files_are_replaced(database: Path, url: str, tmp_path: Path) -> None:
    async with opened(database):
        os.mkfifo(tmp_path / "copy.db")
        with pytest.raises(StateError, match="that is no file"):
            await backup(url, tmp_path / "copy.db", force=True)


async def test_a_link_to_a_folder_that_is_missing_is_named_so(database: Path, url: str, tmp_path: Path) -> None:
    (tmp_path / "copy.db").symlink_to(tmp_path / "gone" / "copy.db")
    async with opened(database):
        with pytest.raises(StateError, match="gone does not exist"):
            await backup(url, tmp_path / "copy.db", force=True)


@pytest.mark.parametrize("name", ["data.db", "link.db", "hard.db"])
async def test_a_database_is_never_copied_onto_itself(database: Path, url: str, tmp_path: Path, name: str) -> None:
    async with opened(database):
        (tmp_path / "link.db").symlink_to(database)
        os.link(database, tmp_path / "hard.db")
        with pytest.raises(UsageError, match="the database itself"):
            await backup(url, tmp_path / name, force=True)


async def test_another_database_that_is_open_is_not_replaced(database: Path, url: str, tmp_path: Path) -> None:
    async with opened(database), opened(tmp_path / "other.db"):
        with pytest.raises(StoreLockedError, match="is open"):
            await backup(url, tmp_path / "other.db", force=True)


async def test_without_room_nothing_is_begun(
    database: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=9_999))
    async with opened(database):
        with pytest.raises(StoreFullError, match=r"a copy needs 0\.\d MB in .*, which has 0\.0 MB free"):
            await backup(url, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError])
async def test_a_target_that_fails_amid_leaves_nothing(
    database: Path, tmp_path: Path, disk: FailingDisk, error: type[apsw.Error]
) -> None:
    disk.error = error
    disk.plan("write database", first=3, length=1_000)
    async with opened(database) as session:
        await create(session, "run", runs=20)
        with pytest.raises(StoreError):
            back_up(database, tmp_path / "copy.db", is_forced=False, on_progress=_ignore, disk=disk)
    assert {name for name in files_in(tmp_path) if "copy" in name} == set()


@pytest.mark.parametrize("failure", ["fails_to_sync", "fails_to_sync_folder"])
async def test_what_could_not_be_synced_is_no_copy(database: Path, tmp_path: Path, failure: str) -> None:
    disk = FailingTarget()
    setattr(disk, failure, True)
    async with opened(database):
        with pytest.raises(StoreError, match="planned"):
            back_up(database, tmp_path / "copy.db", is_forced=False, on_progress=_ignore, disk=disk)
    assert {name for name in files_in(tmp_path) if "copy" in name} == set()


class _DiskWithoutLinks(FailingTarget):
    def link(self, path: Path, to: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(path), None, str(to))


async def test_a_file_system_without_hard_links_takes_copies_new_ones_and_others(
    database: Path, tmp_path: Path
) -> None:
    disk, path = _DiskWithoutLinks(), tmp_path / "copy.db"
    async with opened(database) as session:
        for number in range(3):
            await create(session, f"{number}", runs=5)
            if number == 1:
                path.unlink()
            back_up(database, path, is_forced=number == 2, on_progress=_ignore, disk=disk)
            assert rows_in(path) == rows_of(database)
        kept = rows_in(path)
        disk.fails_to_sync_folder = True
        await create(session, "later")
        with pytest.raises(StoreError, match="planned"):
            back_up(database, path, is_forced=True, on_progress=_ignore, disk=disk)
    assert rows_in(path) == kept
    assert {name for name in files_in(tmp_path) if "copy" in name} == {"copy.db", "copy.db.perdure"}


async def test_without_hard_links_too_no_file_is_replaced_that_has_come_to_be_meanwhile(
    database: Path, tmp_path: Path
) -> None:
    class LateDisk(_DiskWithoutLinks):
        def link(self, path: Path, to: Path) -> None:
            to.write_text("a database at work")
            super().link(path, to)

    path = tmp_path / "copy.db"
    async with opened(database):
        with pytest.raises(StateError, match="has come to be"):
            back_up(database, path, is_forced=True, on_progress=_ignore, disk=LateDisk())
    assert path.read_text() == "a database at work"


async def test_without_hard_links_no_database_is_replaced_that_an_engine_has_begun_meanwhile(
    database: Path, tmp_path: Path
) -> None:
    loop, path = asyncio.get_running_loop(), tmp_path / "copy.db"

    async with AsyncExitStack() as engines, opened(database):

        async def begin() -> None:
            session = await engines.enter_async_context(opened(path))
            await create(session, "acknowledged", runs=3)

        class LateDisk(_DiskWithoutLinks):
            def link(self, path: Path, to: Path) -> None:
                asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
                super().link(path, to)

        with pytest.raises(StoreLockedError, match="is open"):
            await asyncio.to_thread(back_up, database, path, is_forced=False, on_progress=_ignore, disk=LateDisk())
        with closing(apsw.Connection(str(path))) as connection:
            assert connection.execute("SELECT count(*) FROM runs").get == 3


async def test_a_damaged_database_gives_no_copy(database: Path, url: str, tmp_path: Path) -> None:
    async with opened(database) as session:
        await create(session, "run", runs=20)
    with closing(apsw.Connection(str(database))) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'runs_by_status'").get
        assert connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE) == (0, 0)
    with database.open("r+b") as file:
        file.seek((root - 1) * 4_096)
        file.write(b"\x0a" + bytes(200))
    with pytest.raises(StoreCorruptError, match="is damaged"):
        await backup(url, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


async def test_there_must_be_a_database_to_copy(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        await backup(f"sqlite:///{tmp_path}/nowhere.db", tmp_path / "copy.db")
    with pytest.raises(UsageError, match="nothing to copy"):
        await backup("memory:", tmp_path / "copy.db")
    assert not sidecar_folder(tmp_path / "nowhere.db").exists()


async def test_another_program_s_database_is_not_copied_and_not_touched(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(apsw.Connection(str(other))) as connection:
        connection.execute("CREATE TABLE mine (x)")
    before = other.read_bytes()
    with pytest.raises(StoreCorruptError, match="another program"):
        await backup(f"sqlite:///{other}", tmp_path / "copy.db")
    assert other.read_bytes() == before
    assert files_in(tmp_path) == {"other.db"}


def set_mode(path: Path, mode: int) -> None:
    path.chmod(mode)


def _ignore(_done: int, _total: int) -> None:
    pass
