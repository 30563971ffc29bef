"""The search for runs. The server chooses how, by what it knows of the tables."""

from typing import Final

from perdure.ports.store import Page, RunOrder, RunQuery
from perdure.stores.cursors import read_cursor, write_cursor
from perdure.stores.memory.tables import summarise
from perdure.stores.postgres.conditions import Conditions
from perdure.stores.postgres.connection import Connection
from perdure.stores.postgres.rows import RUN_COLUMNS, run_of
from perdure.stores.sql.drivers import after_all_with, wanted_columns

__all__ = ["count_runs", "list_runs"]


async def list_runs(connection: Connection, query: RunQuery) -> Page:
    """Return one page. Raises InvalidArgumentError for a cursor that no page gave."""
    limit, conditions = max(query.limit, 0), _conditions(query)
    direction, comparison = ("DESC", "<") if query.order is RunOrder.NEWEST_FIRST else ("ASC", ">")
    if query.cursor:
        conditions.demand(f"(runs.created_at, runs.run_key) {comparison} ({{}}, {{}})", *read_cursor(query.cursor))
    text = (
        f"SELECT {RUN_COLUMNS} FROM runs {conditions.where} "  # noqa: S608 - texts of ours
        f"ORDER BY runs.created_at {direction}, runs.run_key {direction} LIMIT {conditions.bind(limit + 1)}"
    )
    runs = [run_of(row) for row in await connection.fetch(text, *conditions.parameters)]
    next_cursor = ""
    if len(runs) > limit:
        del runs[limit:]
        next_cursor = write_cursor(runs[-1].created_at, runs[-1].run_key) if runs else ""
    return Page(runs=tuple(map(summarise, runs)), next_cursor=next_cursor)


async def count_runs(connection: Connection, query: RunQuery, *, most: int | None) -> int:
    """Return how many runs match, up to `most`."""
    conditions = _conditions(query)
    limit = "" if most is None else f" LIMIT {conditions.bind(most)}"
    text = f"SELECT count(*) FROM (SELECT FROM runs {conditions.where}{limit}) AS found"  # noqa: S608 - as above
    found: int = await connection.fetchval(text, *conditions.parameters)
    return found


def _conditions(query: RunQuery) -> Conditions:
    conditions = Conditions()
    conditions.demand("runs.namespace = {}", query.namespace)
    conditions.demand("runs.latest")
    for column, values in wanted_columns(query):
        conditions.demand(f"runs.{column} = ANY ({{}})", values)
    for label in query.labels.items():
        conditions.demand(_HAS_LABEL, *label)
    if query.id_prefix:
        conditions.demand("runs.id >= {}", query.id_prefix)
        if end := after_all_with(query.id_prefix):
            conditions.demand("runs.id < {}", end)
    if query.only_parked:
        conditions.demand("runs.parked IS NOT NULL")
    if query.parent_key is not None:
        conditions.demand("runs.parent_key = {}", query.parent_key)
    for comparison, moment in ((">=", query.created_from), ("<", query.created_until)):
        if moment is not None:
            conditions.demand(f"runs.created_at {comparison} {{}}", moment)
    return conditions


_HAS_LABEL: Final = (
    "EXISTS (SELECT FROM run_labels AS l WHERE l.run_key = runs.run_key AND l.name = {} AND l.value = {})"
)
