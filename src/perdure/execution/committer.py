"""The committer: writes that wait at the same moment are committed together.

Writes given within one turn of the event loop, or while a commit is under way, form the next batch: batching is by
natural waiting, never by sleeping. Each writer is answered after its batch is durable, in the order of the batch.

When the store is unavailable (full disk, lock, lost connection) nothing of a batch was applied. Writes that belong to
runs are kept and tried again, with growing pauses, until the cause is gone; writes of clients are answered with the
error at once, and so are new ones meanwhile. Any other error of the store is final: everybody gets it.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from perdure.errors import StoreError, StoreUnavailableError
from perdure.kernel.transition import Outcome, Write
from perdure.ports.store import RunStore

__all__ = ["Answer", "Committer"]

Answer = Callable[[Outcome | StoreError], None]
"""Told what became of a write."""

_logger = logging.getLogger("perdure.store")
_FACTOR: Final = 2.0


class Committer:
    """Commits writes in batches, one batch at a time."""

    def __init__(self, store: RunStore, *, batch: int, retry_seconds: float, retry_maximum_seconds: float) -> None:
        """Commit to `store` at most `batch` writes at once; see `Settings` for the pauses."""
        self._store = store
        self._batch = batch
        self._retry_seconds = retry_seconds
        self._retry_maximum_seconds = retry_maximum_seconds
        self._waiting: list[tuple[Write, Answer, bool]] = []
        self._working: asyncio.Task[None] | None = None
        self._trouble: StoreUnavailableError | None = None
        self.commits = 0

    def submit(self, write: Write, answer: Answer, *, keep: bool) -> None:
        """Commit `write` with the next batch and tell `answer`. `keep`: go on trying while the store is unavailable."""
        # While kept writes are being retried the answer is known; if none are, this write finds out how the store is.
        if self._trouble is not None and self._working is not None and not keep:
            asyncio.get_running_loop().call_soon(answer, self._trouble)
            return
        self._waiting.append((write, answer, keep))
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work(), name="perdure-committer")

    async def commit(self, write: Write) -> Outcome:
        """Commit a client's write and return its outcome. Raises the StoreError if it could not be applied."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def answer(outcome: Outcome | StoreError) -> None:
            if future.done():
                return
            if isinstance(outcome, StoreError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        self.submit(write, answer, keep=False)
        return await future

    async def drain(self) -> None:
        """Wait until nothing waits."""
        while self._working is not None:
            await asyncio.wait({self._working})

    async def stop(self) -> None:
        """Give up what still waits (only after `drain`, or when the store is gone)."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait({self._working})

    async def _work(self) -> None:
        pause = self._retry_seconds
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
                try:
                    outcomes = await self._store.commit([write for write, _, _ in batch])
                except StoreUnavailableError as error:
                    self._keep(batch, error)
                    await asyncio.sleep(pause)
                    pause = min(pause * _FACTOR, self._retry_maximum_seconds)
                    continue
                except StoreError as error:
                    _logger.critical("the store failed for good: %s", error)
                    self._answer_all(batch, error)
                    continue
                pause = self._recovered()
                self.commits += 1
                for (_, answer, _), outcome in zip(batch, outcomes, strict=True):
                    answer(outcome)
        finally:
            self._working = None

    def _keep(self, batch: list[tuple[Write, Answer, bool]], error: StoreUnavailableError) -> None:
        if self._trouble is None:
            _logger.error("commits fail and will be tried again: %s", error)
        self._trouble = error
        everything = [*batch, *self._waiting]
        self._waiting = [entry for entry in everything if entry[2]]
        for _, answer, keep in everything:
            if not keep:
                answer(error)

    def _recovered(self) -> float:
        if self._trouble is not None:
            _logger.warning("commits succeed again")
            self._trouble = None
        return self._retry_seconds

    def _answer_all(self, batch: list[tuple[Write, Answer, bool]], error: StoreError) -> None:
        for _, answer, _ in batch:
            answer(error)
