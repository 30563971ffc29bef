"""Attempts: running one try of an activity with its limits, heartbeats and cancellation, in any executor.

`Attempts` keeps the limits and makes an input of the outcome; an `AttemptExecutor` only runs the function. An attempt
that exceeds a limit is cancelled and reported at once; its slot stays taken until the function has really ended, since
a thread cannot be stopped from outside.

An attempt that the closing of the worker interrupts has no outcome: nothing is recorded, and the next owner of the run
runs it again.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from perdure.authoring.activity import Activity
from perdure.authoring.activity_context import Attempt
from perdure.execution.call import ActivityCall
from perdure.execution.hybrid import Hybrid
from perdure.execution.reach import why_unreachable
from perdure.kernel import inputs as i
from perdure.kernel.events import TimeoutKind
from perdure.kernel.failure import Failure
from perdure.kernel.identity import Operation
from perdure.kernel.options import Executor
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.pending import PendingActivity
from perdure.kernel.retry import NO_RETRY, Retry
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp, timestamp_to_datetime
from perdure.ports.clock import Clock

if TYPE_CHECKING:
    from perdure.kernel.events import RunCreated

__all__ = [
    "DEFERRED",
    "DELIVERED",
    "WORKER_LOST",
    "WORKER_PROCESS_DIED",
    "AttemptExecutor",
    "Attempts",
    "RunningCall",
    "lost_attempt",
]

DEFERRED: Final = Payload(b"null")
"""What an executor gives as the result, this very object, of a function that has called `defer`."""
DELIVERED: Final = Payload(b"null")
"""Likewise of a function whose outcome is in the inbox of its run, durable, also if the attempt was cancelled."""

WORKER_PROCESS_DIED: Final = "WorkerProcessDiedError"
"""Failure type of an attempt whose process ended under it, here or on a cluster."""


class RunningCall(msgspec.Struct, eq=False):
    """An attempt under way. `timers` end it, `watch` looks for its heartbeat; `cpu_seconds` is what the function has
    burnt, where its executor can measure it. `overdue` is told when it has ended without an outcome. Heartbeats are
    timed by the event loop, whose time does not jump."""

    attempts: "Attempts"
    call: ActivityCall
    started_at: Timestamp
    heartbeat_at: float
    heartbeat_saved_at: float
    heartbeat: Payload = NULL
    heartbeat_saved: Payload = NULL
    is_cancelled: bool = False
    timers: Sequence[asyncio.TimerHandle] = ()
    watch: asyncio.TimerHandle | None = None
    cpu_seconds: float | None = None
    overdue: i.AttemptTimedOut | None = None

    def describe(self) -> Attempt:
        """Return the attempt as its function sees it."""
        call = self.call
        created: RunCreated | None = call.run.created
        ref = None if created is None else created.ref
        key = call.options.idempotency_key or f"{call.called_by}-{call.operation}"
        return Attempt(
            run_id="" if ref is None else ref.id,
            namespace="" if ref is None else ref.namespace,
            workflow="" if created is None else created.workflow,
            activity=call.activity,
            operation=call.operation,
            attempt=call.attempt,
            idempotency_key=key,
            fencing_token=call.step_token,
            scheduled_at=timestamp_to_datetime(call.scheduled_at),
            token=call.run.token_of(call.operation, call.attempt),
            deadline=_deadline(self),
            trace_context={} if created is None else created.trace_context,
            heartbeat_payload=call.heartbeat,
        )

    def begin(self) -> None:
        """Count the time from now: whoever runs it elsewhere calls this before the function runs."""
        self.attempts.begin(self)

    def beat(self, details: Payload) -> None:
        """Take a heartbeat; called on the event loop's thread."""
        self.attempts.beat(self, details)

    def publish(self, stream: str, value: Payload) -> None:
        """Take a value for a stream of the run; called on the event loop's thread."""
        if not self.is_cancelled:
            call = self.call
            call.run.receive(i.ValueGiven(operation=call.operation, attempt=call.attempt, stream=stream, value=value))

    def ended(self, result: Payload | None, failure: Failure | None) -> None:
        """Take the function's end, exactly once: a result, a failure, or (both None) its cancellation.

        The result `DEFERRED` says that somebody outside will tell the outcome, `DELIVERED` that the inbox has it.
        """
        self.attempts.ended(self, result, failure)


