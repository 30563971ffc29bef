"""What is restored is what was there, or nothing is; and it takes no database's place that is open."""

import asyncio
import errno
import os
import shutil
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import apsw
import msgspec
import pytest

from perdure.copies import points_in_time, restore
from perdure.errors import CopyDamagedError, StateError, StoreLockedError, StoreUnavailableError, UsageError
from perdure.kernel.time import Timestamp, timestamp_to_datetime
from perdure.stores.sqlite.contents import digest_of_contents
from perdure.stores.sqlite.copies import operations, placing
from perdure.stores.sqlite.copies.durable import name_durably
from perdure.stores.sqlite.copies.parts import encode_part, read_part
from perdure.stores.sqlite.copies.points import read_contents
from perdure.stores.sqlite.copies.rebuilding import SKIPPED_NUMBERS, become_another, rebuild
from perdure.stores.sqlite.copies.unfinished import unfinished
from perdure.stores.sqlite.copies.whole import digest_of_file, unshared
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.locks import FileLock
from perdure.stores.sqlite.log import log_of
from perdure.stores.sqlite.presence import copying_mark, replacing_mark
from tests.stores.sqlite.copies.live_database import (
    FailingTarget,
    create,
    files_in,
    opened,
    replicating,
    rows_of,
)

POINTS = 5
NOW = Timestamp(1_764_000_000_000_000)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of which a copy was made, round by round."""
    folder = tmp_path_factory.mktemp("original")

    async def make() -> None:
        async with opened(folder / "data.db") as session:
            with replicating(folder / "data.db", folder / "copy") as replication:
                for round_ in range(POINTS):
                    await create(session, f"r{round_}", runs=3)
                    replication.follow()

    asyncio.run(make())
    return folder


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original / "copy", tmp_path / "copy")
    return tmp_path / "copy"


def runs_in(database: Path) -> int:
    with unshared(database) as connection:
        count: int = connection.execute("SELECT count(*) FROM runs").get
    return count


def damage(path: Path, *, at: int = -40) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


async def test_the_newest_point_is_restored(original: Path, copy: Path, tmp_path: Path) -> None:
    restored = await restore(copy, tmp_path / "restored.db")
    assert restored.point == f"generation-000001/{POINTS - 1}"
    assert runs_in(tmp_path / "restored.db") == 3 * POINTS


async def test_a_point_in_time_is_the_last_one_taken_at_or_before_it(copy: Path, tmp_path: Path) -> None:
    points = await points_in_time(copy)
    assert len(points) == POINTS
    for number, point in enumerate(points):
        taken_at = timestamp_to_datetime(point.taken_at)
        for at in (taken_at, taken_at + timedelta(microseconds=1)):
            restored = await restore(copy, tmp_path / "restored.db", at=at, force=True)
            assert restored.taken_at == point.taken_at
            assert runs_in(tmp_path / "restored.db") == 3 * (number + 1)


async def test_before_the_oldest_point_there_is_none(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"the oldest point in .* is 2023-11-14T22:13"):
        await restore(copy, tmp_path / "restored.db", at=datetime(2020, 1, 1, tzinfo=UTC))
    assert not (tmp_path / "restored.db").exists()


async def test_a_restored_database_goes_on(copy: Path, tmp_path: Path) -> None:
    await restore(copy, tmp_path / "restored.db")
    async with opened(tmp_path / "restored.db") as session:
        await create(session, "later")
        assert [run.summary.ref.id for run in await session.claim(limit=1)]


async def test_sessions_and_keys_of_runs_are_none_that_were_there_before(
    original: Path, copy: Path, tmp_path: Path
) -> None:
    async with opened(original / "data.db") as session:
        lost = session.store.new_run_key()
        number = session.worker
    await restore(copy, tmp_path / "restored.db")
    async with opened(tmp_path / "restored.db") as session:
        assert session.worker >= number + SKIPPED_NUMBERS - 1
        assert session.store.new_run_key() > lost


async def test_but_for_the_numbers_of_sessions_all_rows_are_as_they_were(copy: Path, tmp_path: Path) -> None:
    await restore(copy, tmp_path / "restored.db")
    with closing(apsw.Connection(str(tmp_path / "restored.db"))) as connection:
        connection.execute("DELETE FROM store_meta WHERE name IN ('last_worker_id', 'restored_at')")
        found = digest_of_contents(connection)
    rebuild(copy, read_contents(copy).points[-1], tmp_path / "scratch.db", on_progress=_ignore)
    with closing(apsw.Connection(str(tmp_path / "scratch.db"))) as connection:
        connection.execute("DELETE FROM store_meta WHERE name = 'last_worker_id'")
        assert digest_of_contents(connection) == found


async def test_nothing_that_is_restored_twice_gives_out_the_same_names(copy: Path, tmp_path: Path) -> None:
    """Be it a second later, when the first has some sessions already; and be it of a copy of what was restored."""
    numbers: list[int] = []
    for number, source in enumerate([copy, copy, tmp_path / "again.db", tmp_path / "again.db"]):
        path, now = tmp_path / f"{number}.db", Timestamp(NOW + number * 1_000_000)
        operations.restore(source, path, at=None, is_forced=False, now=now, on_progress=_ignore)
        async with opened(path) as session:
            numbers.append(session.worker)
        if not number:
            operations.back_up(path, tmp_path / "again.db", is_forced=False, on_progress=_ignore)
    assert min(later - earlier for earlier, later in pairwise(sorted(numbers))) > 1_000


async def test_a_restored_database_goes_on_with_no_copy_of_the_original(copy: Path, tmp_path: Path) -> None:
    await restore(copy, tmp_path / "data.db")
    async with opened(tmp_path / "data.db"):
        with (
            pytest.raises(UsageError, match="holds copies of another database"),
            replicating(tmp_path / "data.db", copy),
        ):
            pass


async def test_so_it_does_when_the_clock_was_behind_as_it_was_restored(copy: Path, tmp_path: Path) -> None:
    longest_ago = Timestamp(1_000_000_000_000_000)
    operations.restore(copy, tmp_path / "data.db", at=None, is_forced=False, now=longest_ago, on_progress=_ignore)
    async with opened(tmp_path / "data.db"):
        with (
            pytest.raises(UsageError, match="holds copies of another database"),
            replicating(tmp_path / "data.db", copy),
        ):
            pass


async def test_a_database_that_has_come_to_be_meanwhile_is_not_replaced(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "restored.db"

    def late(database: Path, disk: Disk, *, now: Timestamp) -> None:
        become_another(database, disk, now=now)
        path.write_text("a database at work")

    monkeypatch.setattr(operations, "become_another", late)
    with pytest.raises(StateError, match="has come to be"):
        await restore(copy, path, force=True)
    assert path.read_text() == "a database at work"
    assert not {name for name in files_in(tmp_path) if name.startswith(".")}


@pytest.mark.parametrize(
    "moved", ["nothing", "the database", "the database and its log", "all, and the new one is there"]
)
async def test_a_restoring_that_died_while_it_put_a_damaged_database_aside_is_finished(
    copy: Path, tmp_path: Path, moved: str
) -> None:
    """Until then nobody begins an empty database in its place; a restoring that fails puts back what was there."""
    path, aside = tmp_path / "restored.db", tmp_path / ".restored.db.perdure-replaced"
    async with opened(path) as session:
        await create(session, "old")
        session.store.abandon()  # type: ignore[attr-defined]
    path.write_bytes(damaged := b"no database" + path.read_bytes()[11:])
    replacing_mark(path).touch()
    if moved != "nothing":
        path.rename(aside)
    if "log" in moved or "all" in moved:
        log_of(path).rename(log_of(aside))
    if "all" in moved:
        shutil.copyfile(copy / "generation-000001" / "base.db", path)
        (tmp_path / f"{aside.name}.by").write_text(digest_of_file(path))
    with pytest.raises(StoreUnavailableError, match="Run `perdure restore --force` again"):
        async with opened(path):
            pass
    with pytest.raises(CopyDamagedError):
        await restore(Path(__file__), path, force=True)
    if "all" not in moved:
        assert path.read_bytes() == damaged
        assert log_of(path).exists()
        path.rename(aside)
        replacing_mark(path).touch()
    await restore(copy, path, force=True)
    assert files_in(tmp_path) == {"copy", "restored.db", "restored.db.perdure"}
    async with opened(path):
        assert runs_in(path) == 3 * POINTS


async def test_a_restoring_removes_nothing_for_a_file_that_another_program_has_made_meanwhile(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "restored.db"
    async with opened(path) as session:
        await create(session, "old")
        session.store.abandon()  # type: ignore[attr-defined]
    path.write_bytes(damaged := b"no database" + path.read_bytes()[11:])
    log = log_of(path).read_bytes()

    def die(*_: object) -> None:
        shutil.copytree(tmp_path, tmp_path / "left", ignore=shutil.ignore_patterns("left", "*.sock"))
        raise OSError(5, "dead")

    with monkeypatch.context() as dying:
        dying.setattr(placing, "_give_name", die)
        with pytest.raises(StoreUnavailableError, match="dead"):
            await restore(copy, path, force=True)
    path, aside = tmp_path / "left" / path.name, tmp_path / "left" / ".restored.db.perdure-replaced"
    with closing(apsw.Connection(str(path))) as other:
        other.execute("CREATE TABLE mine (x)")
    for source in (Path(__file__), copy):
        with pytest.raises(StateError, match=r"another program .* What was there before is .*perdure-replaced.* Move"):
            await restore(source, path, force=True)
        assert aside.read_bytes() == damaged
        assert log_of(aside).read_bytes() == log
    path.unlink()
    with pytest.raises(CopyDamagedError):
        await restore(Path(__file__), path, force=True)
    assert path.read_bytes() == damaged
    assert log_of(path).read_bytes() == log


@pytest.mark.parametrize("has_links", [True, False])
async def test_what_was_there_is_not_removed_for_a_database_that_was_begun_in_its_place(
    copy: Path, tmp_path: Path, has_links: bool
) -> None:
    """Somebody has taken away the new one, or the mark that kept engines from beginning another."""
    path, aside = tmp_path / "restored.db", tmp_path / ".restored.db.perdure-replaced"
    async with opened(path) as session:
        await create(session, "precious", runs=2)
    old = path.read_bytes()

    class DyingDisk(LocalDisk):
        def link(self, path: Path, to: Path) -> None:
            if not has_links:
                raise PermissionError(errno.EPERM, "planned")
            super().link(path, to)

        def rename(self, path: Path, to: Path) -> None:
            super().rename(path, to)
            if to.name == "restored.db":
                shutil.copytree(tmp_path, tmp_path / "left", ignore=shutil.ignore_patterns("left"))

    operations.restore(copy, path, at=None, is_forced=True, now=NOW, on_progress=_ignore, disk=DyingDisk())
    assert files_in(tmp_path) == {"copy", "left", "restored.db", "restored.db.perdure"}
    path, aside = tmp_path / "left" / path.name, tmp_path / "left" / aside.name
    path.unlink()
    shutil.rmtree(f"{path}.perdure")
    async with opened(path) as session:
        await create(session, "acknowledged")
    for source in (Path(__file__), copy):
        with pytest.raises(StateError, match=r"another program .* What was there before is"):
            await restore(source, path, force=True)
    assert aside.read_bytes() == old
    assert runs_in(path) == 1


async def test_a_database_has_its_name_all_the_time_while_the_disk_refuses_another(copy: Path, tmp_path: Path) -> None:
    """A process that dies while it puts the old one back must leave one."""
    path = tmp_path / "restored.db"
    async with opened(path) as session:
        await create(session, "old", runs=2)
    old = path.read_bytes()
    named: list[bool] = []

    class RefusingDisk(LocalDisk):
        is_replaced = False

        def remove(self, path_: Path) -> None:
            super().remove(path_)
            named.append(path.exists())

        def rename(self, path_: Path, to: Path) -> None:
            super().rename(path_, to)
            self.is_replaced |= to == path
            named.append(path.exists())

        def sync_folder(self, folder: Path) -> None:
            if self.is_replaced:
                raise OSError(5, "planned")
            super().sync_folder(folder)

    with pytest.raises(StoreUnavailableError, match="planned"):
        operations.restore(copy, path, at=None, is_forced=True, now=NOW, on_progress=_ignore, disk=RefusingDisk())
    assert all(named)
    assert path.read_bytes() == old
    await restore(copy, path, force=True)
    assert files_in(tmp_path) == {"copy", "restored.db", "restored.db.perdure"}


async def test_a_disk_that_refuses_a_second_name_is_not_taken_for_one_without_them(copy: Path, tmp_path: Path) -> None:
    path = tmp_path / "restored.db"
    async with opened(path) as session:
        await create(session, "old", runs=2)

    class RefusingDisk(LocalDisk):
        def link(self, path: Path, to: Path) -> None:
            raise OSError(errno.EIO, "planned")

    with pytest.raises(StoreUnavailableError, match="planned"):
        operations.restore(copy, path, at=None, is_forced=True, now=NOW, on_progress=_ignore, disk=RefusingDisk())
    assert runs_in(path) == 2
    assert files_in(tmp_path) == {"copy", "restored.db", "restored.db.perdure"}


async def test_a_mark_that_the_old_database_s_log_was_being_copied_says_nothing_of_the_new_one(
    copy: Path, tmp_path: Path
) -> None:
    path = tmp_path / "restored.db"
    async with opened(path):
        pass
    copying_mark(path).touch()
    await restore(copy, path, force=True)
    assert not copying_mark(path).exists()


async def test_files_of_other_programs_with_names_like_those_of_what_is_aside_stay(copy: Path, tmp_path: Path) -> None:
    others = (".restored.db.replaced", ".restored.db.replaced-wal")
    for name in others:
        (tmp_path / name).write_text("three years of work")
    await restore(copy, tmp_path / "restored.db")
    await restore(copy, tmp_path / "restored.db", force=True)
    assert files_in(tmp_path) == {"copy", "restored.db", "restored.db.perdure", *others}


@pytest.mark.parametrize("at", [0, 4_096])
async def test_a_database_on_a_bad_sector_is_replaced(copy: Path, tmp_path: Path, at: int) -> None:
    """For that one restores."""
    path = tmp_path / "restored.db"
    async with opened(path) as session:
        await create(session, "old", runs=2)

    class BadFile(apsw.VFSFile):
        def __init__(self, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
            self.named = name.filename() if isinstance(name, apsw.URIFilename) else name
            super().__init__("", name, flags)

        def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name
            if self.named == str(path) and offset <= at < offset + amount:
                raise apsw.IOError("planned")
            return super().xRead(amount, offset)

    class BadDisk(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("bad sector", "")

        def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> BadFile:  # noqa: N802 - SQLite's name
            return BadFile(name, flags)

    bad = BadDisk()
    try:
        disk = LocalDisk(vfs="bad sector")
        operations.restore(copy, path, at=None, is_forced=True, now=NOW, on_progress=_ignore, disk=disk)
    finally:
        bad.unregister()
    assert runs_in(path) == 3 * POINTS


async def test_what_takes_the_place_of_a_database_is_its_owner_s(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator may restore what another user's workers have to open."""
    owners: list[tuple[str, int, int]] = []
    async with opened(tmp_path / "restored.db"):
        pass
    was = (tmp_path / "restored.db").stat()
    (tmp_path / "restored.db").chmod(0o640)
    monkeypatch.setattr(os, "chown", lambda path, user, group: owners.append((path.name, user, group)))
    await restore(copy, tmp_path / "restored.db", force=True)
    assert owners == [(".restored.db.perdure-unfinished", was.st_uid, was.st_gid)]
    assert (tmp_path / "restored.db").stat().st_mode & 0o777 == 0o640


