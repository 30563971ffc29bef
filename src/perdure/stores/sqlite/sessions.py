"""Sessions and claims: who owns which run. Functions of a connection, run within the writer's transaction.

An index may be older than the rows, as after a write that the disk has lost. What follows one takes `stale`, a set that
gets the runs which the index names and which are not so by their rows: these stay as they are.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

import apsw
import msgspec

from perdure.errors import StoreCorruptError
from perdure.kernel.failure import Failure
from perdure.kernel.identity import FencingToken, RunKey, WorkerId, WorkflowVersion
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Parking
from perdure.logs import logger_named
from perdure.ports.store import ClaimedRun
from perdure.stores.sql import ending, statements
from perdure.stores.sql import sessions as session_statements
from perdure.stores.sql import tasks as task_statements
from perdure.stores.sql.passing import NONE_PASSED, Passing, passing_over
from perdure.stores.sqlite.clock import as_json, heed_clock, keys_of, note_time
from perdure.stores.sqlite.faults import is_damage
from perdure.stores.sqlite.rows import parking_of, summary_of, versions_as_json
from perdure.stores.sqlite.scanning import MOST_FOUND
from perdure.stores.sqlite.segment import News
from perdure.stores.sqlite.unreadable import MOST_WRITTEN, demanding_sound

__all__ = [
    "KEYS_PER_SESSION_BITS",
    "LeftRuns",
    "Renewal",
    "Session",
    "claim",
    "end_session",
    "free_all",
    "free_expired",
    "free_left",
    "number_commit",
    "put_session",
    "renew",
]

_LOGGER: Final = logger_named("perdure.store")

KEYS_PER_SESSION_BITS: Final = 36
"""A run's key is the number of the session that gave it out, and below it a count of so many bits."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """This process's session."""

    worker_id: WorkerId
    name: str
    started_at: Timestamp
    lease_microseconds: int


LeftRuns = Mapping[RunKey, FencingToken | None]
"""Runs that a session owns and has not in memory, since they could not be given back when its lease had passed; each
with its fencing token, None as long as that has not been looked at."""


class Renewal(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a lease was kept (None: not yet a new one, there may be more to give back), the latest time that is
    noted, and which runs were left."""

    is_kept: bool | None
    known_time: Timestamp
    left: Sequence[RunKey] = ()


def put_session(connection: apsw.Connection, session: Session, *, now: Timestamp) -> Timestamp:
    """Insert the session's row, or extend its lease; return the latest time that is noted."""
    row = (*_identity(session), now + session.lease_microseconds, session.lease_microseconds)
    connection.execute(session_statements.PUT_SESSION, row)
    return note_time(connection, now)


def number_commit(connection: apsw.Connection, session: Session, *, number: int, notice: int) -> None:
    """Note within a transaction which of the session's commits and notices it is."""
    connection.execute(session_statements.NUMBER_COMMIT, (*_identity(session), number, notice))


def claim(
    connection: apsw.Connection,
    news: News,
    *,
    session: Session,
    now: Timestamp,
    limit: int,
    workflows: frozenset[WorkflowVersion],
    stale: set[RunKey],
    reach: int | None = None,
    code: str | None = None,
    passing: Passing = NONE_PASSED,
    most: int = MOST_WRITTEN,
) -> list[ClaimedRun]:
    """Take runs that nobody owns: those that are due to be ended, for at most half of the room while others are due,
    those that are due, best class and longest due first, and parked ones that `code` has not tried.

    It looks at `reach` runs that indexes name (None: no more than `limit`), at `most` at once, and does not come to
    those that are `passing`. Raises UnsoundRowsError.
    """
    lease = session.lease_microseconds
    heed_clock(connection, news, now=now, known_time=None, lease_microseconds=lease, passing=passing, most=most)
    reach = max(limit if reach is None else min(reach, most), 0)
    keys, parked = _claimable(connection, now=now, limit=reach, workflows=workflows, code=code, passing=passing)
    if not keys:
        return []
    reading = partial(_read, connection, owner=session.worker_id, now=now, parked=parked)
    with demanding_sound(keys):
        try:
            rows = reading(keys)
        except UnicodeDecodeError:
            rows = _read_singly(connection, reading, keys, news, now=now, code=code)
        stale.update(key for key in keys if key not in rows)
        claimed = [rows[key] for key in keys if key in rows][: max(limit, 0)]
        connection.execute(statements.TAKE_RUNS, (as_json([run.summary.run_key for run in claimed]), session.worker_id))
        unparked = [run.summary.run_key for run in claimed if run.parked is not None]
        if unparked:
            connection.execute(statements.UNPARK_RUNS, (as_json(unparked),))
    return claimed