class AttemptExecutor(Protocol):
    """Runs functions of activities."""

    def start(self, running: RunningCall) -> None:
        """Begin; call `running.ended` once, on the event loop's thread, not before returning.

        In a process or on a cluster, where its start takes time, `running.begin` is called when the function begins.
        """
        ...

    def stop(self, running: RunningCall) -> None:
        """Cancel a function that was started and has not ended, as far as that is possible here."""
        ...

    async def close(self) -> None:
        """Let go of threads and processes. What still runs has been cancelled; what does not end soon is abandoned."""
        ...


class Attempts:
    """Runs attempts with their limits."""

    def __init__(
        self,
        clock: Clock,
        executors: dict[Executor, AttemptExecutor],
        *,
        heartbeat_save_seconds: float,
        hybrid_process_seconds: float,
    ) -> None:
        """Run functions with `executors`; save heartbeat details at most every `heartbeat_save_seconds`.

        Hybrid activities that burn CPU for longer than `hybrid_process_seconds` go into a process.
        """
        self._clock = clock
        self._executors = executors
        self._hybrid = Hybrid(process_seconds=hybrid_process_seconds)
        self._heartbeat_save_seconds = heartbeat_save_seconds
        self._running: set[RunningCall] = set()
        self._all_ended: asyncio.Future[None] | None = None
        self.on_outcome: Callable[[ActivityCall, i.Input | None], None] = lambda _call, _given: None
        self.on_free: Callable[[ActivityCall, float, Timestamp], None] = lambda _call, _seconds, _now: None

    def place(self, call: ActivityCall) -> Executor:
        """Choose where a call runs.

        A coroutine function runs on the loop and no other does, whatever an old history may say: code may change.
        """
        chosen = call.options.executor
        if call.definition.transaction is not None:
            return Executor.TRANSACTION
        if call.definition.is_async:
            return Executor.LOOP
        if chosen is Executor.HYBRID:
            return self._place_hybrid(call)
        return chosen if chosen in _ELSEWHERE else Executor.THREAD

    @staticmethod
    def places(definition: Activity[..., Any]) -> tuple[Executor, ...]:
        """Return where calls of an activity may run, as it is declared."""
        if definition.is_async:
            return (Executor.LOOP,)
        if definition.defaults.executor is Executor.HYBRID:
            return (Executor.THREAD, Executor.PROCESS)
        chosen = definition.defaults.executor
        return (chosen,) if chosen in _ELSEWHERE else (Executor.THREAD,)

    def start(self, call: ActivityCall, now: Timestamp) -> None:
        """Run an attempt, begun `now`; its run hears of the outcome."""
        begun_at = asyncio.get_running_loop().time()
        running = RunningCall(self, call, now, begun_at, begun_at)
        call.running = running
        self._running.add(running)
        if call.deadline_at is not None:
            self._limit(running, call.deadline_at - running.started_at, TimeoutKind.SCHEDULE_TO_CLOSE)
        if call.executor not in _ELSEWHERE:
            self._limit_attempt(running)
        self._executors[call.executor].start(running)

    def begin(self, running: RunningCall) -> None:
        """Count the time of an attempt from now."""
        if not running.is_cancelled:
            running.started_at = self._clock.now()
            running.heartbeat_at = running.heartbeat_saved_at = asyncio.get_running_loop().time()
            self._limit_attempt(running)

    def cancel(self, running: RunningCall) -> None:
        """Cancel an attempt whose outcome nobody wants any more."""
        if not running.is_cancelled:
            running.is_cancelled = True
            self._executors[running.call.executor].stop(running)

    def beat(self, running: RunningCall, details: Payload) -> None:
        """Note a heartbeat, and have its details saved if the last saving is long enough ago."""
        if running.is_cancelled:
            return
        if details != NULL:
            running.heartbeat = details
        running.heartbeat_at = now = asyncio.get_running_loop().time()
        if now - running.heartbeat_saved_at >= self._heartbeat_save_seconds:
            self._save_heartbeat(running)

    def ended(self, running: RunningCall, result: Payload | None, failure: Failure | None) -> None:
        """Turn a function's end into an input for its run, and free the slot."""
        self._running.discard(running)
        for timer in running.timers:
            timer.cancel()
        if running.watch is not None:
            running.watch.cancel()
        call = running.call
        call.running = None  # ends a cycle: freed at once, not by the collector
        if result is DELIVERED:
            if call.options.circuit_breaker is not None:
                self.on_outcome(call, _input(running, NULL, None))
        elif running.overdue is not None:
            self._report(call, running.overdue)
        elif not running.is_cancelled:
            self._report(call, self._deferral(running) if result is DEFERRED else _input(running, result, failure))
            if call.options.executor is Executor.HYBRID and result is not None and running.cpu_seconds is not None:
                self._hybrid.note(call.activity, running.cpu_seconds)
        now = self._clock.now()
        self.on_free(call, max(now - running.started_at, 0) / MICROSECONDS_PER_SECOND, now)
        if self._all_ended is not None and not self._running and not self._all_ended.done():
            self._all_ended.set_result(None)

    async def finish(self, grace_seconds: float) -> None:
        """Let what runs end by itself for `grace_seconds`, then cancel the rest and close the executors."""
        if self._running:
            self._all_ended = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._all_ended], timeout=grace_seconds)
        for running in list(self._running):
            self._save_heartbeat(running)
            self.cancel(running)
        await asyncio.sleep(0)  # the runs take in what was saved
        await asyncio.gather(*(executor.close() for executor in self._executors.values()))

    def _deferral(self, running: RunningCall) -> i.AttemptDeferred:
        """Return what is recorded of an attempt that goes on without its function: its limits, as moments."""
        call, limits = running.call, {}
        options = call.options
        if options.start_to_close_microseconds is not None:
            limits[TimeoutKind.START_TO_CLOSE] = Timestamp(running.started_at + options.start_to_close_microseconds)
        if options.heartbeat_microseconds is not None:
            silence = asyncio.get_running_loop().time() - running.heartbeat_at
            left = options.heartbeat_microseconds - int(silence * MICROSECONDS_PER_SECOND)
            limits[TimeoutKind.HEARTBEAT] = Timestamp(self._clock.now() + max(left, 0))
        if call.deadline_at is not None:
            limits[TimeoutKind.SCHEDULE_TO_CLOSE] = call.deadline_at
        return i.AttemptDeferred(
            operation=call.operation,
            attempt=call.attempt,
            started_at=running.started_at,
            retry=options.retry or NO_RETRY,
            limits=limits,
            heartbeat_microseconds=options.heartbeat_microseconds,
            heartbeat=running.heartbeat,
        )

    def _place_hybrid(self, call: ActivityCall) -> Executor:
        if Executor.PROCESS not in self._executors or why_unreachable(call.definition.function) is not None:
            return Executor.THREAD
        if Executor.THREAD not in self._executors:
            return Executor.PROCESS
        expected = call.options.expected_duration_microseconds
        return self._hybrid.choose(call.activity, None if expected is None else expected / MICROSECONDS_PER_SECOND)

    def _save_heartbeat(self, running: RunningCall) -> None:
        """Have the details of the last heartbeat recorded, unless that has been done or there are none."""
        call = running.call
        if running.is_cancelled or running.heartbeat == running.heartbeat_saved:
            return
        running.heartbeat_saved = running.heartbeat
        running.heartbeat_saved_at = running.heartbeat_at
        call.run.receive(i.HeartbeatSeen(operation=call.operation, attempt=call.attempt, details=running.heartbeat))

    def _limit_attempt(self, running: RunningCall) -> None:
        options = running.call.options
        if options.start_to_close_microseconds is not None:
            self._limit(running, options.start_to_close_microseconds, TimeoutKind.START_TO_CLOSE)
        if options.heartbeat_microseconds is not None:
            self._watch_heartbeat(running, options.heartbeat_microseconds / MICROSECONDS_PER_SECOND)

    def _limit(self, running: RunningCall, microseconds: int, kind: TimeoutKind) -> None:
        delay = max(microseconds, 0) / MICROSECONDS_PER_SECOND
        timer = asyncio.get_running_loop().call_later(delay, self._timed_out, running, kind)
        running.timers = [*running.timers, timer]

    def _watch_heartbeat(self, running: RunningCall, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        remaining = running.heartbeat_at + seconds - loop.time()
        if remaining <= _RESOLUTION_SECONDS:
            self._timed_out(running, TimeoutKind.HEARTBEAT)
        else:
            running.watch = loop.call_later(remaining, self._watch_heartbeat, running, seconds)

    def _timed_out(self, running: RunningCall, kind: TimeoutKind) -> None:
        if running.is_cancelled:
            return
        call = running.call
        timed_out = i.AttemptTimedOut(
            operation=call.operation,
            attempt=call.attempt,
            timeout=kind,
            retry=call.options.retry or NO_RETRY,
            started_at=running.started_at,
            heartbeat=running.heartbeat if running.heartbeat != NULL else call.heartbeat,
        )
        if call.executor is Executor.TRANSACTION:  # it may be committing: then the time-out is none
            running.overdue = timed_out
            self.cancel(running)
            return
        self.cancel(running)
        if call.options.executor is Executor.HYBRID:
            self._hybrid.note(call.activity, (self._clock.now() - running.started_at) / MICROSECONDS_PER_SECOND)
        self._report(call, timed_out)

    def _report(self, call: ActivityCall, given: i.Input | None) -> None:
        call.run.attempt_ended(call, given)
        if call.options.circuit_breaker is not None:
            self.on_outcome(call, given)


_ELSEWHERE: Final = frozenset({Executor.PROCESS, Executor.RAY, Executor.DASK})
"""Where functions begin when their executor says so."""

_RESOLUTION_SECONDS: Final = 1e-6
"""A timer may ring by so much too early."""


WORKER_LOST: Final = Failure(
    type="WorkerLostError",
    types=("WorkerLostError",),
    message="the worker was lost while this at-most-once attempt ran; its outcome is unknown",
)
"""What became of an attempt that must not be made again, and of which nobody knows how far it came."""


def lost_attempt(activity: PendingActivity, retry: Retry) -> i.AttemptFailed:
    """Return what became of an at-most-once attempt whose worker died: nobody knows, so it has failed."""
    return i.AttemptFailed(
        operation=Operation(activity.operation),
        attempt=activity.attempt,
        failure=WORKER_LOST,
        retry=retry,
        started_at=activity.scheduled_at,
        heartbeat=activity.heartbeat,
    )


def _deadline(running: RunningCall) -> datetime | None:
    """Return when an attempt is cut off: by its own limits, or with the stage or the run around it."""
    call, limit = running.call, running.call.options.start_to_close_microseconds
    ends = [] if limit is None else [running.started_at + limit]
    ends += [] if call.deadline_at is None else [call.deadline_at]
    ends += [] if call.around is None else [call.around.at]
    return timestamp_to_datetime(Timestamp(min(ends))) if ends else None


def _input(running: RunningCall, result: Payload | None, failure: Failure | None) -> i.Input | None:
    call = running.call
    if result is not None:
        return i.AttemptSucceeded(
            operation=call.operation, attempt=call.attempt, result=result, started_at=running.started_at
        )
    if failure is None:
        return None
    return i.AttemptFailed(
        operation=call.operation,
        attempt=call.attempt,
        failure=failure,
        retry=call.options.retry or NO_RETRY,
        started_at=running.started_at,
        heartbeat=running.heartbeat,
    )
