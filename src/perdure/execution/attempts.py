"""Attempts: running one try of an activity with its limits, heartbeats and cancellation, in any executor.

`Attempts` keeps the limits and makes an input of the outcome; an `AttemptExecutor` only runs the function. An attempt
that exceeds a limit is cancelled and reported at once; its slot stays taken until the function has really ended, since
a thread cannot be stopped from outside.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from perdure.authoring.activity_context import Attempt
from perdure.execution.call import ActivityCall
from perdure.kernel import inputs as i
from perdure.kernel.events import TimeoutKind
from perdure.kernel.failure import failure_from_exception
from perdure.kernel.options import Executor
from perdure.kernel.payload import NULL, Payload
from perdure.kernel.retry import NO_RETRY
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp, timestamp_to_datetime
from perdure.ports.clock import Clock

if TYPE_CHECKING:
    from perdure.kernel.events import RunCreated

__all__ = ["AttemptExecutor", "Attempts", "RunningCall"]


class RunningCall:
    """An attempt under way. `stop` cancels the function, as far as its executor can."""

    __slots__ = (
        "_attempts",
        "call",
        "executor",
        "heartbeat",
        "heartbeat_at",
        "heartbeat_saved_at",
        "is_cancelled",
        "started_at",
        "stop",
        "timers",
    )

    def __init__(self, attempts: "Attempts", call: ActivityCall, executor: Executor, started_at: Timestamp) -> None:
        """Run `call`, begun at `started_at`."""
        self._attempts = attempts
        self.call = call
        self.executor = executor
        self.started_at = started_at
        self.heartbeat = NULL
        self.heartbeat_at = started_at
        self.heartbeat_saved_at = started_at
        self.is_cancelled = False
        self.stop: Callable[[], None] = _nothing
        self.timers: list[asyncio.TimerHandle] = []

    def describe(self) -> Attempt:
        """Return the attempt as its function sees it."""
        call = self.call
        created: RunCreated | None = call.run.state.created
        ref = None if created is None else created.ref
        key = call.options.idempotency_key or f"{call.run.run_key:x}-{call.operation}"
        return Attempt(
            run_id="" if ref is None else ref.id,
            namespace="" if ref is None else ref.namespace,
            workflow="" if created is None else created.workflow,
            activity=call.activity,
            operation=call.operation,
            attempt=call.attempt,
            idempotency_key=key,
            fencing_token=call.fencing_token,
            scheduled_at=timestamp_to_datetime(call.scheduled_at),
            heartbeat_details=call.heartbeat,
        )

    def beat(self, details: Payload) -> None:
        """Take a heartbeat; called on the event loop's thread."""
        self._attempts.beat(self, details)

    def ended(self, result: Payload | None, error: BaseException | None) -> None:
        """Take the function's end, exactly once: a result, an exception, or (both None) its cancellation."""
        self._attempts.ended(self, result, error)


class AttemptExecutor(Protocol):
    """Runs functions of activities."""

    def start(self, running: RunningCall) -> None:
        """Begin; set `running.stop`; call `running.ended` once, on the event loop's thread, not before returning."""
        ...

    async def close(self) -> None:
        """Let go of threads and processes; what still runs is abandoned."""
        ...


