"""The executor of attempts on a cluster: connects, submits, listens, gives up. See `perdure.execution.clusters`."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final, TypeVar

from perdure.authoring.payload_limit import payload_limit
from perdure.errors import UsageError
from perdure.execution.attempts import DEFERRED, RunningCall
from perdure.execution.clusters.cluster import Cluster, ClusterTask, cluster_unavailable, refusal, worker_died
from perdure.execution.process_messages import (
    Beat,
    Deferred,
    Frames,
    Perform,
    Published,
    Raised,
    Ready,
    Report,
    Returned,
    decode_report,
    encode_order,
)
from perdure.execution.reach import module_of, why_out_of_reach
from perdure.kernel.failure import Failure, concealed_failure
from perdure.kernel.payload import Payload
from perdure.logs import logger_named
from perdure.redaction import concealed

__all__ = ["ClusterExecutor"]

T = TypeVar("T")

_logger = logger_named("perdure.worker")


class ClusterExecutor:
    """Runs activity functions on a cluster."""

    def __init__(self, cluster: Cluster, *, stop_seconds: float) -> None:
        """Connect to nothing yet.

        `stop_seconds`: how long an attempt that was given up may clean up before its process is killed.
        """
        self._cluster: Final = cluster
        self._stop_seconds: Final = stop_seconds
        self._attempts: Final[dict[RunningCall, _ClusterAttempt]] = {}
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._caller: _Caller | None = None
        self._connecting: asyncio.Future[None] | None = None

    def start(self, running: RunningCall) -> None:
        """See `AttemptExecutor.start`."""
        loop = asyncio.get_running_loop()
        reason = why_out_of_reach(running.call.definition.function)
        if reason is not None:
            loop.call_soon(running.ended, None, self._unreachable(running.call.activity, reason))
            return
        self._attempts[running] = attempt = _ClusterAttempt(running, self._cluster.name, self._stop_seconds)
        task = loop.create_task(self._run(attempt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self, running: RunningCall) -> None:
        """See `AttemptExecutor.stop`. An attempt for which the connection still comes about ends when it has."""
        attempt = self._attempts.get(running)
        if attempt is not None:
            attempt.give_up()

    async def close(self) -> None:
        """See `AttemptExecutor.close`. A cluster that was started here is gone when it returns."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * self._stop_seconds)
        left = [task for task in self._tasks if task.cancel()]
        await asyncio.gather(*left, return_exceptions=True)
        if self._caller is not None:
            try:
                await self._caller.call(self._cluster.disconnect)
            except Exception:  # whatever the library raises: the engine closes nevertheless
                _logger.exception("the connection to %s did not end in good order", self._cluster.name)
            self._caller.end()

    def abandon(self) -> None:
        """End the connection, and wait for no attempt."""
        if self._caller is not None:
            self._cluster.disconnect()
            self._caller.end()

    async def _run(self, attempt: "_ClusterAttempt") -> None:
        running = attempt.running
        try:
            result, failure = await self._perform(attempt)
        except UsageError as error:
            result, failure = None, refusal(str(error))
        except Exception as error:  # noqa: BLE001 - the outermost call of the library; it may raise anything
            message = f"{self._cluster.name} did not run activity {running.call.activity}: {_described(error)}"
            result, failure = None, cluster_unavailable(message)
        finally:
            del self._attempts[running]
            attempt.release()
        running.ended(result, failure)

    async def _perform(self, attempt: "_ClusterAttempt") -> tuple[Payload | None, Failure | None]:
        running = attempt.running
        caller = await self._connect()
        if running.is_cancelled:
            return None, None
        call, loop = running.call, asyncio.get_running_loop()
        order = Perform(
            number=1,
            module=module_of(call.definition.function),
            input=call.input,
            attempt=running.describe(),
            maximum_bytes=payload_limit(),
        )
        encoded, resources = encode_order(order), call.options.resources or {}
        task = await caller.call(
            lambda: self._cluster.submit(encoded, activity=call.activity, resources=resources, loop=loop)
        )
        return await attempt.listen(task)

    async def _connect(self) -> "_Caller":
        """Wait for the one connection of all attempts; one that failed, or was lost, is tried anew."""
        if self._caller is None:
            self._caller = _Caller()
        if self._connecting is None or (self._connecting.done() and not self._cluster.is_connected):
            self._connecting = self._caller.call(self._cluster.connect)
        await asyncio.shield(self._connecting)
        return self._caller

    def _unreachable(self, activity: str, reason: str) -> Failure:
        message = (
            f"activity {activity} cannot run on {self._cluster.name}: {reason}; define it at the top level of a module "
            f"that the nodes can import"
        )
        return refusal(message)


class _ClusterAttempt:
    """An attempt, as the engine sees it."""

    def __init__(self, running: RunningCall, cluster: str, stop_seconds: float) -> None:
        self.running: Final = running
        self._cluster: Final = cluster
        self._stop_seconds: Final = stop_seconds
        self._frames: Final = Frames(longest_bytes=payload_limit() + _BESIDE_VALUES_BYTES)
        self._task: ClusterTask | None = None
        self._has_beaten = False
        self._timer: asyncio.TimerHandle | None = None
        self._outcome: tuple[Payload | None, Failure | None] | None = None

    async def listen(self, task: ClusterTask) -> tuple[Payload | None, Failure | None]:
        """Take in what is reported until the attempt has ended; return its outcome."""
        self._task = task
        if self.running.is_cancelled:  # while it was submitted
            task.kill()
        while (heard := await task.hear()) is not None:
            if isinstance(heard, Failure):
                return self._outcome or (None, heard)
            for body in self._frames.feed(heard):
                self._take(decode_report(body))
        if self._outcome is None and not self.running.is_cancelled:
            how = f"{self._cluster} ended activity {self.running.call.activity}: somebody else cancelled it there"
            return None, worker_died(how)
        return self._outcome or (None, None)

    def give_up(self) -> None:
        """Stop the function, as far as that is possible."""
        task = self._task
        if task is None:
            return
        if self._has_beaten:
            task.ask()
            self._timer = asyncio.get_running_loop().call_later(self._stop_seconds, task.kill)
        else:
            task.kill()

    def release(self) -> None:
        """Let go of what is left of it on the cluster."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.release()

    def _take(self, report: Report) -> None:
        match report:
            case Ready():
                self.running.begin()
            case Beat():
                self._has_beaten = True
                self.running.beat(report.details)
            case Published():
                self.running.publish(report.stream, report.value)
            case Returned():
                self._outcome = report.result, None
            case Deferred():
                self._outcome = DEFERRED, None
            case Raised():
                self._outcome = None, concealed_failure(report.failure, concealed)


class _Caller:
    """A thread that blocks in calls of the library, for a loop that must not.

    It is a daemon, so that the program can end while it waits for a cluster.
    """

    def __init__(self) -> None:
        self._calls: Final[SimpleQueue[Callable[[], None] | None]] = SimpleQueue()
        threading.Thread(target=self._serve, name="perdure-cluster", daemon=True).start()

    def call(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Have a function called; its result, or what it raises, comes where the future is awaited."""
        done: Future[T] = Future()

        def called() -> None:
            try:
                done.set_result(function())
            except Exception as error:  # noqa: BLE001 - whatever the library raises
                done.set_exception(error)

        done.set_running_or_notify_cancel()  # it is called even if nobody waits any more
        self._calls.put(called)
        return asyncio.wrap_future(done)

    def end(self) -> None:
        """Let the thread end when it has done what it was told."""
        self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


_BESIDE_VALUES_BYTES: Final = 2**20
"""What a report may have beside one value: see `perdure.execution.worker_process`."""
