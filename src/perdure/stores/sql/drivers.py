"""Drivers: the ways to find the runs of a search, each by an index in the order of creation, or by a short list.

One condition of a query drives: its index begins with it and goes on in the order of creation. Each of its values (each
status, say) is asked for by itself, and the few rows that come are merged. Every driver names its index: which one is
used does not depend on statistics.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from perdure.kernel.priority import Priority
from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunQuery

__all__ = [
    "Driver",
    "Parameter",
    "SqlText",
    "after_all_with",
    "bounded_count",
    "created_within",
    "drivers",
    "wanted_columns",
]

Parameter = int | str
"""A value bound to a statement."""

SqlText = tuple[str, list[Parameter]]
"""A statement (or a part of one) and its parameters in order."""

_PARTS_LIMIT: Final = 32


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """A way to find all runs of a query, and perhaps others. `parts` are FROM with the first conditions of WHERE.

    `table` is whose columns give the order of creation. `is_sorted`: each part comes in that order. `is_exact`: it
    finds no others, and so no generation but the latest. `census` is what an index alone can count to learn how many it
    finds, at most.
    """

    parts: Sequence[SqlText]
    census: Sequence[SqlText]
    table: str = "runs"
    is_sorted: bool = True
    is_exact: bool = False


def drivers(query: RunQuery) -> list[Driver]:
    """Return the ways to find the runs of a query, at least one; the earlier is better where they find equally many."""
    found = [*_by_parent(query), *_by_parking(query), *_by_labels(query), *_by_tenant(query), *_by_priority(query)]
    source = "runs INDEXED BY runs_by_workflow WHERE runs.namespace = ? AND runs.workflow = ? AND runs.latest = 1"
    found += _by_values(source, query, sorted(query.workflows))
    # All runs are those of all statuses: an index by creation alone would cost each new run a page more.
    source = "runs INDEXED BY runs_by_status WHERE runs.namespace = ? AND runs.status = ? AND runs.latest = 1"
    statuses = sorted(status.value for status in query.statuses or RunStatus)
    found += _by_values(source, query, statuses, conditions=bool(query.statuses))
    return [*found, *_by_id(query)]


def bounded_count(driver: Driver, *, limit: int) -> SqlText:
    """Return the statement that counts the runs that a driver finds, up to `limit`."""
    text = " UNION ALL ".join(f"SELECT 1 FROM {source}" for source, _ in driver.census)  # noqa: S608
    parameters = [value for _, values in driver.census for value in values]
    return f"SELECT count(*) FROM (SELECT 1 FROM ({text}) LIMIT ?)", [*parameters, limit]  # noqa: S608


def created_within(query: RunQuery, table: str) -> SqlText:
    """Return the conditions on when runs were created, by the columns of `table`."""
    text, parameters = "", list[Parameter]()
    for comparison, moment in ((">=", query.created_from), ("<", query.created_until)):
        if moment is not None:
            text += f" AND {table}.created_at {comparison} ?"
            parameters.append(moment)
    return text, parameters


def wanted_columns(query: RunQuery) -> list[tuple[str, list[str] | list[int]]]:
    """Return the columns of runs that must have one of some values, and these, sorted."""
    wanted: dict[str, list[str] | list[int]] = {
        "status": sorted(status.value for status in query.statuses),
        "workflow": sorted(query.workflows),
        "tenant": sorted(query.tenants),
        "priority": sorted(priority.value for priority in query.priorities),
    }
    return [(column, values) for column, values in wanted.items() if values]


def after_all_with(prefix: str) -> str:
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


def _by_parent(query: RunQuery) -> Iterator[Driver]:
    if query.parent_key is not None:
        within, moments = created_within(query, "runs")
        source = f"runs INDEXED BY runs_by_parent WHERE runs.parent_key = ?{within}"
        values = [query.parent_key, *moments]
        parts: list[SqlText] = [(f"{source} AND runs.namespace = ? AND runs.latest = 1", [*values, query.namespace])]
        yield Driver(parts=parts, census=[(source, values)])


def _by_parking(query: RunQuery) -> Iterator[Driver]:
    if query.only_parked:
        source = "runs INDEXED BY runs_parked WHERE runs.parked IS NOT NULL"
        parts: list[SqlText] = [(f"{source} AND runs.namespace = ? AND runs.latest = 1", [query.namespace])]
        yield Driver(parts=parts, census=[(source, [])], is_sorted=False)


def _by_labels(query: RunQuery) -> Iterator[Driver]:
    within, moments = created_within(query, "labelled")
    condition = f" WHERE labelled.namespace = ? AND labelled.name = ? AND labelled.value = ?{within}"
    labels = "run_labels AS labelled INDEXED BY run_labels_by_value"
    runs = " CROSS JOIN runs NOT INDEXED ON runs.run_key = labelled.run_key"
    for name, value in query.labels.items():
        values = [query.namespace, name, value, *moments]
        yield Driver(
            parts=[(f"{labels}{runs}{condition} AND runs.latest = 1", values)],
            census=[(labels + condition, values)],
            table="labelled",
        )


def _by_tenant(query: RunQuery) -> Iterator[Driver]:
    if "" not in query.tenants:
        source = "runs INDEXED BY runs_by_tenant WHERE runs.namespace = ? AND runs.tenant = ? AND runs.tenant <> ''"
        yield from _by_values(f"{source} AND runs.latest = 1", query, sorted(query.tenants))


def _by_priority(query: RunQuery) -> Iterator[Driver]:
    if Priority.NORMAL not in query.priorities:
        source = "runs INDEXED BY runs_of_unusual_priority WHERE runs.namespace = ? AND runs.priority = ?"
        unusual = f" AND runs.priority <> {Priority.NORMAL.value} AND runs.latest = 1"
        yield from _by_values(source + unusual, query, sorted(priority.value for priority in query.priorities))


def _by_values(source: str, query: RunQuery, values: Sequence[Parameter], *, conditions: int = 1) -> Iterator[Driver]:
    """Yield the driver that asks for each value by itself; none for no value, or too many to merge.

    `conditions`: so many conditions of the query it meets.
    """
    if 0 < len(values) <= _PARTS_LIMIT:
        within, moments = created_within(query, "runs")
        parts: list[SqlText] = [(source + within, [query.namespace, value, *moments]) for value in values]
        yield Driver(parts=parts, census=parts, is_exact=_conditions(query) == conditions)


def _by_id(query: RunQuery) -> Iterator[Driver]:
    if query.id_prefix:
        source = "runs INDEXED BY sqlite_autoindex_runs_1 WHERE runs.namespace = ? AND runs.id >= ?"
        parameters: list[Parameter] = [query.namespace, query.id_prefix]
        if end := after_all_with(query.id_prefix):
            source += " AND runs.id < ?"
            parameters.append(end)
        parts = [(f"{source} AND runs.latest = 1", parameters)]
        yield Driver(parts=parts, census=[(source, parameters)], is_sorted=False)


def _conditions(query: RunQuery) -> int:
    """Return how many conditions a query has, without those on when runs were created, which every driver meets."""
    given = (query.statuses, query.workflows, query.tenants, query.priorities, query.id_prefix, query.only_parked)
    return sum(map(bool, given)) + (query.parent_key is not None) + len(query.labels)
