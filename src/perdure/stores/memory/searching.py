"""Searching in memory: every run is looked at."""

from collections.abc import Iterator
from itertools import islice

from perdure.ports.store import Page, RunOrder, RunQuery
from perdure.stores.cursors import read_cursor, write_cursor
from perdure.stores.memory.tables import MemoryDatabase, Run, summarise

__all__ = ["count_runs", "list_runs"]


def list_runs(database: MemoryDatabase, query: RunQuery) -> Page:
    """Return one page. Raises InvalidArgumentError for a cursor that no page gave."""
    is_newest_first = query.order is RunOrder.NEWEST_FIRST
    runs = sorted(_matching(database, query), key=_creation_order, reverse=is_newest_first)
    if query.cursor:
        last = read_cursor(query.cursor)
        runs = [run for run in runs if _is_beyond(_creation_order(run), last, is_newest_first=is_newest_first)]
    shown = runs[: max(query.limit, 0)]
    has_more = bool(shown) and len(runs) > len(shown)
    return Page(
        runs=tuple(summarise(run) for run in shown),
        next_cursor=write_cursor(shown[-1].created_at, shown[-1].run_key) if has_more else "",
    )


def count_runs(database: MemoryDatabase, query: RunQuery, *, most: int | None) -> int:
    """Return how many runs match, up to `most`."""
    return sum(1 for _ in islice(_matching(database, query), most))


def _matching(database: MemoryDatabase, query: RunQuery) -> Iterator[Run]:
    latest = (database.runs[generations[max(generations)]] for generations in database.generations.values())
    return (run for run in latest if _matches(run, query))


def _matches(run: Run, query: RunQuery) -> bool:
    return (
        run.ref.namespace == query.namespace
        and (not query.statuses or run.status in query.statuses)
        and (not query.workflows or run.workflow in query.workflows)
        and (not query.tenants or run.tenant in query.tenants)
        and (not query.priorities or run.priority in query.priorities)
        and query.labels.items() <= run.labels.items()
        and run.ref.id.startswith(query.id_prefix)
        and (run.parked is not None or not query.only_parked)
        and (query.parent_key is None or run.parent_key == query.parent_key)
        and (query.created_from is None or run.created_at >= query.created_from)
        and (query.created_until is None or run.created_at < query.created_until)
    )


def _creation_order(run: Run) -> tuple[int, int]:
    return (run.created_at, run.run_key)


def _is_beyond(place: tuple[int, int], last: tuple[int, int], *, is_newest_first: bool) -> bool:
    return place < last if is_newest_first else place > last
