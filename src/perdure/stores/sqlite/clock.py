"""A clock that was set back. Functions of a connection, run within the writer's transaction."""

from typing import Final

import apsw
import msgspec

from perdure.kernel.identity import RunKey, WorkerId
from perdure.kernel.time import Timestamp
from perdure.stores.sql import clock
from perdure.stores.sql.passing import Passing, passing_over
from perdure.stores.sqlite.segment import News
from perdure.stores.sqlite.unreadable import demanding_sound

__all__ = ["as_json", "heed_clock", "keys_of"]


def heed_clock(
    connection: apsw.Connection,
    news: News,
    *,
    worker_id: WorkerId,
    lease_microseconds: int,
    now: Timestamp,
    again: bool,
    passing: Passing,
    most: int,
) -> None:
    """After the clock was set back: let nothing that has come due, and no lease, wait until it has caught up.

    That is done when it is noticed, and `again` with each renewal for a lease: what was decided by the clock from
    before may be committed meanwhile. All runs that sleep are looked at for it, so that it is not for each claim to do.
    No lease is cut by a call that only comes late, since its process stood still. Raises UnsoundRowsError.
    """
    latest_time, set_back_at = connection.execute(clock.NOTED_TIMES).fetchone() or (now, None)
    if latest_time <= now:
        if set_back_at is not None:
            connection.execute(clock.FORGET_SETTING_BACK)
        # It is noted with each renewal, of which there are several in a lease: so it was set forward since the last.
        if now - latest_time > lease_microseconds:
            connection.execute(clock.NOTE_TIME, (now,))
        return
    noticed_ago = None if set_back_at is None or now < set_back_at else now - set_back_at
    if noticed_ago is not None and not again:
        return
    for sleeping, hasten in _HASTENING:
        keys = keys_of(connection, passing_over(sleeping, passing), (now, latest_time + lease_microseconds))
        for begin in range(0, len(keys), most):
            some = keys[begin : begin + most]
            with demanding_sound(some):
                connection.execute(hasten, (as_json(some), now))
            news.is_ready = news.is_ready or connection.changes() > 0
    if noticed_ago is not None or _has_gone_back(connection, worker_id, lease_microseconds, now=now):
        connection.execute(clock.SHORTEN_LEASES, (now, lease_microseconds))
    if noticed_ago is None:
        connection.execute(clock.NOTE_SETTING_BACK, (now,))
    elif noticed_ago > lease_microseconds:
        connection.execute(clock.SET_TIME_BACK, (now,))
        connection.execute(clock.FORGET_SETTING_BACK)


def _has_gone_back(
    connection: apsw.Connection, worker_id: WorkerId, lease_microseconds: int, *, now: Timestamp
) -> bool:
    """Whether the clock shows less than when the session began its lease: a call that comes late saw it after that."""
    row = connection.execute(clock.LAST_LOOK, (worker_id, lease_microseconds)).fetchone()
    return row is None or now < row[0]


_HASTENING: Final = ((clock.SLEEPING_RUNS, clock.HASTEN_RUNS), (clock.RUNS_TO_END_LATER, clock.HASTEN_ENDS))


def keys_of(connection: apsw.Connection, statement: str, parameters: tuple[str | int, ...]) -> list[RunKey]:
    """Return the run keys that a statement finds."""
    return [RunKey(run_key) for (run_key,) in connection.execute(statement, parameters)]


def as_json(values: object) -> str:
    """Return values as statements take many: as one JSON text."""
    return msgspec.json.encode(values).decode()
