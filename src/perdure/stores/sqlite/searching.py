"""Searching: the best way to the runs of a query is chosen by short counts, and a page reads no more than a bound."""

from typing import Any, Final

import apsw
import msgspec

from perdure.ports.store import Page, RunQuery
from perdure.stores.cursors import write_cursor
from perdure.stores.sql.drivers import Driver, bounded_count, drivers
from perdure.stores.sql.listing import Place, counting, horizon, listing
from perdure.stores.sql.passing import NONE_PASSED, Passing
from perdure.stores.sqlite.rows import summary_of
from perdure.stores.sqlite.scanning import NOT_IN_ITS_PLACE

__all__ = ["count_runs", "list_runs"]


def list_runs(connection: apsw.Connection, query: RunQuery, *, most_rows: int, passing: Passing = NONE_PASSED) -> Page:
    """Return one page, for which at most about `most_rows` are looked at: it may be short though more will come.

    Raises InvalidArgumentError for a cursor that no page gave, and apsw's errors.
    """
    limit = max(query.limit, 0)
    driver = _best(connection, query)
    until: Place | None = None
    if driver.is_sorted and not driver.is_exact:
        until = connection.execute(*horizon(query, driver, rows=most_rows)).get
    text, parameters = listing(query, driver, limit=limit + 1, until=until, passing=passing)
    rows: list[Any] = connection.execute(text, parameters).fetchall()
    _demand_places(connection, [found for _place, found, run_key, *_ in rows if run_key is None])
    if len(rows) > limit:
        del rows[limit:]
        until = rows[-1][:2] if rows else None
    shown = tuple(summary_of(row) for _place, _found, *row in rows if row[_RUN_KEY] is not None)
    return Page(runs=shown, next_cursor="" if until is None else write_cursor(*until))


def _demand_places(connection: apsw.Connection, run_keys: list[int]) -> None:
    """Raise apsw's CorruptError where one of these is a run, by its id, whose row is not in its place. Others have been
    removed, and an index is from before."""
    if run_keys and connection.execute(_IS_ANY_RUN, (msgspec.json.encode(run_keys).decode(),)).get:
        raise apsw.CorruptError(NOT_IN_ITS_PLACE)


def count_runs(
    connection: apsw.Connection, query: RunQuery, *, most: int | None, passing: Passing = NONE_PASSED
) -> int:
    """Return how many runs match, up to `most`."""
    text, parameters = counting(query, _best(connection, query), most=most, passing=passing)
    found: int = connection.execute(text, parameters).get
    return found


def _best(connection: apsw.Connection, query: RunQuery) -> Driver:
    """Choose the driver that finds fewest runs, as far as short counts tell; one that is sorted if all find many."""
    choice = drivers(query)
    if len(choice) == 1:
        return choice[0]
    for limit in _MANY:
        counts: list[int] = [connection.execute(*bounded_count(driver, limit=limit)).get for driver in choice]
        fewest = min(counts)
        if fewest < limit:
            return choice[counts.index(fewest)]
    return next(driver for driver in choice if driver.is_sorted)


# a JSON list of run keys
_IS_ANY_RUN: Final = """
SELECT EXISTS (
    SELECT 1 FROM runs INDEXED BY sqlite_autoindex_runs_1 WHERE run_key IN (SELECT value FROM json_each(?))
)
"""
_RUN_KEY: Final = 0
"""Its place in `RUN_COLUMNS`."""
_MANY: Final = (1_000, 10_000)
"""Counting ends here: a cheap count first, one that is worth its time where each way finds many runs."""
