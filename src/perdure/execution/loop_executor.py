"""Activities that are `async def`: one task each on the worker's event loop."""

import asyncio
from typing import Any

from perdure.authoring.activity_context import RunningAttempt, running_attempt
from perdure.execution.attempts import RunningCall

__all__ = ["LoopExecutor"]


class LoopExecutor:
    """Runs activity functions as asyncio tasks."""

    def __init__(self) -> None:
        """Begin with nothing running."""
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, running: RunningCall) -> None:
        """See `AttemptExecutor.start`."""
        task = asyncio.get_running_loop().create_task(self._run(running))
        running.stop = task.cancel  # type: ignore[assignment]  # what cancel returns does not matter here
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """See `AttemptExecutor.close`."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CANCELLATION_SECONDS)

    async def _run(self, running: RunningCall) -> None:
        call = running.call
        signature = call.definition.signature
        function: Any = call.definition.function
        running_attempt.set(
            RunningAttempt(running.describe(), beat=running.beat, is_cancelled=lambda: running.is_cancelled)
        )
        try:
            args, kwargs = signature.decode_arguments(call.input)
            payload = signature.encode_result(await function(*args, **kwargs))
        except asyncio.CancelledError as error:
            running.ended(None, None if running.is_cancelled else error)
        except BaseException as error:  # noqa: BLE001 - the outermost call of user code; its error becomes an event
            running.ended(None, error)
        else:
            running.ended(payload, None)


_CANCELLATION_SECONDS = 1.0
