"""A finished file gets the name of a database: where none is, or in the place of one that nobody has open.

A log that lies beside a database belongs to it, and so does a journal, be it another program's. So they are copied into
the old database and go; then the new one takes the place of the old at once: whenever the process dies or the power
fails, there is one or the other. Until the new name is certain the old one has a second name, by which it takes its
place again, at once, too, if the disk refuses.

Only a database that is too damaged for that, or on a file system without hard links, is moved aside, with its logs, and
in between there is none. A mark beside it says so then, and nobody opens the name, lest an empty database be begun
there.

    FOLDER/.NAME.perdure-replaced[-wal|-journal]    what has the name FOLDER/NAME no more, or not only
    FOLDER/.NAME.perdure-replaced.by                the digest of the new one

Whoever restores again finds what is aside: he puts it back if its name is still free, removes it if the new one has the
name, and begins again. He knows the new one by its digest: if that name is another file's, or the new one has changed,
nothing is removed, since it may be all that is left.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

import apsw

from perdure.errors import PerdureError, StateError, StoreLockedError
from perdure.stores.sqlite.connection import pragma
from perdure.stores.sqlite.copies.durable import WITHOUT_LINKS, name_durably, write_durably
from perdure.stores.sqlite.copies.whole import digest_of_file
from perdure.stores.sqlite.disk import Disk
from perdure.stores.sqlite.log import files_of
from perdure.stores.sqlite.presence import Presence, copying_mark, replacing_mark, sidecar_folder
from perdure.stores.sqlite.settling import make_log_durable

__all__ = ["Reservation", "demand_free", "give_to_owner", "place", "reserved"]


def demand_free(path: Path, *, is_forced: bool) -> None:
    """Raise StateError if something has the name already, unless it is to be replaced; a folder never is."""
    if path.is_dir():
        raise StateError(f"{path} is a folder; name the file to be made.")
    if path.exists() and not path.is_file():
        raise StateError(f"{path} is a device, or something else that is no file; nothing was changed.")
    if (found := _found(path)) and not is_forced:
        raise StateError(f"{found[0]} exists; nothing was changed. Name another file, or replace it with --force.")


class Reservation(NamedTuple):
    """Of the name of a database. `is_new`: nothing has it; `is_kept_closed`: nobody can open what has it."""

    is_new: bool
    is_kept_closed: bool


@contextmanager
def reserved(path: Path, disk: Disk) -> Iterator[Reservation]:
    """Keep others from opening the database at `path`, if there is any or was one; yield what is reserved.

    What an earlier restoring has left unfinished is put in order before. Raises StoreLockedError if the database is
    open, StateError if that cannot be done, and OSError.
    """
    if not _found(path) and not sidecar_folder(path).exists():
        yield Reservation(is_new=True, is_kept_closed=False)
        return
    with _kept_closed(path, disk):
        _put_in_order(path, disk)
        yield Reservation(is_new=not _found(path), is_kept_closed=True)


@contextmanager
def _kept_closed(path: Path, disk: Disk) -> Iterator[None]:
    """Keep others from opening the database at `path`. Raises StoreLockedError if somebody has it open, and OSError."""
    presence = Presence(path, disk)
    try:
        presence.begin_opening(patience_seconds=_PATIENCE_SECONDS, restores=True)
        if not presence.try_alone() or _is_connected(path, disk):
            raise StoreLockedError(
                f"the database {path} is open, perhaps in another process; nothing was changed. Stop all programs "
                f"that use it: what they write would be lost."
            )
        yield
    finally:
        presence.close(None)


def place(unnamed: Path, path: Path, disk: Disk, reservation: Reservation) -> None:
    """Give a synced file the name `path`, as it was `reserved`. Raises OSError; then what was there is there again.

    Raises StateError if nothing had the name when the reservation began, and something has it now: it may be a database
    at work.
    """
    if reservation.is_new:
        _place_new(unnamed, path, disk, reservation)
        return
    try:
        is_without_log = _is_without_log(path, disk)
        write_durably(disk, _note_of_new(path), digest_of_file(unnamed).encode())
        if not (is_without_log and _is_linked(path, disk)):
            _put_aside(path, disk)
        for left in (path.with_name(f"{path.name}-shm"), copying_mark(path)):
            disk.remove(left)
        _give_name(disk, unnamed, path)
    except BaseException:
        if replacing_mark(path).exists() and not unnamed.exists():
            disk.remove(path)  # it has been given its name; nobody opens that yet, and no old log must come beside it
        _put_back(path, disk)
        raise
    _forget_aside(path, disk)


def give_to_owner(unnamed: Path, path: Path) -> None:
    """Let a new database belong to whom the old one at `path` does, for the same eyes, so far as this user may do that.

    Raises OSError.
    """
    if path.exists():
        was = path.stat()
        unnamed.chmod(was.st_mode & 0o777)
        with suppress(PermissionError):
            os.chown(unnamed, was.st_uid, was.st_gid)


def _place_new(unnamed: Path, path: Path, disk: Disk, reservation: Reservation) -> None:
    try:
        name_durably(disk, unnamed, path, is_new=True)
    except FileExistsError as error:
        raise StateError(_TAKEN.format(path=path)) from error
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        # No engine may begin a database there, which would be renamed over.
        with nullcontext() if reservation.is_kept_closed else _kept_closed(path, disk):
            if _found(path):
                raise StateError(_TAKEN.format(path=path)) from error
            name_durably(disk, unnamed, path)


def _is_linked(path: Path, disk: Disk) -> bool:
    """Give a database a second name, until the first is another's for certain; return whether the file system can."""
    try:
        disk.link(path, _aside(path)[0])
    except OSError as error:
        if error.errno in WITHOUT_LINKS:
            return False
        raise
    return True


