"""A clock that was set back. Functions of a connection, run within the writer's transaction."""

from typing import Final, assert_never

import apsw
import msgspec

from perdure.kernel.identity import RunKey
from perdure.kernel.time import Timestamp
from perdure.stores.clock import Step, heed
from perdure.stores.sql import clock
from perdure.stores.sql.passing import Passing, passing_over
from perdure.stores.sqlite.segment import News
from perdure.stores.sqlite.unreadable import demanding_sound

__all__ = ["as_json", "heed_clock", "keys_of", "note_time"]


def heed_clock(
    connection: apsw.Connection,
    news: News,
    *,
    now: Timestamp,
    known_time: Timestamp | None,
    lease_microseconds: int,
    passing: Passing,
    most: int,
) -> None:
    """Do what is to be done if the clock was set back: see `perdure.stores.clock`.

    All runs that sleep are looked at for it, so that it is not for each claim to do. Raises UnsoundRowsError.
    """
    latest_time, set_back_at = connection.execute(clock.NOTED_TIMES).fetchone() or (now, None)
    for step in heed(
        now=now,
        latest_time=latest_time,
        set_back_at=set_back_at,
        known_time=known_time,
        lease_microseconds=lease_microseconds,
    ):
        match step:
            case Step.HASTEN:
                until = Timestamp(latest_time + lease_microseconds)
                _hasten(connection, news, now=now, until=until, passing=passing, most=most)
            case Step.CUT_LEASES:
                connection.execute(clock.SHORTEN_LEASES, (now, lease_microseconds))
            case Step.NOTE_SETTING_BACK:
                connection.execute(clock.NOTE_SETTING_BACK, (now,))
            case Step.FORGET_SETTING_BACK:
                connection.execute(clock.FORGET_SETTING_BACK)
            case Step.NOTE_TIME:
                note_time(connection, now)
            case Step.SET_TIME_BACK:
                connection.execute(clock.SET_TIME_BACK, (now,))
            case _:
                assert_never(step)


def note_time(connection: apsw.Connection, now: Timestamp) -> Timestamp:
    """Note what the clock shows; return the latest time that is noted."""
    return Timestamp(connection.execute(clock.NOTE_TIME, (now,)).get)


def _hasten(
    connection: apsw.Connection, news: News, *, now: Timestamp, until: Timestamp, passing: Passing, most: int
) -> None:
    for sleeping, hasten in _HASTENING:
        keys = keys_of(connection, passing_over(sleeping, passing), (now, until))
        for begin in range(0, len(keys), most):
            some = keys[begin : begin + most]
            with demanding_sound(some):
                connection.execute(hasten, (as_json(some), now))
            news.is_ready = news.is_ready or connection.changes() > 0


_HASTENING: Final = ((clock.SLEEPING_RUNS, clock.HASTEN_RUNS), (clock.RUNS_TO_END_LATER, clock.HASTEN_ENDS))


def keys_of(connection: apsw.Connection, statement: str, parameters: tuple[str | int, ...]) -> list[RunKey]:
    """Return the run keys that a statement finds."""
    return [RunKey(run_key) for (run_key,) in connection.execute(statement, parameters)]


def as_json(values: object) -> str:
    """Return values as statements take many: as one JSON text."""
    return msgspec.json.encode(values).decode()
