"""A database gets its name in the place of another: there is always one or the other, and nothing else is lost."""

import errno
import os
import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from perdure.copies import restore
from perdure.errors import CopyDamagedError, StateError, StoreUnavailableError
from perdure.stores.sqlite.contents import digest_of_contents
from perdure.stores.sqlite.copies import operations, placing
from perdure.stores.sqlite.copies.durable import name_durably
from perdure.stores.sqlite.copies.whole import digest_of_file
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.log import log_of
from perdure.stores.sqlite.presence import copying_mark, replacing_mark
from tests.stores.sqlite.copies.live_database import (
    NOW,
    POINTS,
    FailingTarget,
    create,
    files_in,
    opened,
    rows_of,
    runs_in,
)


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


async def test_what_an_older_perdure_has_put_aside_is_put_back(tmp_path: Path) -> None:
    """It was killed; whoever restores next cannot. Its names were others, which every program might give."""
    path, aside = tmp_path / "restored.db", tmp_path / ".restored.db.replaced"
    async with opened(path) as session:
        await create(session, "old")
        session.store.abandon()  # type: ignore[attr-defined]
    old, log = path.read_bytes(), log_of(path).read_bytes()
    replacing_mark(path).write_text("digest of the new one")
    path.rename(aside)
    log_of(path).rename(log_of(aside))
    with pytest.raises(CopyDamagedError):
        await restore(Path(__file__), path, force=True)
    assert (path.read_bytes(), log_of(path).read_bytes()) == (old, log)
    assert not aside.exists()
    assert not log_of(aside).exists()
    assert not replacing_mark(path).exists()


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


async def test_a_second_name_that_became_a_second_file_is_known_by_its_bytes(copy: Path, tmp_path: Path) -> None:
    """The folder was copied after a restoring had died, by a tool that knows no hard links."""
    path = tmp_path / "restored.db"
    async with opened(path) as session:
        await create(session, "old", runs=2)

    class DyingDisk(LocalDisk):
        def link(self, path: Path, to: Path) -> None:
            super().link(path, to)
            shutil.copytree(tmp_path, tmp_path / "left", ignore=shutil.ignore_patterns("left"))

    operations.restore(copy, path, at=None, is_forced=True, now=NOW, on_progress=_ignore, disk=DyingDisk())
    left = tmp_path / "left" / path.name
    with pytest.raises(CopyDamagedError):
        await restore(Path(__file__), left, force=True)
    assert runs_in(left) == 2
    assert not {name for name in files_in(left.parent) if name.startswith(".")}


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


def _ignore(_done: int, _total: int) -> None:
    pass
