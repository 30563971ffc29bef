"""Sweeping: what removed runs have left is deleted by and by, but for what lies on damaged pages, or beside them.

Such rows have no run any more that could be passed over: which they are is kept here, until they are tried once more.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from perdure.logs import logger_named
from perdure.stores.sql.passing import NONE_PASSED
from perdure.stores.sqlite.keeping import sweep
from perdure.stores.sqlite.unreadable import UnsoundRowsError
from perdure.stores.sqlite.writer import Writer

__all__ = ["Sweeper"]

_LOGGER: Final = logger_named("perdure.store")


class Sweeper:
    """Deletes what removed runs have left in an open database."""

    def __init__(self, writing: Callable[[], Writer]) -> None:
        """Prepare; `writing` gives the writer."""
        self._writing: Final = writing
        self._left = NONE_PASSED

    async def sweep(self, *, is_anew: bool) -> None:
        """Delete what can be; what could not be before only if it `is_anew`."""
        before = NONE_PASSED if is_anew else self._left
        self._left = before
        while await self._sweep_some():
            pass
        if new := len(self._left - before):
            _LOGGER.error("rows that %d removed runs have left lie on damaged pages, or beside them, and stay", new)

    async def _sweep_some(self) -> bool:
        sweeping = partial(sweep, passing=self._left)
        try:
            return await self._writing().call(lambda connection, _news: sweeping(connection))
        except UnsoundRowsError as error:
            self._left = self._left.union(error.run_keys)
            return True
