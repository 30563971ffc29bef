"""The deterministic event loop: plain asyncio inside workflows, without selector, clock or threads.

`asyncio` needs from a loop little more than a queue of callbacks and a way to ask for a later one. Here the queue is
run to its end (`drain`) each time an event of the history is delivered, the time is that of the event, and a callback
for later (`call_at`) is a request for a durable timer, made through `DurableTimers`. So `TaskGroup`, `gather`, `wait`,
`timeout`, `Queue`, `Event`, `Lock` and `sleep` work unchanged and take the same course on every replay.

The loop is stepped inside the worker's own thread and event loop: entering it swaps the running loop (and the hooks of
asynchronous generators) and leaving swaps it back, which costs well under a microsecond.

Order: asyncio keeps tasks in sets (`TaskGroup` cancels the rest of its tasks in the order of one, `wait` returns two),
and a set's order follows its members' hashes, which are addresses for plain ones. So tasks here, and the futures that
`create_future` makes (those of `shield`, too), are numbered in the order they are made, and their hash is that number:
every replay walks those sets in the same order. What asyncio puts into a set without a number is refused: the bare
coroutines of `as_completed`, and in `wait` the futures that the loop did not make, such as those of `gather`.

An asynchronous generator that is dropped before its end is kept until the run leaves memory: to finish it when the
garbage collector finds it would be another time on every replay.

What needs the outside world (sockets, subprocesses, threads, signals) raises `WrongContextError` with the way out:
do it in an activity. Everything asyncio's loop can do and this one cannot is refused by the same rule, by name.
"""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextvars import Context
from types import CoroutineType, FrameType
from typing import Any, Final, NoReturn, Protocol, TypeVar, TypeVarTuple

from perdure.errors import RunEvicted, UsageError, WrongContextError
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp

