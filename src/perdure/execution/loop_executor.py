"""Activities that are `async def`: one task each on the worker's event loop."""

import asyncio
from typing import Any

from perdure.authoring.activity_context import running_attempt
from perdure.execution.attempts import RunningCall
from perdure.kernel.payload import Payload

__all__ = ["LoopExecutor"]


class LoopExecutor:
    """Runs activity functions as asyncio tasks."""

    def __init__(self) -> None:
        """Begin with nothing running."""
        self._tasks: dict[RunningCall, asyncio.Task[None]] = {}

    def start(self, running: RunningCall) -> None:
        """See `AttemptExecutor.start`."""
        task = asyncio.get_running_loop().create_task(self._run(running))
        running.stop = task.cancel  # type: ignore[assignment]  # what cancel returns does not matter here
        self._tasks[running] = task

    async def close(self) -> None:
        """See `AttemptExecutor.close`."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCELLATION_SECONDS)

    async def _run(self, running: RunningCall) -> None:
        call = running.call
        signature = call.definition.signature
        function: Any = call.definition.function
        running_attempt.set(running)
        try:
            args, kwargs = signature.decode_arguments(call.input)
            payload = signature.encode_result(await function(*args, **kwargs))
        except asyncio.CancelledError as error:
            self._ended(running, None, None if running.is_cancelled else error)
        except BaseException as error:  # noqa: BLE001 - the outermost call of user code; its error becomes an event
            self._ended(running, None, error)
        else:
            self._ended(running, payload, None)

    def _ended(self, running: RunningCall, result: Payload | None, error: BaseException | None) -> None:
        del self._tasks[running]
        running.ended(result, error)


_CANCELLATION_SECONDS = 1.0
