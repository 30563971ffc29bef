"""An event loop in a thread of its own, on which synchronous code has its calls done.

Any thread may call.
"""

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any, Final, TypeVar

from perdure.errors import EngineClosedError, PerdureError, WrongContextError
from perdure.kernel.journal import current_journal
from perdure.logs import logger_named

__all__ = ["LoopThread", "call_at_exit", "calls_at_exit"]

T = TypeVar("T")

_logger = logger_named("perdure.client")


def call_at_exit(method: Callable[[], None]) -> None:
    """Have a bound method called when the interpreter begins to end, if its object is still there; last come, first
    called.

    The public `atexit` comes too late: by then the pools of `concurrent.futures`, which read the store, take no more
    work. They use this hook themselves.
    """
    calls = calls_at_exit()
    calls[weakref.WeakMethod(method, lambda gone: calls.pop(gone, None))] = None


@cache
def calls_at_exit() -> "dict[weakref.WeakMethod[Callable[[], None]], None]":
    """Return what is called in the end, in the order in which it came; the interpreter is told once.

    It forgets nothing that it was told, so that telling it of each engine would fill a process that opens many.
    """
    calls: dict[weakref.WeakMethod[Callable[[], None]], None] = {}
    import_module("concurrent.futures.thread")  # which takes the hook when it is imported
    getattr(threading, "_register_atexit", atexit.register)(_call_all, calls)
    return calls


def _call_all(calls: "dict[weakref.WeakMethod[Callable[[], None]], None]") -> None:
    for reference in reversed(list(calls)):
        method = reference()
        if method is None:
            continue
        try:
            method()
        except Exception:  # the outermost call: the interpreter would leave out what is still to end, threads too
            _logger.exception("an engine that was left open could not be closed")


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        """Start the thread."""
        self._process = os.getpid()
        self._is_stopped = False
        self._stopping = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="perdure-engine", daemon=True)
        self._thread.start()

    @property
    def is_here(self) -> bool:
        """Whether this is the process of the thread, and not one forked from it."""
        return os.getpid() == self._process

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for it.

        Raises what it raises, WrongContextError from inside a loop or in a forked process, EngineClosedError
        after `stop`.
        """
        future = self._hand_over(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise
        except CancelledError:
            if not self._is_stopped:
                raise
            raise EngineClosedError(_CLOSED) from None

    def iterate(self, items: AsyncGenerator[T]) -> Iterator[T]:
        """Yield what an asynchronous generator yields there, one after the other; close it in the end. As `call`."""
        try:
            while True:
                try:
                    item = self.call(_next(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            # Ended by the closed engine, or, where nothing can be called (the collector gives it up), by the loop.
            with suppress(EngineClosedError, WrongContextError):
                self.call(_end(items))

    def stop(self) -> None:
        """End the loop and the thread; what still runs there is cancelled."""
        with self._stopping:
            self._is_stopped = True
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _hand_over(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        try:
            self._require_usable()
            with self._stopping:  # nothing is handed over behind the end
                if self._is_stopped:
                    raise EngineClosedError(_CLOSED)
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        except PerdureError:
            work.close()
            raise

    def _require_usable(self) -> None:
        if current_journal() is not None:
            message = (
                "the synchronous engine was called by workflow code, where it would act again at each replay; use the "
                "context (ctx.run_child, ctx.signal), or call it in an activity"
            )
            raise WrongContextError(message)
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - the public call raises where there is none
            message = (
                "the synchronous engine was called from a running event loop, which it would block; "
                "use `async with Engine(...)` there"
            )
            raise WrongContextError(message)
        if not self.is_here:
            message = (
                "the engine was opened before this process was forked, without its threads; open one in each process"
            )
            raise WrongContextError(message)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.get_loop().run_forever()
        except RuntimeError as error:
            # Early releases of Python 3.12 start no thread in the end, not even that which waits for the loop's pool.
            # All else is closed by then, and the pool's own hook waits.
            if _ENDING not in str(error):
                raise


_ENDING: Final = "at interpreter shutdown"
_CLOSED: Final = "the engine was closed; open it again to go on"


async def _next(items: AsyncGenerator[T]) -> T:
    return await anext(items)


async def _end(items: AsyncGenerator[T]) -> None:
    await items.aclose()
