"""Locks that runs share, as workflow code takes them: ``async with ctx.lock("account:42") as lock:``.

How they are given, and what a deadlock is: `perdure.kernel.locking`. Which locks a request is made within is judged by
the task that asks: a context variable carries them into the tasks that are made inside of the ``async with``.
"""

import asyncio
from contextvars import ContextVar
from datetime import timedelta
from types import TracebackType
from typing import Final

import msgspec

from perdure.authoring.arguments import require_integer, require_text
from perdure.authoring.definitions import require_kind
from perdure.errors import DeadlockError, InvalidArgumentError, RunEvicted, WrongContextError
from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.journal import Journal
from perdure.kernel.locking import LockWait

__all__ = ["HeldLock", "LockScope", "open_lock", "open_semaphore"]


class HeldLock(msgspec.Struct, frozen=True, kw_only=True):
    """A lock that the run holds. `token` is its fencing token: it grows with every holder of the key, so that what the
    lock protects can refuse a holder that came before the last one it has seen."""

    key: str
    token: int


def open_lock(journal: Journal, key: str, *, shared: bool, timeout: timedelta | None) -> "LockScope":
    """Return what takes a lock; see `Context.lock`."""
    require_kind(shared, bool, "ctx.lock: shared", wanted="True or False")
    return LockScope(journal, key, limit=None if shared else 1, timeout=timeout, call="ctx.lock")


def open_semaphore(journal: Journal, key: str, *, limit: int, timeout: timedelta | None) -> "LockScope":
    """Return what takes a place of a semaphore; see `Context.semaphore`."""
    require_integer(limit, "ctx.semaphore: limit")
    return LockScope(journal, key, limit=limit, timeout=timeout, call="ctx.semaphore")


class LockScope:
    """An ``async with`` block within which the run holds a lock."""

    __slots__ = ("_journal", "_key", "_limit", "_operation", "_timeout", "_waits")

    def __init__(self, journal: Journal, key: str, *, limit: int | None, timeout: timedelta | None, call: str) -> None:
        """Describe it; nothing is asked for yet. `limit`: how many may hold the key at a time, None: any number."""
        if not require_text(key, f"{call}: the key"):
            message = f'{call}: the key is empty; name what is to be held, {call}("account:42")'
            raise InvalidArgumentError(message)
        require_kind(timeout, timedelta, f"{call}: timeout", wanted="a timedelta")
        self._journal = journal
        self._key = key
        self._limit = limit
        self._waits = timeout is None or timeout > timedelta(0)
        self._timeout = timeout.total_seconds() if timeout is not None and self._waits else None
        self._operation = _NOT_ENTERED

    async def __aenter__(self) -> HeldLock:
        """Wait until the lock is the run's.

        Raises DeadlockError where that could never be, TimeoutError if it is not within the time-out (or not free, if
        that is zero), WrongContextError if this very scope is entered already.
        """
        journal = self._journal
        if self._operation:
            message = f"the lock {self._key!r} is entered already; call ctx.lock(...) anew for each `async with`"
            raise WrongContextError(message)
        around = _held.get()
        self._operation = operation = journal.next_operation()
        journal.give(
            c.RequestLock(
                operation=operation,
                key=self._key,
                limit=self._limit,
                holding=around,
                waits=self._waits,
                location=journal.location(),
            )
        )
        try:
            async with asyncio.timeout(self._timeout):
                answered: e.LockAcquired | e.LockDenied = await journal.wait(operation)
        except BaseException as error:
            if not self._is_leaving_memory(error):
                journal.forget(operation)
                self._give_back()
            raise
        if isinstance(answered, e.LockDenied):
            self._operation = _NOT_ENTERED
            raise _refusal(self._key, answered)
        _held.set((*around, operation))
        return HeldLock(key=self._key, token=answered.fencing_token)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the lock back, unless the run is only leaving memory: then it keeps it."""
        _held.set(tuple(operation for operation in _held.get() if operation != self._operation))
        if not self._is_leaving_memory(exc):
            self._give_back()

    def _is_leaving_memory(self, error: BaseException | None) -> bool:
        """Tell the unwinding of a run that leaves memory from an async generator that its living code closes."""
        return isinstance(error, RunEvicted) or (isinstance(error, GeneratorExit) and self._journal.is_evicted)

    def _give_back(self) -> None:
        journal, operation = self._journal, self._operation
        self._operation = _NOT_ENTERED
        journal.give(c.ReleaseLock(operation=operation, location=journal.location()))


_NOT_ENTERED: Final = Operation(0)

_held: ContextVar[tuple[Operation, ...]] = ContextVar("perdure_held_locks", default=())


def _refusal(key: str, denied: e.LockDenied) -> DeadlockError | TimeoutError:
    if not denied.cycle:
        return TimeoutError(f"the lock {key!r} is not free")
    circle = ", which waits for ".join(
        f"{wait.key!r}, held by or promised to run {run.id}" for wait, run in _steps(denied)
    )
    return DeadlockError(
        f"run {denied.cycle[0].run.id} would wait for ever for {circle}: take locks in one order everywhere",
        key=key,
        cycle=tuple((wait.run.id, wait.key) for wait in denied.cycle),
    )


def _steps(denied: e.LockDenied) -> list[tuple[LockWait, RunRef]]:
    """Return each wait of a circle with the run that is in its way: the one that waits next in the circle."""
    cycle = denied.cycle
    return [(wait, following.run) for wait, following in zip(cycle, (*cycle[1:], cycle[0]), strict=True)]
