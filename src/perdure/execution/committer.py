"""The committer: writes that wait at the same moment are committed together.

Writes given within one turn of the event loop, or while a commit is under way, form the next batch: batching is by
natural waiting, never by sleeping. Each writer is answered after its batch is durable, in the order of the batch.

A store that can make use of it (`RunStore.commits_at_once`) has several commits under way, each in a *lane*. Lanes
that are free at the same moment take equal shares of what waits, but none takes a few writes only: a commit of many
costs less, here and in the store, than many of few (`bench/lanes.py`). So where little is to be done each write goes at
once, whatever others wait for; where much is, what has come since another lane took the last batch goes together; and
of many runs that go on at the same moment some are at work here while the store commits what others have done: in one
batch all of them would wait for it, and the store for them, in turns. Batches are answered in any order: only the
writes of one line keep theirs (`perdure.execution.commit_queue`).

When the store is unavailable (full disk, lock, lost connection) nothing of a batch was applied. Writes that belong to
runs are kept and tried again, with growing pauses, until the cause is gone; writes of clients are answered with the
error, and so are new ones meanwhile, at once. Where others succeed, what fails fails by itself, as what lies on a bad
sector does: it is held back beside them, and answered with the error in the end (`perdure.execution.commit_queue`). Any
other error of the store is final: everybody gets it.

A write that cannot be committed at all (an error that is not the store's) fails alone: the others of its batch are
committed one by one. When the engine closes, a store that stays unavailable is given up: what still waits for it was
acknowledged to nobody and is answered with the error.
"""

import asyncio

from perdure.configuration import Settings
from perdure.errors import InternalError, PerdureError, StoreError, StoreUnavailableError
from perdure.execution.commit_queue import Answer, CommitQueue, Entry
from perdure.execution.refusals import DAMAGE
from perdure.kernel.transition import Outcome, Write
from perdure.logs import Recurring, logger_named
from perdure.ports.store import RunStore

__all__ = ["Answer", "Committer"]

_logger = logger_named("perdure.store")


class Committer:
    """Commits writes in batches, as many at once as the store can make use of."""

    def __init__(self, store: RunStore, settings: Settings) -> None:
        """Commit to `store`; see `Settings` for how many writes at once, and the pauses."""
        self._store = store
        self._lanes = store.commits_at_once
        self._queue = CommitQueue(settings, is_shared=self._lanes > 1)
        self._retry_seconds = settings.retry_store_seconds
        self._loop = asyncio.get_running_loop()
        self._working: set[asyncio.Task[None]] = set()
        self._is_attended = False
        """Whether what is added needs no other lane: one is about to take what waits, or all are at work."""
        self._news = asyncio.Event()
        self._is_given_up = False
        self._recurring = Recurring(_logger.name, self._loop.time)
        self._is_told = False
        self.commits = 0

    @property
    def trouble(self) -> StoreUnavailableError | None:
        """Why the last commit failed that any write might have been; None if it did not."""
        return self._queue.trouble

    def submit(self, write: Write, answer: Answer, *, keep: bool) -> None:
        """Commit `write` with the next batch and tell `answer`. `keep`: go on trying while the store is unavailable."""
        refusal = self._queue.add(Entry(write, answer, keep))
        if refusal is not None:
            self._loop.call_soon(_tell, answer, refusal)
        else:
            self._attend()

    def _attend(self) -> None:
        """See to it that a lane takes what waits."""
        if self._is_attended:
            self._news.set()
        else:
            self._is_attended = True
            self._working.add(self._loop.create_task(self._work(), name="perdure-committer"))

    async def commit(self, write: Write) -> Outcome:
        """Commit a client's write and return its outcome. Raises the StoreError (or InternalError) if that failed."""
        future: asyncio.Future[Outcome] = self._loop.create_future()

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
        while self._working:
            _, still_working = await asyncio.wait(self._working, timeout=max(patience_seconds, self._retry_seconds))
            if still_working:
                is_silent = self._is_given_up or not self._queue.is_failing
                self._is_given_up = True
                self._queue.give_up()
                self._news.set()
                if is_silent:
                    return

    async def _work(self) -> None:
        now = self._loop.time()
        try:
            while self._queue:
                batch = self._queue.take(now, among=self._lanes - len(self._working) + 1)
                if batch:
                    self._is_attended = len(self._working) == self._lanes
                    if self._queue.may_be_taken:
                        self._attend()
                    await self._try(batch)
                    now = self._loop.time()
                elif self._queue.is_under_way:
                    return  # the lane in which it is goes on from there
                else:
                    now = await self._until(self._queue.pause_ends_at)
        finally:
            self._is_attended = False
            self._working -= {asyncio.current_task()}

    async def _until(self, moment: float) -> float:
        """Wait for a moment, or for news of the queue; return the time."""
        self._news.clear()
        try:
            await asyncio.wait_for(self._news.wait(), moment - self._loop.time())
        except TimeoutError:
            return max(moment, self._loop.time())  # a timer may be early by less than it can tell apart
        return self._loop.time()

    async def _try(self, batch: list[Entry]) -> None:
        try:
            outcomes = await self._store.commit([entry.write for entry in batch])
        except StoreUnavailableError as error:
            self._failed(batch, error)
        except DAMAGE as error:
            self._part(batch, error)
        except StoreError as error:
            self._recurring.critical("the store failed for good: %s", error, cause=error)
            self._answer_all(batch, error)
        except Exception as error:  # noqa: BLE001 - a service loop: one bad write must not stop all others
            self._part(batch, error)
        else:
            self.commits += 1
            self._queue.succeeded(batch)
            if self._is_told:
                self._is_told = False
                _logger.warning("commits succeed again")
            for entry, outcome in zip(batch, outcomes, strict=True):
                _tell(entry.answer, outcome)

    def _failed(self, batch: list[Entry], error: StoreUnavailableError) -> None:
        if self._is_given_up:
            refused: list[tuple[Entry, PerdureError]] = [(entry, error) for entry in self._queue.take_all(batch)]
        else:
            refused = self._queue.failed(batch, error, self._loop.time())
            if self._queue.trouble is not None:
                text = "commits fail and will be tried again: %s"
                self._is_told |= self._recurring.error(text, error, cause=error)
        for entry, its_error in refused:
            _tell(entry.answer, its_error)

    def _part(self, batch: list[Entry], error: Exception) -> None:
        """Find the write that cannot be committed by trying each alone; let it fail by itself."""
        if len(batch) > 1:
            self._queue.part(batch)
            return
        if isinstance(error, DAMAGE):
            self._recurring.error("a write cannot be committed: %s", error, cause=error)
        else:
            self._recurring.critical("a write cannot be committed", cause=error, with_lines=True)
        if not isinstance(error, PerdureError):
            error = InternalError(f"a write cannot be committed: {error!r}")
        self._answer_all(batch, error)

    def _answer_all(self, batch: list[Entry], error: PerdureError) -> None:
        self._queue.answered(batch, self._loop.time())
        for entry in batch:
            _tell(entry.answer, error)


def _tell(answer: Answer, outcome: Outcome | PerdureError) -> None:
    try:
        answer(outcome)
    except Exception as error:  # the others of the batch wait for their answers
        _logger.critical("what follows from a commit failed", exc_info=error)