async def test_what_killed_makers_of_copies_left_is_cleared_away_by_the_next(copy: Path, tmp_path: Path) -> None:
    for left in ("", "-wal", ".lock"):
        (tmp_path / f".monday.db.perdure-unfinished{left}").touch()
    await restore(copy, tmp_path / "restored.db")
    assert files_in(tmp_path) == {"copy", "restored.db"}


async def test_a_log_that_a_loss_of_power_has_left_is_not_taken_for_that_of_the_new_file(
    copy: Path, tmp_path: Path
) -> None:
    async with opened(tmp_path / "old.db") as session:
        await create(session, "old", runs=5)
        shutil.copyfile(log_of(tmp_path / "old.db"), tmp_path / ".restored.db.perdure-unfinished-wal")
    await restore(copy, tmp_path / "restored.db")
    assert runs_in(tmp_path / "restored.db") == 3 * POINTS
    assert not {name for name in files_in(tmp_path) if name.startswith(".")}


async def test_a_journal_that_a_killed_restoring_has_left_is_not_rolled_back_into_the_next_one(
    copy: Path, tmp_path: Path
) -> None:
    left = tmp_path / ".restored.db.perdure-unfinished"
    with closing(apsw.Connection(str(left))) as killed:
        killed.execute("CREATE TABLE pages (content)")
        killed.executemany("INSERT INTO pages VALUES (zeroblob(?))", [(3_000,)] * 20)
        killed.execute("PRAGMA cache_size = 5")
        killed.execute("BEGIN")
        killed.execute("UPDATE pages SET content = 1 || content")
        shutil.copyfile(f"{left}-journal", tmp_path / "journal")
    left.unlink()
    (tmp_path / "journal").rename(f"{left}-journal")
    await restore(copy, tmp_path / "restored.db")
    assert runs_in(tmp_path / "restored.db") == 3 * POINTS
    assert files_in(tmp_path) == {"copy", "restored.db"}


