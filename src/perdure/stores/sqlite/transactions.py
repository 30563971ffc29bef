"""Transactions of steps: what a function of a user writes is committed together with its outcome, or not at all.

The function runs in the thread that writes, in a savepoint of the transaction that is open there, on tables of its own
in the same file. It may do what leaves that transaction alone, and Perdure's tables: anything else is refused by the
name of what it asked for. What the other writers of the process have in the transaction is not touched by its failure.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import apsw

from perdure.kernel.transition import Applied, Delivery, Outcome, Stale
from perdure.ports.transactions import StepTransaction
from perdure.stores.sql import inboxes as inbox_statements
from perdure.stores.sqlite.encoding import EncodedDelivery, encode_write
from perdure.stores.sqlite.inboxes import deliver
from perdure.stores.sqlite.schema import our_tables
from perdure.stores.sqlite.segment import News

__all__ = ["make_step"]


def make_step(connection: apsw.Connection, news: News, *, step: StepTransaction) -> Outcome | BaseException:
    """Make a step within the transaction that is open; return its outcome, or what it raised."""
    connection.execute("SAVEPOINT step")
    outcome: Outcome | BaseException
    try:
        outcome = _make(connection, news, step)
    except BaseException as error:
        if not connection.in_transaction:
            raise
        outcome = error
    if not isinstance(outcome, Applied):
        connection.execute("ROLLBACK TO step")
    connection.execute("RELEASE step")
    return outcome


def _make(connection: apsw.Connection, news: News, step: StepTransaction) -> Outcome:
    if not connection.execute(_IS_OWNED, (step.run_key, step.fencing_token, step.owner)).get:
        return Stale(step.run_key)
    with _leaving_alone(connection):
        told: Delivery = step.perform(connection)
    if connection.execute(inbox_statements.HAS_MESSAGE, (step.run_key, told.message_id)).get:
        return Stale(step.run_key)
    encoded = encode_write(told, owner=step.owner)
    assert isinstance(encoded, EncodedDelivery)
    [outcome] = deliver(connection, [encoded], news=news, is_exact=True)
    return outcome


@contextmanager
def _leaving_alone(connection: apsw.Connection) -> Iterator[None]:
    """Refuse what would end the transaction, reach beyond the file, or change what is Perdure's."""
    ours = our_tables()

    def authorise(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        is_refused = (
            action in _REFUSED
            or (action in _OF_ROWS and first in ours)
            or (action in _OF_TABLES and (first in ours or second in ours))
        )
        return apsw.SQLITE_DENY if is_refused else apsw.SQLITE_OK

    connection.authorizer = authorise
    try:
        yield
    finally:
        connection.authorizer = None


# Codes of https://www.sqlite.org/c3ref/c_alter_table.html: which names they are told with stands there.
_REFUSED: Final = frozenset({apsw.SQLITE_TRANSACTION, apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH, apsw.SQLITE_PRAGMA})
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
