"""Transactions of steps: what a function of a user writes is committed together with its outcome, or not at all.

The function runs in the thread that writes, in a savepoint of the transaction that is open there, on tables of its own
in the same file. So it is not given the connection itself, on which others write: it executes statements, one after the
other and each to its end, that leave the transaction and Perdure's tables alone. What other writers of the process have
in the transaction is not touched by its failure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import apsw

from perdure.errors import UsageError
from perdure.kernel.transition import Applied, Delivery, Outcome, Stale
from perdure.ports.transactions import ENDINGS, StepTransaction
from perdure.stores.sql import inboxes as inbox_statements
from perdure.stores.sqlite.encoding import EncodedDelivery, encode_write
from perdure.stores.sqlite.inboxes import deliver
from perdure.stores.sqlite.schema import our_tables
from perdure.stores.sqlite.segment import News

__all__ = ["StepConnection", "StepJob"]

Row = tuple[Any, ...]
"""Values as SQLite has them: None, int, float, str or bytes."""


class StepConnection:
    """What a transactional activity writes by, and reads: all of it in the transaction of its attempt."""

    def __init__(self, connection: apsw.Connection) -> None:
        """Execute on `connection`, until `close`."""
        self._connection: apsw.Connection | None = connection

    def execute(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """Execute a statement; return its rows.

        Raises apsw.Error as SQLite does, AuthError for what is not a step's business, and UsageError for a statement
        that could undo the transaction of all, or comes when the step is over.
        """
        return self._open_for(statement).execute(statement, parameters).fetchall()

    def executemany(self, statement: str, rows: Iterable[Sequence[Any] | Mapping[str, Any]]) -> None:
        """Execute a statement once for each row of parameters. Raises as `execute`."""
        self._open_for(statement).executemany(statement, rows).fetchall()

    def value(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Any:  # noqa: ANN401 - see Row
        """Execute a statement; return the first value of its first row, None if it has none. Raises as `execute`."""
        rows = self.execute(statement, parameters)
        return rows[0][0] if rows else None

    def close(self) -> None:
        """Execute no more: the step is over."""
        self._connection = None

    def _open_for(self, statement: str) -> apsw.Connection:
        if self._connection is None:
            raise UsageError("the connection of a transactional activity serves its own attempt only, and that is over")
        if _UNDOES_ALL.search(statement):
            raise UsageError(
                f"{statement!r:.60}: ON CONFLICT ROLLBACK would undo what others are writing at this moment; take ABORT"
            )
        return self._connection


class StepJob:
    """A step for the thread that writes, which may call it again after its transaction was undone."""

    def __init__(self, step: StepTransaction) -> None:
        """Make `step` when called."""
        self._step: Final = step
        self._has_undone_all = False

    def __call__(self, connection: apsw.Connection, news: News) -> Outcome | BaseException:
        """Make it within the transaction that is open; return its outcome, or what it raised.

        Raises an apsw.Error if the whole transaction was undone. Was that by the step, it is not made again with the
        others: CorruptError has each job of the transaction applied by itself.
        """
        if self._has_undone_all:
            return UsageError(
                "a statement of a transactional activity has undone the whole transaction, by ON CONFLICT ROLLBACK of "
                "a table or RAISE(ROLLBACK) of a trigger: take ABORT there"
            )
        connection.execute(f"SAVEPOINT {_SAVEPOINT}")
        outcome: Outcome | BaseException
        try:
            outcome = _make(connection, news, self._step)
        except BaseException as error:  # noqa: BLE001 - code of a user: its error is the answer to its caller
            outcome = error
        if not connection.in_transaction:
            if isinstance(outcome, apsw.Error) and not isinstance(outcome, apsw.ConstraintError):
                raise outcome  # as of a full disk
            self._has_undone_all = True
            raise apsw.CorruptError("a step has undone a transaction")
        if not isinstance(outcome, Applied):
            connection.execute(f"ROLLBACK TO {_SAVEPOINT}")
        connection.execute(f"RELEASE {_SAVEPOINT}")
        return outcome


def _make(connection: apsw.Connection, news: News, step: StepTransaction) -> Outcome:
    if not connection.execute(_IS_OWNED, (step.run_key, step.fencing_token, step.owner)).get:
        return Stale(step.run_key)
    with _leaving_alone(connection):
        told = _perform(connection, step)
    has_ended = connection.execute(_HAS_ENDED, (step.run_key, step.sequence, step.operation, *ENDINGS)).get
    has_outcome = connection.execute(inbox_statements.HAS_MESSAGE, (step.run_key, told.message_id)).get
    if has_ended or has_outcome or not connection.in_transaction:
        return Stale(step.run_key)
    encoded = encode_write(told, owner=step.owner)
    assert isinstance(encoded, EncodedDelivery)
    [outcome] = deliver(connection, [encoded], news=news, is_exact=True)
    return outcome


def _perform(connection: apsw.Connection, step: StepTransaction) -> Delivery:
    given = StepConnection(connection)
    try:
        told: Delivery = step.perform(given)
    finally:
        given.close()
    return told


@contextmanager
def _leaving_alone(connection: apsw.Connection) -> Iterator[None]:
    """Refuse what would end the transaction, reach beyond the file, or change or hide what is Perdure's."""
    ours = our_tables()

    def authorise(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        is_refused = (
            action in _REFUSED
            or (action in _OF_ROWS and first in ours)
            or (action in _OF_TABLES and (first in ours or second in ours))
            or (action == apsw.SQLITE_SAVEPOINT and second is not None and second.lower() == _SAVEPOINT)
        )
        return apsw.SQLITE_DENY if is_refused else apsw.SQLITE_OK

    connection.authorizer = authorise
    try:
        yield
    finally:
        connection.authorizer = None


_SAVEPOINT: Final = "perdure_step"
_UNDOES_ALL: Final = re.compile(r"\b(OR\s+|CONFLICT\s+|RAISE\s*\(\s*)ROLLBACK\b", re.IGNORECASE)

# Codes of https://www.sqlite.org/c3ref/c_alter_table.html: which names they are told with stands there.
_REFUSED: Final = frozenset(
    {
        apsw.SQLITE_TRANSACTION,
        apsw.SQLITE_ATTACH,
        apsw.SQLITE_DETACH,
        apsw.SQLITE_PRAGMA,
        # a temporary table hides one of the file that has its name, from whoever writes by this connection
        apsw.SQLITE_CREATE_TEMP_INDEX,
        apsw.SQLITE_CREATE_TEMP_TABLE,
        apsw.SQLITE_CREATE_TEMP_TRIGGER,
        apsw.SQLITE_CREATE_TEMP_VIEW,
        apsw.SQLITE_CREATE_VTABLE,
    }
)
_OF_ROWS: Final = frozenset({apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE})
_OF_TABLES: Final = frozenset(
    {
        apsw.SQLITE_ALTER_TABLE,
        apsw.SQLITE_CREATE_INDEX,
        apsw.SQLITE_CREATE_TRIGGER,
        apsw.SQLITE_DROP_INDEX,
        apsw.SQLITE_DROP_TABLE,
        apsw.SQLITE_DROP_TRIGGER,
    }
)

# run_key, fencing_token, owner
_IS_OWNED: Final = "SELECT 1 FROM runs WHERE run_key = ? AND fencing_token = ? AND owner = ?"

# run_key, sequence, operation, types of events that end an attempt
_HAS_ENDED: Final = f"""
SELECT 1 FROM history WHERE run_key = ? AND sequence > ? AND json_extract(data, '$.operation') = ?
    AND type IN ({", ".join("?" * len(ENDINGS))})
"""  # noqa: S608 - places for parameters
