"""Stores in memory that misbehave where a test tells them to."""

import asyncio
from collections.abc import Callable, Sequence

from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef, WorkerId
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Outcome, Write
from perdure.ports.store import InboxEntry, RunSummary
from perdure.stores.memory import MemoryDatabase, MemoryStore


class Gate:
    """A gate of commits: closed ones wait, before they are applied or (`is_answering`) before they are answered.

    `failure` says what a batch raises instead of being applied.
    """

    def __init__(self) -> None:
        self.failure: Callable[[Sequence[Write]], Exception | None] = lambda _writes: None
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.is_answering = asyncio.Event()
        self.is_answering.set()
        self.reached = asyncio.Event()

    async def before(self, _worker: WorkerId, writes: Sequence[Write]) -> None:
        self.reached.set()
        await self.is_open.wait()
        error = self.failure(writes)
        if error is not None:
            raise error

    async def after(self, _worker: WorkerId, _outcomes: Sequence[Outcome]) -> None:
        await asyncio.sleep(0)
        await self.is_answering.wait()


class FaultyStore(MemoryStore):
    """Raises once what is set for a call."""

    def __init__(self, database: MemoryDatabase | None = None, *, gate: Gate | None = None) -> None:
        super().__init__(database, gate=gate)
        self.history_error: Exception | None = None
        self.history_is_readable = asyncio.Event()
        self.history_is_readable.set()
        self.history_asked = asyncio.Event()
        self.inbox_error: Exception | None = None
        self.find_error: Exception | None = None
        self.free_error: Exception | None = None
        self.renewal_error: Exception | None = None
        self.renewed = asyncio.Event()

    async def read_history(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[RecordedEvent]:
        self.history_asked.set()
        await self.history_is_readable.wait()
        error, self.history_error = self.history_error, None
        if error is not None:
            raise error
        return await super().read_history(run_key, after=after, limit=limit)

    async def read_inbox(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[InboxEntry]:
        error, self.inbox_error = self.inbox_error, None
        if error is not None:
            raise error
        return await super().read_inbox(run_key, after=after, limit=limit)

    async def find(self, ref: RunRef | RunKey, *, latest: bool = True) -> RunSummary | None:
        error, self.find_error = self.find_error, None
        if error is not None:
            raise error
        return await super().find(ref, latest=latest)

    async def free_expired(self, *, now: Timestamp) -> int:
        error, self.free_error = self.free_error, None
        if error is not None:
            raise error
        return await super().free_expired(now=now)

    async def renew_lease(self, *, now: Timestamp) -> bool:
        error, self.renewal_error = self.renewal_error, None
        if error is not None:
            raise error
        kept = await super().renew_lease(now=now)
        self.renewed.set()
        return kept


class WideStore(FaultyStore):
    """Has several commits under way at once."""

    @property
    def commits_at_once(self) -> int:
        return 3
