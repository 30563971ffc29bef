"""The search for runs: from a query and a way to find its runs (`drivers`) to the statements for a page and a count.

The driver gives rows in the order of the listing, and the other conditions filter on the way.

**Bound.** Two conditions that many runs meet and few meet both would have a page read all that meet one of them. So the
caller may ask how far so many rows of the driver reach (`horizon`, which reads the index alone) and list up to there
only: the page may then be short, and the next one begins where it ended.
"""

import msgspec

from perdure.kernel.identity import RunKey
from perdure.kernel.time import Timestamp
from perdure.ports.store import RunOrder, RunQuery
from perdure.stores.cursors import read_cursor
from perdure.stores.sql.drivers import Driver, Parameter, SqlText, after_all_with, created_within, wanted_columns
from perdure.stores.sql.passing import NONE_PASSED, Passing, passing_condition
from perdure.stores.sql.statements import RUN_COLUMNS

__all__ = ["Place", "counting", "horizon", "listing"]

Place = tuple[Timestamp, RunKey]
"""A place in the order of creation: when a run was created, and its key."""


def listing(
    query: RunQuery, driver: Driver, *, limit: int, until: Place | None = None, passing: Passing = NONE_PASSED
) -> SqlText:
    """Return the statement for up to `limit` runs after the query's cursor, up to `until` (with the run there).

    Each row begins with its place in the order. Where an index names a run whose row is not in its place all that
    follows is NULL.

    Raises InvalidArgumentError for what is no cursor of a page.
    """
    direction, table = _direction(query), driver.table
    rest_text, rest_parameters = _filters(query)
    after_text, after_parameters = _after(query, table)
    until_text, until_parameters = _until(query, table, until)
    passing_text = passing_condition(passing, table=table)
    texts: list[str] = []
    parameters: list[Parameter] = []
    for source, values in driver.parts:
        texts.append(
            f"SELECT * FROM (SELECT runs.created_at, runs.run_key FROM {source}{passing_text}{rest_text}{after_text}"  # noqa: S608
            f"{until_text} ORDER BY {table}.created_at {direction}, {table}.run_key {direction} LIMIT ?)"
        )
        parameters += (*values, *rest_parameters, *after_parameters, *until_parameters, limit)
    keys = (
        f"SELECT created_at AS place, run_key AS found FROM ({' UNION ALL '.join(texts)})"  # noqa: S608
        f" ORDER BY place {direction}, found {direction} LIMIT ?"
    )
    text = (
        f"SELECT place, found, {RUN_COLUMNS} FROM ({keys}) LEFT JOIN runs NOT INDEXED ON run_key = found"  # noqa: S608
        f" ORDER BY place {direction}, found {direction}"
    )
    return text, [*parameters, limit]


def horizon(query: RunQuery, driver: Driver, *, rows: int) -> SqlText:
    """Return the statement for the first place at which a part of a sorted driver has given so many rows after the
    query's cursor; no row: none has so many. It reads an index alone, which has also what lies on damaged pages.

    Raises InvalidArgumentError for what is no cursor of a page.
    """
    direction, table = _direction(query), driver.table
    after_text, after_parameters = _after(query, table)
    texts: list[str] = []
    parameters: list[Parameter] = []
    for source, values in driver.census:
        texts.append(
            f"SELECT * FROM (SELECT {table}.created_at, {table}.run_key FROM {source}{after_text}"  # noqa: S608
            f" ORDER BY {table}.created_at {direction}, {table}.run_key {direction} LIMIT 1 OFFSET ?)"
        )
        parameters += (*values, *after_parameters, max(rows // len(driver.census), 1) - 1)
    places = " UNION ALL ".join(texts)
    text = f"SELECT * FROM ({places}) ORDER BY created_at {direction}, run_key {direction} LIMIT 1"  # noqa: S608
    return text, parameters


def counting(query: RunQuery, driver: Driver, *, most: int | None, passing: Passing = NONE_PASSED) -> SqlText:
    """Return the statement that counts the runs of the query, up to `most` (None: all)."""
    rest_text, rest_parameters = _filters(query)
    passing_text = passing_condition(passing, table=driver.table)
    texts: list[str] = []
    parameters: list[Parameter] = []
    for source, values in driver.parts:
        texts.append(f"SELECT {'count(*) AS found' if most is None else '1'} FROM {source}{passing_text}{rest_text}")  # noqa: S608
        parameters += (*values, *rest_parameters)
    union = " UNION ALL ".join(texts)
    if most is None:
        return f"SELECT sum(found) FROM ({union})", parameters  # noqa: S608
    return f"SELECT count(*) FROM (SELECT 1 FROM ({union}) LIMIT ?)", [*parameters, most]  # noqa: S608


def _direction(query: RunQuery) -> str:
    return "DESC" if query.order is RunOrder.NEWEST_FIRST else "ASC"


def _filters(query: RunQuery) -> SqlText:
    """Return all conditions of the query, also those that drive: true twice is true."""
    conditions: list[str] = []
    parameters: list[Parameter] = []

    def demand(condition: str, *values: Parameter) -> None:
        conditions.append(f" AND {condition}")
        parameters.extend(values)

    for column, values in wanted_columns(query):
        demand(f"runs.{column} IN (SELECT value FROM json_each(?))", msgspec.json.encode(values).decode())  # noqa: S608
    for name, value in query.labels.items():
        demand(
            "EXISTS (SELECT 1 FROM run_labels AS l WHERE l.run_key = runs.run_key AND l.name = ? AND l.value = ?)",
            name,
            value,
        )
    if query.id_prefix:  # with a plus for no index: of bounds that stand there twice SQLite may search by one only
        demand("+runs.id >= ?", query.id_prefix)
        if end := after_all_with(query.id_prefix):
            demand("+runs.id < ?", end)
    if query.only_parked:
        demand("runs.parked IS NOT NULL")
    if query.parent_key is not None:
        demand("runs.parent_key = ?", query.parent_key)
    within, moments = created_within(query, "runs")
    return "".join(conditions) + within, [*parameters, *moments]


def _after(query: RunQuery, table: str) -> SqlText:
    if not query.cursor:
        return "", []
    comparison = "<" if query.order is RunOrder.NEWEST_FIRST else ">"
    return f" AND ({table}.created_at, {table}.run_key) {comparison} (?, ?)", [*read_cursor(query.cursor)]


def _until(query: RunQuery, table: str, place: Place | None) -> SqlText:
    if place is None:
        return "", []
    comparison = ">=" if query.order is RunOrder.NEWEST_FIRST else "<="
    return f" AND ({table}.created_at, {table}.run_key) {comparison} (?, ?)", [*place]
