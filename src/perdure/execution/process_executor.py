"""Activities that burn CPU: worker processes of our own.

Our own, not `concurrent.futures`, because one attempt must be stopped without harm to the others: a call that is given
up, or out of time, is killed with its process, which is replaced.

**Start.** Nothing happens before the first use. Then processes are forked from multiprocessing's fork server (where
there is none, spawned), which has imported the main script once: a new one is ready in milliseconds. At most one per
slot; idle ones are kept until the engine is closed; the fork server itself stays until the program ends. Only our own
start-up arguments pass through multiprocessing's pickling; arguments, results, heartbeats and failures travel as the
JSON they are recorded as.

**Finding the function.** The process imports the module that defines the activity and takes it from the registry. So it
must stand at the top level of a module that can be imported; the main script counts, the interactive prompt does not.

**Failures.** A process that ends under an attempt gives the failure `WorkerProcessDiedError`, which may be retried.
When the executor's own process dies, the worker processes end themselves; one that is stuck in C code which keeps the
interpreter's lock can do so only when that code returns.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from perdure.errors import UsageError
from perdure.execution.attempts import RunningCall
from perdure.execution.reach import why_unreachable
from perdure.kernel.failure import Failure
from perdure.redaction import recorded_failure

# multiprocessing is loaded when the first process is needed: most programs never do.
if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

    from perdure.execution.worker_process import WorkerProcess

__all__ = ["ProcessExecutor"]


class ProcessExecutor:
    """Runs activity functions in worker processes."""

    def __init__(self, *, start_seconds: float, stop_seconds: float, modules: Sequence[str] = ()) -> None:
        """Start nothing yet.

        `start_seconds`: how long a process may take to be ready. `stop_seconds`: how long an attempt that was given up
        may clean up before SIGTERM, and then before SIGKILL. `modules`: what the fork server imports, beside the main
        script, before it forks the first process.

        Raises UsageError in a process that is itself being started and imports a main script without a guard.
        """
        _refuse_start_up()
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._modules = tuple(modules)
        self._context: ForkServerContext | SpawnContext | None = None
        self._all: set[WorkerProcess] = set()
        self._idle: list[WorkerProcess] = []
        self._on_all_gone: asyncio.Future[None] | None = None

    def start(self, running: RunningCall) -> None:
        """See `AttemptExecutor.start`."""
        reason = why_unreachable(running.call.definition.function)
        if reason is not None:
            asyncio.get_running_loop().call_soon(running.ended, None, _unreachable(running.call.activity, reason))
            return
        try:
            self._take_process().perform(running)
        except OSError as error:  # no file descriptor or thread left for a new process: this attempt has failed
            asyncio.get_running_loop().call_soon(running.ended, None, recorded_failure(error))

    def stop(self, running: RunningCall) -> None:
        """See `AttemptExecutor.stop`."""
        for process in self._all:
            process.give_up(running)

    async def close(self) -> None:
        """See `AttemptExecutor.close`. Every process is gone when it returns, or has been told so by its socket."""
        for process in self._all:
            process.leave()
        await self._wait_for_all(2 * self._stop_seconds)
        for process in self._all:
            process.kill()
        await self._wait_for_all(_KILL_SECONDS)
        self.abandon()

    def abandon(self) -> None:
        """Kill every process, and wait for none."""
        for process in self._all:
            process.kill()
            process.abandon()
        self._all.clear()
        self._idle.clear()

    @property
    def processes(self) -> int:
        """How many worker processes there are."""
        return len(self._all)

    def _take_process(self) -> "WorkerProcess":
        while self._idle:
            process = self._idle.pop()
            if process.is_alive:
                return process
        process = self._start_process()
        self._all.add(process)
        return process

    def _start_process(self) -> "WorkerProcess":
        from perdure.execution.worker_process import WorkerProcess  # noqa: PLC0415 - see the imports

        if self._context is None:
            self._context = _start_method(self._modules)
        return WorkerProcess(
            self._context,
            start_seconds=self._start_seconds,
            stop_seconds=self._stop_seconds,
            on_free=self._idle.append,
            on_gone=self._forget,
        )

    def _forget(self, process: "WorkerProcess") -> None:
        self._all.discard(process)
        if process in self._idle:
            self._idle.remove(process)
        if not self._all and self._on_all_gone is not None and not self._on_all_gone.done():
            self._on_all_gone.set_result(None)

    async def _wait_for_all(self, seconds: float) -> None:
        if self._all:
            self._on_all_gone = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._on_all_gone], timeout=seconds)


def _refuse_start_up() -> None:
    """Refuse to run a program in a worker process that only wants to import its main script."""
    module = sys.modules.get("multiprocessing.process")
    if module is not None and getattr(module.current_process(), "_inheriting", False):
        message = (
            "an engine was opened while a worker process imported the main script; put what runs the program below "
            "`if __name__ == '__main__':`"
        )
        raise UsageError(message)


def _unreachable(activity: str, reason: str) -> Failure:
    name = UsageError.__name__
    message = f"activity {activity} cannot run in a worker process: {reason}; define it at the top level of a module"
    return Failure(type=name, types=(name,), message=message, retryable=False)


def _start_method(modules: Sequence[str]) -> "ForkServerContext | SpawnContext":
    import multiprocessing  # noqa: PLC0415 - see the imports

    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    if modules:
        context.set_forkserver_preload(["__main__", *modules])
    return context


_KILL_SECONDS = 1.0
