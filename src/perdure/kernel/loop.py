"""The deterministic event loop: plain asyncio inside workflows, without selector, clock or threads.

`asyncio` needs from a loop little more than a queue of callbacks and a way to ask for a later one. Here the queue is
run to its end (`drain`) each time an event of the history is delivered, the time is that of the event, and a callback
for later (`call_at`) is a request for a durable timer, made through `DurableTimers`. So `TaskGroup`, `gather`, `wait`,
`timeout`, `Queue`, `Event`, `Lock` and `sleep` work unchanged and take the same course on every replay.

The loop is stepped inside the worker's own thread and event loop: entering it swaps the running loop (and the hooks of
asynchronous generators) and leaving swaps it back, which costs well under a microsecond.

What needs the outside world (sockets, subprocesses, threads, signals) raises `WrongContextError` with the way out:
do it in an activity. Everything asyncio's loop can do and this one cannot is refused by the same rule, by name.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Final, NoReturn, Protocol, TypeVar

from perdure.errors import WrongContextError
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp

__all__ = ["DeterministicLoop", "DurableTimers", "TimerCallback"]

T = TypeVar("T")


class TimerCallback(asyncio.TimerHandle):
    """A callback that waits for a durable timer. `operation` is the number of the command that asked for it."""

    operation: int = 0

    def run(self) -> None:
        """Call it, unless it was cancelled."""
        if not self.cancelled():
            self._run()


class DurableTimers(Protocol):
    """What the loop asks for timers."""

    def start_timer(self, callback: TimerCallback, due_at: Timestamp) -> None:
        """Call back when `due_at` has come."""
        ...

    def cancel_timer(self, callback: TimerCallback) -> None:
        """Do not."""
        ...


class DeterministicLoop(asyncio.AbstractEventLoop):
    """An asyncio loop whose only inputs are the calls of its owner."""

    def __init__(self, timers: DurableTimers, *, on_error: Callable[[str, BaseException | None], None]) -> None:
        """Ask `timers` for durable timers; tell `on_error` about exceptions that no workflow code will ever see."""
        self.now = Timestamp(0)
        self._timers = timers
        self._on_error = on_error
        self._ready: deque[asyncio.Handle] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def drain(self) -> None:
        """Run all callbacks that are ready and those they make ready, until there are none."""
        ready = self._ready
        outer = asyncio._get_running_loop()  # noqa: SLF001 - asyncio documents this pair for loop implementers
        hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self)  # noqa: SLF001
        sys.set_asyncgen_hooks(None, None)
        try:
            while ready:
                ready.popleft()._run()  # noqa: SLF001
        finally:
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(outer)  # noqa: SLF001

    def abandon(self) -> None:
        """Unwind every task that is not done. Whatever its code does while unwinding has no effect."""
        self._closed = True
        self._ready.clear()
        outer = asyncio._get_running_loop()  # noqa: SLF001
        asyncio._set_running_loop(self)  # noqa: SLF001
        try:
            for task in self._tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as loops do
                    _unwind(task.get_coro())
        finally:
            asyncio._set_running_loop(outer)  # noqa: SLF001
        self._tasks.clear()
        self._ready.clear()

    # --- what asyncio uses ---------------------------------------------------------------------------------------

    def time(self) -> float:
        """Return the time of the event being delivered, in seconds since the epoch."""
        return self.now / MICROSECONDS_PER_SECOND

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        """Queue a callback."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Ask for a durable timer `delay` seconds from now."""
        due_at = Timestamp(self.now + round(delay * MICROSECONDS_PER_SECOND))
        return self._call_at(due_at, callback, args, context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Ask for a durable timer at `when`, in seconds since the epoch."""
        return self._call_at(Timestamp(round(when * MICROSECONDS_PER_SECOND)), callback, args, context)

    def _call_at(
        self, due_at: Timestamp, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> TimerCallback:
        handle = TimerCallback(due_at / MICROSECONDS_PER_SECOND, callback, args, self, context)
        if due_at <= self.now:
            self._ready.append(handle)
        else:
            self._timers.start_timer(handle, due_at)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, TimerCallback) and handle.operation and not self._closed:
            self._timers.cancel_timer(handle)

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_kwargs: Any,
    ) -> asyncio.Task[T]:
        """Return a task of this loop."""
        if context is None:
            task = asyncio.Task(coro, loop=self, name=name)  # type: ignore[arg-type]  # generators: as asyncio itself
        else:
            task = asyncio.Task(coro, loop=self, name=name, context=context)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def get_debug(self) -> bool:
        """Return False: asyncio's debug mode reads the clock."""
        return False

    def is_running(self) -> bool:
        """Return True: it is only ever looked at from inside."""
        return True

    def is_closed(self) -> bool:
        """Return whether the run has left memory."""
        return self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report an exception that no code will ever see."""
        self._on_error(str(context.get("message", "")), context.get("exception"))

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Report an exception that no code will ever see."""
        self.call_exception_handler(context)

    async def shutdown_asyncgens(self) -> None:
        """Do nothing: generators die with their run."""


def _unwind(coroutine: Any) -> None:
    """Close a coroutine, at most a few times: clean-up code that awaits gets its exception and goes on unwinding."""
    for _ in range(_UNWIND_ATTEMPTS):
        try:
            coroutine.close()
        except RuntimeError:  # the code awaited something while unwinding; it is suspended there: close it again
            continue
        except BaseException:  # noqa: BLE001 - whatever user code raises while it is thrown away concerns nobody
            return
        return


_UNWIND_ATTEMPTS: Final = 100


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(_self: DeterministicLoop, *_args: Any, **_kwargs: Any) -> NoReturn:
        message = f"loop.{name}() does not work inside a workflow, which must replay the same way: do it in an activity"
        raise WrongContextError(message)

    refuse.__name__ = name
    return refuse


def _refuse_the_rest() -> None:
    for name, member in vars(asyncio.AbstractEventLoop).items():
        if callable(member) and not name.startswith("_") and name not in vars(DeterministicLoop):
            setattr(DeterministicLoop, name, _refusal(name))


_refuse_the_rest()
