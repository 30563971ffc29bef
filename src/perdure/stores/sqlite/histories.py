"""Histories as they are read: each event is checked against the chain of digests before it is decoded.

**Promise.** What is returned is what was written for this run, in its place: see `perdure.stores.sql.chain`. A page
says nothing of the events before it; whoever reads all pages has checked all. The last one is compared with the run's
row, which counts the events, so that none is missing at the end.

A page that begins after an event reads that event, too, for its digest. Events that an older Perdure wrote have none;
of them it is known only that none is missing. They are at the beginning, and the store knows which rows are that old
(`perdure.stores.sql.digests`): any other event without a digest is damaged.
"""

from collections.abc import Iterator
from contextlib import closing

import apsw

from perdure.errors import HistoryError
from perdure.kernel.history import RecordedEvent, decode_event
from perdure.kernel.identity import RunKey
from perdure.stores.sql import histories as history_statements
from perdure.stores.sql.checking import ChainCheck, StoredEvent
from perdure.stores.sqlite.rows import ref_of

__all__ = ["read_history", "stored_events"]


def read_history(connection: apsw.Connection, run_key: RunKey, *, after: int, limit: int) -> list[RecordedEvent]:
    """Return the events after `after`, at most `limit`; none of a run that does not exist.

    Raises DamagedHistoryError, and HistoryError for an event that is sound and cannot be decoded: only a newer Perdure
    has written that, with its digest.
    """
    with connection:  # one moment: who deletes a run takes its history, too
        run = _run(connection, run_key)
        if run is None or limit <= 0:
            return []
        *name, counted = run
        check = ChainCheck(ref_of(*name), after=max(after, 0))
        rows = list(stored_events(connection, run_key, check, limit=limit))
        if len(rows) < limit:
            check.demand_end(counted)
    return [_decoded(row, check) for row in rows]


def _decoded(row: StoredEvent, check: ChainCheck) -> RecordedEvent:
    try:
        return decode_event(*row[:-1])
    except HistoryError as error:
        if row[-1] is not None:
            raise
        raise check.damage(row[0], f"it is none that an older Perdure wrote: {error}") from error


def _run(connection: apsw.Connection, run_key: RunKey) -> tuple[str, str, int, int] | None:
    """Return namespace, id, generation and how many events a run's row counts. Raises HistoryError."""
    try:
        found: tuple[str, str, int, int] | None = connection.execute(history_statements.HISTORY_OF_RUN, (run_key,)).get
    except UnicodeDecodeError as error:
        raise HistoryError(f"the row of run key {run_key} holds text that is not UTF-8: {error}") from error
    return found


def stored_events(
    connection: apsw.Connection, run_key: RunKey, check: ChainCheck, *, limit: int
) -> Iterator[StoredEvent]:
    """Yield the next events of a history, each once it is checked. Raises DamagedHistoryError."""
    before = check.sequence
    # Closed at once, since a statement that is not at its end keeps the connection at the moment of its begin.
    with closing(connection.cursor()) as cursor:
        cursor.execute(history_statements.READ_HISTORY, (run_key, before, limit + min(before, 1)))
        while True:
            try:
                row = next(cursor, None)
            except UnicodeDecodeError as error:
                raise check.damage(check.sequence + 1, f"it holds text that is not UTF-8: {error}") from error
            if row is None:
                return
            if check.take(row):
                yield row
