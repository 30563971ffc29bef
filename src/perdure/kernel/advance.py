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

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from perdure.errors import InternalError
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.commands import Command
from perdure.kernel.consequences import CONSEQUENCES
from perdure.kernel.deferral_rules import time_out_deferred
from perdure.kernel.expansion import close_events, expand
from perdure.kernel.failure import Failure
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.input_rules import INPUT_RULES
from perdure.kernel.locking import LockChange
from perdure.kernel.program import PROGRAM_EVENTS, Feed
from perdure.kernel.start_rules import start
from perdure.kernel.state import OpenChild, PendingActivity, RunState
from perdure.kernel.task_rules import ENDS_OF_ATTEMPTS, settle_tasks, withdraw_task
from perdure.kernel.tasks import Task, start_id
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.kernel.transition import Answers, Creation, Delivery, RunStatus
from perdure.kernel.update_rules import answer_updates

__all__ = ["RUN_TIMEOUT", "Advance", "FailedAttempt", "RunKeys", "Step", "advance", "out_of_grace", "run_timeout"]

RUN_TIMEOUT: Final = "RunTimeoutError"
"""Failure type of a run whose execution timeout passed."""


class RunKeys(Protocol):
    """A source of new run keys, handed in by the worker."""

    def __call__(self) -> RunKey:
        """Return a key never given out before."""
        ...


class FailedAttempt(msgspec.Struct, frozen=True):
    """An attempt that failed: of which activity, and what was recorded of it."""

    activity: str
    event: e.ActivityAttemptFailed | e.ActivityFailed | e.ActivityTimedOut


