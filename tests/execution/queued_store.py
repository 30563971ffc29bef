"""A store for the queue of the committer, without an engine: it commits, or fails, when a test has it do so."""

import random
from collections.abc import Callable, Iterable

from perdure.configuration import Settings
from perdure.errors import PerdureError, StoreCorruptError, StoreUnavailableError
from perdure.execution.commit_queue import CommitQueue, Entry
from perdure.kernel.identity import FencingToken, RunKey, RunRef
from perdure.kernel.messages import CancelMessage
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Delivery, Outcome, Release, Write

AWAY = StoreUnavailableError("the disk is away")


class Store:
    """Commits what a queue hands out, at moments that are set, up to `lanes` batches at once; `fails` says what a batch
    raises instead."""

    def __init__(self, *, batch: int = 100, lanes: int = 1) -> None:
        settings = Settings(commit_batch=batch, retry_store_seconds=1.0, retry_store_maximum_seconds=8.0)
        self.queue = CommitQueue(settings, is_shared=lanes > 1)
        self.lanes = lanes
        self.under_way: list[list[Entry]] = []
        self.fails: Callable[[list[Write]], StoreUnavailableError | None] = lambda _writes: None
        self.damages: Callable[[list[Write]], bool] = lambda _writes: False
        self.now = 0.0
        self.tried: list[list[Write]] = []
        self.committed: list[Write] = []
        self.refused: dict[int, PerdureError] = {}

    def add(self, *writes: Write, is_kept: bool = True) -> None:
        for write in writes:
            entry = Entry(write, _unasked, is_kept)
            error = self.queue.add(entry)
            if error is not None:
                self.refused[id(write)] = error

    def try_once(self) -> bool:
        """Try the next batch; return whether there was one by now."""
        batch = self.begin()
        if batch:
            self.end(batch)
        return bool(batch)

    def begin(self) -> list[Entry]:
        """Have the next batch under way, if there is one by now: alone after a failure, and none of a line that has."""
        is_failing, lines = self.queue.is_failing, self.lines_under_way()
        batch = self.queue.take(self.now)
        if batch:
            assert not (is_failing and self.under_way)
            self.under_way.append(batch)
            assert len(self.under_way) <= self.lanes
            assert not lines & lines_of(batch)
            self.tried.append([entry.write for entry in batch])
        return batch

    def end(self, batch: list[Entry]) -> None:
        """Answer a batch that is under way."""
        self.under_way.remove(batch)
        writes = [entry.write for entry in batch]
        if self.damages(writes):
            self._damaged(batch)
        elif (error := self.fails(writes)) is None:
            self.committed += writes
            self.queue.succeeded(batch)
        else:
            for entry, its_error in self.queue.failed(batch, error, self.now):
                self.refused[id(entry.write)] = its_error

    def lines_under_way(self) -> set[object]:
        return {line for batch in self.under_way for line in lines_of(batch)}

    def churn(self, chance: random.Random, steps: int) -> None:
        """Have batches begin and end in any order."""
        for _ in range(steps):
            if self.under_way and (len(self.under_way) == self.lanes or chance.random() < 0.5):
                self.end(chance.choice(self.under_way))
            elif self.queue:
                self.begin()

    def _damaged(self, batch: list[Entry]) -> None:
        if len(batch) > 1:
            self.queue.part(batch)
            return
        self.refused[id(batch[0].write)] = StoreCorruptError("a damaged page")
        self.queue.answered(batch, self.now)

    def work(self, *, tries: int = 1_000) -> None:
        """Try all that can be tried by now."""
        for _ in range(tries):
            if not self.queue or not self.try_once():
                return

    def work_until(self, moment: float) -> None:
        """Try what comes to be tried until a moment."""
        self.work()
        while self.queue and self.queue.pause_ends_at <= moment:
            self.now = max(self.now, self.queue.pause_ends_at)
            self.work()
        self.now = moment

    def error_of(self, write: Write) -> PerdureError | None:
        return self.refused.get(id(write))


def _unasked(_outcome: Outcome | PerdureError) -> None:
    raise AssertionError("the queue answers nobody")


def write_of(run: int, number: int = 0) -> Release:
    return Release(
        run_key=RunKey(run),
        fencing_token=FencingToken(1),
        expected_sequence=number,
        wake_at=None,
        now=Timestamp(0),
    )


def message_to(target: RunRef) -> Delivery:
    return Delivery(target=target, message=CancelMessage(), message_id="", at=Timestamp(0))


def lines_of(batch: Iterable[Entry]) -> set[object]:
    return {
        (write.target.namespace, write.target.id)
        if isinstance(write := entry.write, Delivery) and isinstance(write.target, RunRef)
        else getattr(write, "run_key", None)
        for entry in batch
    }


def away(_writes: list[Write]) -> StoreUnavailableError:
    return AWAY


def bad_sector(*runs: int) -> Callable[[list[Write]], StoreUnavailableError | None]:
    """Refuse whatever concerns these runs by their keys."""

    def refuse(writes: list[Write]) -> StoreUnavailableError | None:
        return AWAY if any(getattr(write, "run_key", None) in runs for write in writes) else None

    return refuse


def numbers_by_run(writes: Iterable[Write]) -> dict[int, list[int]]:
    numbers: dict[int, list[int]] = {}
    for write in writes:
        assert isinstance(write, Release)
        numbers.setdefault(write.run_key, []).append(write.expected_sequence)
    return numbers
