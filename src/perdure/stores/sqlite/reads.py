"""The questions: functions of a connection, run on the reader's thread."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw

from perdure.errors import HistoryError
from perdure.kernel.identity import RunKey, RunRef, WorkerId, WorkflowVersion
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.ports.store import InboxEntry, RunSummary, StoreStatus
from perdure.stores.sql import inboxes as inbox_statements
from perdure.stores.sql import sessions as session_statements
from perdure.stores.sql import statements
from perdure.stores.sql.passing import NONE_PASSED, Passing, passing_over
from perdure.stores.sqlite.connection import pragma
from perdure.stores.sqlite.rows import inbox_of, sound_message_of, summary_of, versions_as_json
from perdure.stores.sqlite.schema import schema_version

__all__ = [
    "find",
    "find_by_request",
    "last_notices",
    "next_wake_at",
    "read_inbox",
    "read_rest_of_inbox",
    "status",
]


def find(connection: apsw.Connection, ref: RunRef | RunKey, *, latest: bool) -> RunSummary | None:
    """Return a run's row, by key, by id (latest generation) or by generation."""
    if not isinstance(ref, RunRef):
        row = connection.execute(statements.FIND_RUN["by key"], (ref,)).get
    elif latest:
        row = connection.execute(statements.FIND_RUN["latest"], (ref.namespace, ref.id)).get
    else:
        row = connection.execute(statements.FIND_RUN["by generation"], (ref.namespace, ref.id, ref.generation)).get
    return None if row is None else summary_of(row)


def find_by_request(connection: apsw.Connection, namespace: str, request_id: str) -> RunSummary | None:
    """Return the row of the run that was created with a request id."""
    row = connection.execute(statements.FIND_RUN["by request"], (namespace, request_id)).get
    return None if row is None else summary_of(row)


def read_inbox(connection: apsw.Connection, run_key: RunKey, *, after: int, limit: int) -> list[InboxEntry]:
    """Return the oldest messages behind a position. Raises HistoryError."""
    return inbox_of(run_key, _fetch(connection, inbox_statements.READ_INBOX, (run_key, after, max(limit, 0))))


def read_rest_of_inbox(connection: apsw.Connection, run_key: RunKey) -> list[InboxEntry]:
    """Return the messages that are as they were written, up to a page that cannot be read."""
    rest: list[InboxEntry] = []
    with suppress(apsw.CorruptError):
        for row in connection.execute(inbox_statements.INBOX_AS_BYTES, (run_key,)):
            rest += sound_message_of(run_key, row)
    return rest


def next_wake_at(
    connection: apsw.Connection, workflows: frozenset[WorkflowVersion], *, passing: Passing = NONE_PASSED
) -> Timestamp | None:
    """Return the earliest time at which a run that nobody owns comes due."""
    names = versions_as_json(workflows)
    next_wake = passing_over(statements.NEXT_WAKE, passing)
    with connection:  # all at one moment
        moments: list[int | None] = [connection.execute(next_wake, (names, priority)).get for priority in Priority]
        moments.append(connection.execute(passing_over(statements.NEXT_END, passing)).get)
    return min((Timestamp(moment) for moment in moments if moment is not None), default=None)


def last_notices(connection: apsw.Connection) -> tuple[dict[WorkerId, int], WorkerId]:
    """Return the number of each session's last notice, and the session that began last, be it there or not."""
    with connection:
        rows = connection.execute(session_statements.LAST_NOTICES)
        numbers = {WorkerId(worker_id): number for worker_id, number in rows}
        newest = WorkerId(connection.execute(session_statements.LAST_WORKER_ID).get or 0)
    return numbers, newest


def status(connection: apsw.Connection, path: Path) -> StoreStatus:
    """Return facts about the file."""
    files = (path, path.with_name(f"{path.name}-wal"))
    sizes = [file.stat().st_size if file.exists() else 0 for file in files]
    facts = {
        "sqlite": apsw.sqlite_lib_version(),
        "journal_mode": pragma(connection, "journal_mode"),
        "synchronous": pragma(connection, "synchronous"),
        "page_size": pragma(connection, "page_size"),
        "page_count": pragma(connection, "page_count"),
        "free_pages": pragma(connection, "freelist_count"),
        "log_bytes": sizes[1],
        "sessions": ", ".join(str(worker_id) for (worker_id,) in connection.execute(session_statements.SESSION_IDS)),
    }
    return StoreStatus(
        location=str(path),
        schema_version=schema_version(connection),
        size_bytes=sum(sizes),
        facts={name: str(value) for name, value in facts.items()},
    )


def _fetch(connection: apsw.Connection, statement: str, parameters: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """Return the rows of a run, named first among the parameters. Raises HistoryError for text that is none."""
    try:
        return list(connection.execute(statement, parameters))
    except UnicodeDecodeError as error:
        raise HistoryError(f"the rows of run {parameters[0]} hold text that is not UTF-8: {error}") from error