__all__ = ["LAST_INSTANT", "DeterministicLoop", "DurableTimers", "TimerCallback"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LAST_INSTANT: Final = Timestamp(253_402_300_799_999_999)
"""The end of the year 9999, as far as datetime goes: a timer for later than that, or for infinity, is due then."""


class TimerCallback(asyncio.TimerHandle):
    """A callback for later. `operation` is the number of the durable timer it waits for, 0 for none."""

    __slots__ = ("operation",)

    operation: int


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

    def __init__(
        self, timers: DurableTimers, *, on_error: Callable[[str, BaseException | None], None], seed: int = 0
    ) -> None:
        """Ask `timers` for durable timers; tell `on_error` about exceptions that no workflow code will ever see.

        `seed` sets the tasks of this loop apart from those of others: asyncio keeps all of a process in one set.
        """
        self.now = Timestamp(0)
        self.is_silent = False
        self._timers: DurableTimers | None = timers
        self._on_error = on_error
        self._ready: deque[asyncio.Handle] = deque()
        self._tasks: list[asyncio.Task[Any]] = []
        self._tasks_limit = _FEW_TASKS
        self._last_task = self._last_future = (seed << _TASK_BITS) & _HASH_MASK
        self.at_rest: Callable[[], bool] | None = None
        self._dropped_generators: list[AsyncGenerator[Any, Any]] = []
        self._keeps_generator = self._dropped_generators.append
        self._closed = False

    def drain(self) -> None:
        """Run all callbacks that are ready and those they make ready, until there are none.

        Then `at_rest` (None: nothing) may make another ready, and says whether it has.
        Raises UsageError for code that never waits for anything: it would hold the worker for ever.
        """
        ready = self._ready
        outer = asyncio._get_running_loop()  # noqa: SLF001 - asyncio documents this pair for loop implementers
        hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self)  # noqa: SLF001 - as above
        sys.set_asyncgen_hooks(None, self._keeps_generator)
        try:
            for _ in range(_CALLBACKS_LIMIT):
                if not ready and (self.at_rest is None or not self.at_rest()):
                    break
                handle = ready.popleft()
                if not handle._cancelled:  # noqa: SLF001 - handles are the loop's
                    try:
                        handle._run()  # noqa: SLF001 - as above
                    except (SystemExit, KeyboardInterrupt) as error:
                        self._survive(handle, error)
            else:
                raise UsageError(_NEVER_WAITS)
        finally:
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(outer)  # noqa: SLF001 - as above
        if 1 < len(self._tasks) <= _FEW_TASKS:
            self._let_go_of_done_tasks()

    def run_soon(self, callback: asyncio.Handle) -> None:
        """Queue a callback whose time has come."""
        self._ready.append(callback)

    def abandon(self) -> None:
        """Unwind every task that is not done. Whatever its code does while unwinding has no effect."""
        self._closed = True
        self._ready.clear()
        self._tasks = [task for task in self._tasks if not task.done()]
        if self._tasks or self._dropped_generators:
            self._unwind_all()
        self._timers = self.at_rest = None

    def _unwind_all(self) -> None:
        outer = asyncio._get_running_loop()  # noqa: SLF001 - as in drain
        hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self)  # noqa: SLF001 - as in drain
        sys.set_asyncgen_hooks(None, self._keeps_generator)
        try:
            while self._tasks or self._dropped_generators:
                # Code that unwinds may make further tasks; none of them ever begins.
                while self._tasks:
                    _unwind(self._tasks.pop())
                while self._dropped_generators:
                    _finish(self._dropped_generators.pop())
        finally:
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(outer)  # noqa: SLF001 - as in drain
        self._ready.clear()

    def _survive(self, handle: asyncio.Handle, error: BaseException) -> None:
        """Keep an exception that a handle lets pass, to end a process, from doing so: it ends a task at most."""
        callback = getattr(handle, "_callback", None)
        if not isinstance(getattr(callback, "__self__", None), asyncio.Task):  # a task holds its exception itself
            self.call_exception_handler({"message": "exception in a callback", "exception": error})

    # --- what asyncio uses ---------------------------------------------------------------------------------------

    def time(self) -> float:
        """Return the time of the event being delivered, in seconds since the epoch."""
        return self.now / MICROSECONDS_PER_SECOND

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Queue a callback."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Ask for a durable timer `delay` seconds from now."""
        return self._call_at(self.now + _microseconds(delay), callback, args, context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Ask for a durable timer at `when`, in seconds since the epoch."""
        return self._call_at(_microseconds(when), callback, args, context)

    def _call_at(
        self, due_at: int, callback: Callable[[*Ts], object], args: tuple[*Ts], context: Context | None
    ) -> TimerCallback:
        due_at = min(due_at, LAST_INSTANT)
        handle = TimerCallback(due_at / MICROSECONDS_PER_SECOND, callback, args, self, context)
        handle.operation = 0
        if due_at <= self.now:
            self._ready.append(handle)
        elif self._timers is None:
            raise RunEvicted
        else:
            self._timers.start_timer(handle, Timestamp(due_at))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if self._timers is not None and isinstance(handle, TimerCallback) and handle.operation:
            self._timers.cancel_timer(handle)

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop.

        Raises WrongContextError in `asyncio.wait` where that holds several futures, and one that has no number.
        """
        caller = sys._getframe(1)  # noqa: SLF001 - the documented way to walk the stack costs more than the future
        if caller.f_code is _WAIT:
            _refuse_unnumbered(caller.f_locals["fs"])
        self._last_future = number = self._last_future + 1
        return Future(number, loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """Return a task of this loop. Raises WrongContextError for a bare coroutine in `asyncio.as_completed`."""
        # By identity: to hash a code object, or to walk the stack the documented way, costs more than the task.
        caller = sys._getframe(1).f_code  # noqa: SLF001 - see above
        if caller is _ENSURE_FUTURE or caller is _INNER_ENSURE_FUTURE:
            _refuse_unordered(sys._getframe(2), coro)  # noqa: SLF001 - as above
        self._last_task = number = self._last_task + 1
        task = Task(number, coro, loop=self, name=name, context=context)
        tasks = self._tasks
        tasks.append(task)
        if len(tasks) > self._tasks_limit:
            self._let_go_of_done_tasks()
        return task

    def _let_go_of_done_tasks(self) -> None:
        """Keep the tasks that are not done: nobody else may hold them. Few are looked at after each event, many when
        their number has doubled; a callback at the end of each would cost more memory than all else about it."""
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks_limit = max(2 * len(self._tasks), _FEW_TASKS)

    get_debug = staticmethod(bool)
    """Return False: asyncio's debug mode reads the clock. Each future asks, so it is no function of Python's."""

    def is_running(self) -> bool:
        """Return True: it is only ever looked at from inside."""
        return True

    def is_closed(self) -> bool:
        """Return whether the run has left memory."""
        return self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report an exception that no code will ever see; nothing where the loop `is_silent`."""
        if not self.is_silent:
            self._on_error(str(context.get("message", "")), context.get("exception"))

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Report an exception that no code will ever see."""
        self.call_exception_handler(context)

    async def shutdown_asyncgens(self) -> None:
        """Do nothing: generators die with their run."""


_CALLBACKS_LIMIT = 1_000_000
"""How many callbacks run before the code must wait for something; a run's history ends with far fewer."""

_NEVER_WAITS: Final = (
    f"the workflow's code went on for {_CALLBACKS_LIMIT:,} turns of its loop without waiting for an activity, a timer, "
    "a signal or a child run; nothing that happens outside can end such a loop. Wait with ctx.wait_for, ctx.sleep or "
    "an asyncio.Event instead of asking again and again"
)

_FEW_TASKS: Final = 32
_TASK_BITS: Final = 24
_HASH_MASK: Final = (1 << 60) - 1


class Task(asyncio.Task[T]):
    """A task whose hash is its number, so that sets of tasks have the same order on every replay."""

    __slots__ = ("_number",)

    def __init__(
        self,
        number: int,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        loop: asyncio.AbstractEventLoop,
        name: str | None,
        context: Context | None,
    ) -> None:
        self._number = number
        name = f"Task-{number & _LARGEST_TASK_NUMBER}" if name is None else name
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._number


_LARGEST_TASK_NUMBER: Final = (1 << _TASK_BITS) - 1


class Future(asyncio.Future[T]):
    """A future whose hash is its number, as that of a `Task` is."""

    __slots__ = ("_number",)

    def __init__(self, number: int, *, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


def _microseconds(seconds: float) -> int:
    microseconds = seconds * MICROSECONDS_PER_SECOND
    return LAST_INSTANT if microseconds >= LAST_INSTANT else round(microseconds)


_ENSURE_FUTURE: Final = asyncio.ensure_future.__code__
_INNER_ENSURE_FUTURE: Final = getattr(asyncio.tasks, "_ensure_future", asyncio.ensure_future).__code__
_AS_COMPLETED: Final = ("as_completed", "_AsCompletedIterator")
_WAIT: Final = asyncio.tasks._wait.__code__  # type: ignore[attr-defined]  # noqa: SLF001 - what `asyncio.wait` awaits


def _refuse_unnumbered(waited: set[asyncio.Future[Any]]) -> None:
    """Refuse to let `asyncio.wait` give several futures back in the order of their addresses."""
    if len(waited) > 1 and not all(isinstance(future, Task | Future) for future in waited):
        raise WrongContextError(
            "asyncio.wait gives the futures of asyncio.gather and of asyncio.Future() back in an order that no replay "
            "repeats: give it tasks, made by asyncio.create_task from coroutines that await these futures"
        )


def _refuse_unordered(frame: FrameType | None, coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any]) -> None:
    """Refuse to make a task for `asyncio.as_completed`, which takes coroutines in the order of their addresses."""
    while frame is not None and frame.f_code.co_filename == asyncio.tasks.__file__:
        if frame.f_code.co_qualname.startswith(_AS_COMPLETED):
            coro.close()
            raise WrongContextError(
                "asyncio.as_completed begins coroutines in an order that no replay repeats: "
                "give it tasks, as_completed([asyncio.create_task(c) for c in coroutines])"
            )
        frame = frame.f_back


def _unwind(task: asyncio.Task[Any]) -> None:
    """Close a task's coroutine; clean-up code that awaits gets an exception there and goes on unwinding.

    From within: one that awaits while it is closed would be left by those around it, and unwound by the garbage
    collector some time, outside of its run, where to call an activity is to call its function.
    """
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as loops do
    awaited: list[CoroutineType[Any, Any, Any]] = []
    inner: object = task.get_coro()
    while isinstance(inner, CoroutineType):
        awaited.append(inner)
        inner = inner.cr_await
    while awaited:
        _close(awaited.pop())


def _close(coroutine: "CoroutineType[Any, Any, Any]") -> None:
    for _ in range(_UNWIND_ATTEMPTS):
        try:
            coroutine.close()
        except RuntimeError:  # the code awaited something while unwinding; it is suspended there: close it again
            continue
        except BaseException:  # noqa: BLE001 - whatever user code raises while it is thrown away concerns nobody
            return
        return


def _finish(generator: AsyncGenerator[Any, Any]) -> None:
    closing = generator.aclose()
    for _ in range(_UNWIND_ATTEMPTS):
        try:
            closing.send(None)
        except BaseException:  # noqa: BLE001 - it has ended; how concerns nobody, as in _unwind
            return


_UNWIND_ATTEMPTS: Final = 100


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(_self: DeterministicLoop, *_args: object, **_kwargs: object) -> NoReturn:
        message = f"loop.{name}() does not work inside a workflow, which must replay the same way: do it in an activity"
        raise WrongContextError(message)

    refuse.__name__ = name
    return refuse


def _refuse_the_rest() -> None:
    for name, member in vars(asyncio.AbstractEventLoop).items():
        if callable(member) and not name.startswith("_") and name not in vars(DeterministicLoop):
            setattr(DeterministicLoop, name, _refusal(name))


_refuse_the_rest()