def _give_name(disk: Disk, unnamed: Path, path: Path) -> None:
    disk.rename(unnamed, path)
    disk.sync_folder(path.parent)


def _found(path: Path) -> list[Path]:
    """Return what there is of a database, and what was put aside of it."""
    return [each for each in (*files_of(path), *_aside(path)) if each.exists()]


def _is_without_log(path: Path, disk: Disk) -> bool:
    """Copy the logs of a database into it and remove them, so that another file can take its place at once; return
    whether that could be done."""
    if not path.exists():
        return False
    _, *logs = files_of(path)
    if not any(log.exists() for log in logs):
        return True
    with suppress(apsw.Error, PerdureError, OSError):
        make_log_durable(disk, path)
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=disk.vfs)) as connection:
            connection.execute("PRAGMA schema_version").get  # noqa: B018 - reads, and so opens the log
            frames, copied = connection.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_TRUNCATE)
        if frames == copied:
            for log in logs:
                disk.remove(log)
            disk.sync_folder(path.parent)
    return not any(log.exists() for log in logs)


def _put_aside(path: Path, disk: Disk) -> None:
    """Move a database that is damaged, and its logs, out of the way, after a mark of that."""
    write_durably(disk, replacing_mark(path), b"")
    disk.sync_folder(path.parent)
    for old, kept in zip(files_of(path), _aside(path), strict=True):
        if old.exists():
            disk.rename(old, kept)
            disk.sync_folder(path.parent)


def _put_in_order(path: Path, disk: Disk) -> None:
    """Finish what was begun: remove what is aside if the new database has its name; else put it back.

    Raises StateError if something else has that name.
    """
    _rename_older(path, disk)
    database, *_ = _aside(path)
    kept = [each for each in _aside(path) if each.exists()]
    if not (kept and path.exists()) or (database.exists() and _is_same(database, path)):
        _put_back(path, disk)
    elif _is_new_one(path):
        if replacing_mark(path).exists():  # nobody has opened it: a log beside it is the old one's
            for log in files_of(path)[1:]:
                disk.remove(log)
        disk.sync_folder(path.parent)
        _forget_aside(path, disk)
    else:
        raise StateError(
            f"a restoring of {path} has not ended, and another program has made or changed that file meanwhile. What "
            f"was there before is {' and '.join(map(str, kept))}; nothing was changed. Move {path} away, or what was "
            f"there before if you do not want it; then try again."
        )


def _rename_older(path: Path, disk: Disk) -> None:
    """Give what an older Perdure has put aside, and left there, the names that it has now."""
    if replacing_mark(path).exists():
        for old, kept in zip(files_of(path.with_name(f".{path.name}.replaced")), _aside(path), strict=True):
            if old.exists() and not kept.exists():
                disk.rename(old, kept)


def _is_same(path: Path, other: Path) -> bool:
    """Whether two names are one file's, or, since whoever copied the folder made two of it, files of the same bytes."""
    return path.samefile(other) or digest_of_file(path) == digest_of_file(other)


def _is_new_one(path: Path) -> bool:
    """Whether a file is, byte by byte, what was to take the place of what is aside."""
    note = _note_of_new(path)
    return note.exists() and note.read_bytes() == digest_of_file(path).encode()


def _forget_aside(path: Path, disk: Disk) -> None:
    """Remove what is aside, the new one having its name for certain."""
    for kept in _aside(path):
        disk.remove(kept)
    _forget_notes(path, disk)


def _put_back(path: Path, disk: Disk) -> None:
    """Give what is aside its name, the logs first; or take away its second one."""
    for old, kept in zip(reversed(files_of(path)), reversed(_aside(path)), strict=True):
        if kept.exists() and old.exists() and kept.samefile(old):
            disk.remove(kept)
        elif kept.exists():
            disk.rename(kept, old)
    _forget_notes(path, disk)


def _forget_notes(path: Path, disk: Disk) -> None:
    """Take away what was noted of what was aside, once that is certain not to be there any more."""
    for note in (_note_of_new(path), replacing_mark(path)):
        if note.exists():
            disk.sync_folder(path.parent)
            disk.remove(note)
            disk.sync_folder(note.parent)


def _aside(path: Path) -> tuple[Path, Path, Path]:
    return files_of(path.with_name(f".{path.name}.perdure-replaced"))


def _note_of_new(path: Path) -> Path:
    return path.with_name(f".{path.name}.perdure-replaced.by")


def _is_connected(path: Path, disk: Disk) -> bool:
    """Whether another program has the database open, as SQLite's own locks say. A damaged file, or one that the disk
    does not give back, is nobody's."""
    if not path.exists():
        return False
    try:
        with closing(apsw.Connection(str(path), vfs=disk.vfs)) as connection:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.set_busy_timeout(int(_PATIENCE_SECONDS * 1000))
            pragma(connection, "locking_mode = EXCLUSIVE")
            pragma(connection, "schema_version")
    except apsw.BusyError:
        return True
    except apsw.IOError as error:
        if getattr(error, "extendedresult", 0) in _LOCKS_FAILED:
            raise
    except (apsw.NotADBError, apsw.CorruptError):
        pass
    return False


_PATIENCE_SECONDS = 1.0
_LOCKS_FAILED = (
    apsw.SQLITE_IOERR_LOCK,
    apsw.SQLITE_IOERR_RDLOCK,
    apsw.SQLITE_IOERR_CHECKRESERVEDLOCK,
    apsw.SQLITE_IOERR_SHMLOCK,
)
_TAKEN = "a file has come to be at {path} meanwhile; nothing was changed."
