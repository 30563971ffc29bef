"""A store in memory that refuses what another one has refused."""

from collections.abc import Sequence

from perdure.errors import StoreUnavailableError
from perdure.kernel.identity import WorkflowVersion
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Outcome, Write
from perdure.ports.agenda import AgendaChange
from perdure.ports.store import ClaimedRun
from perdure.stores.memory import MemoryStore
from perdure.torture.programs.prompt import PromptMemoryHarness, PromptMemoryStore

__all__ = ["RefusingHarness"]


class RefusingHarness(PromptMemoryHarness):
    """A database in memory, whose sessions refuse to write while it `refuses`."""

    def __init__(self) -> None:
        """Begin with no rows, and refuse nothing."""
        super().__init__()
        self.refuses = False

    def new_store(self) -> MemoryStore:
        """See `StoreHarness`."""
        return _RefusingStore(self)


class _RefusingStore(PromptMemoryStore):
    def __init__(self, harness: RefusingHarness) -> None:
        super().__init__(harness.database)
        self._harness = harness

    async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        self._refuse()
        return await super().commit(writes)

    async def claim(
        self, *, now: Timestamp, limit: int, workflows: frozenset[WorkflowVersion], code: str | None = None
    ) -> list[ClaimedRun]:
        self._refuse()
        return await super().claim(now=now, limit=limit, workflows=workflows, code=code)

    async def renew_lease(self, *, now: Timestamp) -> bool:
        self._refuse()
        return await super().renew_lease(now=now)

    async def free_expired(self, *, now: Timestamp) -> int:
        self._refuse()
        return await super().free_expired(now=now)

    async def change_agenda(self, change: AgendaChange) -> bool:
        self._refuse()
        return await super().change_agenda(change)

    def _refuse(self) -> None:
        if self._harness.refuses:
            raise StoreUnavailableError("refused, as the other store has")
