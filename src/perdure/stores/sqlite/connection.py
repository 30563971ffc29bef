"""Connections to the database file: opened one way only, with every setting read back.

A setting that does not hold after it was set is an error, not a hope: SQLite ignores unknown settings silently, and
apsw runs a text of several statements lazily, so each setting is a statement of its own.
"""

from array import array
from pathlib import Path
from typing import Final

import apsw

from perdure.errors import StoreCorruptError, StoreUnavailableError, StoreVersionError
from perdure.stores.sqlite.log import PAGE_BYTES
from perdure.stores.sqlite.settings import SqliteSettings

__all__ = [
    "APPLICATION_ID",
    "demand_page_size",
    "demand_sound_sqlite",
    "demand_writable",
    "keep_plans",
    "lock_exclusively",
    "open_reading",
    "open_writing",
    "pragma",
    "use_log",
]

APPLICATION_ID: Final = 0x50455244
"""Marks a database file as Perdure's ("PERD"), in the four bytes that SQLite keeps for this."""

_OLDEST_SOUND_SQLITE: Final = (3, 51, 3)
_SYNCHRONOUS_FULL: Final = 2
# More than the statements on rows have sizes, together.
_PREPARED_STATEMENTS: Final = 256


def demand_sound_sqlite(version: str | None = None) -> None:
    """Raise StoreVersionError unless SQLite (`version`, by default the one in use) is free of the log-reset defect."""
    found = version or apsw.sqlite_lib_version()
    if tuple(int(part) for part in found.split(".")[:3]) < _OLDEST_SOUND_SQLITE:
        oldest = ".".join(str(part) for part in _OLDEST_SOUND_SQLITE)
        raise StoreVersionError(
            f"SQLite {found} can lose committed data when its log starts over; Perdure needs {oldest} or newer. "
            f"Upgrade the package apsw, which brings its own SQLite."
        )


def open_writing(path: Path, *, settings: SqliteSettings, vfs: str | None = None) -> apsw.Connection:
    """Open the database for writing, creating the file if need be. Raises apsw's errors and StoreUnavailableError.

    The file's journal mode is not touched here: see `use_log`.
    """
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs, statementcachesize=_PREPARED_STATEMENTS)
    try:
        connection.set_busy_timeout(int(settings.lock_patience_seconds * 1000))
        keep_plans(connection)
        demand_writable(connection)
        _set(connection, "synchronous", _SYNCHRONOUS_FULL)
        _set(connection, "foreign_keys", 1)
        _set(connection, "cache_size", -settings.page_cache_kibibytes)
        _set(connection, "wal_autocheckpoint", 0)  # see perdure.stores.sqlite.log
        _set(connection, "journal_size_limit", settings.long_log_bytes)
    except BaseException:
        connection.close(force=True)
        raise
    return connection


def keep_plans(connection: apsw.Connection) -> None:
    """Let SQLite choose plans by the texts of statements alone, and so prepare each once.

    Otherwise it prepares a statement anew for each execution if its values might lead to another plan, as it takes a
    limit or a value compared with what a partial index holds to do: that takes ten times as long as a claim that finds
    nothing. The statements name their indexes, so that there is no other plan to find.
    """
    if not connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1):
        raise StoreUnavailableError(f"SQLite did not accept that it is to keep its plans for {connection.filename}.")


def use_log(connection: apsw.Connection) -> None:
    """Put the database into WAL mode, and keep its log when the connection closes."""
    mode = pragma(connection, "journal_mode = WAL")
    if mode != "wal":
        raise StoreUnavailableError(
            f"SQLite keeps the journal mode {mode!r} for {connection.filename} instead of WAL. Put the database on a "
            f"local disk: network file systems cannot share the memory that WAL needs."
        )
    keep = array("i", [1])
    address, _ = keep.buffer_info()
    connection.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, address)


def lock_exclusively(connection: apsw.Connection) -> None:
    """Let the connection keep the file to itself from its first use on, without a wal-index that others see."""
    mode = pragma(connection, "locking_mode = EXCLUSIVE")
    if mode != "exclusive":
        raise StoreUnavailableError(f"SQLite keeps the locking mode {mode!r} for {connection.filename}.")


def open_reading(path: Path, *, settings: SqliteSettings, vfs: str | None = None) -> apsw.Connection:
    """Open the database for reading only. Raises apsw's errors."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=vfs)
    try:
        connection.set_busy_timeout(int(settings.lock_patience_seconds * 1000))
        keep_plans(connection)
        _set(connection, "query_only", 1)
        _set(connection, "synchronous", _SYNCHRONOUS_FULL)
        _set(connection, "cache_size", -settings.page_cache_kibibytes)
    except BaseException:
        connection.close(force=True)
        raise
    return connection


def pragma(connection: apsw.Connection, text: str) -> str | int | None:
    """Run one PRAGMA and return its single value, None if it has none."""
    value: str | int | None = connection.execute(f"PRAGMA {text}").get
    return value


def demand_page_size(connection: apsw.Connection) -> None:
    """Raise StoreCorruptError for a database that was made with pages of another size: nothing of it would be found."""
    found = pragma(connection, "page_size")
    if found != PAGE_BYTES:
        raise StoreCorruptError(
            f"the database {connection.filename} has pages of {found} bytes; Perdure's have {PAGE_BYTES}. Nothing was "
            f"changed. Choose another path, and let Perdure make the file."
        )


def demand_writable(connection: apsw.Connection) -> None:
    """Raise apsw.ReadOnlyError for a file that this user cannot write."""
    if connection.readonly("main"):
        raise apsw.ReadOnlyError("the file is read-only")


def _set(connection: apsw.Connection, name: str, value: int) -> None:
    pragma(connection, f"{name} = {value}")
    found = pragma(connection, name)
    if found != value:
        raise StoreUnavailableError(
            f"SQLite did not accept the setting {name} = {value} for {connection.filename} (it says {found!r})."
        )
