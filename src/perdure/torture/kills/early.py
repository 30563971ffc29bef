"""The control: a store that lies. It acknowledges first and commits a moment later, if it still can."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from perdure.kernel.identity import RunKey, WorkerId
from perdure.kernel.transition import Applied, Delivery, Outcome, Write
from perdure.ports.store import Changes, RunStore
from perdure.torture.kills.lying import LyingStore

__all__ = ["EarlyStore"]


class EarlyStore(LyingStore):
    """A store that answers every commit at once with what it hopes for."""

    def __init__(self, store: RunStore) -> None:
        """Lie about `store`."""
        super().__init__(store)
        self._hoped: Final[asyncio.Queue[Sequence[Write]]] = asyncio.Queue()
        self._committing: asyncio.Task[None] | None = None

    async def open(self, *, session_name: str, lease_seconds: float, on_changes: Callable[[Changes], None]) -> WorkerId:
        """Open, and begin to commit what was promised."""
        worker_id = await self.truth.open(session_name=session_name, lease_seconds=lease_seconds, on_changes=on_changes)
        self._committing = asyncio.get_running_loop().create_task(self._keep_promises(on_changes))
        return worker_id

    async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Promise."""
        self._hoped.put_nowait(tuple(writes))
        return [Applied(_key_of(write)) for write in writes]

    async def _keep_promises(self, on_changes: Callable[[Changes], None]) -> None:
        """Commit, and tell of the locks that this gave: no answer did."""
        while True:
            writes = list(await self._hoped.get())
            await asyncio.sleep(_DELAY_SECONDS)
            while not self._hoped.empty():
                writes += self._hoped.get_nowait()
            outcomes = await self.truth.commit(writes)
            told = [run_key for outcome in outcomes if isinstance(outcome, Applied) for run_key in outcome.told]
            on_changes(Changes(run_keys=frozenset(told)))


_DELAY_SECONDS: Final = 0.1


def _key_of(write: Write) -> RunKey:
    if isinstance(write, Delivery):
        return RunKey(0) if not isinstance(write.target, int) else write.target
    return write.run_key
