"""From SQLite's errors to the library's: what happened, to which file, and what to do."""

import errno
import re
from pathlib import Path
from typing import Final

import apsw

from perdure.errors import (
    InternalError,
    PerdureError,
    StoreCorruptError,
    StoreFullError,
    StoreLockedError,
    StoreUnavailableError,
)

__all__ = ["is_damage", "is_for_want_of_room", "named", "store_error"]


def store_error(error: Exception, *, path: Path, doing: str) -> PerdureError:
    """Return the library's error for one of SQLite's or the operating system's while `doing` something to `path`."""
    if is_for_want_of_room(error):
        return StoreFullError(f"{doing} failed on the database {path}: {error}. {_FULL}")
    kind, advice = next((kind, advice) for types, kind, advice in _ADVICE if isinstance(error, types))
    if _has_another_type(error):
        kind, advice = StoreCorruptError, _DAMAGED
    if isinstance(error, apsw.SQLError) and _LACKS.search(str(error)):
        kind, advice = StoreCorruptError, _OTHER_TABLES
    cause = str(error) or type(error).__name__
    return kind(f"{doing} failed on the database {path}: {cause}. {advice}")


def named(error: Exception, connection: apsw.Connection) -> Exception:
    """Return the error that a connection has met last; a write beyond this user's quota as one to a full disk, which
    SQLite takes for an error of the disk itself."""
    is_refused_write = getattr(error, "extendedresult", apsw.SQLITE_OK) == apsw.SQLITE_IOERR_WRITE
    if is_refused_write and connection.system_errno == errno.EDQUOT:
        return apsw.FullError(f"{error} (the quota of this user is used up)")
    return error


def is_damage(error: BaseException | None) -> bool:
    """Whether an error says, or comes from one that does, that something in the file is damaged or cannot be read from
    the disk: what does not need it may succeed."""
    match error:
        case None:
            return False
        case apsw.CorruptError() | apsw.NotADBError() | StoreCorruptError() | UnicodeDecodeError():
            return True
        case apsw.TooBigError():  # than SQLite's limit: so a damaged row says of itself, nothing is written that is
            return True
        case apsw.IOError():
            return getattr(error, "extendedresult", apsw.SQLITE_IOERR) in _FAILED_READS
        case _:
            return _has_another_type(error) or is_damage(error.__cause__)


def _has_another_type(error: BaseException) -> bool:
    """Whether a row was to be changed in which a value is of a type that its column never had, or none: SQLite looks at
    all of the row, and Perdure writes none such."""
    code = getattr(error, "extendedresult", apsw.SQLITE_OK)
    return isinstance(error, apsw.ConstraintError) and code in _NOT_OF_ITS_COLUMN


_NOT_OF_ITS_COLUMN: Final = {apsw.SQLITE_CONSTRAINT_DATATYPE, apsw.SQLITE_CONSTRAINT_NOTNULL}
_LACKS: Final = re.compile("^no such |has no column named")

UNREADABLE: Final = (apsw.CorruptError, apsw.NotADBError, apsw.IOError)
"""What SQLite raises where something cannot be read, from a connection that only reads."""


def is_for_want_of_room(error: Exception) -> bool:
    """Whether the disk is full, or what this user may have of it."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, apsw.FullError)


_FAILED_READS: Final = frozenset(
    {
        apsw.SQLITE_IOERR_READ,
        apsw.SQLITE_IOERR_SHORT_READ,
        apsw.SQLITE_IOERR_CORRUPTFS,  # what SQLite makes of EIO, among others
        apsw.SQLITE_IOERR_DATA,
    }
)

_FULL: Final = """\
The disk is full (or this user's quota, or the database's size limit); nothing of this call was saved. Make room: calls\
 succeed again by themselves."""
_LOCKED: Final = """\
Another program holds the database's lock; nothing of this call was saved. Find it (for example with `fuser`) and end \
its transaction; calls then succeed again by themselves."""
_READ_ONLY: Final = """\
The file or its folder cannot be written by this user; nothing of this call was saved. Give write permission on the \
file and its folder."""
_DAMAGED: Final = """\
The file is damaged or is not an SQLite database. Stop all processes that use it, keep a copy of it and of the files \
beside it, and restore a backup; or choose another path if it is another program's file."""
_OTHER_TABLES: Final = """\
The tables are not those that Perdure made: the file is damaged, or something else has changed them. Stop all processes\
 that use it, keep a copy of it and of the files beside it, and restore a backup."""
_UNAVAILABLE: Final = """\
Nothing of this call was saved. Check the disk, its mount and the permissions of the folder; calls succeed again by \
themselves when the cause is gone."""
_DEFECT: Final = "This is a defect of Perdure; please report it with this message."

_ADVICE: Final[tuple[tuple[tuple[type[Exception], ...], type[PerdureError], str], ...]] = (
    ((apsw.BusyError, apsw.LockedError), StoreLockedError, _LOCKED),
    ((apsw.ReadOnlyError, apsw.PermissionsError, PermissionError), StoreUnavailableError, _READ_ONLY),
    ((apsw.CorruptError, apsw.NotADBError, apsw.TooBigError, UnicodeDecodeError), StoreCorruptError, _DAMAGED),
    ((apsw.IOError, apsw.CantOpenError, apsw.NoMemError, OSError), StoreUnavailableError, _UNAVAILABLE),
    ((Exception,), InternalError, _DEFECT),
)
