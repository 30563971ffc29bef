"""The search for runs: from a query to one statement that reads an index in the order of the listing.

**Plan.** One condition of the query drives: its index begins with it and goes on in the order of creation. Each of its
values (each status, say) is asked for by itself with the page's limit, and the few rows that come are merged. The other
conditions filter on the way, so the condition should be one that few runs meet: where there is a choice, `drivers`
lists it and the caller counts each up to a limit (`bounded_count`). The plan is fixed by naming the index; it does not
depend on statistics.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunOrder, RunQuery, RunSummary
from perdure.stores.cursors import read_cursor, write_cursor
from perdure.stores.sql.statements import RUN_COLUMNS

__all__ = ["Driver", "Parameter", "SqlText", "bounded_count", "counting", "cursor_after", "drivers", "listing"]

Parameter = int | str
"""A value bound to a statement."""

SqlText = tuple[str, list[Parameter]]
"""A statement (or a part of one) and its parameters in order."""

_PARTS_LIMIT: Final = 32


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """A way to find all runs of a query, and others. `parts` are FROM with the first conditions of WHERE.

    `table` is whose columns give the order of creation. `is_sorted`: each part comes in that order.
    """

    parts: Sequence[SqlText]
    table: str = "runs"
    is_sorted: bool = True


def drivers(query: RunQuery) -> list[Driver]:
    """Return the ways to find the runs of a query, at least one; the earlier is better where they find equally many."""
    found: list[Driver] = []
    if query.parent_key is not None:
        source = _from("runs_by_parent", "runs.parent_key = ? AND runs.namespace = ?")
        found.append(Driver(parts=[(source, [query.parent_key, query.namespace])]))
    if query.only_parked:
        source = "runs INDEXED BY runs_parked WHERE runs.parked IS NOT NULL AND runs.namespace = ? AND runs.latest = 1"
        found.append(Driver(parts=[(source, [query.namespace])], is_sorted=False))
    if query.labels:
        found.append(Driver(parts=[_by_label(query.namespace, *next(iter(query.labels.items())))], table="labelled"))
    if "" not in query.tenants:
        source = _from("runs_by_tenant", "runs.namespace = ? AND runs.tenant = ? AND runs.tenant <> ''")
        found += _by_values(source, query.namespace, sorted(query.tenants))
    source = _from("runs_by_workflow", "runs.namespace = ? AND runs.workflow = ?")
    found += _by_values(source, query.namespace, sorted(query.workflows))
    # All runs are those of all statuses: an index by creation alone would cost each new run a page more.
    source = _from("runs_by_status", "runs.namespace = ? AND runs.status = ?")
    found += _by_values(source, query.namespace, sorted(status.value for status in query.statuses or RunStatus))
    if query.id_prefix:
        found.append(Driver(parts=[_by_id(query)], is_sorted=False))
    return found


def bounded_count(driver: Driver, *, limit: int) -> SqlText:
    """Return the statement that counts the runs that a driver finds, up to `limit`."""
    text = " UNION ALL ".join(f"SELECT 1 FROM {source}" for source, _ in driver.parts)  # noqa: S608
    parameters = [value for _, values in driver.parts for value in values]
    return f"SELECT count(*) FROM (SELECT 1 FROM ({text}) LIMIT ?)", [*parameters, limit]  # noqa: S608


def listing(query: RunQuery, driver: Driver, *, limit: int) -> SqlText:
    """Return the statement for up to `limit` runs after the query's cursor.

    Raises InvalidArgumentError for a cursor that `cursor_after` did not make.
    """
    direction = "DESC" if query.order is RunOrder.NEWEST_FIRST else "ASC"
    table = driver.table
    rest_text, rest_parameters = _filters(query)
    after_text, after_parameters = _after(query, table)
    texts: list[str] = []
    parameters: list[Parameter] = []
    for source, values in driver.parts:
        texts.append(
            f"SELECT * FROM (SELECT runs.created_at, runs.run_key FROM {source}{rest_text}{after_text}"  # noqa: S608
            f" ORDER BY {table}.created_at {direction}, {table}.run_key {direction} LIMIT ?)"
        )
        parameters += (*values, *rest_parameters, *after_parameters, limit)
    keys = (
        f"SELECT run_key FROM ({' UNION ALL '.join(texts)})"  # noqa: S608
        f" ORDER BY created_at {direction}, run_key {direction} LIMIT ?"
    )
    text = (
        f"SELECT {RUN_COLUMNS} FROM runs WHERE run_key IN ({keys})"  # noqa: S608
        f" ORDER BY created_at {direction}, run_key {direction}"
    )
    return text, [*parameters, limit]


def counting(query: RunQuery, driver: Driver) -> SqlText:
    """Return the statement that counts all runs of the query."""
    rest_text, rest_parameters = _filters(query)
    texts: list[str] = []
    parameters: list[Parameter] = []
    for source, values in driver.parts:
        texts.append(f"SELECT count(*) AS found FROM {source}{rest_text}")  # noqa: S608
        parameters += (*values, *rest_parameters)
    return f"SELECT sum(found) FROM ({' UNION ALL '.join(texts)})", parameters  # noqa: S608


def cursor_after(last: RunSummary) -> str:
    """Return where the page after this run begins."""
    return write_cursor(last.created_at, last.run_key)


def _by_values(source: str, namespace: str, values: Sequence[str]) -> list[Driver]:
    """Return the driver that asks for each value by itself; none for no value, or too many to merge."""
    if not 0 < len(values) <= _PARTS_LIMIT:
        return []
    return [Driver(parts=[(source, [namespace, value]) for value in values])]


def _from(index: str, condition: str) -> str:
    return f"runs INDEXED BY {index} WHERE {condition} AND runs.latest = 1"


def _by_label(namespace: str, name: str, value: str) -> SqlText:
    source = (
        "run_labels AS labelled INDEXED BY run_labels_by_value CROSS JOIN runs ON runs.run_key = labelled.run_key"
        " WHERE labelled.namespace = ? AND labelled.name = ? AND labelled.value = ? AND runs.latest = 1"
    )
    return source, [namespace, name, value]


def _by_id(query: RunQuery) -> SqlText:
    condition = "runs INDEXED BY sqlite_autoindex_runs_1 WHERE runs.namespace = ? AND runs.id >= ?"
    parameters: list[Parameter] = [query.namespace, query.id_prefix]
    end = _after_all_with(query.id_prefix)
    if end:
        condition += " AND runs.id < ?"
        parameters.append(end)
    return f"{condition} AND runs.latest = 1", parameters


def _after_all_with(prefix: str) -> str:
    """Return the least text greater than every text with this prefix, empty if there is none."""
    stripped = prefix.rstrip(_LAST_CHARACTER)
    if not stripped:
        return ""
    following = ord(stripped[-1]) + 1
    # The code points between these two are surrogates, which no text holds.
    return stripped[:-1] + chr(_AFTER_SURROGATES if following == _FIRST_SURROGATE else following)


_LAST_CHARACTER: Final = "\U0010ffff"
_FIRST_SURROGATE: Final = 0xD800
_AFTER_SURROGATES: Final = 0xE000


def _filters(query: RunQuery) -> SqlText:
    """Return all conditions of the query, also those that drive: true twice is true."""
    conditions: list[str] = []
    parameters: list[Parameter] = []

    def demand(condition: str, *values: Parameter) -> None:
        conditions.append(f" AND {condition}")
        parameters.extend(values)

    for column, wanted in (
        ("status", [status.value for status in query.statuses]),
        ("workflow", query.workflows),
        ("tenant", query.tenants),
        ("priority", [priority.value for priority in query.priorities]),
    ):
        if wanted:
            demand(f"runs.{column} IN (SELECT value FROM json_each(?))", _json(sorted(wanted)))  # noqa: S608
    for name, value in query.labels.items():
        demand(
            "EXISTS (SELECT 1 FROM run_labels AS l WHERE l.run_key = runs.run_key AND l.name = ? AND l.value = ?)",
            name,
            value,
        )
    if query.id_prefix:
        demand("runs.id >= ?", query.id_prefix)
        if end := _after_all_with(query.id_prefix):
            demand("runs.id < ?", end)
    if query.only_parked:
        demand("runs.parked IS NOT NULL")
    if query.parent_key is not None:
        demand("runs.parent_key = ?", query.parent_key)
    if query.created_from is not None:
        demand("runs.created_at >= ?", query.created_from)
    if query.created_until is not None:
        demand("runs.created_at < ?", query.created_until)
    return "".join(conditions), parameters


def _after(query: RunQuery, table: str) -> SqlText:
    if not query.cursor:
        return "", []
    comparison = "<" if query.order is RunOrder.NEWEST_FIRST else ">"
    return f" AND ({table}.created_at, {table}.run_key) {comparison} (?, ?)", [*read_cursor(query.cursor)]


def _json(values: object) -> str:
    return msgspec.json.encode(values).decode()
