"""Legal random histories, of every event type: what the laws of the fold are tried on.

The author keeps books of its own on what is open, so that a history is legal by what the events mean and not by what
the code under test accepts.
"""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st

from perdure.kernel import events as e
from perdure.kernel.backoff import fixed
from perdure.kernel.failure import Failure
from perdure.kernel.fork_facts import CarriedResult, ForkCause, RepeatedStep, StepFate
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.locking import LockWait
from perdure.kernel.options import ActivityOptions, Executor
from perdure.kernel.payload import Payload
from perdure.kernel.priority import Priority
from perdure.kernel.retry import Retry
from perdure.kernel.time import Timestamp

Choose = Callable[[int], int]
"""Returns a number from 0 up to, not including, its argument."""

Move = Callable[[], e.Event]

TEXTS = ("", "a", "päyment", "two words", 'quote " and \\', "行", "\n\t\x00", "x" * 300)
PAYLOADS = tuple(msgspec.Raw(text) for text in (b"null", b"1", b"[1,2]", b'{"a":{"b":[true,null,"\xc3\xa4"]}}', b'""'))


def histories(*, longest: int = 60) -> st.SearchStrategy[list[RecordedEvent]]:
    """Return a strategy for legal histories of up to `longest` events.

    A shorter history of one seed is the beginning of a longer one, so a failing history shrinks to its first bad event.
    """
    return st.builds(
        lambda seed, length: write_history(random.Random(seed).randrange, length=length),
        st.integers(0, 2**32),
        st.integers(1, longest),
    )


def write_history(choose: Choose, *, length: int) -> list[RecordedEvent]:
    """Return a legal history of `length` events (fewer if the run ends in a way that nothing can follow)."""
    author = _Author(choose)
    history: list[RecordedEvent] = []
    at = 1_000_000
    for sequence in range(1, length + 1):
        moves = author.moves()
        # What ends the run is kept rare, so that most histories grow to their length.
        weighted = [move for move in moves if move not in author.closing_moves()] * 20 + author.closing_moves()
        at += choose(3) * 1_000
        author.at = at
        history.append(RecordedEvent(sequence, Timestamp(at), weighted[choose(len(weighted))]()))
    return history


