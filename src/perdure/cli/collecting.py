"""Lists of which some entries may be unreadable: the others are shown all the same."""

from collections.abc import AsyncIterable
from typing import TypeVar

from perdure.errors import HistoryError

__all__ = ["collect"]

T = TypeVar("T")


async def collect(entries: AsyncIterable[T]) -> tuple[list[T], HistoryError | None]:
    """Return the entries that can be read, and the error that names the others, which comes last; None: all can be."""
    found: list[T] = []
    try:
        async for entry in entries:
            found.append(entry)  # noqa: PERF401 - what came before the error counts
    except HistoryError as error:
        return found, error
    return found, None
