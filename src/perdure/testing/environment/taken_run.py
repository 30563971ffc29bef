"""A run that is taken from its owner, across lives: see `perdure.execution.taking_over`."""

from typing import TYPE_CHECKING

import msgspec

from perdure.execution.taking_over import TakenRun
from perdure.kernel.identity import FencingToken
from perdure.kernel.transition import Transition
from perdure.ports.store import RunSummary
from perdure.testing.environment.life import Life

if TYPE_CHECKING:
    from perdure.testing.environment.bridge import Bridge

__all__ = ["BridgedTakenRun"]


class BridgedTakenRun:
    """A `TakenRun` of whichever life there is. What a life has held that died is free again."""

    def __init__(self, bridge: "Bridge", summary: RunSummary) -> None:
        """Take the run of this row."""
        self.fencing_token = FencingToken(summary.fencing_token + 1)
        self._bridge = bridge
        self._summary = summary
        self._taken: TakenRun | None = None

    @property
    def is_held(self) -> bool:
        """See `TakenRun`."""
        return self._taken is not None and self._taken.is_held

    async def take(self, end: Transition) -> bool:
        """See `TakenRun.take`. An end that a life has made, and died before it could answer, is made."""
        return await self._bridge.call(lambda life: self._take(life, end))

    async def end(self, end: Transition) -> bool:
        """See `TakenRun.end`."""
        taken = self._taken
        return await self._bridge.call(lambda life: self._end(life, taken, end))

    def let_go(self) -> None:
        """See `TakenRun.let_go`."""
        if self._taken is not None:
            self._taken.let_go()

    async def _take(self, life: Life, end: Transition) -> bool:
        if self._taken is not None and await _is_made(life, end):
            return True
        self._taken = life.worker.take_over(self._summary)
        return await self._taken.take(msgspec.structs.replace(end, owner=life.worker.worker_id))

    async def _end(self, life: Life, taken: TakenRun | None, end: Transition) -> bool:
        if taken is None or end.owner != life.worker.worker_id:  # another life took it, which has died
            self._taken = None
            return await _is_made(life, end)
        return await taken.end(end)


async def _is_made(life: Life, end: Transition) -> bool:
    return await life.worker.store.find(end.creations[0].run_key) is not None
