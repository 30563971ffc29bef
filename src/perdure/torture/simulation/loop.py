"""The event loop of a simulated process, on the clock of its world."""

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

import msgspec

from perdure.kernel.time import MICROSECONDS_PER_SECOND

if TYPE_CHECKING:
    from perdure.torture.simulation.world import Process

__all__ = ["Handle", "SimulatedLoop", "Timer"]


class Handle(msgspec.Struct, eq=False):
    """What is to be called once: an `asyncio.Handle` at a fraction of its cost, since a trial has hundreds."""

    callback: Callable[..., object]
    args: tuple[Any, ...]
    context: Context
    is_cancelled: bool = False

    def cancel(self) -> None:
        """Do not call it."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.is_cancelled


class Timer(Handle, eq=False):
    """What is to be called at a time, as `asyncio.TimerHandle` names it."""

    due: float = 0.0

    def when(self) -> float:
        """Return the time, in seconds."""
        return self.due


class SimulatedLoop(asyncio.AbstractEventLoop):
    """A process' event loop: callbacks in their order, timers on the world's clock, and nothing else."""

    def __init__(self, process: "Process") -> None:
        """Serve `process`."""
        self.process = process
        self._ready = process.ready

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self.process.world.now_microseconds / MICROSECONDS_PER_SECOND

    def call_soon(  # type: ignore[override]  # as call_later
        self,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - asyncio's signature
        context: Context | None = None,
    ) -> Handle:
        """Queue a callback."""
        handle = Handle(callback, args, copy_context() if context is None else context)
        if not self.process.is_dead:
            self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # as call_soon

    def call_later(  # type: ignore[override]  # asyncio's own stubs bind the arguments tighter
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - asyncio's signature
        context: Context | None = None,
    ) -> Timer:
        """Queue a callback for later."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # as call_later
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - asyncio's signature
        context: Context | None = None,
    ) -> Timer:
        """Queue a callback for a virtual time."""
        handle = Timer(callback, args, copy_context() if context is None else context, due=when)
        if not self.process.is_dead:
            self.process.world.arm(self.process, handle)
        return handle

    def create_future(self) -> "asyncio.Future[Any]":
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Any,  # noqa: ANN401 - asyncio's signature
        *,
        name: str | None = None,
        context: Context | None = None,
        **_kwargs: Any,  # noqa: ANN401 - asyncio's signature
    ) -> "asyncio.Task[Any]":
        """Return a task of this loop."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self.process.tasks.append(task)
        return task

    get_debug = staticmethod(bool)
    """Return False; of the fewest steps, since each future asks when it is made."""

    def is_running(self) -> bool:
        """Return True."""
        return True

    def is_closed(self) -> bool:
        """Return whether the process is dead."""
        return self.process.is_dead

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Take an exception that nobody caught: the engine must not have any."""
        if not self.process.is_dead:
            error = context.get("exception")
            self.process.world.findings.append(
                f"process {self.process.name}: {context.get('message')}: {type(error).__name__}: {error}"
            )

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Take an exception that nobody caught."""
        self.call_exception_handler(context)
