"""The operations on copies, as the public functions offer them; they block."""

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from perdure.errors import CopyDamagedError, StateError, UsageError
from perdure.kernel.time import Timestamp
from perdure.ports.database_files import demand_no_part
from perdure.stores.sqlite.contents import digest_of_contents
from perdure.stores.sqlite.copies.durable import sync_file
from perdure.stores.sqlite.copies.folder import CopyFolder
from perdure.stores.sqlite.copies.hold import Hold
from perdure.stores.sqlite.copies.placing import demand_free, give_to_owner, place, reserved
from perdure.stores.sqlite.copies.points import Point
from perdure.stores.sqlite.copies.rebuilding import become_another, choose_point, copy_file, rebuild
from perdure.stores.sqlite.copies.replacing import demand_no_loss
from perdure.stores.sqlite.copies.soundness import (
    Damage,
    damage_in,
    damage_named,
    damage_of_tables,
    demand_ours,
    demand_sound,
)
from perdure.stores.sqlite.copies.unfinished import unfinished
from perdure.stores.sqlite.copies.visit import Visit, faults_named
from perdure.stores.sqlite.copies.whole import (
    Progress,
    copy_whole,
    demand_integrity,
    demand_room,
    log_lost_pages,
    mode_of,
    size_of,
    unshared,
)
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.log import log_of

__all__ = ["Copied", "Restored", "back_up", "restore"]


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """A whole copy. `path`: its file; `size_bytes`: its size; `seconds`: how long it took.

    `contents`: a digest of all rows of all tables, which were read from the database and from the copy and are equal.
    `damaged`: what is not as it was written, in the database as in the copy: histories, messages, lost rows of runs,
    tables, and pages that are never used, on which rows may have been. `restore` refuses the copy for any, unless they
    are accepted.
    """

    path: str
    size_bytes: int
    contents: str
    seconds: float
    damaged: tuple[str, ...] = ()


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """A database that was made of a copy. `path`: its file; `size_bytes`: its size.

    `taken_at`: everything that had been committed by then is in it, and nothing that came later; None if the copy is a
    whole one, which does not say so. `point` names the increment. `damaged`: what is not as it was written, as of
    `Copied`, if that was accepted; and pages of a copy that follows which are never used.
    """

    path: str
    size_bytes: int
    taken_at: Timestamp | None
    point: str
    damaged: tuple[str, ...] = ()


def back_up(
    database: Path, target: Path, *, is_forced: bool, on_progress: Progress, disk: Disk | None = None
) -> Copied:
    """Copy a database into the file `target`.

    One that is there is replaced only if it `is_forced`, and nothing may be damaged in the copy that is whole in it.
    Raises StateError, UsageError, StoreErrors; then `target` is as it was.
    """
    begun, disk = time.monotonic(), disk or LocalDisk()
    target = _resolved(target)
    _demand_other(database, target)
    demand_free(target, is_forced=is_forced)
    with Visit(database) as visit, faults_named(target, "backing up"), unfinished(target, disk) as unnamed:
        demand_room(target.parent, size_of(visit.database.connection()))
        contents, damage = _copy(visit, unnamed, disk, on_progress=on_progress)
        unnamed.chmod(mode_of(visit.path) & (mode_of(target) if target.exists() else 0o777))
        with reserved(target, disk) as reservation:
            demand_free(target, is_forced=is_forced)
            if damage.told and target.exists():
                demand_no_loss(unnamed, target, visit.path, damage)
            place(unnamed, target, disk, reservation)
    return Copied(
        path=str(target),
        size_bytes=target.stat().st_size,
        contents=contents.hex(),
        seconds=time.monotonic() - begun,
        damaged=damage.told,
    )


