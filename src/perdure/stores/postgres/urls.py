"""What a URL of a server says: to the driver, to the store, and to whoever reads where a store is.

    postgresql://user:password@host:5432/database?sslmode=verify-full&schema=perdure

What the query says to the store is taken out of it; all else goes to the driver, and what that does not know to the
server, as one of its settings. No error, and no `location`, holds a user, a password, or a part of a URL that may be
one: a password whose ``@``, ``/``, ``?`` or ``#`` is not percent-encoded is read as a host, a path or a query by
everybody, so such URLs are refused.
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote_plus

import msgspec

from perdure.errors import UsageError
from perdure.stores.postgres.settings import PostgresSettings

__all__ = ["ServerUrl", "location_of", "read_url"]


class ServerUrl(msgspec.Struct, frozen=True, kw_only=True):
    """A URL that was read: what the driver gets, and the store's settings with what the URL says of them."""

    for_driver: str
    settings: PostgresSettings


class _Parts(msgspec.Struct, frozen=True):
    """A URL as it is written: `query` are the pairs of name and value, whose values are still encoded."""

    scheme: str
    user: str
    hosts: str
    database: str
    query: tuple[tuple[str, str], ...]


def read_url(url: str, settings: PostgresSettings) -> ServerUrl:
    """Read a URL; `settings` are those that it says nothing of. Raises UsageError."""
    parts = _parts(url)
    said: dict[str, str] = {}
    for name, value in parts.query:
        if name in said:
            raise _refusal(f"the query says {name} twice; say it once")
        if name in _REFUSED:
            raise _refusal(f"{name} is what Perdure sets itself; {_REFUSED[name]}")
        said[name] = unquote_plus(value)
    for name in _FILES & said.keys():
        if not Path(said[name]).is_file():
            raise _refusal(f"{name} names a file that is not there: {said[name]}")
    own = {field: read(name, said[name]) for name, (field, read) in _OWN.items() if name in said}
    rest = [(name, value) for name, value in parts.query if name not in _OWN]
    if _has_several_hosts(parts, said) and _TARGET not in said:
        rest.append((_TARGET, "read-write"))
    if _SESSION_HOST in said:
        own["session_url"] = _written(*_at(said[_SESSION_HOST], parts, rest))
        del own[_SESSION_HOST]
    return ServerUrl(
        for_driver=_written(parts, rest), settings=msgspec.structs.replace(settings, **own) if own else settings
    )


def _at(host: str, parts: _Parts, query: list[tuple[str, str]]) -> tuple[_Parts, list[tuple[str, str]]]:
    """Return a URL, and its query, that leads to another host."""
    rest = [(name, value) for name, value in query if name not in {"host", "port", _TARGET}]
    if host.startswith("/"):
        folder, _, port = host.partition(":")
        place = [("host", quote(folder)), *([("port", port)] if port else [])]
        return msgspec.structs.replace(parts, hosts=""), [*rest, *place]
    if "," in host:
        rest.append((_TARGET, "read-write"))
    return msgspec.structs.replace(parts, hosts=host), rest


def location_of(url: str) -> str:
    """Return a URL without user, password and settings."""
    parts = _parts(url)
    places = [(name, value) for name, value in parts.query if name in _PLACES]
    return _written(msgspec.structs.replace(parts, scheme="postgresql", user=""), places)


def _parts(url: str) -> _Parts:
    """Take a URL apart. Raises UsageError for one that is not surely read as it was meant."""
    scheme, colon, rest = url.partition("://")
    if not colon:
        raise _refusal("two slashes are missing")
    if not all("!" <= character <= "~" for character in url):
        raise _refusal(f"it has characters that no URL has; write each as %XX. {_ENCODE}")
    if "#" in rest:
        raise _refusal(f"it has a '#'. {_ENCODE}")
    place, _, query = rest.partition("?")
    authority, _, database = place.partition("/")
    user, at, hosts = authority.rpartition("@")
    if rest.count("@") > len(at):
        raise _refusal(f"it has an '@' that does not stand between password and host. {_ENCODE}")
    if not _are_hosts(hosts):
        raise _refusal(f"what stands for a host is none, or its port is no number. {_ENCODE}")
    if "/" in database:
        raise _refusal(f"the name of a database has a '/'. {_ENCODE}")
    return _Parts(scheme, user, hosts, database, tuple(_pair(pair) for pair in query.split("&") if pair))