class Attempts:
    """Runs attempts with their limits."""

    def __init__(
        self, clock: Clock, executors: dict[Executor, AttemptExecutor], *, heartbeat_save_seconds: float
    ) -> None:
        """Run functions with `executors`; save heartbeat details at most every `heartbeat_save_seconds`."""
        self._clock = clock
        self._executors = executors
        self._heartbeat_save_microseconds = int(heartbeat_save_seconds * MICROSECONDS_PER_SECOND)
        self._running: set[RunningCall] = set()
        self.on_free: Callable[[ActivityCall, Executor, float], None] = lambda _call, _executor, _seconds: None

    def executor_of(self, call: ActivityCall) -> Executor:
        """Return where a call runs."""
        return call.options.executor or Executor.LOOP

    def start(self, call: ActivityCall) -> None:
        """Run an attempt; its run hears of the outcome."""
        executor = self.executor_of(call)
        running = RunningCall(self, call, executor, self._clock.now())
        call.running = running
        self._running.add(running)
        options = call.options
        if options.start_to_close_microseconds is not None:
            self._limit(running, options.start_to_close_microseconds, TimeoutKind.START_TO_CLOSE)
        if call.deadline_at is not None:
            self._limit(running, call.deadline_at - running.started_at, TimeoutKind.SCHEDULE_TO_CLOSE)
        if options.heartbeat_microseconds is not None:
            self._watch_heartbeat(running, options.heartbeat_microseconds)
        self._executors[executor].start(running)

    def cancel(self, running: RunningCall) -> None:
        """Cancel an attempt whose outcome nobody wants any more."""
        if not running.is_cancelled:
            running.is_cancelled = True
            running.stop()

    def beat(self, running: RunningCall, details: Payload) -> None:
        """Note a heartbeat, and have its details saved if the last saving is long enough ago."""
        if running.is_cancelled:
            return
        running.heartbeat = details
        running.heartbeat_at = now = self._clock.now()
        if details != NULL and now - running.heartbeat_saved_at >= self._heartbeat_save_microseconds:
            running.heartbeat_saved_at = now
            call = running.call
            call.run.receive(i.HeartbeatSeen(operation=call.operation, attempt=call.attempt, details=details))

    def ended(self, running: RunningCall, result: Payload | None, error: BaseException | None) -> None:
        """Turn a function's end into an input for its run, and free the slot."""
        self._running.discard(running)
        for timer in running.timers:
            timer.cancel()
        call = running.call
        given: i.Input | None = None
        if not running.is_cancelled:
            if result is not None:
                given = i.AttemptSucceeded(
                    operation=call.operation, attempt=call.attempt, result=result, started_at=running.started_at
                )
            elif error is not None:
                given = i.AttemptFailed(
                    operation=call.operation,
                    attempt=call.attempt,
                    failure=failure_from_exception(error),
                    retry=call.options.retry or NO_RETRY,
                    started_at=running.started_at,
                    heartbeat=running.heartbeat,
                )
            call.run.attempt_ended(call, given)
        seconds = (self._clock.now() - running.started_at) / MICROSECONDS_PER_SECOND
        self.on_free(call, running.executor, max(seconds, 0.0))

    async def finish(self, grace_seconds: float) -> None:
        """Let what runs end by itself for a while, then cancel the rest."""
        deadline = asyncio.get_running_loop().time() + grace_seconds
        while self._running and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_FINISH_CHECK_SECONDS)
        for running in list(self._running):
            self.cancel(running)
        for executor in self._executors.values():
            await executor.close()

    def _limit(self, running: RunningCall, microseconds: int, kind: TimeoutKind) -> None:
        delay = max(microseconds, 0) / MICROSECONDS_PER_SECOND
        running.timers.append(asyncio.get_running_loop().call_later(delay, self._timed_out, running, kind))

    def _watch_heartbeat(self, running: RunningCall, microseconds: int) -> None:
        silence = self._clock.now() - running.heartbeat_at
        if silence >= microseconds:
            self._timed_out(running, TimeoutKind.HEARTBEAT)
            return
        delay = (microseconds - silence) / MICROSECONDS_PER_SECOND
        timer = asyncio.get_running_loop().call_later(delay, self._watch_heartbeat, running, microseconds)
        running.timers.append(timer)
        del running.timers[:-_TIMERS_KEPT]

    def _timed_out(self, running: RunningCall, kind: TimeoutKind) -> None:
        if running.is_cancelled:
            return
        call = running.call
        self.cancel(running)
        call.run.attempt_ended(
            call,
            i.AttemptTimedOut(
                operation=call.operation,
                attempt=call.attempt,
                timeout=kind,
                retry=call.options.retry or NO_RETRY,
                started_at=running.started_at,
                heartbeat=running.heartbeat if running.heartbeat != NULL else call.heartbeat,
            ),
        )


_FINISH_CHECK_SECONDS = 0.02
_TIMERS_KEPT = 4


def _nothing() -> None:
    pass
