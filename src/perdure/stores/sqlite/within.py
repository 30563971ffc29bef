"""Runs that are created within a transaction of a caller's: there with whatever else it writes, or not at all.

The caller's connection is apsw's, and so of the library that Perdure writes with: an older SQLite, as many a Python has
for its `sqlite3`, can lose what is committed in the log when another process begins that anew
(https://sqlite.org/releaselog/3_51_3.html). It makes commits durable as Perdure's own does.
"""

from pathlib import Path
from typing import Final

import apsw

from perdure.errors import InternalError, UsageError
from perdure.kernel.identity import RunKey
from perdure.kernel.transition import Applied, Exists, Outcome
from perdure.ports.store import RunSummary
from perdure.stores.sqlite.application import apply_alone
from perdure.stores.sqlite.connection import pragma
from perdure.stores.sqlite.encoding import EncodedCreation
from perdure.stores.sqlite.reads import find
from perdure.stores.sqlite.segment import News

__all__ = ["create_within", "touch"]


def create_within(given: object, creation: EncodedCreation, *, path: Path) -> tuple[Outcome, RunSummary | None]:
    """Create a run; see `RunStore.create_within`. Blocks where another process writes, as long as the connection
    says."""
    connection = _demand_transaction(given, path)
    connection.execute(_BEGIN)
    try:
        outcome, existing = _create(connection, creation)
    except BaseException:
        if connection.in_transaction:  # some errors end it
            connection.execute(_UNDO)
            connection.execute(_END)
        raise
    connection.execute(_END)
    return outcome, existing


def _create(connection: apsw.Connection, creation: EncodedCreation) -> tuple[Outcome, RunSummary | None]:
    outcome = apply_alone(connection, creation, known={}, news=News())
    if not isinstance(outcome, Applied | Exists):
        raise InternalError(f"the creation of run {creation.ref} was answered by {outcome!r}")
    existing = None if outcome.run_key == creation.run_key else find(connection, outcome.run_key, latest=False)
    return outcome, existing


def _demand_transaction(given: object, path: Path) -> apsw.Connection:
    """Return a connection to the file on which a transaction is open. Raises UsageError for what is none."""
    if not isinstance(given, apsw.Connection):
        raise UsageError(
            f"within={given!r:.80}: no connection of apsw; on SQLite it must be one, since what another library of "
            f"SQLite is built in may be older, and lose what is committed at the same moment"
        )
    if not given.in_transaction:
        raise UsageError(
            "within=: no transaction is open on this connection, so that the run would be started at once, whatever "
            "becomes of the rest; use `with connection:`, or BEGIN IMMEDIATE"
        )
    if not given.filename or not Path(given.filename).samefile(path):
        raise UsageError(f"within=: the connection is to {given.filename or 'no file'}, and the engine's to {path}")
    synchronous = pragma(given, "synchronous")
    if synchronous not in _DURABLE:
        raise UsageError(
            f"within=: the connection has PRAGMA synchronous = {synchronous}, with which what is committed can be lost "
            f"as the power fails; set it to FULL before the transaction"
        )
    return given


def touch(connection: apsw.Connection, news: News, *, run_key: RunKey) -> None:
    """Have a transaction tell that a run may be claimed, which another connection has created."""
    connection.execute(_TOUCH, (run_key,))
    news.run_keys.add(run_key)
    news.is_ready = True


_DURABLE: Final = (2, 3)
_BEGIN: Final = "SAVEPOINT perdure_start"
_UNDO: Final = "ROLLBACK TO perdure_start"
_END: Final = "RELEASE perdure_start"

# run_key
_TOUCH: Final = "UPDATE runs NOT INDEXED SET recovering = recovering WHERE run_key = ?"
