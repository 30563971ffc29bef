"""Activities that are `def`: a pool of threads of our own.

The threads are daemons, because a function that never returns must not keep the program from ending; the pool of
`asyncio.to_thread` would wait for it. A thread cannot be stopped from outside: a function that is given up learns of it
from its next `heartbeat`, and its slot stays taken until it has really ended.
"""

import asyncio
import threading
import time
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeAlias

from perdure.authoring.activity_context import Attempt, Deferring, running_attempt
from perdure.execution.attempts import DEFERRED, RunningCall
from perdure.kernel.failure import Failure
from perdure.kernel.payload import Payload
from perdure.redaction import recorded_failure

__all__ = ["ThreadAttempt", "ThreadExecutor"]


class ThreadExecutor:
    """Runs activity functions in threads, in the context variables that were set when it was made."""

    def __init__(self, *, slots: int) -> None:
        """Use at most `slots` threads; each is started when it is first needed and kept."""
        self._slots = slots
        self._context = copy_context()
        self._work: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = 0
        self._idle = 0

    def start(self, running: RunningCall) -> None:
        """See `AttemptExecutor.start`."""
        loop = asyncio.get_running_loop()
        if self._idle:
            self._idle -= 1
        elif self._threads < self._slots:
            try:
                self._add_thread()
            except RuntimeError as error:  # the system gives no more threads: this attempt has failed
                loop.call_soon(running.ended, None, recorded_failure(error))
                return
        self._work.put(_Job(self, running, loop, self._context.copy()))

    def stop(self, running: RunningCall) -> None:
        """See `AttemptExecutor.stop`: the function's next heartbeat tells it."""

    async def close(self) -> None:
        """See `AttemptExecutor.close`."""
        self.abandon()

    def abandon(self) -> None:
        """Have each thread end when it has nothing to do any more, and wait for none."""
        for _ in range(self._threads):
            self._work.put(None)
        self._threads = self._idle = 0

    def _add_thread(self) -> None:
        name = f"perdure-activity-{self._threads + 1}"
        threading.Thread(target=_serve, args=(self._work,), name=name, daemon=True).start()
        self._threads += 1

    def ended(self, running: RunningCall, outcome: "_Outcome") -> None:
        """Take a function's end, on the loop's thread."""
        self._idle += 1
        running.cpu_seconds = outcome.cpu_seconds
        running.ended(outcome.result, outcome.failure)


class _Outcome(NamedTuple):
    result: Payload | None
    failure: Failure | None
    cpu_seconds: float


class _Job(NamedTuple):
    executor: ThreadExecutor
    running: RunningCall
    loop: asyncio.AbstractEventLoop
    context: Context


class ThreadAttempt:
    """An attempt as its thread sees it: heartbeats hop to the loop, several that come at once as one."""

    __slots__ = ("_details", "_is_passing", "_loop", "_running")

    def __init__(self, running: RunningCall, loop: asyncio.AbstractEventLoop) -> None:
        self._running = running
        self._loop = loop
        self._details: Payload | None = None
        self._is_passing = False

    @property
    def is_cancelled(self) -> bool:
        """See `RunningAttempt`."""
        return self._running.is_cancelled

    def describe(self) -> Attempt:
        """See `RunningAttempt`."""
        return self._running.describe()

    def beat(self, details: Payload) -> None:
        """See `RunningAttempt`."""
        # Written before the flag is read, so that whoever reads the flag as set will still pass these details on.
        self._details = details
        if not self._is_passing:
            self._is_passing = True
            _hop(self._loop, self._pass_on)

    def publish(self, stream: str, value: Payload) -> None:
        """See `RunningAttempt`."""
        _hop(self._loop, self._running.publish, stream, value)

    def _pass_on(self) -> None:
        self._is_passing = False
        if self._details is not None:
            self._running.beat(self._details)


def _serve(work: "SimpleQueue[_Job | None]") -> None:
    """Run jobs until told to end; the body of each thread."""
    while True:
        job = work.get()
        if job is None:
            return
        outcome = job.context.run(_perform, job)
        _hop(job.loop, job.executor.ended, job.running, outcome)
        del job, outcome  # an idle thread keeps nothing alive


def _perform(job: _Job) -> _Outcome:
    call = job.running.call
    signature = call.definition.signature
    function: Any = call.definition.function
    running_attempt.set(ThreadAttempt(job.running, job.loop))
    begun_at = time.thread_time()
    try:
        args, kwargs = signature.decode_arguments(call.input)
        result = signature.encode_result(function(*args, **kwargs))
    except Deferring:
        result = DEFERRED
    except BaseException as error:  # noqa: BLE001 - the outermost call of user code; its error becomes an event
        return _Outcome(None, recorded_failure(error), time.thread_time() - begun_at)
    return _Outcome(result, None, time.thread_time() - begun_at)


_Callback: TypeAlias = Any
"""A callable of whatever `call_soon_threadsafe` passes on."""


def _hop(loop: asyncio.AbstractEventLoop, callback: _Callback, *args: object) -> None:
    """Have the loop call back. A loop that is closed has nobody left who wants to know."""
    if not loop.is_closed():
        try:
            loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            if not loop.is_closed():
                raise
