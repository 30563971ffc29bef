"""An active run: a run in this worker's memory, and the cycle that moves it.

Inputs gather in `receive`; one callback per turn of the event loop advances the run with all of them; the transition
is committed; when it is durable its effects are released and the cycle begins again if more inputs came meanwhile.
At no time are two transitions of one run under way.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import structs

from perdure.errors import InternalError, PerdureError
from perdure.execution.attempts import lost_attempt
from perdure.execution.call import ActivityCall, recorded_first
from perdure.execution.caller import OwnCaller
from perdure.execution.clock import not_ahead
from perdure.execution.failure_log import log_failed_attempts
from perdure.execution.refusals import refusal
from perdure.execution.run_timer import RunTimer
from perdure.execution.transitions import transition_of
from perdure.execution.viewing import Viewing
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel.advance import Advance, advance
from perdure.kernel.codeless import first_end
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import FencingToken, RunKey, RunRef
from perdure.kernel.input_rules import told_results
from perdure.kernel.messages import FailActivityMessage, TerminateMessage
from perdure.kernel.program import Feed
from perdure.kernel.retry import NO_RETRY
from perdure.kernel.state import PendingActivity, RunState
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.kernel.transition import Applied, Closed, Creation, Outcome, Release, RunStatus

if TYPE_CHECKING:
    from perdure.execution.worker import Worker
    from perdure.ports.store import ClaimedRun

__all__ = ["ActiveRun", "Reply"]

Reply = Callable[[Exception | None], None]
"""Told, once it is durable, that a message was taken in; or why it was not."""


class ActiveRun(OwnCaller):
    """A run that this worker owns and holds in memory."""

    __slots__ = (
        "_advance_scheduled", "_committing", "_creation", "_dropped", "_notes", "_replies", "_result", "_timer",
        "_worker", "calls", "claimed", "code", "feed", "fencing_token", "inbox_has_more", "inbox_position",
        "inbox_readings", "inputs", "is_unlinked", "lacks_code", "on_created", "ref", "run_key", "state", "viewing",
    )  # fmt: skip

    def __init__(
        self,
        worker: "Worker",
        *,
        run_key: RunKey,
        ref: RunRef,
        fencing_token: FencingToken,
        state: RunState,
        feed: Feed,
        code: str,
        claimed: "ClaimedRun | None" = None,
        creation: Creation | None = None,
    ) -> None:
        """Hold a run that `code` drives (see `Worker.code`); with `creation` one whose row does not exist yet and comes
        with the first transition. `claimed` is how it was claimed, for as long as it has not gone on."""
        self._worker = worker
        self.run_key = run_key
        self.ref = ref
        self.fencing_token = fencing_token
        self.code = code
        self.claimed = claimed
        self.state = state
        self.feed = feed
        self.calls: dict[int, ActivityCall] = {}
        self.inbox_position = self.inbox_readings = 0
        self.inbox_has_more = False
        self.lacks_code = self.is_unlinked = False
        self.on_created: asyncio.Future[Outcome] | None = None
        self._creation = creation
        self.inputs: list[i.Input] = []
        self._notes: tuple[i.Input, ...] = ()
        self._replies: list[tuple[i.MessageArrived, Reply]] = []
        self._result: Advance | None = None
        self._timer = RunTimer(worker.loop)
        self._advance_scheduled = False
        self._committing = False
        self._dropped = False
        self.viewing: Viewing | None = None

    # --- inputs --------------------------------------------------------------------------------------------------

    def receive(self, given: i.Input) -> None:
        """Take an input; the run advances with it at the next turn of the loop, or after the commit under way."""
        self.inputs.append(given)
        self.schedule()

    def receive_message(self, message: i.MessageArrived, reply: Reply) -> None:
        """Take a message whose sender wants to know when it is durable."""
        self._replies.append((message, reply))
        self.receive(message)

    def note(self, given: i.Input) -> None:
        """Take an input that may wait for the next advance, and is forgotten if none comes."""
        self._notes += (given,)

    def resume(self) -> None:
        """Go on where the loaded state stands: start what is pending, arm the timer."""
        now, finished = self._worker.clock.now(), told_results(self.state, self.inputs)
        for activity in list(self.state.activities.values()):
            if activity.operation in self.state.deferrals or activity.operation in finished:
                continue  # somebody outside has it, or its result is about to be recorded
            if activity.attempt_started:
                self._count_as_lost(activity)
            elif activity.next_attempt_at is None or activity.next_attempt_at <= now:
                self._start(activity)
        self._arm_timer(now)

    @property
    def exists(self) -> bool:
        """Whether the run is in the store; a new one is once its first transition is durable."""
        return self._creation is None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way: the run only waits for time or messages. An update that waits for its handler
        keeps it in memory: its message is in the inbox, so that the run would be claimed again at once."""
        under_way = self.inputs or self._committing or self._advance_scheduled or self.calls or self._dropped
        return not (under_way or self.feed.updates)

    @property
    def is_spare(self) -> bool:
        """Whether another worker could go on with the run as well: nothing is under way but attempts that wait for
        slots, and at no limit; none counts as begun, or is to be made by whoever serves a queue."""
        under_way = self.inputs or self._committing or self._advance_scheduled or self._dropped or self.viewing
        if under_way or self.feed.updates or self._creation is not None or self.inbox_is_unread or not self.calls:
            return False
        dispatcher = self._worker.dispatcher
        return all(
            dispatcher.is_waiting(call) and call.group is None and not (call.options.at_most_once or call.options.queue)
            for call in self.calls.values()
        )

    @property
    def is_settled(self) -> bool:
        """Whether what the run's code has done is in its history, or will never be."""
        return self._dropped or not self._committing

    @property
    def inbox_is_unread(self) -> bool:
        """Whether messages are known to stand in the inbox that this copy of the run has not taken yet."""
        return self.inbox_has_more or self.inbox_readings > 0

    # --- leaving memory ------------------------------------------------------------------------------------------

    def release(self) -> None:
        """Give the run back to the store and drop it; messages that arrive meanwhile go to its inbox."""
        self._committing = True
        wake_at = self.state.next_wake_at(_AT_ANY_TIME)
        if self.lacks_code:  # others may have it
            offered_at = self._worker.clock.now() + int(self._worker.settings.idle_seconds * MICROSECONDS_PER_SECOND)
            wake_at = Timestamp(min(offered_at, offered_at if wake_at is None else wake_at))
        end = first_end(self.state)
        write = structs.replace(
            self._giving_back(wake_at=wake_at), end_at=end and end.at, inbox_position=self.inbox_position
        )
        self._worker.claims.give_back(write, self.drop)

    def surrender(self, *, durable: int | None = None) -> None:
        """Drop a run that may be another worker's by now; if it is not, it is due again, for anybody.

        `durable`: how many of its events are, if not all.
        """
        write = self._giving_back(wake_at=not_ahead(self.state.updated_at, self._worker.clock), sequence=durable)
        self.drop()
        self._worker.claims.give_back(write)

    def _giving_back(self, *, wake_at: Timestamp | None, sequence: int | None = None) -> Release:
        return Release(
            run_key=self.run_key,
            fencing_token=self.fencing_token,
            expected_sequence=self.state.sequence if sequence is None else sequence,
            wake_at=wake_at,
            now=self._worker.clock.now(),
            recovered=self.claimed is not None and self.claimed.recovered,
        )

    def drop(self) -> None:
        """Forget everything of this copy of the run; nothing of it has an effect any more."""
        if self._dropped:
            return
        self._dropped = True
        if self.viewing is not None:
            self.viewing.settled.set()
        self._timer.cancel()
        for call in list(self.calls.values()):
            self._worker.dispatcher.withdraw(call)
        self.calls.clear()
        self._worker.forget(self)
        self._worker.mail.forward(self, self._take_unanswered())
        self.feed.program.close()
        if self._creation is not None and self._result is None and self.on_created is not None:
            # It was to begin here and has not even been submitted: let it be created for anybody.
            self._worker.committer.submit(self._creation, self._answer_creator, keep=False)

    def break_off(self, error: PerdureError) -> None:
        """Drop a run that cannot go on in this process; its creator and the senders of messages get the error."""
        future, self.on_created = self.on_created, None
        if future is not None and not future.done():
            future.set_exception(error)
        for _, reply in self._take_unanswered():
            reply(error)
        self.drop()

    # --- the cycle -----------------------------------------------------------------------------------------------

    def schedule(self) -> None:
        """Have the run advanced soon; one that is being committed or looked at comes to that by itself."""
        if self.viewing is not None:
            self.viewing.is_asked = True
        elif not (self._advance_scheduled or self._committing or self._dropped):
            self._advance_scheduled = True
            self._worker.schedule(self)

    def advance(self, now: Timestamp) -> None:
        """Advance with all inputs that have gathered; the worker calls this for a run that asked for it."""
        self._advance_scheduled = False
        if self._dropped or self.viewing is not None:
            self.schedule()
            return
        inputs = [*self._notes, *self.inputs] if self._notes else self.inputs
        self.inputs, self._notes = [], ()
        state, worker = self.state, self._worker
        before = state.sequence
        if self._creation is not None:
            state.record(self._creation.created.event, self._creation.created.at)
        result = advance(state, self.feed, inputs, run_key=self.run_key, now=now, new_run_key=worker.store.new_run_key)
        if self._creation is not None:
            result.events.insert(0, self._creation.created)
        if not result.events and not result.consumed:
            self._settle_replies(result)
            if self.inbox_has_more:
                worker.mail.read_inbox_of(self)
            self._start_due_retries(now)
            self._arm_timer(now)
            if self.is_idle:
                worker.rest(self)
            return
        write = transition_of(self, result, before, owner=worker.worker_id, creation=self._creation)
        self._committing = True
        self._result = result
        worker.committer.submit(write, self._committed, keep=self._creation is None)

    def _committed(self, outcome: Outcome | PerdureError) -> None:
        self._committing = False
        if self.viewing is not None:
            self.viewing.settled.set()
        self._answer_creator(outcome)
        result, self._result = self._result, None
        if result is None:
            raise InternalError(f"run {self.run_key} was answered for a transition it did not submit")
        # A creation whose request was made before is answered with the first one's run: this one does not exist.
        if not isinstance(outcome, Applied) or outcome.run_key != self.run_key:
            self.drop()
            if self._creation is None:
                self._worker.lost(self, outcome, durable=self.state.sequence - len(result.events))
            self._worker.mail.forward(self, self._take_unanswered())
            return
        self.claimed = None
        if self._creation is not None:
            self._creation = None
            if not self._dropped:
                self._worker.created(self)
        self._announce(result)
        if outcome.told:
            self._worker.mail.told(outcome.told)
        if not self._dropped:
            self._release_effects(result)

    def _answer_creator(self, outcome: Outcome | PerdureError) -> None:
        future, self.on_created = self.on_created, None
        if future is None or future.done():
            return
        if isinstance(outcome, PerdureError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def _announce(self, result: Advance) -> None:
        """Tell others of the durable transition, even if this copy of the run was dropped while it was committed."""
        worker = self._worker
        if result.deliveries or result.creations:
            worker.mail.sent(self, result.deliveries, result.creations)
        self._settle_replies(result)
        if result.failed:
            log_failed_attempts(self.ref, result.failed)
        if worker.listeners:
            worker.published(self, result.events)
        if result.withdrawn:
            worker.queues.hear((self.run_key,))
        if result.queued and worker.queues:  # no news to this process; sticky ones may be for it
            worker.queues.wake()
        if self.state.closed_at is not None:
            worker.closed(self, result)

    def _release_effects(self, result: Advance) -> None:
        """Let happen in this process what the durable transition means."""
        worker, state = self._worker, self.state
        for operation in result.to_stop:
            self._stop(operation)
        if state.closed_at is not None:
            self.drop()
            return
        if self.inbox_has_more:
            worker.mail.read_inbox_of(self)
        if state.sequence > worker.settings.history_events:
            self._end_oversized()
            return
        now = worker.clock.now()
        for operation in result.to_start:
            if (activity := state.activities.get(operation)) is not None:
                self._start(activity)
        self._start_confirmed(result.events)
        # Inputs may hold the outcome of an attempt that the state still takes for due.
        if state.retries and not self.inputs:
            self._start_due_retries(now)
        self._arm_timer(now)
        if self.inputs:
            self.schedule()
        elif not self.calls:
            worker.rest(self)

    def _end_oversized(self) -> None:
        limit = self._worker.settings.history_events
        reason = f"its history has more than {limit} events (Settings.history_events); use ctx.continue_as_new(...)"
        self.receive(i.MessageArrived(message=TerminateMessage(reason=reason, by="perdure")))

    # --- activities ----------------------------------------------------------------------------------------------

    def attempt_ended(self, call: ActivityCall, given: i.Input | None) -> None:
        """Take the outcome of an attempt. None: the worker's closing interrupted it, and the run is due for another."""
        if given is not None and self.calls.get(call.operation) is call:
            del self.calls[call.operation]
            self.receive(given)

    def _start(self, activity: PendingActivity) -> None:
        """Queue the next attempt of an activity; an at-most-once one asks for a durable record of its start first."""
        operation = activity.operation
        if operation in self.calls:
            return
        call = self._worker.make_call(self, activity)
        if call is None:
            self.lacks_code = True
            return
        first = recorded_first(self._worker, call, activity, self.state.sticky)
        if first is not None:
            self.receive(first)
            return
        self.calls[operation] = call
        self._worker.dispatcher.enqueue(call)

    def _start_confirmed(self, events: list[RecordedEvent]) -> None:
        """Start the at-most-once attempts whose start has just become durable; let queued ones change their class."""
        for recorded in events:
            if type(recorded.event) is e.ActivityAttemptStarted:
                operation = recorded.event.operation
                activity = self.state.activities.get(operation)
                is_elsewhere = operation in self.state.deferrals  # whoever serves the queue has begun it
                if activity is not None and activity.attempt == recorded.event.attempt and not is_elsewhere:
                    self._start(activity)
            elif type(recorded.event) is e.PriorityChanged:
                self._worker.dispatcher.reprioritise(self.calls.values())

    def _start_due_retries(self, now: Timestamp) -> None:
        for operation, due_at in list(self.state.retries.items()):
            if due_at <= now and operation not in self.calls:
                self._start(self.state.activities[operation])

    def _stop(self, operation: int) -> None:
        call = self.calls.pop(operation, None)
        if call is not None:
            self._worker.dispatcher.withdraw(call)

    def with_retry(self, message: FailActivityMessage) -> FailActivityMessage:
        """Add the retry policy of an attempt whose function still runs here; else the history has it."""
        call = self.calls.get(message.operation)
        return message if call is None else structs.replace(message, retry=call.options.retry)

    def _count_as_lost(self, activity: PendingActivity) -> None:
        options = self._worker.options_of(activity)
        self.receive(lost_attempt(activity, NO_RETRY if options is None else options.retry or NO_RETRY))

    # --- time ----------------------------------------------------------------------------------------------------

    def _arm_timer(self, now: Timestamp) -> None:
        """Have the run advanced when the next thing comes due."""
        is_over = self._dropped or self.state.closed_at is not None
        self._timer.arm(None if is_over else self.state.next_wake_at(now), now, self.schedule)

    # --- replies -------------------------------------------------------------------------------------------------

    def _settle_replies(self, result: Advance) -> None:
        if not self._replies:
            return
        taken = {id(given) for given in self.inputs}
        replies, self._replies = self._replies, []
        refused = {id(given) for given in result.refused}
        for message, reply in replies:
            if id(message) in taken:
                self._replies.append((message, reply))
            elif id(message) in refused and self.state.status is RunStatus.CONTINUED:
                self._worker.mail.forward(self, [(message, reply)])
            elif id(message) in refused:
                reply(refusal(self.ref, Closed(self.run_key, self.state.status)))
            else:
                reply(None)

    def _take_unanswered(self) -> list[tuple[i.MessageArrived, Reply]]:
        """Return the messages whose senders have no answer yet, but for those in the transition under way: they are
        answered when its outcome is known."""
        replies, self._replies = self._replies, []
        if self._result is not None:
            waiting = {id(given) for given in self.inputs}
            self._replies = [entry for entry in replies if id(entry[0]) not in waiting]
            replies = [entry for entry in replies if id(entry[0]) in waiting]
        self.inputs = []
        return replies


_AT_ANY_TIME = Timestamp(0)
