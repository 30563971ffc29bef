"""A signal that workflow code has sent: awaited, it tells whether it was delivered."""

from collections.abc import Generator
from typing import Any, TypeVar

from perdure.authoring.arguments import require_text
from perdure.authoring.payloads import encode_value
from perdure.authoring.signals import Signal, require_signal
from perdure.errors import RunClosedError, RunNotFoundError, WrongContextError
from perdure.kernel import commands as c
from perdure.kernel.events import SignalAnswered, SignalOutcome
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.journal import Journal

__all__ = ["SentSignal", "send_signal"]

T = TypeVar("T")


def send_signal(journal: Journal, run_id: str, signal: Signal[T], body: T | None) -> "SentSignal":
    """Send a signal to another run; see `Context.signal`."""
    require_text(run_id, "ctx.signal: run_id")
    require_signal(signal, "ctx.signal")
    operation = journal.next_operation()
    target = RunRef(namespace=journal.created.ref.namespace, id=run_id)
    encoded = encode_value(body, signal.type, subject=f"signal {signal.name!r}")
    journal.give(
        c.SendSignal(operation=operation, target=target, name=signal.name, body=encoded, location=journal.location())
    )
    return SentSignal(journal, operation, target)


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
