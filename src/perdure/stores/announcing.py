"""Runs that transactions of callers create: who can go on with them hears of them once these are committed.

Nobody says when that is, so it is looked for, soon at first and then less and less often. After a minute that is given
up: whoever works looks for what is due by itself now and then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from perdure.errors import StoreError
from perdure.kernel.identity import RunKey
from perdure.ports.store import Changes

__all__ = ["Announcer"]


class Announcer:
    """Looks for the runs of an open store that are to come, and tells of those that have."""

    def __init__(
        self,
        find: Callable[[RunKey], Awaitable[object | None]],
        tell: Callable[[RunKey], Awaitable[object]],
        on_changes: Callable[[Changes], None],
    ) -> None:
        """Prepare. `find` returns None for a run that is not there; `tell` has other sessions hear of one that is, and
        `on_changes` this one."""
        self._find: Final = find
        self._tell: Final = tell
        self._on_changes: Final = on_changes
        self._expected: Final[dict[RunKey, float]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._pause = _FIRST_PAUSE_SECONDS

    def expect(self, run_key: RunKey) -> None:
        """Look for a run that a transaction has created which is not committed yet."""
        loop = asyncio.get_running_loop()
        self._expected[run_key] = loop.time() + _PATIENCE_SECONDS
        if len(self._expected) > _MOST:
            del self._expected[next(iter(self._expected))]
        self._pause = _FIRST_PAUSE_SECONDS
        if self._looking is None or self._looking.done():
            self._looking = loop.create_task(self._look(), name="perdure-announcer")

    async def close(self) -> None:
        """Look for nothing any more."""
        self._expected.clear()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time
        while self._expected:
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
            for run_key, until in list(self._expected.items()):
                if await self._is_told_of(run_key) or now() > until:
                    self._expected.pop(run_key, None)

    async def _is_told_of(self, run_key: RunKey) -> bool:
        try:
            if await self._find(run_key) is None:
                return False
            self._on_changes(Changes(run_keys=frozenset({run_key}), ready=True))
            await self._tell(run_key)
        except StoreError:  # it is looked for again
            return False
        return True


_FIRST_PAUSE_SECONDS: Final = 0.005
_LONGEST_PAUSE_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 60.0
_MOST: Final = 10_000