def restore(
    source: Path,
    target: Path,
    *,
    at: Timestamp | None,
    is_forced: bool,
    now: Timestamp,
    on_progress: Callable[[int, int], None],
    accepts_damaged: bool = False,
    disk: Disk | None = None,
) -> Restored:
    """Make the database `target` of a copy, a file or a folder.

    If it `accepts_damaged` what is damaged is restored as it is, so far as SQLite can read it all.

    Raises CopyDamagedError, StateError, UsageError, StoreErrors; then nothing has changed.
    """
    disk, target = disk or LocalDisk(), _resolved(target)
    demand_free(target, is_forced=is_forced)
    with faults_named(target, "restoring"), reserved(target, disk) as reservation, unfinished(target, disk) as unnamed:
        point = _make(source, unnamed, disk, at=at, on_progress=on_progress)
        demand_ours(unnamed, source)
        if _has_sound_tables(unnamed, source):  # what nothing opens need not be another
            with damage_named(source):
                become_another(unnamed, disk, now=now)
        # As it will be found under its name.
        damaged = demand_sound(unnamed, source, is_whole_copy=point is None, accepts_damaged=accepts_damaged)
        unnamed.chmod(mode_of(source if point is None else CopyFolder(source).generation(point.generation).base))
        sync_file(disk, unnamed)
        demand_free(target, is_forced=is_forced)
        give_to_owner(unnamed, target)
        place(unnamed, target, disk, reservation)
    return Restored(
        path=str(target),
        size_bytes=target.stat().st_size,
        taken_at=None if point is None else point.taken_at,
        point="" if point is None else f"{point.generation}/{point.number}",
        damaged=damaged,
    )


def _resolved(target: Path) -> Path:
    """Return the path of a file to be made. Raises StateError if its folder is missing, UsageError if it would be taken
    for a part of a database."""
    target = Path(os.path.realpath(target))
    if not target.parent.is_dir():
        raise StateError(f"the folder {target.parent} does not exist; create it, or choose another place.")
    demand_no_part(target)
    return target


def _demand_other(database: Path, target: Path) -> None:
    if target.exists() and database.exists() and target.samefile(database):
        raise UsageError(f"{target} is the database itself, not a place for a copy of it. Nothing was changed.")


def _copy(visit: Visit, unnamed: Path, disk: Disk, *, on_progress: Progress) -> tuple[bytes, Damage]:
    """Copy what is there at one moment; return a digest of its rows, and what is damaged in it.

    Raises StoreCorruptError if the copy differs.
    """
    hold = Hold(visit)
    hold.renew()
    try:
        copy_whole(hold.connection(), unnamed, disk, on_progress=on_progress)
        contents = digest_of_contents(hold.connection())
    finally:
        hold.let_go()
    with unshared(unnamed) as copy:
        lost_pages = demand_integrity(copy, unnamed)
        if digest_of_contents(copy) != contents:
            raise CopyDamagedError(
                f"the rows of the copy are not those of {visit.path}; it was not kept. Check the disk."
            )
        log_lost_pages(lost_pages, visit.path)
        return contents, damage_in(copy, visit.path, lost_pages=lost_pages)


def _has_sound_tables(made: Path, source: Path) -> bool:
    with unshared(made) as connection:
        return not damage_of_tables(connection, source)


def _make(
    source: Path, unnamed: Path, disk: Disk, *, at: Timestamp | None, on_progress: Callable[[int, int], None]
) -> Point | None:
    if source.is_dir():
        point = choose_point(source, at=at)
        demand_room(unnamed.parent, CopyFolder(source).generation(point.generation).base.stat().st_size)
        rebuild(source, point, unnamed, on_progress=on_progress, disk=disk)
        return point
    if at is not None:
        raise UsageError(f"{source} is a whole copy, of one moment; points in time are in the folder of a replication.")
    if log_of(source).exists() and log_of(source).stat().st_size:
        raise UsageError(f"{source} is a database in use: there is a log beside it. Make a copy with `perdure backup`.")
    demand_room(unnamed.parent, source.stat().st_size)
    with closing(disk.create(unnamed)) as file:
        copy_file(source, file, on_progress=on_progress)
    return None
