"""Runs that transactions of callers create: who can go on with them hears of them once these are committed.

Nobody says when that is, so each is looked for, soon at first and then less and less often. After a minute that is
given up: whoever works looks for what is due by itself now and then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from perdure.errors import StoreError
from perdure.kernel.identity import RunKey
from perdure.ports.store import Changes

__all__ = ["Announcer"]


class _Expected:
    """A run that is to come: it is looked for at `at`, and then `pause` later."""

    def __init__(self, now: float) -> None:
        self.until: Final = now + _PATIENCE_SECONDS
        self.pause = _FIRST_PAUSE_SECONDS
        self.at = now + self.pause

    def put_off(self, now: float) -> None:
        self.pause = min(self.pause * 2, _LONGEST_PAUSE_SECONDS)
        self.at = now + self.pause


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
        self._expected: Final[dict[RunKey, _Expected]] = {}
        self._news: Final = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False

    def expect(self, run_key: RunKey) -> None:
        """Look for a run that a transaction has created which is not committed yet; not once this is closed."""
        if self._is_closed:
            return
        loop = asyncio.get_running_loop()
        self._expected[run_key] = _Expected(loop.time())
        if len(self._expected) > _MOST:
            del self._expected[next(iter(self._expected))]
        self._news.set()
        if self._looking is None or self._looking.done():
            self._looking = loop.create_task(self._look(), name="perdure-announcer")

    async def close(self) -> None:
        """Look for nothing any more."""
        self._is_closed = True
        self._expected.clear()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time
        while self._expected:
            self._news.clear()
            soonest = min(expected.at for expected in self._expected.values())
            try:
                await asyncio.wait_for(self._news.wait(), max(soonest - now(), 0.0))
            except TimeoutError:
                await self._look_for_all_that_are_due()

    async def _look_for_all_that_are_due(self) -> None:
        now = asyncio.get_running_loop().time
        for run_key, expected in list(self._expected.items()):
            if expected.at > now():
                continue
            if await self._is_told_of(run_key) or now() > expected.until:
                self._expected.pop(run_key, None)
            else:
                expected.put_off(now())

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
_LONGEST_PAUSE_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 60.0
_MOST: Final = 10_000
