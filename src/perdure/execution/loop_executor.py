"""Activities that are `async def`: one task each on the worker's event loop.

A function that raises CancelledError without having been cancelled has failed. But somebody else may have cancelled its
task: `asyncio.run` does so with every task that is left when a program ends without having closed its engine. Then the
attempt has not failed, it was interrupted, and must be run again by the run's next owner. So the failure of a task that
was cancelled from outside is reported a moment later, which does not come if the loop is being torn down.
"""

import asyncio
from contextvars import copy_context
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, Final

from perdure.authoring.activity_context import Deferring, running_attempt
from perdure.execution.attempts import DEFERRED, RunningCall
from perdure.kernel.failure import Failure
from perdure.kernel.payload import Payload
from perdure.redaction import recorded_failure

__all__ = ["LoopExecutor"]

CANCELLATION_SECONDS: Final = 1.0
"""How long cancelled functions may clean up when the executor is closed."""

TEARDOWN_SECONDS: Final = 0.5
"""How long the failure of a task that was cancelled from outside is held back."""


class LoopExecutor:
    """Runs activity functions as asyncio tasks, in the context variables that were set when it was made."""

    def __init__(self) -> None:
        """Begin with nothing running."""
        self._context = copy_context()
        self._tasks: dict[RunningCall, asyncio.Task[None]] = {}

    def start(self, running: RunningCall) -> None:
        """See `AttemptExecutor.start`."""
        task = asyncio.get_running_loop().create_task(self._run(running), context=self._context.copy())
        self._tasks[running] = task

    async def close(self) -> None:
        """See `AttemptExecutor.close`."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCELLATION_SECONDS)

    def stop(self, running: RunningCall) -> None:
        """See `AttemptExecutor.stop`.

        A task that has not had its first turn never will: its end is told here, or its slot is lost.
        """
        task = self._tasks.get(running)
        if task is not None and task.cancel():
            coroutine: Any = task.get_coro()
            if getcoroutinestate(coroutine) == CORO_CREATED:
                asyncio.get_running_loop().call_soon(self._ended, running, None, None)

    async def _run(self, running: RunningCall) -> None:
        running_attempt.set(running)
        try:
            payload = await self._perform(running)
        except asyncio.CancelledError as error:
            self._cancelled(running, error)
        except Deferring:
            self._ended(running, DEFERRED, None)
        except (GeneratorExit, KeyboardInterrupt):
            raise  # the loop or the program ends: nothing is known about the attempt
        except BaseException as error:  # noqa: BLE001 - the outermost call of user code; its error becomes an event
            self._ended(running, None, recorded_failure(error))
        else:
            self._ended(running, payload, None)

    async def _perform(self, running: RunningCall) -> Payload:
        """Call the function; return its result."""
        call = running.call
        signature = call.definition.signature
        function: Any = call.definition.function
        args, kwargs = signature.decode_arguments(call.input)
        return signature.encode_result(await function(*args, **kwargs))

    def _cancelled(self, running: RunningCall, error: asyncio.CancelledError) -> None:
        if running.is_cancelled:
            self._ended(running, None, None)
            return
        failure = recorded_failure(error)
        if self._tasks[running].cancelling():
            asyncio.get_running_loop().call_later(TEARDOWN_SECONDS, self._ended, running, None, failure)
        else:
            self._ended(running, None, failure)

    def _ended(self, running: RunningCall, result: Payload | None, failure: Failure | None) -> None:
        del self._tasks[running]
        running.ended(result, failure)
