"""The control of locks: a store that lets in whoever asks."""

from collections.abc import Sequence

import msgspec

from perdure.kernel.locking import LockChange, LockRequest
from perdure.kernel.transition import Outcome, Transition, Write
from perdure.torture.kills.lying import LyingStore

__all__ = ["LooseStore"]


class LooseStore(LyingStore):
    """A store that takes every request for a lock as one that shares it."""

    async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """Commit, with no limits of locks."""
        return await self.truth.commit([_loosened(write) for write in writes])


def _loosened(write: Write) -> Write:
    if isinstance(write, Transition) and write.locks:
        return msgspec.structs.replace(write, locks=tuple(_shared(change) for change in write.locks))
    return write


def _shared(change: LockChange) -> LockChange:
    return msgspec.structs.replace(change, limit=None) if isinstance(change, LockRequest) else change
