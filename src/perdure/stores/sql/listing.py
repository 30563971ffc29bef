"""The search for runs: from a query to one statement that reads an index in the order of the listing.

**Plan.** One condition of the query drives: the one whose index begins with it and goes on in the order of creation.
Each of its values (each status, say) is asked for by itself with the page's limit, and the few rows that come are
merged. The other conditions filter on the way. So a page costs about as many index steps as runs are passed over; the
plan is fixed by naming the index, and does not depend on statistics.
"""

from collections.abc import Iterator
from itertools import product
from typing import Final

import msgspec

from perdure.errors import InvalidArgumentError
from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunOrder, RunQuery, RunSummary
from perdure.stores.sql.statements import RUN_COLUMNS

__all__ = ["Parameter", "SqlText", "counting", "cursor_after", "listing", "prefix_range"]

Parameter = int | str
"""A value bound to a statement."""

SqlText = tuple[str, list[Parameter]]
"""A statement (or a part of one) and its parameters in order."""

_PARTS_LIMIT: Final = 32


def listing(query: RunQuery, *, limit: int, by_id: bool = False) -> SqlText:
    """Return the statement for up to `limit` runs after the query's cursor; `by_id`: few runs have its id prefix.

    Raises InvalidArgumentError for a cursor that `cursor_after` did not make.
    """
    direction = "DESC" if query.order is RunOrder.NEWEST_FIRST else "ASC"
    rest_text, rest_parameters = _filters(query)
    texts: list[str] = []
    parameters: list[Parameter] = []
    for source, values in _drivers(query, by_id=by_id):
        table = "labelled" if source.startswith("run_labels") else "runs"
        after_text, after_parameters = _after(query, table)
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


def counting(query: RunQuery) -> SqlText:
    """Return the statement that counts all runs of the query."""
    rest_text, rest_parameters = _filters(query)
    texts: list[str] = []
    parameters: list[Parameter] = []
    for source, values in _drivers(query, by_id=bool(query.id_prefix)):
        texts.append(f"SELECT count(*) AS found FROM {source}{rest_text}")  # noqa: S608
        parameters += (*values, *rest_parameters)
    return f"SELECT sum(found) FROM ({' UNION ALL '.join(texts)})", parameters  # noqa: S608


def cursor_after(last: RunSummary) -> str:
    """Return where the page after this run begins."""
    return f"{last.created_at}.{last.run_key}"


def prefix_range(query: RunQuery, *, limit: int) -> SqlText:
    """Return the statement that counts the runs with the query's id prefix, up to `limit`."""
    source, parameters = _by_id(query)
    return f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT ?)", [*parameters, limit]  # noqa: S608


def _drivers(query: RunQuery, *, by_id: bool) -> Iterator[SqlText]:
    """Yield the sources of rows, FROM and the first conditions of WHERE, that together hold all runs of the query."""
    statuses = sorted(query.statuses) if 0 < len(query.statuses) < len(RunStatus) else []
    if query.labels:
        yield _by_label(query)
    elif query.parent_key is not None:
        yield _from("runs_by_parent", "runs.parent_key = ? AND runs.namespace = ?"), [query.parent_key, query.namespace]
    elif by_id:
        yield _by_id(query)
    elif 0 < len(query.workflows) * max(len(statuses), 1) <= _PARTS_LIMIT:
        for workflow, status in product(sorted(query.workflows), statuses or list(RunStatus)):
            source = _from("runs_by_workflow", "runs.namespace = ? AND runs.workflow = ? AND runs.status = ?")
            yield source, [query.namespace, workflow, status.value]
    elif 0 < len(query.tenants) <= _PARTS_LIMIT and "" not in query.tenants:
        source = _from("runs_by_tenant", "runs.namespace = ? AND runs.tenant = ? AND runs.tenant <> ''")
        for tenant in sorted(query.tenants):
            yield source, [query.namespace, tenant]
    elif statuses:
        source = _from("runs_by_status", "runs.namespace = ? AND runs.status = ?")
        for status in statuses:
            yield source, [query.namespace, status.value]
    else:
        yield _from("runs_by_creation", "runs.namespace = ?"), [query.namespace]


def _from(index: str, condition: str) -> str:
    return f"runs INDEXED BY {index} WHERE {condition} AND runs.latest = 1"


def _by_label(query: RunQuery) -> SqlText:
    name, value = next(iter(query.labels.items()))
    source = (
        "run_labels AS labelled INDEXED BY run_labels_by_value CROSS JOIN runs ON runs.run_key = labelled.run_key"
        " WHERE labelled.namespace = ? AND labelled.name = ? AND labelled.value = ? AND runs.latest = 1"
    )
    return source, [query.namespace, name, value]


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
    created_at, _, run_key = query.cursor.partition(".")
    try:
        place: list[Parameter] = [int(created_at), int(run_key)]
    except ValueError:
        raise InvalidArgumentError(f"{query.cursor!r} is no cursor of a page of this store") from None
    comparison = "<" if query.order is RunOrder.NEWEST_FIRST else ">"
    return f" AND ({table}.created_at, {table}.run_key) {comparison} (?, ?)", place


def _json(values: object) -> str:
    return msgspec.json.encode(values).decode()
