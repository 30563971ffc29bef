"""The committer: writes that wait at the same moment are committed together.

Writes given within one turn of the event loop, or while a commit is under way, form the next batch: batching is by
natural waiting, never by sleeping. Each writer is answered after its batch is durable, in the order of the batch.

When the store is unavailable (full disk, lock, lost connection) nothing of a batch was applied. Writes that belong to
runs are kept and tried again, with growing pauses, until the cause is gone; writes of clients are answered with the
error at once, and so are new ones meanwhile. After some failures each is tried alone: where others succeed, what fails
fails by itself, as what lies on a bad sector does, and is answered with the error. Any other error of the store is
final: everybody gets it.

A write that cannot be committed at all (an error that is not the store's) fails alone: the others of its batch are
committed one by one. When the engine closes, a store that stays unavailable is given up: what still waits for it was
acknowledged to nobody and is answered with the error.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from perdure.configuration import Settings
from perdure.errors import InternalError, PerdureError, StoreError, StoreUnavailableError
from perdure.execution.refusals import DAMAGE
from perdure.kernel.transition import Outcome, Transition, Write
from perdure.logs import Recurring, logger_named
from perdure.ports.store import RunStore

__all__ = ["Answer", "Committer"]

Answer = Callable[[Outcome | PerdureError], None]
"""Told what became of a write. What it raises is logged: it must not keep the answers of others back."""

_logger = logger_named("perdure.store")
_FACTOR: Final = 2.0
_TOGETHER: Final = 3


class Committer:
    """Commits writes in batches, one batch at a time."""

    def __init__(self, store: RunStore, settings: Settings) -> None:
        """Commit to `store`; see `Settings` for the size of batches and the pauses."""
        self._store = store
        self._batch = settings.commit_batch
        self._retry_seconds = settings.retry_store_seconds
        self._retry_maximum_seconds = settings.retry_store_maximum_seconds
        self._waiting: list[tuple[Write, Answer, bool]] = []
        self._working: asyncio.Task[None] | None = None
        self._recurring = Recurring(_logger.name, asyncio.get_running_loop().time)
        self._is_told = False
        self.trouble: StoreUnavailableError | None = None
        """Why the last commit failed; None if it did not."""
        self._alone = 0
        self._failures = 0
        self._in_vain = 0
        self._given_up = asyncio.Event()
        self.commits = 0

    def submit(self, write: Write, answer: Answer, *, keep: bool) -> None:
        """Commit `write` with the next batch and tell `answer`. `keep`: go on trying while the store is unavailable."""
        # While kept writes are being retried the answer is known; if none are, this write finds out how the store is.
        # After many failures one is let through, to find out whether only what is kept fails.
        if self.trouble is not None and self._working is not None and not keep and not self._lacks_proof:
            asyncio.get_running_loop().call_soon(_tell, answer, self.trouble)
            return
        self._waiting.append((write, answer, keep))
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work(), name="perdure-committer")

    @property
    def _lacks_proof(self) -> bool:
        return self._failures >= _TOGETHER and all(is_kept for _, _, is_kept in self._waiting)

    async def commit(self, write: Write) -> Outcome:
        """Commit a client's write and return its outcome. Raises the StoreError (or InternalError) if that failed."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def answer(outcome: Outcome | PerdureError) -> None:
            if future.done():
                return
            if isinstance(outcome, PerdureError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        self.submit(write, answer, keep=False)
        return await future

    async def drain(self, *, patience_seconds: float) -> None:
        """Wait until nothing waits; give up a store that is still unavailable after `patience_seconds`.

        One that does not even answer by then, at first or when it is asked for the last time, will answer when it is
        closed.
        """
        while (working := self._working) is not None:
            await asyncio.wait({working}, timeout=max(patience_seconds, self._retry_seconds))
            if not working.done():
                is_silent = self.trouble is None or self._given_up.is_set()
                self._given_up.set()
                if is_silent:
                    return

    async def _work(self) -> None:
        pause = self._retry_seconds
        try:
            while self._waiting:
                is_parted = self._alone > 0
                batch = self._take_batch()
                try:
                    outcomes = await self._store.commit([write for write, _, _ in batch])
                except StoreUnavailableError as error:
                    if self._is_sorted_out(batch, error, is_parted=is_parted):
                        continue
                    self._keep(batch, error)
                    await self._pause(pause)
                    pause = min(pause * _FACTOR, self._retry_maximum_seconds)
                except DAMAGE as error:
                    self._part(batch, error)
                except StoreError as error:
                    self._recurring.critical("the store failed for good: %s", error, cause=error)
                    _answer_all(batch, error)
                except Exception as error:  # noqa: BLE001 - a service loop: one bad write must not stop all others
                    self._part(batch, error)
                else:
                    pause = self._recovered()
                    self.commits += 1
                    for (_, answer, _), outcome in zip(batch, outcomes, strict=True):
                        _tell(answer, outcome)
        finally:
            self._working = None

    def _take_batch(self) -> list[tuple[Write, Answer, bool]]:
        size = self._batch
        if self._alone:
            self._alone -= 1
            size = 1
        batch, self._waiting = self._waiting[:size], self._waiting[size:]
        return batch

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._given_up.wait(), seconds)

    def _part(self, batch: list[tuple[Write, Answer, bool]], error: Exception) -> None:
        """Find the write that cannot be committed by trying each alone; let it fail by itself."""
        if len(batch) > 1:
            self._waiting[:0] = batch
            self._alone = len(batch)
            return
        if isinstance(error, DAMAGE):
            self._recurring.error("a write cannot be committed: %s", error, cause=error)
        else:
            self._recurring.critical("a write cannot be committed", cause=error, with_lines=True)
        if not isinstance(error, PerdureError):
            error = InternalError(f"a write cannot be committed: {error!r}")
        _answer_all(batch, error)

    def _is_sorted_out(self, batch: list[tuple[Write, Answer, bool]], error: Exception, *, is_parted: bool) -> bool:
        """Whether it need not be the store that fails, but may be one write's own place in it, as on a bad sector.

        Writes that have failed together some times are tried alone. A run's transition that fails after others have
        succeeded fails by itself. While none has it lets the others go first, and the store fails when all have.
        """
        if type(error) is not StoreUnavailableError or self._given_up.is_set():
            self._alone = 0
            return False
        if not is_parted:
            self._failures += 1
            if self._failures <= _TOGETHER or len(batch) == 1:
                return False
            self._failures = self._in_vain = 0
            self._part(batch, error)
            return True
        [entry] = batch
        if self.trouble is None:
            _answer_all(batch, error)
            return True
        self._in_vain += 1
        if self._in_vain > self._alone or not isinstance(entry[0], Transition):
            self._alone = 0
            return False
        self._waiting.insert(self._alone, entry)
        self._alone += 1
        return True

    def _keep(self, batch: list[tuple[Write, Answer, bool]], error: StoreUnavailableError) -> None:
        if self.trouble is None:
            text = "commits fail and will be tried again: %s"
            self._is_told = self._recurring.error(text, error, cause=error)
        self.trouble = error
        everything = [*batch, *self._waiting]
        is_kept = not self._given_up.is_set()
        self._waiting = [entry for entry in everything if entry[2] and is_kept]
        _answer_all([entry for entry in everything if not (entry[2] and is_kept)], error)

    def _recovered(self) -> float:
        if self.trouble is not None:
            if self._is_told:
                _logger.warning("commits succeed again")
            self.trouble = None
        self._failures = self._in_vain = 0
        return self._retry_seconds


def _answer_all(entries: list[tuple[Write, Answer, bool]], error: PerdureError) -> None:
    for _, answer, _ in entries:
        _tell(answer, error)


def _tell(answer: Answer, outcome: Outcome | PerdureError) -> None:
    try:
        answer(outcome)
    except Exception as error:  # the others of the batch wait for their answers
        _logger.critical("what follows from a commit failed", exc_info=error)