def _claimable(
    connection: apsw.Connection,
    *,
    now: Timestamp,
    limit: int,
    workflows: frozenset[WorkflowVersion],
    code: str | None,
    passing: Passing,
) -> tuple[list[RunKey], list[RunKey]]:
    """Return which runs are to be claimed, as indexes say, and those that are parked: see `claim`."""
    names = versions_as_json(workflows)
    ends = keys_of(connection, passing_over(ending.RUNS_TO_END, passing), (now, limit))
    to_claim = passing_over(statements.RUNS_TO_CLAIM, passing)
    due: list[RunKey] = []
    for priority in Priority:
        if len(due) < limit:
            due += keys_of(connection, to_claim, (names, priority, now, limit - len(due)))
    keys = list(dict.fromkeys([*ends[: (limit + 1) // 2], *due, *ends]))[:limit]
    parked: list[RunKey] = []
    if code is not None and len(keys) < limit:
        parked = keys_of(connection, passing_over(statements.PARKED_TO_CLAIM, passing), (names, code, limit))
        keys = list(dict.fromkeys([*keys, *parked]))[:limit]
    return keys, parked


def renew(
    connection: apsw.Connection,
    news: News,
    *,
    session: Session,
    now: Timestamp,
    known_time: Timestamp,
    stale: set[RunKey],
    is_lost: bool = False,
    passing: Passing = NONE_PASSED,
    most: int = MOST_WRITTEN,
) -> Renewal:
    """Extend the lease. If it had passed, or `is_lost`, give back what the session still owns, up to `most`, and begin
    a new lease.

    `known_time`: see `perdure.stores.clock.heed`. Those that are `passing` stay as they are: the session's. Raises
    UnsoundRowsError.
    """
    lease = session.lease_microseconds
    heed_clock(connection, news, now=now, known_time=known_time, lease_microseconds=lease, passing=passing, most=most)
    known_time = note_time(connection, now)
    if not is_lost:
        connection.execute(session_statements.EXTEND_LEASE, (now + lease, session.worker_id, now))
        if connection.changes():
            return Renewal(is_kept=True, known_time=known_time)
    if _free(connection, session.worker_id, news, now=now, stale=stale, passing=passing, most=most) >= most:
        return Renewal(is_kept=None, known_time=known_time)
    put_session(connection, session, now=now)
    left = keys_of(connection, statements.RUNS_OF_OWNER, (session.worker_id, MOST_FOUND))
    return Renewal(is_kept=False, known_time=known_time, left=left)


def free_left(
    connection: apsw.Connection,
    news: News,
    *,
    session: Session,
    now: Timestamp,
    left: LeftRuns,
    stale: set[RunKey],
    passing: Passing = NONE_PASSED,
    most: int = MOST_WRITTEN,
) -> LeftRuns:
    """Give back what an earlier lease has left, of up to `most`; return what is left of it then.

    A run that the session has claimed since has another fencing token than when it was looked at for the first time.
    Those that are `passing` stay as they are. Raises UnsoundRowsError.
    """
    keys = sorted(left.keys() - passing)[:most]
    with demanding_sound(keys):
        tokens = dict(connection.execute(statements.TOKENS_OF_OWNER, (as_json(keys), session.worker_id)))
    freed = [key for key in keys if key in tokens and left[key] == tokens[key]]
    _free_keys(connection, freed, session.worker_id, news, now=now, stale=stale)
    gone = {*keys} - tokens.keys() | {*freed}
    return {key: tokens.get(key, token) for key, token in left.items() if key not in gone}


def free_expired(
    connection: apsw.Connection,
    news: News,
    *,
    session: Session,
    now: Timestamp,
    is_dead: Callable[[WorkerId], bool],
    stale: set[RunKey],
    passing: Passing = NONE_PASSED,
    most: int = MOST_WRITTEN,
) -> tuple[int, list[WorkerId], bool]:
    """Give back the runs of sessions that are dead, and forget these, and of those whose lease has passed.

    Those that are `passing` stay as they are, and so does the row of their session. Raises UnsoundRowsError.

    Return how many runs, up to `most`, which sessions are dead, and whether there may be more.
    """
    freed = 0
    dead: list[WorkerId] = []
    for worker_id, lease_until in list(connection.execute(session_statements.SESSIONS)):
        gone = worker_id != session.worker_id and is_dead(worker_id)
        if gone or lease_until <= now:
            freed += _free(connection, worker_id, news, now=now, stale=stale, passing=passing, most=most - freed)
        if gone:
            dead.append(worker_id)
            connection.execute(session_statements.END_SESSION, (worker_id,))
    return freed, dead, freed >= most


def free_all(
    connection: apsw.Connection, *, stale: set[RunKey], passing: Passing = NONE_PASSED, most: int = MOST_WRITTEN
) -> int:
    """Give back the runs of every session, all known to be dead, and forget the sessions; see `free_expired`."""
    keys = keys_of(connection, passing_over(statements.OWNED_RUNS, passing), (most,))
    _write(connection, statements.FREE_RUNS_AT_ANY_TIME, keys, stale=stale)
    _free_tasks(connection)
    connection.execute(session_statements.END_ALL_SESSIONS)
    return len(keys)


def end_session(
    connection: apsw.Connection,
    news: News,
    *,
    session: Session,
    stale: set[RunKey],
    is_unused: bool = False,
    passing: Passing = NONE_PASSED,
    most: int = MOST_WRITTEN,
) -> bool:
    """Give back the session's runs in good order, but those that are `passing`, and remove its row if it has none left;
    `is_unused`: it has given out no keys. False: `most` were given back, and there may be more.

    Raises UnsoundRowsError.
    """
    keys = keys_of(connection, passing_over(statements.RUNS_OF_OWNER, passing), (session.worker_id, most))
    if keys:
        _write(connection, statements.GIVE_BACK_RUNS, keys, session.worker_id, stale=stale)
        news.is_ready = True
    _free_tasks_of(connection, session.worker_id, news)
    connection.execute(session_statements.END_SESSION, (session.worker_id,))
    if is_unused:
        connection.execute(session_statements.FORGET_ORIGIN, (session.worker_id,))
    return len(keys) < most


def _free(
    connection: apsw.Connection,
    worker_id: WorkerId,
    news: News,
    *,
    now: Timestamp,
    stale: set[RunKey],
    passing: Passing,
    most: int,
) -> int:
    """Give back what a session owns; return how many runs an index has named for that."""
    keys = keys_of(connection, passing_over(statements.RUNS_OF_OWNER, passing), (worker_id, most))
    _free_keys(connection, keys, worker_id, news, now=now, stale=stale)
    _free_tasks_of(connection, worker_id, news)
    return len(keys)


def _free_tasks_of(connection: apsw.Connection, worker_id: WorkerId, news: News) -> None:
    """Let others claim the tasks of a session."""
    freed = _freed_tasks(connection, task_statements.FREE_TASKS, task_statements.TASKS_OF_OWNER, worker_id)
    with _past_damage(connection, "what was kept for a session that is gone"):
        freed += keys_of(connection, task_statements.LET_TASKS_GO, (worker_id,))
    news.run_keys.update(freed)
    news.is_queued |= bool(freed)


def _free_tasks(connection: apsw.Connection) -> None:
    _freed_tasks(connection, task_statements.FREE_ALL_TASKS, task_statements.TASKS_OF_ALL)
    with _past_damage(connection, "what was kept for sessions that are gone"):
        connection.execute(task_statements.LET_ALL_TASKS_GO)


def _freed_tasks(connection: apsw.Connection, freeing: str, naming: str, *owner: WorkerId) -> list[RunKey]:
    """Free the tasks that a statement frees, or else one by one those that another names; return whose they are. Damage
    among these keeps nobody from its runs."""
    with _past_damage(connection, "the tasks of sessions that are gone, together,"):
        return keys_of(connection, freeing, owner)
    freed: list[RunKey] = []
    with _past_damage(connection, "the tasks of sessions that are gone"):
        for position in list(connection.execute(naming, owner)):
            with _past_damage(connection, f"the task at position {position[0]}"):
                freed += keys_of(connection, task_statements.FREE_TASK, position)
    return freed


@contextmanager
def _past_damage(connection: apsw.Connection, what: str) -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        if not (is_damage(error) and connection.in_transaction):  # else SQLite has undone all that was written before
            raise
        _LOGGER.error("%s cannot be given back: %s", what, error)  # noqa: TRY400 - no traceback needed


def _free_keys(
    connection: apsw.Connection,
    keys: Sequence[RunKey],
    worker_id: WorkerId,
    news: News,
    *,
    now: Timestamp,
    stale: set[RunKey],
) -> None:
    if keys:
        _write(connection, statements.FREE_RUNS, keys, worker_id, now, stale=stale)
        news.is_ready = True


def _write(
    connection: apsw.Connection, statement: str, keys: Sequence[RunKey], *values: int, stale: set[RunKey]
) -> None:
    """Change the rows of runs that are somebody's, as an index says. Raises UnsoundRowsError."""
    with demanding_sound(keys):
        changed = {key for (key,) in connection.execute(statement, (as_json(keys), *values))}
    stale.update(key for key in keys if key not in changed)


def _identity(session: Session) -> tuple[int, str, int, int]:
    return (session.worker_id, session.name, os.getpid(), session.started_at)


def _read(
    connection: apsw.Connection, keys: list[RunKey], *, owner: WorkerId, now: Timestamp, parked: list[RunKey]
) -> dict[RunKey, ClaimedRun]:
    """Read those of the rows of some runs that are to be claimed; of those that are not due only the `parked` ones."""
    found = connection.execute(statements.RUNS_BY_KEY, (as_json(keys), now, as_json(parked)))
    return {RunKey(row[0]): _claimed(row, owner=owner, inbox_position=position) for position, *row in found}


def _read_singly(
    connection: apsw.Connection,
    reading: Callable[[list[RunKey]], dict[RunKey, ClaimedRun]],
    keys: list[RunKey],
    news: News,
    *,
    now: Timestamp,
    code: str | None,
) -> dict[RunKey, ClaimedRun]:
    """Read rows of which one holds text that is not UTF-8: its run is parked, so that others can be claimed, and its
    key taken out of the others."""
    rows: dict[RunKey, ClaimedRun] = {}
    for key in keys[:]:
        try:
            rows |= reading([key])
        except UnicodeDecodeError as error:
            _park_unreadable(connection, key, error, now=now, code=code)
            keys.remove(key)
            news.run_keys.add(key)
            news.is_parked = True
    return rows


def _park_unreadable(
    connection: apsw.Connection, key: RunKey, error: UnicodeDecodeError, *, now: Timestamp, code: str | None
) -> None:
    reason = Failure(type=StoreCorruptError.__name__, message=f"the run's row holds text that is not UTF-8: {error}")
    before = parking_of(connection.execute(statements.PARKING, (key,)).get)
    parking = before or Parking(reason=reason, since=now, tried=())
    if code is not None:
        parking = parking.tried_also_by(code, reason)
    connection.execute(statements.PARK_UNREADABLE, (as_json(parking), key))


def _claimed(row: Sequence[object], *, owner: WorkerId, inbox_position: int) -> ClaimedRun:
    found = summary_of(row)
    taken = msgspec.structs.replace(
        found, owner=owner, fencing_token=FencingToken(found.fencing_token + 1), wake_at=None, parked=None
    )
    return ClaimedRun(
        summary=taken,
        recovered=bool(row[_RECOVERING]),
        parked=found.parked,
        due_at=found.wake_at,
        inbox_position=inbox_position,
    )


_RECOVERING = -1
"""The place of a column in `RUN_COLUMNS`."""