def _are_hosts(hosts: str) -> bool:
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    return all(host is not None and int(host["port"] or 0) <= _HIGHEST_PORT for host in found)


def _pair(pair: str) -> tuple[str, str]:
    name, sign, value = pair.partition("=")
    if not (sign and _NAME.fullmatch(name)):
        raise _refusal(f"the query must be like ?name=value&name=value. {_ENCODE}")
    return name, value


def _has_several_hosts(parts: _Parts, said: Mapping[str, str]) -> bool:
    return "," in (parts.hosts or said.get("host", ""))


def _written(parts: _Parts, query: list[tuple[str, str]]) -> str:
    user = f"{parts.user}@" if parts.user else ""
    asked = "?" + "&".join(f"{name}={value}" for name, value in query) if query else ""
    return f"{parts.scheme}://{user}{parts.hosts}/{parts.database}{asked}"


def _refusal(what: str) -> UsageError:
    return UsageError(f"the URL of the PostgreSQL server cannot be used: {what}. {_SHAPE}")


# --- what the query says to the store --------------------------------------------------------------------------------


def _schema(name: str, value: str) -> str:
    if not _SCHEMA.fullmatch(value) or value.startswith("pg_"):
        raise _refusal(
            f"{name}={_shown(value)}: a schema is named by up to 40 of a-z, 0-9 and _, from a letter on, and not pg_"
        )
    return value


def _count(name: str, value: str) -> int:
    if not value.isascii() or not value.isdecimal() or not 1 <= int(value[:_LONGEST_COUNT]) <= _MOST_CONNECTIONS:
        raise _refusal(f"{name}={_shown(value)}: it must be a whole number from 1 to {_MOST_CONNECTIONS}")
    return int(value)


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise _refusal(f"{name}={_shown(value)}: it must be a number of seconds above zero")
    return seconds


def _text(name: str, value: str) -> str:
    if not value.isprintable() or not value:
        raise _refusal(f"{name}={_shown(value)}: it must be a text of one line")
    return value


def _host(name: str, value: str) -> str:
    if not (_FOLDER.fullmatch(value) or (_PLAIN_HOSTS.fullmatch(value) and _are_hosts(value))):
        raise _refusal(f"{name}={_shown(value)}: it must be host:port, or the folder of a socket, of the server itself")
    return value


def _shown(value: str) -> str:
    return quote(value[:_SHOWN])


_SESSION_HOST: Final = "session_host"
_TARGET: Final = "target_session_attrs"

_Read = Callable[[str, str], object]

_OWN: Final[Mapping[str, tuple[str, _Read]]] = {
    "schema": ("schema", _schema),
    "lanes": ("lanes", _count),
    "readers": ("readers", _count),
    "connect_timeout": ("connect_seconds", _seconds),
    "application_name": ("application_name", _text),
    _SESSION_HOST: (_SESSION_HOST, _host),
}
"""Name in the query -> name of the setting, and how its value is read."""

_REFUSED: Final[Mapping[str, str]] = {
    "search_path": "say schema=NAME instead",
    "lock_timeout": "say Settings(lock_patience_seconds=...) instead",
    "statement_timeout": "leave it out",
    "idle_in_transaction_session_timeout": "leave it out",
    "client_encoding": "leave it out",
    "jit": "leave it out",
    "pooled": "say session_host=HOST:PORT, the server itself, where the URL leads to a pooler in transaction mode",
}
"""What may be in no query, and what to do instead."""

_FILES: Final = frozenset({"sslrootcert", "sslcert", "sslkey", "sslcrl"})
_PLACES: Final = ("host", "port", "dbname", "database", "service")
"""What a query may say of where the database is."""

_HOST: Final = re.compile(r"(\[[\w:.%]*\]|[^:\[\]]*)(:(?P<port>\d{1,5}))?", re.ASCII)
_FOLDER: Final = re.compile(r"/[\w./-]+(:\d{1,5})?", re.ASCII)
_PLAIN_HOSTS: Final = re.compile(r"[\w.:,\[\]-]+", re.ASCII)
_HIGHEST_PORT: Final = 65_535
_NAME: Final = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_SCHEMA: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MOST_CONNECTIONS: Final = 100
_LONGEST_COUNT: Final = 9
_SHOWN: Final = 60

_ENCODE: Final = "In a user, a password or a value write @ as %40, / as %2F, ? as %3F, # as %23, : as %3A"
_SHAPE: Final = "Write for example 'postgresql://user:password@host:5432/database?sslmode=verify-full&schema=perdure'."
