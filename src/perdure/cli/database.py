"""The database that a command works on: which one, whether it is there, and the engine that opens it as a client."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast
from urllib.parse import unquote

import msgspec

from perdure.cli.code import import_module
from perdure.cli.exits import NoDatabaseError
from perdure.codecs import Payloads
from perdure.engine import Engine
from perdure.errors import UsageError
from perdure.kernel.identity import DEFAULT_NAMESPACE
from perdure.ports.store import RunStore
from perdure.redaction import redacted
from perdure.stores.opening import database_path, has_tables, is_on_a_server, open_store
from perdure.stores.sqlite.looking import SqliteLook
from perdure.stores.sqlite.presence import demand_not_replaced

__all__ = [
    "DEFAULT_URL",
    "Place",
    "as_client",
    "demand_url",
    "looking",
    "payloads_from_environment",
    "require_database",
    "store_of",
    "url_of",
]

DEFAULT_URL: Final = "sqlite:///perdure.db"
"""The database where neither ``--db`` nor PERDURE_URL names one."""

PAYLOADS_VARIABLE: Final = "PERDURE_PAYLOADS"
"""Names the codecs of the database's values, where these are to be shown."""

_SQLITE: Final = "sqlite:///"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a command looks: the database's URL and the namespace within it."""

    url: str = DEFAULT_URL
    namespace: str = DEFAULT_NAMESPACE


@asynccontextmanager
async def as_client(place: Place) -> AsyncIterator[Engine]:
    """Open the database that is there, to look and to steer; no run is executed in this process.

    Raises NoDatabaseError, UsageError for a URL that names none, and the errors of opening.
    """
    await _demand_database(place.url)
    payloads = payloads_from_environment().leaving_unreadable()
    async with Engine(place.url, namespace=place.namespace, works=False, payloads=payloads) as engine:
        yield engine


@asynccontextmanager
async def looking(place: Place) -> AsyncIterator[RunStore]:
    """Open the database that is there for questions about what is recorded, whose values are not decoded.

    A file is only read, also one that no engine opens. Raises NoDatabaseError, UsageError and StoreErrors.
    """
    if not is_on_a_server(place.url):
        async with SqliteLook(require_database(place.url)) as look:
            yield cast("RunStore", look)  # which has what only reads
        return
    await _demand_database(place.url)
    async with Engine(place.url, namespace=place.namespace, works=False) as engine:
        yield store_of(engine)


async def _demand_database(url: str) -> None:
    """Raise NoDatabaseError where no engine has made a database yet, UsageError and StoreErrors."""
    if not is_on_a_server(url):
        require_database(url)
    elif not await has_tables(url):
        message = f"there are no tables of Perdure in {open_store(url).location}. {_HINT}"
        raise NoDatabaseError(message)


def payloads_from_environment() -> Payloads:
    """Return the `Payloads` that PERDURE_PAYLOADS names, such as ``orders.storage:payloads``; plain ones without it.

    Raises UsageError if there is none.
    """
    name = os.environ.get(PAYLOADS_VARIABLE, "")
    if not name:
        return Payloads()
    module, colon, attribute = name.partition(":")
    if not colon:
        message = f"{PAYLOADS_VARIABLE}={name}: it must look like module:name"
        raise UsageError(message)
    found = getattr(import_module(module, asked_by=PAYLOADS_VARIABLE), attribute, None)
    if not isinstance(found, Payloads):
        message = f"{PAYLOADS_VARIABLE}={name}: that is a {type(found).__name__}, not a Payloads"
        raise UsageError(message)
    return found


def store_of(engine: Engine) -> RunStore:
    """Return the open store of an engine, for the questions that only an operator has."""
    return engine.worker.store


def url_of(path: Path) -> str:
    """Return the URL of a database file."""
    return f"{_SQLITE}{path.absolute()}"


def demand_url(url: str) -> None:
    """Raise UsageError for a URL that names no database, or one that no command can see."""
    if is_on_a_server(url):
        open_store(url)
    else:
        _database_file(url)


def _database_file(url: str) -> Path:
    """Return the file that a URL names. Raises UsageError for a URL of anything else."""
    if url == "memory:":
        message = "memory: names a database inside one process, which no other command can see; name a file's URL"
        raise UsageError(message)
    if is_on_a_server(url):
        return database_path(url)  # which raises
    if not url.startswith(_SQLITE):
        shown = redacted(url)
        is_path = bool(url) and "://" not in url and not url.startswith("sqlite:")
        hint = f"; did you mean sqlite:///{shown}?" if is_path else ""
        message = (
            f"{shown!r} is not the URL of a database, such as sqlite:///perdure.db or postgresql://host/database{hint}"
        )
        raise UsageError(message)
    return Path(unquote(url.removeprefix(_SQLITE)))


def require_database(url: str) -> Path:
    """Return the file of a database that exists.

    Raises NoDatabaseError, UsageError, StoreUnavailableError if another one was about to take its place.
    """
    path = _database_file(url)
    try:
        demand_not_replaced(path)
        missing = _what_is_missing(path)
    except (OSError, ValueError) as error:  # the latter for a null character
        missing = f"there is no database at {str(path)!r:.200}: {getattr(error, 'strerror', None) or error}"
    if missing:
        message = f"{missing}. {_HINT}"
        raise NoDatabaseError(message)
    return path


def _what_is_missing(path: Path) -> str:
    """Return what a path is instead of a database; empty if it may be one."""
    if path.is_dir():
        return f"{path} is a folder, not a database"
    if not path.exists():
        return f"there is no database at {path.absolute()}"
    if path.stat().st_size == 0:
        return f"the file {path.absolute()} is empty: no engine has used it yet"
    return ""


_HINT: Final = (
    "An engine makes the database when it is first opened; name an existing one with --db sqlite:///PATH, or "
    "postgresql://HOST/DATABASE, or the environment variable PERDURE_URL."
)