async def test_a_copy_that_another_tool_gave_a_journal_is_restored_with_a_log(copy: Path, tmp_path: Path) -> None:
    await restore(copy, tmp_path / "monday.db")
    with closing(apsw.Connection(str(tmp_path / "monday.db"))) as tool:
        assert tool.execute("PRAGMA journal_mode = DELETE").get == "delete"
    await restore(tmp_path / "monday.db", tmp_path / "restored.db")
    with closing(apsw.Connection(str(tmp_path / "restored.db"))) as connection:
        assert connection.execute("PRAGMA journal_mode").get == "wal"


async def test_what_gets_the_name_is_what_was_checked(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what is changed of it so that it is another database."""

    def spoil(database: Path, disk: Disk, *, now: Timestamp) -> None:
        become_another(database, disk, now=now)
        damage(database, at=4_096)

    monkeypatch.setattr(operations, "become_another", spoil)
    with pytest.raises(CopyDamagedError, match="Nothing was restored"):
        await restore(copy, tmp_path / "restored.db")
    assert files_in(tmp_path) == {"copy"}


async def test_files_of_other_programs_are_not_cleared_away(copy: Path, tmp_path: Path) -> None:
    others = {".thesis.unfinished", ".thesis.unfinished.lock", ".notes.unfinished-2026.md", ".a.perdure-unfinished.txt"}
    for name in others:
        (tmp_path / name).write_text("three years of work")
    await restore(copy, tmp_path / "restored.db")
    assert files_in(tmp_path) == {"copy", "restored.db", *others}


async def test_whoever_is_overtaken_by_one_who_clears_away_makes_the_file_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken: list[Path] = []

    class OvertakenLock(FileLock):
        def _try(self, mode: int) -> bool:
            if not overtaken:
                overtaken.append(self.path)
                self.path.unlink()
            return super()._try(mode)

    monkeypatch.setattr(f"{unfinished.__module__}.FileLock", OvertakenLock)
    with unfinished(tmp_path / "restored.db", LocalDisk()) as unnamed:
        assert files_in(tmp_path) == {overtaken[0].name}
        assert overtaken[0].name == f"{unnamed.name}.lock"
    assert files_in(tmp_path) == set()


async def test_two_do_not_make_the_same_file_at_once(copy: Path, tmp_path: Path) -> None:
    with unfinished(tmp_path / "restored.db", LocalDisk()) as unnamed:
        unnamed.touch()
        with pytest.raises(StoreLockedError, match="another process is making"):
            await restore(copy, tmp_path / "restored.db")
        await restore(copy, tmp_path / "another.db")
        assert unnamed.exists()


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_whoever_dies_while_a_database_is_replaced_leaves_the_old_or_the_new_one(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = tmp_path / "restored.db"
    async with opened(path) as session:
        await create(session, "old", runs=5)
        session.store.abandon()  # type: ignore[attr-defined]

    class DeadError(BaseException):
        pass

    def die(disk: Disk, unnamed: Path, named: Path) -> None:
        if moment == "after":
            name_durably(disk, unnamed, named)
        shutil.copytree(tmp_path, tmp_path / "left", ignore=shutil.ignore_patterns("left", "*.sock"))
        raise DeadError

    monkeypatch.setattr(placing, "_give_name", die)
    with pytest.raises(DeadError):
        await restore(copy, path, force=True)
    async with opened(tmp_path / "left" / "restored.db"):
        assert runs_in(tmp_path / "left" / "restored.db") == (5 if moment == "before" else 3 * POINTS)


@pytest.mark.parametrize("damaged", range(1, POINTS))
async def test_a_damaged_increment_is_refused_and_the_newest_whole_point_before_it_named(
    copy: Path, tmp_path: Path, damaged: int
) -> None:
    points = await points_in_time(copy)
    damage(copy / "generation-000001" / f"{damaged:08d}.part")
    with pytest.raises(CopyDamagedError, match="Nothing was restored") as refused:
        await restore(copy, tmp_path / "restored.db")
    sound = timestamp_to_datetime(points[damaged - 1].taken_at).isoformat(timespec="microseconds")
    assert f"restore it with --at {sound}" in str(refused.value)
    assert files_in(tmp_path) == {"copy"}
    await restore(copy, tmp_path / "restored.db", at=datetime.fromisoformat(sound))
    assert runs_in(tmp_path / "restored.db") == 3 * damaged


@pytest.mark.parametrize("at", [0, 9, 14, 40, 400, -1])
async def test_no_byte_of_an_increment_may_change(copy: Path, tmp_path: Path, at: int) -> None:
    points = await points_in_time(copy)
    damage(copy / "generation-000001" / "00000002.part", at=at)
    with pytest.raises(CopyDamagedError, match=r"The newest point before it is 2023-.*increment 1\)"):
        await restore(copy, tmp_path / "restored.db")
    await restore(copy, tmp_path / "restored.db", at=timestamp_to_datetime(points[1].taken_at))
    assert runs_in(tmp_path / "restored.db") == 6


async def test_a_damaged_base_is_refused(copy: Path, tmp_path: Path) -> None:
    damage(copy / "generation-000001" / "base.db", at=9_000)
    with pytest.raises(CopyDamagedError, match=r"base\.db is damaged.* None before it is whole\."):
        await restore(copy, tmp_path / "restored.db")


async def test_a_missing_increment_is_not_passed_over_in_silence(copy: Path, tmp_path: Path) -> None:
    points = await points_in_time(copy)
    (copy / "generation-000001" / "00000003.part").unlink()
    for at in (None, timestamp_to_datetime(points[3].taken_at)):
        with pytest.raises(CopyDamagedError, match=r"00000003\.part is missing.*increment 2\)"):
            await restore(copy, tmp_path / "restored.db", at=at)
    await restore(copy, tmp_path / "restored.db", at=timestamp_to_datetime(points[2].taken_at))


async def test_an_increment_under_another_number_is_refused(copy: Path, tmp_path: Path) -> None:
    parts = copy / "generation-000001"
    shutil.copyfile(parts / "00000002.part", parts / "00000003.part")
    with pytest.raises(CopyDamagedError, match="the part of another number"):
        await restore(copy, tmp_path / "restored.db")


async def test_points_in_time_end_where_their_times_do_not_grow(copy: Path, tmp_path: Path) -> None:
    points = await points_in_time(copy)
    change(copy, 3, taken_at=points[1].taken_at)
    assert await points_in_time(copy) == points[:3]
    with pytest.raises(CopyDamagedError, match=r"00000003\.part was taken before the part that it follows"):
        await restore(copy, tmp_path / "restored.db")


async def test_a_point_is_not_taken_for_the_one_before_an_increment_that_does_not_follow_it(
    copy: Path, tmp_path: Path
) -> None:
    """Another's increment with a later time stands where the one was that was asked for."""
    points = await points_in_time(copy)
    later = Timestamp(points[3].taken_at + 1)
    change(copy, 3, taken_at=later, previous="00" * 32)
    with pytest.raises(CopyDamagedError, match=r"generation-000001/3 does not follow"):
        await restore(copy, tmp_path / "restored.db", at=timestamp_to_datetime(points[3].taken_at))


def change(copy: Path, number: int, **changes: object) -> None:
    """Let another increment stand in the place of one."""
    path = copy / "generation-000001" / f"{number:08d}.part"
    part = read_part(path)
    path.write_bytes(encode_part(msgspec.structs.replace(part.header, **changes), part.pages)[0])


async def test_an_increment_that_follows_another_one_is_refused(copy: Path, tmp_path: Path) -> None:
    part = read_part(copy / "generation-000001" / "00000002.part")
    header = msgspec.structs.replace(part.header, page_count=part.header.page_count + 1)
    data, _ = encode_part(header, part.pages)
    (copy / "generation-000001" / "00000002.part").write_bytes(data)
    with pytest.raises(CopyDamagedError, match=r"00000003\.part does not follow the part before it"):
        await restore(copy, tmp_path / "restored.db")


async def test_nothing_is_replaced_unasked(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "restored.db").write_text("precious")
    with pytest.raises(StateError, match="exists; nothing was changed"):
        await restore(copy, tmp_path / "restored.db")
    assert (tmp_path / "restored.db").read_text() == "precious"
    await restore(copy, tmp_path / "restored.db", force=True)
    assert runs_in(tmp_path / "restored.db") == 3 * POINTS


async def test_a_log_that_was_left_alone_is_not_taken_for_that_of_the_new_file(copy: Path, tmp_path: Path) -> None:
    async with opened(tmp_path / "restored.db") as session:
        await create(session, "old", runs=5)
    (tmp_path / "restored.db").unlink()
    assert log_of(tmp_path / "restored.db").exists()
    with pytest.raises(StateError, match=r"restored\.db-wal exists"):
        await restore(copy, tmp_path / "restored.db")
    await restore(copy, tmp_path / "restored.db", force=True)
    assert not log_of(tmp_path / "restored.db").exists()
    async with opened(tmp_path / "restored.db"):
        assert runs_in(tmp_path / "restored.db") == 3 * POINTS


async def test_a_database_that_is_open_is_not_replaced(copy: Path, tmp_path: Path) -> None:
    async with opened(tmp_path / "restored.db") as session:
        await create(session, "kept")
        before = rows_of(tmp_path / "restored.db")
        with pytest.raises(StoreLockedError, match="is open"):
            await restore(copy, tmp_path / "restored.db", force=True)
        assert rows_of(tmp_path / "restored.db") == before
    await restore(copy, tmp_path / "restored.db", force=True)


async def test_a_database_that_another_program_reads_is_not_replaced(copy: Path, tmp_path: Path) -> None:
    async with opened(tmp_path / "restored.db"):
        pass
    with closing(apsw.Connection(str(tmp_path / "restored.db"))) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM runs").get == 0
        with pytest.raises(StoreLockedError, match="is open"):
            await restore(copy, tmp_path / "restored.db", force=True)
    await restore(copy, tmp_path / "restored.db", force=True)


@pytest.mark.parametrize("failure", ["fails_to_sync", "fails_to_sync_folder"])
async def test_a_database_that_could_not_be_replaced_is_there_again_with_its_log(
    copy: Path, tmp_path: Path, failure: str
) -> None:
    async with opened(tmp_path / "restored.db") as session:
        await create(session, "old", runs=5)
        rows = rows_of(tmp_path / "restored.db")
        session.store.abandon()  # type: ignore[attr-defined]
    disk = FailingTarget()
    setattr(disk, failure, True)
    with pytest.raises(StoreUnavailableError, match="planned"):
        operations.restore(
            copy, tmp_path / "restored.db", at=None, is_forced=True, now=NOW, on_progress=_ignore, disk=disk
        )
    with closing(apsw.Connection(str(tmp_path / "restored.db"))) as connection:
        assert digest_of_contents(connection) == rows
    assert not {name for name in files_in(tmp_path) if name.startswith(".")}


async def test_a_database_that_is_replaced_may_be_damaged(copy: Path, tmp_path: Path) -> None:
    async with opened(tmp_path / "restored.db") as session:
        await create(session, "old")
    (tmp_path / "restored.db").write_bytes(b"\x00" * 8192)
    await restore(copy, tmp_path / "restored.db", force=True)
    assert runs_in(tmp_path / "restored.db") == 3 * POINTS


@pytest.mark.parametrize("content", [b"", b"no database at all", bytes(4096)])
async def test_a_file_that_is_no_copy_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(CopyDamagedError):
        await restore(tmp_path / "file", tmp_path / "restored.db")
    assert not (tmp_path / "restored.db").exists()


async def test_another_program_s_database_is_refused(tmp_path: Path) -> None:
    with closing(apsw.Connection(str(tmp_path / "other.db"))) as other:
        other.execute("CREATE TABLE mine (x)")
    with pytest.raises(CopyDamagedError, match="another program"):
        await restore(tmp_path / "other.db", tmp_path / "restored.db")


async def test_a_database_in_use_is_no_copy(original: Path, tmp_path: Path) -> None:
    async with opened(original / "data.db"):
        with pytest.raises(UsageError, match="a database in use"):
            await restore(original / "data.db", tmp_path / "restored.db")


@pytest.mark.parametrize(
    ("source", "target", "error"),
    [("nowhere", "restored.db", StateError), ("empty", "restored.db", StateError), ("copy", "no/folder.db", StateError),
     ("copy", "empty", StateError)],
)  # fmt: skip
async def test_a_place_that_is_not_there_is_named(
    copy: Path, tmp_path: Path, source: str, target: str, error: type[Exception]
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=r"there is no|does not exist|is a folder"):
        await restore(tmp_path / source, tmp_path / target)


def _ignore(_done: int, _total: int) -> None:
    pass
