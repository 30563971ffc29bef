"""Pages of runs, put together: a store ends a page early where a search finds little, and so do these, a little later.

**Promise.** Whatever the filters, and however many runs there are, one page costs so many pages of the store at most.
It may be short then, or empty, though more will come: its cursor leads on.
"""

from typing import Protocol

import msgspec

from perdure.configuration import SEARCHED_PAGES
from perdure.ports.store import Page, RunQuery, RunSummary

__all__ = ["whole_page"]


class Listed(Protocol):
    """What a page is taken from."""

    async def list_runs(self, query: RunQuery) -> Page:
        """See `RunStore.list_runs`."""
        ...


async def whole_page(store: Listed, query: RunQuery, *, most_pages: int = SEARCHED_PAGES) -> Page:
    """Return a page with as many runs as were asked for, or all that are left, or all of `most_pages` of the store."""
    runs: list[RunSummary] = []
    cursor = query.cursor
    for _ in range(most_pages):
        asked = msgspec.structs.replace(query, limit=query.limit - len(runs), cursor=cursor)
        page = await store.list_runs(asked)
        runs += page.runs
        cursor = page.next_cursor
        if len(runs) >= query.limit or not cursor:
            break
    return Page(runs=tuple(runs), next_cursor=cursor)
