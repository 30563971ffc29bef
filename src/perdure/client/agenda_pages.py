"""All entries of the agenda that a client asks for, page by page: one that cannot be read hides no other."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, TypeVar

import msgspec

from perdure.errors import HistoryError
from perdure.ports.agenda import AgendaEntry, AgendaQuery
from perdure.ports.store import RunStore

__all__ = ["read_all"]

T = TypeVar("T")

_PAGE: Final = 100


async def read_all(
    store: RunStore, queries: Sequence[AgendaQuery], read: Callable[[AgendaEntry], T]
) -> AsyncGenerator[tuple[AgendaEntry, T], None]:
    """Yield each entry that the queries find, in their order, with what `read` makes of it.

    Raises HistoryError after the last, saying which entries cannot be read, if there are such.
    """
    unreadable: list[HistoryError] = []
    async for entry in _all_of(store, queries):
        try:
            found = read(entry)
        except HistoryError as error:
            unreadable.append(error)
        else:
            yield entry, found
    if unreadable:
        raise HistoryError("\n".join(map(str, unreadable))) from unreadable[0]


async def _all_of(store: RunStore, queries: Sequence[AgendaQuery]) -> AsyncGenerator[AgendaEntry, None]:
    for query in queries:
        query = msgspec.structs.replace(query, limit=_PAGE)  # noqa: PLW2901 - the query of the next page
        while page := await store.list_agenda(query):
            for entry in page:
                yield entry
            query = msgspec.structs.replace(query, after=page[-1].key)  # noqa: PLW2901 - as above
