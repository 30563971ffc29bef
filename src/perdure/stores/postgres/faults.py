"""From PostgreSQL's errors to the library's: what happened, to which database, and what to do."""

from ssl import SSLError
from typing import Final

from perdure.errors import (
    InternalError,
    PerdureError,
    StoreCorruptError,
    StoreFullError,
    StoreUnavailableError,
)
from perdure.stores.postgres.connection import driver_errors

__all__ = [
    "has_ended",
    "is_contention",
    "is_lost",
    "is_unknown_table",
    "may_be_of_one",
    "store_error",
    "transaction_is_over",
]


def is_lost(error: BaseException) -> bool:
    """Whether an error leaves open what became of the statement: no answer has come, or the server was ending."""
    state = _state(error)
    if state:
        return state.startswith(_CONNECTION) or state in _ENDING
    return isinstance(error, driver_errors())


def has_ended(error: BaseException) -> bool:
    """Whether a connection has ended that was of use before: another one may be, at once."""
    return is_lost(error) and not isinstance(error, OSError)  # as time-outs are, and whatever connecting raises


def is_contention(error: BaseException) -> bool:
    """Whether a transaction was undone since another was in its way, or has changed a table meanwhile: it may succeed
    when it is tried again at once."""
    return _state(error) in _CONTENTION or _is_of_older_table(error)


def may_be_of_one(error: BaseException) -> bool:
    """Whether a statement about many things failed by one of them, perhaps, and would not without it: by damage, by a
    value that cannot be, or by what takes too long."""
    state = _state(error)
    return state.startswith(_OF_DATA) or state == _CANCELED or isinstance(error, ValueError)  # a driver's, of a value


def transaction_is_over(error: BaseException) -> bool:
    """Whether there is no such transaction any more as a statement belongs to."""
    return _state(error) in _NO_TRANSACTION


def is_unknown_table(error: BaseException) -> bool:
    """Whether a statement names a table that is not there."""
    return _state(error) in _UNKNOWN


def _state(error: BaseException) -> str:
    """Return the code by which a server names an error, whatever the driver; empty for one that is not a server's."""
    return getattr(_original(error), "sqlstate", None) or ""


def _original(error: BaseException) -> BaseException:
    original: BaseException = getattr(error, "orig", error)  # SQLAlchemy's errors have their driver's
    return original


def _is_of_older_table(error: BaseException) -> bool:
    """Whether a statement was prepared when a table had other columns. The drivers have forgotten it then; asyncpg does
    it again by itself, but not within a transaction."""
    if _state(error) != _NOT_SUPPORTED:
        return False
    original = _original(error)
    fields = getattr(original, "diag", original)  # psycopg's name it there
    names = ("source_function", "server_source_function")
    return any(getattr(fields, name, None) == _PLANNING_AGAIN for name in names)


def store_error(error: BaseException, *, location: str, doing: str) -> PerdureError:
    """Return the library's error for one that came up while `doing` something to the database at `location`."""
    if isinstance(error, PerdureError):
        return error
    kind, advice = _advice(error)
    failure = kind(f"{doing} failed on the database {location}: {str(error) or type(error).__name__}. {advice}")
    failure.__cause__ = error
    return failure


def _advice(error: BaseException) -> tuple[type[PerdureError], str]:
    state = _state(error)
    if state in _FULL_STATES:
        return StoreFullError, _FULL
    if is_contention(error) or state == _LOCK_NOT_AVAILABLE:
        return StoreUnavailableError, _LOCKED  # no StoreLockedError: it is not the whole store that waits
    if state in _CORRUPT_STATES:
        return StoreCorruptError, _CORRUPT
    if state == _READ_ONLY_STATE:
        return StoreUnavailableError, _READ_ONLY
    if state.startswith(_REFUSED_CLASSES) or state == _NO_PRIVILEGE:
        return StoreUnavailableError, _REFUSED
    if isinstance(error, SSLError):
        return StoreUnavailableError, _UNTRUSTED
    if is_lost(error) or state.startswith(_FOR_NOW_CLASSES):
        return StoreUnavailableError, _UNAVAILABLE
    return InternalError, _DEFECT


# Classes and codes of https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONNECTION: Final = ("08",)
_ENDING: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
_CONTENTION: Final = frozenset({"40001", "40P01"})
_NOT_SUPPORTED: Final = "0A000"
_PLANNING_AGAIN: Final = "RevalidateCachedQuery"
"""The server's function that finds it; the state says too little, and the text is in the server's language."""
_UNKNOWN: Final = frozenset({"42P01", "3F000"})
_NO_TRANSACTION: Final = frozenset({"25P01", "3B001"})
_LOCK_NOT_AVAILABLE: Final = "55P03"
_FULL_STATES: Final = frozenset({"53100"})
_OF_DATA: Final = ("XX", "22", "54")
_CANCELED: Final = "57014"
_CORRUPT_STATES: Final = frozenset({"XX001", "XX002"})
_READ_ONLY_STATE: Final = "25006"
_NO_PRIVILEGE: Final = "42501"
_REFUSED_CLASSES: Final = ("28", "3D")
_FOR_NOW_CLASSES: Final = ("53", "57", "58")

_FULL: Final = """\
The server's disk is full; nothing of this call was saved. Make room: calls succeed again by themselves."""
_LOCKED: Final = """\
Another transaction was in the way; nothing of this call was saved. Calls succeed again by themselves; \
`select * from pg_stat_activity` shows who holds locks for long."""
_READ_ONLY: Final = """\
The server takes no writes: it is a standby, or was made read-only. Nothing of this call was saved. Give the URL of \
the primary, or of both with target_session_attrs=read-write."""
_REFUSED: Final = """\
The server refuses this user, password or database. Check the URL and the user's rights (where rows are secured, its \
namespaces: `perdure row-security`); nothing was changed."""
_UNTRUSTED: Final = """\
No encrypted connection came about. Check sslmode, sslrootcert, sslcert and sslkey in the URL, and the certificates."""
_CORRUPT: Final = """\
The server says that its files are damaged. Stop what writes to it, keep a copy, and restore a backup."""
_UNAVAILABLE: Final = """\
The server does not answer, or is ending. Check that it runs and can be reached; calls succeed again by themselves \
when the cause is gone."""
_DEFECT: Final = "This is a defect of Perdure; please report it with this message."
