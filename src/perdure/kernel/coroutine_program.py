"""Workflow code as a `Program`: a coroutine on a deterministic loop.

`CoroutineProgram` starts the coroutine when the run starts, resolves the futures it waits on when outcomes arrive, and
collects the commands it gives meanwhile. What the code may ask for is its `Journal` (`perdure.kernel.journal`).
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final

from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel.failure import Conceal, Failure, as_it_is
from perdure.kernel.identity import Operation
from perdure.kernel.journal import Journal, RunContinuing
from perdure.kernel.lines import line_that_raised
from perdure.kernel.payload import Payload
from perdure.kernel.program import Answer, Verdict
from perdure.kernel.time import Timestamp

__all__ = ["CoroutineProgram", "Entry"]

Entry = Callable[[Journal], Coroutine[Any, Any, Payload]]
"""Makes the coroutine of a run: it calls the workflow's function and returns its encoded result."""


class CoroutineProgram:
    """A `Program` that is a coroutine. See the module's docstring."""

    def __init__(
        self,
        entry: Entry,
        created: e.RunCreated,
        *,
        on_error: Callable[[str, BaseException | None], None] = lambda _message, _error: None,
        conceal: Conceal = as_it_is,
    ) -> None:
        """Run `entry`'s coroutine for the run that `created` describes.

        `on_error` hears of lost exceptions, `conceal` takes the secrets out of the texts of those that are recorded.
        """
        self.journal = Journal(created, on_error=on_error, conceal=conceal)
        self._entry = entry
        self._done = False

    def advance(self, event: e.Event, at: Timestamp) -> list[c.Command]:
        """Deliver an event and run the code until it waits. See `Program`."""
        if self._done:
            return []
        journal = self.journal
        journal.loop.now = at
        journal.is_running = True
        try:
            _DELIVERIES[type(event)](self, event)
            journal.loop.drain()
            commands = journal.take_commands()
            main = journal.main
            if main is not None and main.done():
                commands.append(self._end(main))
                self._let_go()
        finally:
            journal.is_running = False
        return commands

    def consider(self, name: str, body: Payload) -> Verdict:
        """Let the validator of an update read. See `Program`."""
        return Answer.WAITS if self._done else self.journal.updates.consider(self.journal, name, body)

    def foresee(self, event: e.Event) -> None:
        """Note the content of a recorded side effect or patch marker. See `Program`."""
        self.journal.replaying = self.journal.loop.is_silent = True
        self.journal.foresee(event)

    def become(self, fork: e.RunForked) -> None:
        """Go on under another name. See `Program`."""
        self.journal.become(fork)

    def go_live(self) -> None:
        """Stop looking for recorded values. See `Program`."""
        self.journal.replaying = False
        self.journal.loop.is_silent = self._done  # what a closed run lost was reported when it was lived

    def close(self) -> None:
        """Unwind the coroutine without effect. See `Program`."""
        if not self._done:
            # An exception that no code has looked at yet is not lost: the run goes on elsewhere.
            self.journal.loop.is_silent = True
        self._let_go()

    def _let_go(self) -> None:
        self._done = True
        self.journal.evict()
        self.journal.loop.abandon()
        self.journal.loop.journal = self.journal.main = None  # ends cycles: freed at once, not by the collector

    def start(self, _event: e.RunStarted) -> None:
        """Begin the coroutine, in a context of its own: what the caller of `advance` has set is not on the replay."""
        self.journal.main = self.journal.loop.create_task(self._entry(self.journal), context=Context())

    def request_cancel(self, event: e.RunCancelRequested) -> None:
        """Cancel the workflow's main task, once."""
        self.journal.cancel = event
        if self.journal.main is not None:
            self.journal.main.cancel(event.reason or None)
        self.journal.go_on()

    def _end(self, main: "asyncio.Task[Payload]") -> c.Command:
        journal = self.journal
        operation = journal.next_operation()
        unconsumed = _count(journal.unconsumed_signals())
        if main.cancelled():
            return self._cancelled_end(operation, unconsumed)
        error = main.exception()
        if error is None:
            return c.CompleteRun(operation=operation, result=main.result(), unconsumed_signals=unconsumed)
        if isinstance(error, RunContinuing):
            return c.ContinueRun(
                operation=operation,
                input=error.payload,
                attempt=error.attempt,
                delay_microseconds=error.delay_microseconds,
                failure=error.failure,
                carried_state=dict(journal.keys),
                carried_signals=journal.unconsumed_signals(),
                definition_version=error.definition_version,
                stages=error.stages,
            )
        return c.FailRun(
            operation=operation,
            failure=journal.failure_of(error),
            unconsumed_signals=unconsumed,
            location=line_that_raised(error),
        )

    def _cancelled_end(self, operation: Operation, unconsumed: dict[str, int]) -> c.Command:
        if self.journal.cancel is not None:
            reason = self.journal.cancel.reason
            return c.CancelRun(operation=operation, reason=reason, unconsumed_signals=unconsumed)
        failure = Failure(type="CancelledError", message="the workflow's code cancelled itself")
        return c.FailRun(operation=operation, failure=failure, unconsumed_signals=unconsumed)


def _count(signals: tuple[e.CarriedSignal, ...]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for signal in signals:
        counts[signal.name] = counts.get(signal.name, 0) + 1
    return counts


def _resolve(program: CoroutineProgram, event: e.ActivityCompleted | e.ChildCompleted) -> None:
    future = program.journal.waiters.pop(event.operation, None)
    if future is not None and not future.done():
        future.set_result(event.result)


def _resolve_with_event(
    program: CoroutineProgram,
    event: e.ActivityFailed | e.ActivityTimedOut | e.ChildFailed | e.SignalAnswered | e.LockAcquired | e.LockDenied,
) -> None:
    future = program.journal.waiters.pop(event.operation, None)
    if future is not None and not future.done():
        future.set_result(event)


def _fire(program: CoroutineProgram, event: e.TimerFired) -> None:
    program.journal.fire_timer(event.operation)


def _signal(program: CoroutineProgram, event: e.SignalReceived) -> None:
    program.journal.put_signal(event.name, event.body)


def _update(program: CoroutineProgram, event: e.UpdateAccepted) -> None:
    program.journal.updates.accept(program.journal, event)


def _resume(program: CoroutineProgram, _event: e.RunResumed) -> None:
    program.journal.go_on()


def _ignore(_program: CoroutineProgram, _event: e.Event) -> None:
    """Do nothing: no code can wait for interventions yet."""


# Any: each delivery takes its own event type; the table pairs them by key, which the type system cannot follow.
_DELIVERIES: Final[dict[type[e.Event], Callable[[CoroutineProgram, Any], None]]] = {
    e.RunStarted: CoroutineProgram.start,
    e.RunCancelRequested: CoroutineProgram.request_cancel,
    e.RunResumed: _resume,
    e.ActivityCompleted: _resolve,
    e.ActivityFailed: _resolve_with_event,
    e.ActivityTimedOut: _resolve_with_event,
    e.TimerFired: _fire,
    e.SignalReceived: _signal,
    e.SignalAnswered: _resolve_with_event,
    e.UpdateAccepted: _update,
    e.ChildCompleted: _resolve,
    e.ChildFailed: _resolve_with_event,
    e.InterventionResolved: _ignore,
    e.InterventionExpired: _ignore,
    e.LockAcquired: _resolve_with_event,
    e.LockDenied: _resolve_with_event,
}
