"""What stands around each commit to a store in memory."""

from collections.abc import Sequence
from typing import Protocol

from perdure.kernel.identity import WorkerId
from perdure.kernel.transition import Outcome, Write

__all__ = ["CommitGate"]


class CommitGate(Protocol):
    """Stands before and after the moment at which a commit is applied. Whatever it raises, the committer gets."""

    async def before(self, worker: WorkerId, writes: Sequence[Write]) -> None:
        """Nothing is applied yet."""
        ...

    async def after(self, worker: WorkerId, outcomes: Sequence[Outcome]) -> None:
        """Everything is applied, and the caller does not know yet."""
        ...
