"""From a URL to a store.

| URL                          | store                                                       |
|------------------------------|-------------------------------------------------------------|
| `sqlite:///path`             | a database file, relative to the working directory          |
| `sqlite:////path`            | a database file by its absolute path                        |
| `postgresql://host/database` | a database of a PostgreSQL server; `postgres://` is the same |
| `memory:`                    | in this process only, for tests and trials                  |
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from perdure.configuration import Settings
from perdure.errors import UsageError
from perdure.kernel.time import Timestamp
from perdure.ports.clock import Clock
from perdure.ports.store import RunStore
from perdure.redaction import redacted

if TYPE_CHECKING:
    from perdure.stores.postgres.store import PostgresStore
    from perdure.stores.sqlite.compaction import Compaction

__all__ = ["compact_store", "database_path", "has_tables", "is_on_a_server", "open_store"]

_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = ("postgresql:", "postgres:")
_MEMORY: Final = "memory:"


def open_store(
    url: str,
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    transaction_pool: object | None = None,
) -> RunStore:
    """Return the store that a URL names, not open yet: `RunStore.open` touches the database.

    `settings` gives the limits of commits and the patience with locks; `clock` says when a session's lease begins;
    `transaction_pool`: see `Engine`. Raises UsageError for a URL that names no store, and for a pool that is of no use.
    """
    if transaction_pool is not None and not is_on_a_server(url):
        raise UsageError(
            "transaction_pool= is for PostgreSQL: with SQLite a transactional activity writes by the connection of the "
            "one thread that writes, and in memory there is none"
        )
    if url == _MEMORY:
        from perdure.stores.memory import MemoryStore  # noqa: PLC0415 - only who uses a store pays for its import

        return MemoryStore()
    if url.startswith(_SQLITE):
        return _sqlite(database_path(url), settings=settings or Settings(), clock=clock)
    if is_on_a_server(url):
        return _postgres(url, settings=settings or Settings(), clock=clock, transaction_pool=transaction_pool)
    raise UsageError(
        f"{redacted(url)!r} names no store; use 'sqlite:///path' (three slashes: relative to the working directory, "
        f"four: absolute), 'postgresql://host/database' or 'memory:'"
    )


def is_on_a_server(url: object) -> bool:
    """Whether a URL names a database of a PostgreSQL server, if it names any."""
    return isinstance(url, str) and url.startswith(_POSTGRES)


async def has_tables(url: str) -> bool:
    """Whether a Perdure has made its tables in a database of a server; nothing is changed. Raises UsageError and
    StoreErrors."""
    return await _postgres(url, settings=Settings(), clock=None).has_tables()


def database_path(url: object) -> Path:
    """Return the database file that a URL names. Raises UsageError for one that names none, and for a store."""
    if is_on_a_server(url):
        raise UsageError(
            "a database of a PostgreSQL server has no file that Perdure could copy: use pg_dump or pg_basebackup, and "
            "archive the server's log for points in time"
        )
    if not isinstance(url, str) or not url.startswith(_SQLITE):
        shown = repr(redacted(url)) if isinstance(url, str) else repr(url)
        raise UsageError(f"{shown} names no database file, such as 'sqlite:///perdure.db': there is nothing to copy")
    return _path(url, unquote(url.removeprefix(_SQLITE)))


def compact_store(
    url: str,
    *,
    accepts_lost_pages: bool = False,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> "Compaction":
    """Give the free pages of a database back to the disk; blocks. Nobody may have it open.

    `accepts_lost_pages`, `on_progress`: see `perdure.stores.sqlite.compaction.compact`.

    Raises UsageError for a URL that names no file, StoreLockedError while somebody has the database open,
    StoreCorruptError if it is damaged, StoreErrors.
    """
    if is_on_a_server(url):
        raise UsageError(
            "a PostgreSQL server gives the room of removed rows to new ones itself (autovacuum); `VACUUM FULL` gives "
            "it back to the disk, while nobody works on the tables"
        )
    if not url.startswith(_SQLITE):
        shown = repr(redacted(url))
        raise UsageError(f"{shown} names no database file, such as 'sqlite:///perdure.db'; only these have free pages")
    from perdure.stores.sqlite.compaction import compact  # noqa: PLC0415 - only who compacts pays for it

    now = Timestamp(time.time_ns() // 1_000)
    path = _path(url, unquote(url.removeprefix(_SQLITE)))
    return compact(path, now=now, accepts_lost_pages=accepts_lost_pages, on_progress=on_progress)


def _path(url: str, path: str) -> Path:
    """Return the path that a URL holds. Raises UsageError for what another library would take for something else."""
    shown = repr(redacted(url))
    if not path or path.endswith("/"):
        raise UsageError(f"the store url {shown} names no file; write for example 'sqlite:///perdure.db'")
    if path == ":memory:":
        raise UsageError(f"the store url {shown} would be a file of that name; a store in memory is 'memory:'")
    if path.startswith("~"):
        raise UsageError(f"the store url {shown}: '~' is not replaced; write the whole path, after four slashes")
    return Path(path)


def _sqlite(path: Path, *, settings: Settings, clock: Clock | None) -> RunStore:
    from perdure.stores.sqlite.settings import SqliteSettings  # noqa: PLC0415 - only who uses a store pays for it
    from perdure.stores.sqlite.store import SqliteStore  # noqa: PLC0415 - as above

    chosen = SqliteSettings(
        lock_patience_seconds=settings.lock_patience_seconds,
        safety_check_seconds=settings.safety_check_seconds,
        writes_per_transaction=settings.commit_batch,
        settling_pause_seconds=settings.retry_store_maximum_seconds,
    )
    return SqliteStore(path, settings=chosen, clock=clock)


def _postgres(
    url: str, *, settings: Settings, clock: Clock | None, transaction_pool: object | None = None
) -> "PostgresStore":
    from perdure.stores.postgres.connection import demand_driver  # noqa: PLC0415 - only who uses a store pays for it
    from perdure.stores.postgres.settings import PostgresSettings  # noqa: PLC0415 - as above
    from perdure.stores.postgres.store import PostgresStore  # noqa: PLC0415 - as above
    from perdure.stores.postgres.urls import read_url  # noqa: PLC0415 - as above

    patience = settings.lock_patience_seconds
    chosen = PostgresSettings(
        lock_seconds=patience,
        statement_seconds=patience + _WORK_SECONDS,
        transaction_seconds=2 * (patience + _WORK_SECONDS),
        answer_seconds=patience + _WORK_SECONDS + _ANSWER_SECONDS,
        safety_check_seconds=settings.safety_check_seconds,
        settling_pause_seconds=settings.retry_store_maximum_seconds,
    )
    read = read_url(url, chosen)
    demand_driver()
    return PostgresStore(read.for_driver, settings=read.settings, clock=clock, transaction_pool=transaction_pool)


_WORK_SECONDS: Final = 25.0
"""So long a server may work on a statement, beside the time for which it may wait for a lock."""
_ANSWER_SECONDS: Final = 10.0
"""So much later an answer may come."""
