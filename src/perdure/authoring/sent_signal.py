"""A signal that workflow code has sent: awaited, it tells whether it was delivered."""

from collections.abc import Generator
from typing import Any

from perdure.errors import RunClosedError, RunNotFoundError, WrongContextError
from perdure.kernel.coroutine_program import Journal
from perdure.kernel.events import SignalAnswered, SignalOutcome
from perdure.kernel.identity import Operation, RunRef

__all__ = ["SentSignal"]


class SentSignal:
    """What `Context.signal` returns. Await it where it is sent to know that it was delivered, or leave it."""

    __slots__ = ("_journal", "_operation", "_target")

    def __init__(self, journal: Journal, operation: Operation, target: RunRef) -> None:
        """Build from parts; use `Context.signal`."""
        self._journal = journal
        self._operation = operation
        self._target = target

    def __await__(self) -> Generator[Any, Any, None]:
        """Wait until it is known that the signal is in the other run's inbox.

        Raises RunNotFoundError, RunClosedError; WrongContextError when it was sent in an earlier step.
        """
        if not self._journal.expect_answer(self._operation):
            message = f"the signal to {self._target} has been sent; await ctx.signal(...) where it is called, and once"
            raise WrongContextError(message)
        return self._delivered().__await__()

    async def _delivered(self) -> None:
        try:
            answered: SignalAnswered = await self._journal.wait(self._operation)
        finally:
            self._journal.forget(self._operation)
        if answered.outcome is SignalOutcome.MISSING:
            message = f"the signal was not delivered: there is no run {self._target}"
            raise RunNotFoundError(message)
        if answered.outcome is SignalOutcome.CLOSED:
            message = f"the signal was not delivered: the run {self._target} has ended"
            raise RunClosedError(message)
