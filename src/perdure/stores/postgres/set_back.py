"""What is done about a clock that was set back (see `perdure.stores.clock`), within the transaction that is open."""

from collections.abc import Mapping
from typing import Final, assert_never

from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.stores.clock import Step, heed
from perdure.stores.memory.tables import News
from perdure.stores.postgres.connection import Connection

__all__ = ["TIMES", "hasten_hidden", "heed_clock", "heed_noted", "note_time"]

TIMES: Final = frozenset({"latest_time", "set_back_at"})
"""Names of what is noted."""


async def heed_clock(
    connection: Connection, news: News, *, lease_microseconds: int, now: Timestamp, known_time: Timestamp | None
) -> None:
    """Do what is to be done if the clock was set back. `known_time`: see `perdure.stores.clock.heed`."""
    noted = {row["name"]: row["value"] for row in await connection.fetch(_NOTED_TIMES)}
    await heed_noted(connection, news, noted, lease_microseconds=lease_microseconds, now=now, known_time=known_time)


async def heed_noted(
    connection: Connection,
    news: News,
    noted: Mapping[str, int],
    *,
    lease_microseconds: int,
    now: Timestamp,
    known_time: Timestamp | None,
) -> bool:
    """Do it, by what is noted under the names `TIMES`; return whether anything came due by it."""
    latest_time = Timestamp(noted.get("latest_time", now))
    has_hastened = False
    for step in heed(
        now=now,
        latest_time=latest_time,
        set_back_at=None if "set_back_at" not in noted else Timestamp(noted["set_back_at"]),
        known_time=known_time,
        lease_microseconds=lease_microseconds,
        apart_microseconds=_APART,
    ):
        match step:
            case Step.HASTEN:
                for hasten in (_HASTEN_RUNS, _HASTEN_ENDS):
                    has_hastened |= bool(await connection.fetch(hasten, now, latest_time + lease_microseconds))
            case Step.CUT_LEASES:
                await connection.execute(_SHORTEN_LEASES, now)
            case Step.NOTE_SETTING_BACK:
                await connection.execute(_NOTE_SETTING_BACK, now)
            case Step.FORGET_SETTING_BACK:
                await connection.execute(_FORGET_SETTING_BACK)
            case Step.NOTE_TIME:
                await connection.execute(_NOTE_TIME, now)
            case Step.SET_TIME_BACK:
                await connection.execute(_SET_TIME_BACK, now)
            case _:
                assert_never(step)
    news.is_ready = news.is_ready or has_hastened
    return has_hastened


async def hasten_hidden(connection: Connection, *, now: Timestamp) -> None:
    """Do at the beginning of a session what others may have left undone, whose policies hid its rows from them.

    What is noted of the clock is common to all, and they forget it when a lease is over. Where no rows are secured, or
    no clock was ever set back, there is nothing to do.
    """
    if await connection.fetchval(_MAY_BE_HIDDEN):
        for hasten in (_HASTEN_RUNS, _HASTEN_ENDS):
            await connection.execute(hasten, now, _LATEST)


async def note_time(connection: Connection, now: Timestamp) -> Timestamp:
    """Note what the clock shows; return the latest time that is noted."""
    later = await connection.fetchval(_NOTE_TIME, now)
    return Timestamp(await connection.fetchval(_LATEST_TIME) if later is None else later)


_LATEST: Final = (1 << 63) - 1
_MAY_BE_HIDDEN: Final = """
SELECT relrowsecurity AND EXISTS (SELECT FROM store_meta WHERE name = 'last_set_back')
FROM pg_class WHERE oid = 'runs'::regclass
"""

_APART: Final = MICROSECONDS_PER_SECOND // 2
"""Sessions know the server's time but for what it takes to ask for it."""

_NOTED_TIMES: Final = "SELECT name, value FROM store_meta WHERE name IN ('latest_time', 'set_back_at')"

# now
_NOTE_TIME: Final = """
INSERT INTO store_meta (name, value) VALUES ('latest_time', $1)
ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE store_meta.value < excluded.value RETURNING value
"""

_LATEST_TIME: Final = "SELECT value FROM store_meta WHERE name = 'latest_time'"

# now
_NOTE_SETTING_BACK: Final = """
INSERT INTO store_meta (name, value) VALUES ('set_back_at', $1), ('last_set_back', $1)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""

# now
_SET_TIME_BACK: Final = "UPDATE store_meta SET value = $1 WHERE name = 'latest_time'"

_FORGET_SETTING_BACK: Final = "DELETE FROM store_meta WHERE name = 'set_back_at'"

# now, the latest moment at which a run can have been made due
_HASTEN_RUNS: Final = """
UPDATE runs SET wake_at = $1
FROM (
    SELECT run_key FROM runs
    WHERE owner IS NULL AND wake_at > $1 AND wake_at <= $2 AND (
        wake_at <= updated_at OR recovering OR EXISTS (SELECT FROM inbox WHERE inbox.run_key = runs.run_key)
    ) ORDER BY run_key FOR NO KEY UPDATE
) AS waiting
WHERE runs.run_key = waiting.run_key AND owner IS NULL RETURNING runs.run_key
"""

# now, the latest moment at which a message can have said that a run is to end; looked at too early, it goes on
_HASTEN_ENDS: Final = """
UPDATE runs SET end_at = $1
FROM (
    SELECT run_key FROM runs
    WHERE owner IS NULL AND end_at > $1 AND end_at <= $2
        AND EXISTS (SELECT FROM inbox WHERE inbox.run_key = runs.run_key)
    ORDER BY run_key FOR NO KEY UPDATE
) AS waiting
WHERE runs.run_key = waiting.run_key AND owner IS NULL RETURNING runs.run_key
"""

# now
_SHORTEN_LEASES: Final = """
UPDATE sessions SET lease_until = $1 + lease_microseconds WHERE lease_until > $1 + lease_microseconds
"""
