"""The one thread that writes: it takes all that waits, applies it in one transaction, and answers once.

**Group commit.** While a transaction is being made durable, further jobs gather; the next transaction takes them all
(up to a limit). Nothing waits on purpose: a lone job is committed at once.

**Failures.** An error before COMMIT rolls back: nothing of the transaction is in the file, every job of it gets the
error. An error from COMMIT is settled first (`database`). An error that one job causes harms that job alone.

**Turn.** `writer.lock` is held from before BEGIN until after COMMIT, and while the log is copied, and no longer: a
process that is stopped right after an answer must not hold up the others. One that is stopped within these does, until
it goes on or ends.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import apsw

from perdure.errors import PerdureError, StoreLockedError, StoreUnavailableError
from perdure.kernel.transition import Outcome
from perdure.logs import logger_named
from perdure.stores.sqlite.application import Call, Commit, Job, apply_jobs
from perdure.stores.sqlite.database import Database, Mark
from perdure.stores.sqlite.encoding import EncodedWrite
from perdure.stores.sqlite.faults import is_damage, store_error
from perdure.stores.sqlite.forks import new_passage
from perdure.stores.sqlite.locks import FileLock
from perdure.stores.sqlite.segment import KnownRuns, News
from perdure.stores.sqlite.sessions import Session

__all__ = ["Writer"]

Result = TypeVar("Result")

_FIRST_PAUSE_SECONDS: Final = 0.05

_LOGGER: Final = logger_named(__name__)


class Writer:
    """The thread and its queue. Made by the store once the database is open and the session begun."""

    def __init__(
        self,
        database: Database,
        *,
        lock: FileLock,
        session: Session,
        loop: asyncio.AbstractEventLoop,
        publish: Callable[[News, int], None],
    ) -> None:
        """Take over an open database. `publish` is told the news of each transaction that has any, and their number."""
        self._database: Final = database
        self._path: Final[Path] = database.path
        self._lock: Final = lock
        self._session: Final = session
        self._loop: Final = loop
        self._publish: Final = publish
        self._limit: Final = database.settings.writes_per_transaction
        self._jobs: Final[queue.SimpleQueue[Job | None]] = queue.SimpleQueue()
        self._known: Final[KnownRuns] = {}
        self._passage: Final = new_passage()
        self._stopping: Final = threading.Event()
        self._left_over: Job | None = None
        self._thread: Final = threading.Thread(target=self._run, name="perdure-writer", daemon=True)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that hears the answers."""
        return self._loop

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def commit(self, writes: Sequence[EncodedWrite]) -> asyncio.Future[list[Outcome]]:
        """Ask for writes of one caller to be committed."""
        answer: asyncio.Future[list[Outcome]] = self._loop.create_future()
        self._jobs.put(Commit(writes, answer))
        return answer

    def call(self, function: Callable[[apsw.Connection, News], Result]) -> asyncio.Future[Result]:
        """Ask for a function to be run in a transaction; it may be run twice, and only the last run counts."""
        answer: asyncio.Future[Result] = self._loop.create_future()
        self._jobs.put(Call(function, answer))
        return answer

    def call_last(self, function: Callable[[apsw.Connection, News], Result]) -> asyncio.Future[Result]:
        """Ask for a function that ends the session: its row may be gone with it, and numbers no transaction."""
        answer: asyncio.Future[Result] = self._loop.create_future()
        self._jobs.put(Call(function, answer, is_last=True))
        return answer

    def hurry(self) -> None:
        """Let what cannot be settled from now on stay unsettled: the thread is to end soon."""
        self._stopping.set()

    def stop(self) -> None:
        """Ask the thread to end after what it was asked so far, in a hurry."""
        self.hurry()
        self._jobs.put(None)

    def join(self) -> None:
        """Wait for the thread to end."""
        self._thread.join()

    def _run(self) -> None:
        while jobs := self._take():
            with self._passage:
                try:
                    news = self._process(jobs)
                finally:
                    self._lock.unlock()
            try:
                self._loop.call_soon_threadsafe(_answer, jobs)
            except RuntimeError:
                # The loop is closed: nobody waits for answers any more.
                return
            if news:
                self._publish(news, self._database.last_notice)
            if len(self._known) > self._database.settings.known_runs:
                self._known.clear()  # some were lost to others, and nothing is written of them here any more
            if self._database.log.is_due:
                with self._passage:
                    self._copy_log()

    def _take(self) -> list[Job]:
        """Wait for a job, then take what waits with it; an empty list says that the thread shall end."""
        first = self._left_over or self._jobs.get()
        self._left_over = None
        if first is None:
            return []
        jobs = [first]
        size = first.size
        while size < self._limit:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            if size + job.size > self._limit:
                self._left_over = job
                break
            jobs.append(job)
            size += job.size
        return jobs

    def _process(self, jobs: list[Job], *, is_again: bool = False) -> News:
        """Apply jobs in one transaction and note in each its result or error; return what others may wait for.

        What looks damaged is looked at once more (`is_again`), by a connection that has read nothing yet: memory, a
        cable, a page that was being written may have been wrong for a moment, and callers give up for damage.
        The writer's lock is left as it is: the caller lets it go.
        """
        patience = self._database.settings.lock_patience_seconds
        try:
            if not self._lock.wait_exclusive(patience_seconds=patience):
                return _fail(jobs, self._locked(patience))
            connection = self._database.connection()
            connection.execute("BEGIN IMMEDIATE")
            self._database.log.make_room()
            before = connection.total_changes()
            news = apply_jobs(connection, jobs, known=self._known)
            if connection.total_changes() == before:
                connection.execute("ROLLBACK")
                return News()
            mark = self._database.mark(connection, self._session, news, is_last=any(job.is_last for job in jobs))
        except Exception as error:  # noqa: BLE001 - a service loop: every error is an answer, none may end the thread
            answer = self._abandon(error)
            if is_damage(error) and not is_again:
                return self._process_singly(jobs)
            return _fail(jobs, answer)
        try:
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - as above; the outcome is unknown until it is settled
            failure = self._settle(error, mark)
            if failure is not None:
                return _fail(jobs, failure)
        return news

    def _process_singly(self, jobs: list[Job]) -> News:
        """Apply each job in a transaction of its own: a damaged page fails none but those that need it."""
        together = News()
        for job in jobs:
            together.add(self._process([job], is_again=True))
        return together

    def _copy_log(self) -> None:
        """Copy the log into the database, unless another process has its turn: then there is a next time."""
        try:
            if self._lock.wait_exclusive(patience_seconds=0):
                try:
                    self._database.copy_log()
                finally:
                    self._lock.unlock()
        except OSError as error:
            _LOGGER.warning("the log of %s could not be copied into it, and is kept: %s", self._path, error)

    def _abandon(self, error: Exception) -> PerdureError:
        """Undo a transaction that met an error before COMMIT: nothing of it can be in the file."""
        self._known.clear()
        error = self._database.named(error)
        try:
            self._database.roll_back()
        except apsw.Error:
            self._database.distrust()
        if not isinstance(error, _HARMLESS):
            self._database.distrust()
        return self._error(error)

    def _settle(self, error: Exception, mark: Mark) -> PerdureError | None:
        """Find out what became of a COMMIT that raised; return None if it is in the file, else the error to answer."""
        self._known.clear()
        error = self._database.named(error)
        self._database.distrust()
        longest = self._database.settings.settling_pause_seconds
        pause = min(_FIRST_PAUSE_SECONDS, longest)
        while True:
            try:
                return None if self._database.settle(self._session, mark) else self._error(error)
            except Exception as again:  # noqa: BLE001 - whatever keeps the file from being read is tried again
                if isinstance(error, apsw.FullError) and isinstance(self._database.named(again), apsw.FullError):
                    # The log's pages are written in order, the one that commits last: it did not fit.
                    return self._error(error)
                _LOGGER.warning(
                    "it is not known yet whether a commit to %s is saved (%s); callers wait, trying again in %g s: %s",
                    self._path,
                    error,
                    pause,
                    again,
                )
            if not (self._wait_in_turn(pause) if mark.event else self._wait_for_another_turn(pause)):
                return StoreUnavailableError(
                    f"committing failed on the database {self._path}: {error}. The store was closed before it could "
                    f"be found out whether this call was saved; look it up after the next opening."
                )
            pause = min(pause * 2, longest)

    def _wait_in_turn(self, pause: float) -> bool:
        """Pause, and keep the turn; return False if the thread is to end."""
        return not self._stopping.wait(pause)

    def _wait_for_another_turn(self, pause: float) -> bool:
        """Give up the turn, pause, and take it again; return False, without it, if the thread is to end."""
        self._lock.unlock()
        while not self._stopping.wait(pause):
            if self._lock.wait_exclusive(patience_seconds=pause):
                return True
        return False

    def _error(self, error: Exception) -> PerdureError:
        if isinstance(error, PerdureError):
            return error
        if isinstance(error, apsw.FullError):
            self._database.log.is_cramped = True
        failure = store_error(error, path=self._path, doing="committing")
        failure.__cause__ = error
        return failure

    def _locked(self, patience: float) -> PerdureError:
        return StoreLockedError(
            f"another process has been writing to {self._path} for more than {patience:g} s; nothing of this call "
            f"was saved. If that process hangs or is stopped, end it; calls then succeed again by themselves."
        )


_HARMLESS: Final = (apsw.BusyError, apsw.LockedError, apsw.FullError, apsw.ReadOnlyError, PerdureError)


def _fail(jobs: list[Job], error: PerdureError) -> News:
    for job in jobs:
        job.error = error
    return News()


def _answer(jobs: list[Job]) -> None:
    """Answer the callers of one transaction, on the loop's thread."""
    for job in jobs:
        if job.answer.done():
            continue
        if job.error is None:
            job.answer.set_result(job.result)
        else:
            job.answer.set_exception(job.error)
