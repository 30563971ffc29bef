"""Advance: what a run does when something happens, as one value.

`advance(state, feed, inputs, ...)` turns inputs into events by the rules of retries, deadlines and messages, folds each
event into the state, tells the program, turns the program's commands into further events, and returns an `Advance`:
the events and what follows from them (activities to start or stop, messages to other runs, new runs). Retries that
come due are not decided here: their time is recorded, and whoever runs the activities starts them then. Nothing of it
has happened yet when it returns: the caller commits it as one `Transition` and acts only when that is durable.

The state is changed in place: it belongs to the caller alone, who drops it if the commit is refused.

Inputs are taken in the order they arrived, then the timers that are due: an outcome that arrives together with the
time-out that would have cut it off still counts. All events of one advance bear one time, which never runs backwards.
"""

from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from perdure.errors import InternalError
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.consequences import CONSEQUENCES
from perdure.kernel.expansion import close_events, expand
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.input_rules import INPUT_RULES
from perdure.kernel.program import PROGRAM_EVENTS, Feed
from perdure.kernel.state import OpenChild, PendingActivity, RunState
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Creation, Delivery

__all__ = ["RUN_TIMEOUT", "Advance", "RunKeys", "Step", "advance"]

RUN_TIMEOUT: Final = "RunTimeoutError"
"""Failure type of a run whose execution timeout passed."""


class RunKeys(Protocol):
    """A source of new run keys, handed in by the worker."""

    def __call__(self) -> RunKey:
        """Return a key never given out before."""
        ...


class Advance(msgspec.Struct, kw_only=True):
    """The outcome of one advance.

    `events` are new, in order. `to_start` and `to_stop` are operations of activities. `consumed` are inbox positions.
    `refused` are messages that came too late: the run closed before their turn.
    """

    events: list[RecordedEvent]
    to_start: list[int]
    to_stop: list[int]
    consumed: list[int]
    deliveries: list[Delivery]
    creations: list[Creation]
    labels: dict[str, str | None]
    refused: list[i.MessageArrived]
    moves_inbox_to: RunKey | None = None


def advance(
    state: RunState,
    feed: Feed,
    inputs: Iterable[i.Input],
    *,
    run_key: RunKey,
    now: Timestamp,
    new_run_key: RunKeys,
) -> Advance:
    """Let `state` and the program behind `feed` take `inputs` at the time `now`; see the module's docstring.

    Raises whatever `Program.advance` raises (for workflow code nothing: its exceptions end the run).
    Complexity: linear in inputs and commands.
    """
    step = Step(state, feed, run_key=run_key, now=now, new_run_key=new_run_key)
    for given in inputs:
        step.take(given)
    step.fire_what_is_due()
    return step.result


class Step:
    """The working place of one advance."""

    __slots__ = ("at", "feed", "leaving", "new_run_key", "result", "run_key", "state")

    def __init__(self, state: RunState, feed: Feed, *, run_key: RunKey, now: Timestamp, new_run_key: RunKeys) -> None:
        self.state = state
        self.feed = feed
        self.run_key = run_key
        self.at = max(state.updated_at, now)
        self.new_run_key = new_run_key
        self.leaving: OpenChild | None = None  # the child that the event being recorded removes from the state
        self.result = Advance(
            events=[], to_start=[], to_stop=[], consumed=[], deliveries=[], creations=[], labels={}, refused=[]
        )

    def take(self, given: i.Input) -> None:
        if self.state.closed_at is None:
            INPUT_RULES[type(given)](self, given)
        elif type(given) is i.MessageArrived:
            self.result.refused.append(given)

    def fire_what_is_due(self) -> None:
        state, at = self.state, self.at
        if state.timers:
            for operation in _due_timers(state, at):
                if operation in state.timers and state.closed_at is None:
                    self.record(e.TimerFired(operation=Operation(operation)))
        if state.closed_at is not None:
            return
        created, cancel = state.created, state.cancel
        if created is not None and created.deadline_at is not None and created.deadline_at <= at:
            self.close(e.RunFailed(failure=_run_timeout(created)))
        elif cancel is not None and cancel.grace_until is not None and cancel.grace_until <= at:
            self.close(e.RunTerminated(reason=f"the grace of the cancellation ended ({cancel.reason})", by=cancel.by))

    def record(self, event: e.Event) -> None:
        """Make `event` part of the history, with all that follows from it."""
        state, at, kind = self.state, self.at, type(event)
        if kind is e.ChildCancelled:
            self.leaving = state.children.get(event.operation)  # type: ignore[attr-defined]  # narrowed by kind
        state.record(event, at)
        self.result.events.append(RecordedEvent(state.sequence, at, event))
        consequence = CONSEQUENCES.get(kind)
        if consequence is not None:
            consequence(self, event)
        if kind in PROGRAM_EVENTS:
            for command in self.feed.take(event, at, state.status):
                for following in expand(state, command, at):
                    self.record(following)

    def created(self) -> e.RunCreated:
        if self.state.created is None:
            message = f"run {self.run_key} advances without a RunCreated event"
            raise InternalError(message)
        return self.state.created

    def close(self, closing: e.Event) -> None:
        for event in close_events(self.state, closing):
            self.record(event)

    def deliver(self, target: RunKey | RunRef, message: m.Message, *, about: int) -> None:
        message_id = f"{self.run_key}:{self.state.sequence}:{about}"
        self.result.deliveries.append(Delivery(target=target, message=message, message_id=message_id, at=self.at))

    def pending(self, operation: int, attempt: int) -> PendingActivity | None:
        """Return the activity whose current attempt this is, or None where it is settled: a late outcome is dropped."""
        activity = self.state.activities.get(operation)
        return activity if activity is not None and activity.attempt == attempt else None


def _due_timers(state: RunState, at: Timestamp) -> list[int]:
    return [operation for due_at, operation in sorted((d, o) for o, d in state.timers.items()) if due_at <= at]


def _run_timeout(created: e.RunCreated) -> Failure:
    seconds = (created.execution_timeout_microseconds or 0) / 1_000_000
    return Failure(
        type=RUN_TIMEOUT,
        types=(RUN_TIMEOUT, "TimeoutError"),
        message=f"the run did not end within its execution timeout of {seconds:g} s",
        retryable=False,
    )
