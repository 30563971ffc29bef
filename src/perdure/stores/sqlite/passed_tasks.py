"""Tasks that claims pass over: their rows lie on damaged pages, and can be read or written by nobody.

As for runs (`perdure.stores.sqlite.unreadable`), after damage fewer are claimed in one transaction, half as many each
time; the one that fails alone is passed over for a minute, and tried again then. Each claim that succeeds is followed
by one of twice as many. The run of such a task waits: `perdure verify --repair` has its attempt fail, and it goes on
with the next one. Of a row that can be read, and is damaged, the run hears at once (`tasks.claim_tasks`). Passed over
for as long is what only an index says to wait.

**Limits.** One claim passes over at most 1,000: if as many fail, it is not their rows, but an index, or the disk.
"""

import math
import time
from collections.abc import Awaitable, Callable, Collection
from itertools import takewhile
from typing import Final, Protocol

from perdure.errors import StoreError
from perdure.logs import logger_named
from perdure.stores.sqlite.task_lines import UnsoundSharesError
from perdure.stores.sqlite.tasks import ClaimedTasks, UnsoundTasksError

__all__ = ["PassedTasks"]

_LOGGER: Final = logger_named("perdure.store")


class Claim(Protocol):
    """Claim at most `limit` tasks, but none at the positions that are `passed`, in one transaction; by turns, if it
    `is_fair`."""

    def __call__(self, *, limit: int, passed: Collection[int], is_fair: bool) -> Awaitable[ClaimedTasks]: ...


class PassedTasks:
    """The tasks of an open database that are passed over, as far as this process knows."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        """Begin with none. `now` gives seconds that never go back."""
        self._now: Final = now
        self._until: Final[dict[int, float]] = {}
        self._most = _MOST_CLAIMED
        self._fair_from = -math.inf

    async def past_damage(self, claim: Claim, *, limit: int) -> ClaimedTasks:
        """Claim tasks, in several transactions where damage has been met. Raises UnsoundTasksError if nearly all are
        damaged."""
        self._forget_past()
        found, may_pass = ClaimedTasks(), _MOST_PASSED
        while True:
            asked = min(limit - len(found.claimed), self._most)
            try:
                more = await claim(limit=asked, passed=tuple(self._until), is_fair=self._now() >= self._fair_from)
            except UnsoundSharesError as error:
                self._fair_from = self._now() + _PASSED_SECONDS
                _LOGGER.error("tasks are claimed by their time first: %s; see `perdure verify`", error)  # noqa: TRY400
                continue
            except UnsoundTasksError as error:
                if not may_pass:
                    return _kept(found, error)
                may_pass -= self._narrow(error)
                continue
            except StoreError as error:
                return _kept(found, error)
            self._most = min(self._most * 2, _MOST_CLAIMED)
            self._until.update(dict.fromkeys(more.stale, self._now() + _PASSED_SECONDS))
            found = found.and_also(more)
            if more.looked_at < asked or len(found.claimed) >= limit:
                return found

    def _narrow(self, error: UnsoundTasksError) -> bool:
        """Claim fewer from now on, or pass over the one that has failed alone; return whether it was that."""
        if len(error.positions) > 1:
            self._most = len(error.positions) // 2
            return False
        [position] = error.positions
        self._until[position] = self._now() + _PASSED_SECONDS
        _LOGGER.error(
            "the task at position %d cannot be read or written, and is passed over: %s; see `perdure verify`",
            position,
            error.__cause__,
        )
        return True

    def _forget_past(self) -> None:
        now = self._now()
        for position in [*takewhile(lambda position: self._until[position] <= now, self._until)]:
            del self._until[position]


def _kept(found: ClaimedTasks, error: StoreError) -> ClaimedTasks:
    """Return what was claimed before an error, which is somebody's by now. Raises it if that is nothing."""
    if not found.claimed:
        raise error
    _LOGGER.warning("claiming more than %d tasks failed: %s", len(found.claimed), error)
    return found


_MOST_CLAIMED: Final = 10_000
_MOST_PASSED: Final = 1_000
_PASSED_SECONDS: Final = 60.0