class Advance(msgspec.Struct, kw_only=True, gc=False):
    """The outcome of one advance.

    `events` are new, in order. `to_start` and `to_stop` are operations of activities. `consumed` are inbox positions.
    `locks` are requests and releases of locks.
    `refused` are messages that came too late: the run closed before their turn. `failed` are attempts, to be told of;
    `must_not_overtake` are the ids of messages that, were they in the inbox, would let these attempts, or waits for
    locks, end otherwise.
    `end_at`: a cancellation was taken in, whose grace ends then. `queued` are attempts that are tasks from now on,
    `withdrawn` the operations whose tasks nobody wants any more, or which have been told of.
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
    locks: tuple[LockChange, ...] = ()
    failed: list[FailedAttempt] = []
    must_not_overtake: list[str] = []
    end_at: Timestamp | None = None
    queued: tuple[Task, ...] = ()
    withdrawn: tuple[Operation, ...] = ()


def advance(
    state: RunState,
    feed: Feed,
    inputs: Sequence[i.Input],
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
    for given in _committed_first(inputs) if len(inputs) > 1 else inputs:
        step.take(given)
    return step.finish()


def _committed_first(inputs: Sequence[i.Input]) -> Iterable[i.Input]:
    """Return inputs with the outcomes of transactional attempts before all other messages.

    What was written with them is committed: nothing that another message asks for, as a cancellation does, may overtake
    such an outcome. A transition that would is refused while the outcome is in the inbox (`must_not_overtake`), and so
    would be the next, if it came behind it again.
    """
    if not any(map(_is_committed, inputs)):
        return inputs
    first = next(n for n, given in enumerate(inputs) if type(given) is i.MessageArrived)
    return [*inputs[:first], *sorted(inputs[first:], key=_is_committed, reverse=True)]


def _is_committed(given: i.Input) -> bool:
    message = given.message if type(given) is i.MessageArrived else None
    return type(message) is m.CompleteActivityMessage and message.is_committed


class Step:
    """The working place of one advance; the rules (`input_rules`, `message_rules`, `consequences`) work on it.

    What the program asks for is expanded in the order it asked, each command in the state that those before it left:
    the order in which a replay expects it (`perdure.kernel.replay`).
    """

    __slots__ = (
        "_asked", "at", "feed", "leaving", "new_run_key", "now", "result", "run_key", "starting", "state", "told",
        "withdrawn",
    )  # fmt: skip

    def __init__(self, state: RunState, feed: Feed, *, run_key: RunKey, now: Timestamp, new_run_key: RunKeys) -> None:
        """Begin with nothing done. Time does not run backwards within a run, whatever the clock says: `at` may be later
        than `now`, when others are to hear of this."""
        self.state = state
        self.feed = feed
        self.run_key = run_key
        self.now = now
        self.at = now if now > state.updated_at else state.updated_at  # noqa: FURB136 - see effects._count_operation
        self.new_run_key = new_run_key
        self.leaving: OpenChild | None = None  # the child that the event being recorded removes from the state
        self.told = ""  # the id of the message that is being taken
        self.withdrawn: dict[Operation, None] = {}  # whose tasks are not wanted any more
        self.starting: dict[int, None] = {}  # an ordered set: a fan-out may be given up again in the same step
        self.result = Advance(
            events=[], to_start=[], to_stop=[], consumed=[], deliveries=[], creations=[], labels={}, refused=[]
        )
        self._asked: list[Command] = []

    def take(self, given: i.Input) -> None:
        """Take an input by its rule; a run that has ended refuses messages and drops the rest."""
        if self.state.closed_at is None:
            INPUT_RULES[type(given)](self, given)
        elif type(given) is i.MessageArrived:
            self.result.refused.append(given)

    def finish(self) -> Advance:
        """Fire what is due and return what happened."""
        self.fire_what_is_due()
        if self.feed.updates:
            answer_updates(self)
        self.result.to_start.extend(self.starting)
        if self.state.deferrals or self.withdrawn:
            settle_tasks(self)
        return self.result

    def fire_what_is_due(self) -> None:
        """Start the run if its time has come, fire its timers, and end it after its deadline or its grace."""
        state, at, created = self.state, self.at, self.state.created
        if created is not None and created.start_at is not None and state.status is RunStatus.CREATED:
            start(self, worker="")
        if state.timers:
            self._fire_timers()
        if state.deferrals:
            time_out_deferred(self)
        if state.closed_at is not None:
            return
        cancel = state.cancel
        deadline = state.deadline
        if deadline is not None and deadline.at <= at:
            self.close(e.RunFailed(failure=run_timeout(self.created())))
        elif cancel is not None and cancel.grace_until is not None and cancel.grace_until <= at:
            self.close(out_of_grace(cancel))

    def _fire_timers(self) -> None:
        """Fire the timers that are due. A wait for a lock that is given up then overtakes no answer in the inbox."""
        state = self.state
        waits = [operation for operation, lock in state.locks.items() if not lock.token] if state.locks else ()
        for operation in _due_timers(state, self.at):
            if operation in state.timers and state.closed_at is None:
                self.record(e.TimerFired(operation=Operation(operation)))
        for operation in waits:
            if operation not in state.locks:
                answer = m.lock_answer_id(self.created().ref.generation, operation)
                self.result.must_not_overtake.append(answer)

    def record(self, event: e.Event) -> None:
        """Make `event` part of the history, with all that follows from it."""
        self.append(event)
        if self._asked or self.feed.held:
            self.answer()

    def record_failure(
        self, activity: PendingActivity, event: e.ActivityAttemptFailed | e.ActivityFailed | e.ActivityTimedOut
    ) -> None:
        """Record how an attempt failed, and keep it for those who are told.

        Neither a limit nor a failure in this process overtakes an outcome that somebody outside has told.
        """
        self.result.failed.append(FailedAttempt(activity.activity, event))
        if isinstance(event, e.ActivityTimedOut) or not event.request_id:
            attempt = (self.created().ref.generation, event.operation, event.attempt)
            outcome = m.outcome_id(*attempt)
            if outcome != self.told:  # a task's, which is told by this message
                self.result.must_not_overtake.append(outcome)
            if isinstance(event, e.ActivityTimedOut) and event.timeout is e.TimeoutKind.SCHEDULE_TO_START:
                self.result.must_not_overtake.append(start_id(*attempt))
        self.record(event)

    def answer(self) -> None:
        """Record what the program asks for, and hand it what is held and due; `record` does.

        At the time of what was recorded last, as a replay does: this step's, but for the first answer of a fork.
        """
        state, feed = self.state, self.feed
        while self._asked or feed.has_due(state.status):
            asked, self._asked = self._asked or feed.release(state.updated_at), []
            for command in asked:
                for event in expand(state, command, state.updated_at):
                    self.append(event)

    def append(self, event: e.Event) -> None:
        """Make `event` part of the history; what the program asks for in answer is expanded in its turn."""
        state, at, kind = self.state, self.at, type(event)
        if kind is e.ChildCancelled:
            self.leaving = state.children.get(event.operation)  # type: ignore[attr-defined]  # narrowed by kind
        if state.deferrals and kind in ENDS_OF_ATTEMPTS:
            withdraw_task(self, event)  # type: ignore[arg-type]  # narrowed by kind
        state.record(event, at)
        self.result.events.append(RecordedEvent(state.sequence, at, event))
        consequence = CONSEQUENCES.get(kind)
        if consequence is not None:
            consequence(self, event)
        if kind in PROGRAM_EVENTS:
            self._asked += self.feed.take(event, at, state.status)

    def created(self) -> e.RunCreated:
        """Return the run's first event."""
        if self.state.created is None:
            message = f"run {self.run_key} advances without a RunCreated event"
            raise InternalError(message)
        return self.state.created

    def close(self, closing: e.Event) -> None:
        """End the run by `closing`, from outside of its program."""
        for event in close_events(self.state, closing):
            self.record(event)

    def deliver(
        self, target: RunKey | RunRef, message: m.Message, *, about: int, answers: Answers | None = None
    ) -> None:
        """Send a message to another run; `about` tells messages apart that follow from one event."""
        message_id = f"{self.run_key}:{self.state.sequence}:{about}"
        self.result.deliveries.append(
            Delivery(target=target, message=message, message_id=message_id, at=self.now, answers=answers)
        )

    def pending(self, operation: int, attempt: int) -> PendingActivity | None:
        """Return the activity whose current attempt this is, or None where it is settled: a late outcome is dropped."""
        activity = self.state.activities.get(operation)
        return activity if activity is not None and activity.attempt == attempt else None


def run_timeout(created: e.RunCreated) -> Failure:
    """Return how a run fails whose execution timeout, or the deadline that holds for it, has passed."""
    seconds = (created.execution_timeout_microseconds or 0) / MICROSECONDS_PER_SECOND
    own = f"within its execution timeout of {seconds:g} s"
    limit = f"by the deadline of {created.deadline_of}, which holds for its children" if created.deadline_of else own
    return Failure(
        type=RUN_TIMEOUT,
        types=(RUN_TIMEOUT, "TimeoutError"),
        message=f"the run did not end {limit}",
        retryable=False,
    )


def out_of_grace(cancel: e.RunCancelRequested) -> e.RunTerminated:
    """Return the end of a run that has not cleaned up within the grace of its cancellation."""
    return e.RunTerminated(reason=f"the grace of the cancellation ended ({cancel.reason})", by=cancel.by)


def _due_timers(state: RunState, at: Timestamp) -> list[int]:
    return [operation for due_at, operation in sorted((d, o) for o, d in state.timers.items()) if due_at <= at]