class _Author:
    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.at = 0
        self.status = "absent"
        self.has_begun = False
        self.operation = 0
        self.activities: dict[int, int] = {}
        self.timers: list[int] = []
        self.stages: list[int] = []
        self.children: dict[int, str] = {}
        self.interventions: list[int] = []
        self.locks: dict[int, bool] = {}
        self.compensations: dict[int, int] = {}
        self.updates: dict[str, str] = {}

    # --- what may happen ---------------------------------------------------------------------------------------------

    def moves(self) -> list[Move]:
        match self.status:
            case "absent":
                return [self.run_created]
            case "created":
                return [
                    self.run_started,
                    self.run_forked,
                    self.signal_received,
                    self.priority_changed_by_client,
                    self.run_cancel_requested,
                    self.run_suspended,
                    *self.recovery_moves(),
                    *self.child_moves(),
                ]
            case "running":
                return [self.run_suspended, self.run_cancel_requested, *self.open_moves()]
            case "suspended" if not self.has_begun:
                return [self.run_resumed, self.signal_received, self.priority_changed_by_client, *self.recovery_moves()]
            case "suspended":
                return [self.run_resumed, self.run_resumed, self.run_cancel_requested, *self.open_moves()]
            case _:
                return self.recovery_moves()

    def closing_moves(self) -> list[Move]:
        ends: list[Move] = [self.run_failed, self.run_cancelled, self.run_terminated]
        match self.status:
            case "created":
                return [*ends, self.run_reset]
            case "running" | "suspended":
                return [*ends, self.run_completed, self.run_continued, self.run_reset]
            case _:
                return []

    def child_moves(self) -> list[Move]:
        moves: list[Move] = []
        if "requested" in self.children.values():
            moves += [self.child_started]
        if "started" in self.children.values():
            moves += [self.child_completed]
        if self.children:
            moves += [self.child_failed, self.child_cancelled]
        return moves

    def recovery_moves(self) -> list[Move]:
        return [self.recovery_started, self.recovery_completed]

    def open_moves(self) -> list[Move]:
        moves: list[Move] = [
            self.run_forked,
            self.stage_started,
            self.activity_scheduled,
            self.timer_started,
            self.signal_received,
            self.signal_sent,
            self.signal_answered,
            self.update_accepted,
            self.update_rejected,
            self.child_requested,
            self.state_key_set,
            self.state_key_deleted,
            self.labels_changed,
            self.priority_changed,
            self.priority_changed_by_client,
            self.intervention_requested,
            self.compensation_started,
            self.lock_requested,
            self.version_decided,
            self.side_effect_recorded,
            self.trace_event_recorded,
            self.value_published,
            *self.recovery_moves(),
            *self.child_moves(),
        ]
        if self.stages:
            moves += [self.stage_completed, self.stage_failed]
        if self.activities:
            moves += [
                self.activity_attempt_started,
                self.activity_attempt_failed,
                self.activity_heartbeat_recorded,
                self.activity_deferred,
                self.activity_completed,
                self.activity_failed,
                self.activity_timed_out,
                self.activity_cancelled,
            ]
        if self.timers:
            moves += [self.timer_fired, self.timer_cancelled]
        if "accepted" in self.updates.values():
            moves += [self.update_completed]
        if self.interventions:
            moves += [self.intervention_resolved, self.intervention_expired]
        if any(self.compensations.values()):
            moves += [self.compensation_step_completed]
        if 0 in self.compensations.values():
            moves += [self.compensation_finished]
        if self.locks:
            moves.append(self.lock_released)
        if not all(self.locks.values()):
            moves += [self.lock_acquired, self.lock_denied]
        return moves

    # --- values --------------------------------------------------------------------------------------------------

    def pick(self, values: Any) -> Any:
        values = list(values)
        return values[self.choose(len(values))]

    def text(self) -> str:
        return str(self.pick(TEXTS))

    def payload(self) -> Payload:
        return msgspec.Raw(bytes(self.pick(PAYLOADS)))

    def failure(self) -> Failure:
        cause = Failure(type="KeyError", message=self.text()) if self.choose(3) == 0 else None
        types = ("ValueError", "Exception")
        return Failure(type="ValueError", types=types, message=self.text(), retryable=self.choose(2) == 0, cause=cause)

    def maybe_time(self) -> Timestamp | None:
        return Timestamp(self.at + self.choose(1_000)) if self.choose(2) else None

    def next_operation(self) -> Operation:
        self.operation += 1 + self.choose(2)  # a timer that was given up at once leaves a gap
        return Operation(self.operation)

    def take(self, pending: Any) -> Operation:
        operation = self.pick(pending)
        if isinstance(pending, dict):
            del pending[operation]
        else:
            pending.remove(operation)
        return Operation(operation)

    # --- run -----------------------------------------------------------------------------------------------------

    def run_created(self) -> e.Event:
        self.status = "created"
        parent = (
            e.ParentLink(run_key=7, ref=RunRef(namespace="n", id="parent"), operation=Operation(3))
            if self.choose(3) == 0
            else None
        )
        stages = self.pick([(), ("one",), ("one", "two", "three"), ("one", "one")])
        carried = tuple(self.carried_child() for _ in range(self.choose(3)))
        self.children = {-number: "started" for number in range(1, len(carried) + 1)}
        return e.RunCreated(
            workflow=self.text(),
            ref=RunRef(namespace="n", id=self.text(), generation=1 + self.choose(3)),
            input=self.payload(),
            seed=self.choose(1 << 30),
            priority=self.pick(Priority),
            tenant=self.text(),
            labels={"team": self.text()},
            stages=stages,
            parent=parent,
            deadline_at=self.maybe_time(),
            start_at=self.maybe_time(),
            carried_state={"k": self.payload()} if self.choose(2) else {},
            carried_signals=(e.CarriedSignal(name="go", body=self.payload()),) if self.choose(2) else (),
            carried_children=carried,
        )

    def carried_child(self) -> e.CarriedChild:
        return e.CarriedChild(
            run_key=6,
            generation=1,
            operation=Operation(1 + self.choose(9)),
            workflow="child",
            ref=RunRef(namespace="n", id=self.text()),
            policy=self.pick(e.ParentClosePolicy),
        )

    def run_started(self) -> e.Event:
        self.status, self.has_begun = "running", True
        return e.RunStarted(worker=self.text())

    def run_completed(self) -> e.Event:
        self.status = "completed"
        return e.RunCompleted(result=self.payload(), unconsumed_signals={"go": 2})

    def run_failed(self) -> e.Event:
        self.status = "failed"
        return e.RunFailed(failure=self.failure(), can_retry=self.choose(2) == 0)

    def run_cancel_requested(self) -> e.Event:
        if self.status == "suspended":
            self.status = "running"
        return e.RunCancelRequested(reason=self.text(), by=self.text(), grace_until=self.maybe_time())

    def run_cancelled(self) -> e.Event:
        self.status = "cancelled"
        return e.RunCancelled(reason=self.text())

    def run_terminated(self) -> e.Event:
        self.status = "terminated"
        return e.RunTerminated(reason=self.text(), by=self.text())

    def run_suspended(self) -> e.Event:
        self.status = "suspended"
        operation = self.next_operation() if self.choose(2) else Operation(0)
        return e.RunSuspended(operation=operation, reason=self.text())

    def run_resumed(self) -> e.Event:
        self.status = "running" if self.has_begun else "created"
        return e.RunResumed(by=self.text())

    def run_continued(self) -> e.Event:
        self.status = "continued"
        return e.RunContinued(input=self.payload(), next_generation=2, next_at=Timestamp(self.at))

    def run_reset(self) -> e.Event:
        self.status = "closed"
        return e.RunReset(next_generation=2, point=self.choose(9) + 1, reason=self.text(), by=self.text())

    def run_forked(self) -> e.Event:
        return e.RunForked(
            origin=RunRef(namespace="n", id="origin"),
            origin_key=3,
            caller_key=3,
            sequence=4,
            ref=RunRef(namespace="n", id="fork", generation=2),
            seed=self.choose(9),
            cause=ForkCause.RESET,
            deadline_at=self.maybe_time(),
            grace_until=self.maybe_time(),
            carried_signals=(e.CarriedSignal(name=self.text(), body=self.payload()),),
            carried_results=(CarriedResult(operation=Operation(1), result=self.payload()),),
            repeats=(RepeatedStep(operation=Operation(1), name=self.text(), was=StepFate.IN_FLIGHT),),
        )

    # --- stages, activities, timers ------------------------------------------------------------------------------

    def stage_started(self) -> e.Event:
        operation = self.next_operation()
        self.stages.append(operation)
        return e.StageStarted(operation=operation, name=self.pick(["one", "two", "three", "four"]))

    def stage_completed(self) -> e.Event:
        return e.StageCompleted(operation=self.take(self.stages), result=self.payload())

    def stage_failed(self) -> e.Event:
        return e.StageFailed(operation=self.take(self.stages), failure=self.failure())

    def activity_scheduled(self) -> e.Event:
        operation = self.next_operation()
        self.activities[operation] = 1
        options = ActivityOptions(
            queue="q",
            retry=Retry(attempts=3, backoff=fixed(timedelta(seconds=1))),
            executor=Executor.THREAD,
            resources={"cpu": 50},
        )
        return e.ActivityScheduled(
            operation=operation,
            activity=self.text(),
            input=self.payload(),
            options=options if self.choose(2) else None,
            deadline_at=self.maybe_time(),
            compensates=Operation(self.choose(2)),
        )

    def activity_attempt_started(self) -> e.Event:
        operation = Operation(self.pick(self.activities))
        return e.ActivityAttemptStarted(operation=operation, attempt=self.activities[operation], worker="w")

    def activity_attempt_failed(self) -> e.Event:
        operation = Operation(self.pick(self.activities))
        attempt = self.activities[operation]
        self.activities[operation] += 1
        return e.ActivityAttemptFailed(
            operation=operation,
            attempt=attempt,
            failure=self.failure(),
            next_attempt_at=Timestamp(self.at + self.choose(9)),
            heartbeat=self.payload(),
        )

    def activity_heartbeat_recorded(self) -> e.Event:
        operation = Operation(self.pick(self.activities))
        return e.ActivityHeartbeatRecorded(
            operation=operation, attempt=self.activities[operation], details=self.payload()
        )

    def activity_deferred(self) -> e.Event:
        operation = Operation(self.pick(self.activities))
        return e.ActivityDeferred(
            operation=operation,
            attempt=self.activities[operation],
            started_at=Timestamp(self.at),
            retry=Retry(attempts=3, backoff=fixed(timedelta(seconds=1))),
            limits={kind: Timestamp(self.at + self.choose(9)) for kind in e.TimeoutKind},
            heartbeat_microseconds=self.choose(9),
            heartbeat=self.payload(),
        )

    def activity_completed(self) -> e.Event:
        return e.ActivityCompleted(operation=self.take(self.activities), result=self.payload(), started_at=None)

    def activity_failed(self) -> e.Event:
        return e.ActivityFailed(operation=self.take(self.activities), failure=self.failure(), reason="attempts")

    def activity_timed_out(self) -> e.Event:
        return e.ActivityTimedOut(operation=self.take(self.activities), timeout=self.pick(e.TimeoutKind))

    def activity_cancelled(self) -> e.Event:
        return e.ActivityCancelled(operation=self.take(self.activities), reason=self.text())

    def timer_started(self) -> e.Event:
        operation = self.next_operation()
        self.timers.append(operation)
        return e.TimerStarted(operation=operation, due_at=Timestamp(self.at + self.choose(50)))

    def timer_fired(self) -> e.Event:
        return e.TimerFired(operation=self.take(self.timers))

    def timer_cancelled(self) -> e.Event:
        return e.TimerCancelled(operation=self.take(self.timers), reason=self.text())

    # --- signals, updates, children ------------------------------------------------------------------------------

    def signal_received(self) -> e.Event:
        return e.SignalReceived(name=self.pick(["go", "stop"]), body=self.payload(), message_id=self.text())

    def signal_sent(self) -> e.Event:
        return e.SignalSent(
            operation=self.next_operation(), target=RunRef(namespace="n", id="other"), name="go", body=self.payload()
        )

    def signal_answered(self) -> e.Event:
        return e.SignalAnswered(operation=Operation(self.choose(9)), outcome=self.pick(e.SignalOutcome))

    def update_accepted(self) -> e.Event:
        update_id = f"u{len(self.updates)}"
        self.updates[update_id] = "accepted"
        return e.UpdateAccepted(update_id=update_id, name="address", body=self.payload())

    def update_rejected(self) -> e.Event:
        update_id = f"u{len(self.updates)}"
        self.updates[update_id] = "rejected"
        return e.UpdateRejected(update_id=update_id, failure=self.failure())

    def update_completed(self) -> e.Event:
        update_id = self.pick(key for key, phase in self.updates.items() if phase == "accepted")
        self.updates[update_id] = "completed"
        return e.UpdateCompleted(update_id=update_id, result=self.payload())

    def child_requested(self) -> e.Event:
        operation = self.next_operation()
        self.children[operation] = "requested"
        return e.ChildRequested(
            operation=operation,
            workflow=self.text(),
            child=RunRef(namespace="n", id=f"child-{operation}"),
            input=self.payload(),
            policy=self.pick(e.ParentClosePolicy),
            labels={"a": "b"},
        )

    def child_started(self) -> e.Event:
        operation = Operation(self.pick(key for key, phase in self.children.items() if phase == "requested"))
        self.children[operation] = "started"
        return e.ChildStarted(operation=operation, run_key=1_000 + operation)

    def child_completed(self) -> e.Event:
        operation = Operation(self.pick(key for key, phase in self.children.items() if phase == "started"))
        del self.children[operation]
        return e.ChildCompleted(operation=operation, result=self.payload())

    def child_failed(self) -> e.Event:
        outcome = self.pick(e.ChildOutcome)
        return e.ChildFailed(operation=self.take(self.children), outcome=outcome, failure=self.failure())

    def child_cancelled(self) -> e.Event:
        return e.ChildCancelled(operation=self.take(self.children))

    # --- the rest ------------------------------------------------------------------------------------------------

    def state_key_set(self) -> e.Event:
        return e.StateKeySet(operation=self.next_operation(), key=self.pick("kl"), value=self.payload())

    def state_key_deleted(self) -> e.Event:
        return e.StateKeyDeleted(operation=self.next_operation(), key=self.pick("kl"))

    def labels_changed(self) -> e.Event:
        labels = {self.pick(["team", "city"]): self.pick([None, "x", "y"])}
        return e.LabelsChanged(operation=self.next_operation(), labels=labels)

    def priority_changed(self) -> e.Event:
        return e.PriorityChanged(
            operation=self.next_operation(), old=self.pick(Priority), new=self.pick(Priority), by="workflow"
        )

    def priority_changed_by_client(self) -> e.Event:
        return e.PriorityChanged(old=self.pick(Priority), new=self.pick(Priority), reason=self.text(), by="ops")

    def recovery_started(self) -> e.Event:
        return e.RecoveryStarted(strategy="take over", failure=self.failure() if self.choose(2) else None)

    def recovery_completed(self) -> e.Event:
        return e.RecoveryCompleted(strategy="take over", success=self.choose(2) == 0)

    def intervention_requested(self) -> e.Event:
        operation = self.next_operation()
        self.interventions.append(operation)
        return e.InterventionRequested(
            operation=operation, role="clerk", instructions=self.text(), expires_at=self.maybe_time()
        )

    def intervention_resolved(self) -> e.Event:
        return e.InterventionResolved(operation=self.take(self.interventions), by="ann", decision=self.payload())

    def intervention_expired(self) -> e.Event:
        return e.InterventionExpired(operation=self.take(self.interventions))

    def compensation_started(self) -> e.Event:
        operation = self.next_operation()
        self.compensations[operation] = self.choose(3)
        return e.CompensationStarted(operation=operation, steps=self.compensations[operation])

    def compensation_step_completed(self) -> e.Event:
        operation = Operation(self.pick(key for key, left in self.compensations.items() if left))
        self.compensations[operation] -= 1
        failure = self.failure() if self.choose(2) else None
        return e.CompensationStepCompleted(operation=operation, compensates=Operation(1), failure=failure)

    def compensation_finished(self) -> e.Event:
        operation = Operation(self.pick(key for key, left in self.compensations.items() if not left))
        del self.compensations[operation]
        return e.CompensationFinished(operation=operation, failed=self.choose(2))

    def lock_requested(self) -> e.Event:
        operation = self.next_operation()
        self.locks[operation] = False
        limit, waits = (None, 1, 3)[self.choose(3)], self.choose(4) > 0
        return e.LockRequested(operation=operation, key=self.text(), limit=limit, waits=waits)

    def lock_acquired(self) -> e.Event:
        operation = Operation(self.pick(key for key, is_held in self.locks.items() if not is_held))
        self.locks[operation] = True
        return e.LockAcquired(operation=operation, fencing_token=1 + self.choose(9))

    def lock_denied(self) -> e.Event:
        operation = Operation(self.pick(key for key, is_held in self.locks.items() if not is_held))
        del self.locks[operation]
        return e.LockDenied(operation=operation, cycle=(LockWait(run=RunRef(namespace="n", id="r"), key=self.text()),))

    def lock_released(self) -> e.Event:
        return e.LockReleased(operation=self.take(self.locks))

    def version_decided(self) -> e.Event:
        return e.VersionDecided(operation=self.next_operation(), patch=self.text())

    def side_effect_recorded(self) -> e.Event:
        return e.SideEffectRecorded(operation=self.next_operation(), value=self.payload())

    def value_published(self) -> e.Event:
        attempt = self.choose(3)
        operation = Operation(self.choose(9)) if attempt else self.next_operation()
        return e.ValuePublished(operation=operation, stream=self.text(), value=self.payload(), attempt=attempt)

    def trace_event_recorded(self) -> e.Event:
        return e.TraceEventRecorded(operation=self.next_operation(), name=self.text(), attributes={"a": self.text()})
