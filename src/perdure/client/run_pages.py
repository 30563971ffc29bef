"""Pages of runs, filled: a store may end a page early where a search finds little."""

import msgspec

from perdure.ports.store import Page, RunQuery, RunStore, RunSummary

__all__ = ["whole_page"]


async def whole_page(store: RunStore, query: RunQuery) -> Page:
    """Return a page that holds as many runs as were asked for, or all that are left."""
    runs: list[RunSummary] = []
    while True:
        page = await store.list_runs(msgspec.structs.replace(query, limit=query.limit - len(runs)))
        runs += page.runs
        if len(runs) >= query.limit or not page.next_cursor:
            return Page(runs=tuple(runs), next_cursor=page.next_cursor)
        query = msgspec.structs.replace(query, cursor=page.next_cursor)
