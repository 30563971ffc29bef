"""The world of a trial: processes with event loops of their own on one virtual clock, and points that are struck."""

import asyncio
import heapq
import random
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final, TypeVar

from perdure.kernel.identity import FencingToken, RunKey
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.testing.unwinding import unwind
from perdure.torture.simulation.plans import Plan, Strike, StrikeKind

__all__ = ["EPOCH", "Process", "SimulatedLoop", "World"]

T = TypeVar("T")

EPOCH: Final = Timestamp(1_700_000_000_000_000)
"""When every world begins."""

_LOOK_MICROSECONDS: Final = 7_000_000
"""The engine looks so often whether the clock was set: who sets it twice meanwhile may make timers late by as much."""
_DELAYS_SECONDS: Final = (0.0, 0.0, 0.000_5, 9.0)
"""The clock is set at a point, between two, or when all is calm after one."""
_MOST_STEPS: Final = 100_000
_LONGEST_SECONDS: Final = 4_000


class World:
    """Virtual time, processes, and the strikes of one plan. It is also the clock of all engines in it."""

    def __init__(self, plan: Plan) -> None:
        """Begin at `EPOCH` with no process."""
        self.plan = plan
        self.random = random.Random(plan.seed)
        self.now_microseconds = 0
        self.processes: list[Process] = []
        self._living: list[Process] = []
        self.points = 0
        self.point_names: list[str] = []
        self.findings: list[str] = []
        self.disturbed_microseconds = 0
        self.held_up_microseconds = 0
        self.has_changed = True
        self.unavailable_until = 0
        self.skews: list[tuple[int, int]] = [(0, 0)]
        """From which microseconds of true time on the clock is how far ahead."""
        self.is_skewed = any(strike.kind is StrikeKind.JUMP for strike in plan.strikes)
        self._strikes: dict[int, Strike] = {strike.at: strike for strike in plan.strikes}
        self._timers: list[tuple[int, int, Process, asyncio.TimerHandle | None, Callable[[], None] | None]] = []
        self._ticket = 0
        self._steps = 0
        set_back = sum(-min(strike.seconds, 0) for strike in plan.strikes)
        self._longest_microseconds = round((_LONGEST_SECONDS + set_back) * MICROSECONDS_PER_SECOND)
        self.trial: object = None
        self.on_commit: list[Callable[[], None]] = []
        self.on_strike: Callable[[Process, Strike], None] = lambda _process, _strike: None

    # --- time ----------------------------------------------------------------------------------------------------

    def now(self) -> Timestamp:
        """Return the virtual instant: see `perdure.ports.clock.Clock`."""
        return Timestamp(EPOCH + self.now_microseconds + self.skews[-1][1])

    def true_time(self) -> Timestamp:
        """Return the instant that a clock would show that was never set."""
        return Timestamp(EPOCH + self.now_microseconds)

    def shown_for(self, moment: int, *, since: int, until: int) -> int:
        """Return how long without a break, in true time from `since` to `until`, the clock showed `moment` or later.

        If it never did so far the answer is negative: how long that would still have taken.
        """
        longest, current = None, 0
        for begin, end, ahead in self._spans(since, until):
            first = max(begin, moment - ahead)
            if first > end:
                current = 0
                continue
            current = end - first + (current if first == begin else 0)
            longest = max(longest or 0, current)
        return until + self.skews[-1][1] - moment if longest is None else longest

    def has_shown(self, moment: int) -> bool:
        """Whether the clock has ever shown `moment` or later, be it before it was set back."""
        return self.shown_for(moment, since=EPOCH, until=self.true_time()) >= 0

    def _spans(self, since: int, until: int) -> Iterator[tuple[int, int, int]]:
        """Yield from when to when the clock was how far ahead."""
        begins = [EPOCH + begin for begin, _ in self.skews]
        for begin, end, (_, ahead) in zip(begins, [*begins[1:], until], self.skews, strict=True):
            if begin <= until and end >= since:
                yield max(begin, since), min(end, until), ahead

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back after a virtual while, outside of any process."""
        self._push(self.now_microseconds + round(seconds * MICROSECONDS_PER_SECOND), _NOBODY, None, callback)

    def arm(self, process: "Process", handle: asyncio.TimerHandle) -> None:
        """Have a timer of a process' loop run when it is due."""
        self._push(round(handle.when() * MICROSECONDS_PER_SECOND), process, handle, None)

    def _push(
        self, at: int, process: "Process", handle: asyncio.TimerHandle | None, callback: Callable[[], None] | None
    ) -> None:
        self._ticket += 1
        heapq.heappush(self._timers, (max(at, self.now_microseconds), self._ticket, process, handle, callback))

    # --- the course of events ------------------------------------------------------------------------------------

    def run(self, is_done: Callable[[], bool]) -> bool:
        """Run all processes until `is_done`; return False if nothing more happens or it takes too long."""
        outer = asyncio._get_running_loop()  # noqa: SLF001 - the pair that asyncio documents for loop implementers
        try:
            while True:
                if self.has_changed:
                    self.has_changed = False
                    if is_done():
                        return True
                runnable = [one for one in self._living if one.ready and not (one.is_paused or one.is_dead)]
                if runnable:
                    chosen = runnable[0] if len(runnable) == 1 else self.random.choice(runnable)
                    self._steps += chosen.turn()
                elif not self._timers or self.now_microseconds > self._longest_microseconds:
                    return is_done()
                else:
                    self._pass_time()
                if self._steps > _MOST_STEPS:
                    self.findings.append(f"the trial did not come to rest within {_MOST_STEPS} callbacks")
                    return False
        finally:
            asyncio._set_running_loop(outer)  # noqa: SLF001

    def _pass_time(self) -> None:
        timers = self._timers
        self.now_microseconds = now = timers[0][0]
        while timers and timers[0][0] <= now:
            _, _, process, handle, callback = heapq.heappop(timers)
            if callback is not None:
                callback()
            elif handle is not None and not handle.cancelled() and not process.is_dead:
                process.ready.append(handle)

    # --- processes and points ------------------------------------------------------------------------------------

    def add(self, name: str, *, is_client: bool) -> "Process":
        """Start a process."""
        process = Process(self, name, is_client=is_client)
        self.processes.append(process)
        self._living = [one for one in self._living if not one.is_dead] + [process]
        return process

    async def point(self, process: "Process", name: str) -> None:
        """Pass a point; if the plan strikes here, the caller dies, stands still, or goes on under harder conditions."""
        at, self.points = self.points, self.points + 1
        self.point_names.append(name)
        strike = self._strikes.get(at)
        if strike is None or process.is_dead:
            return
        await self._strike(process, strike)

    async def _strike(self, process: "Process", strike: Strike) -> None:
        length = round(strike.seconds * MICROSECONDS_PER_SECOND)
        self.disturbed_microseconds += abs(length)
        if strike.kind is not StrikeKind.JUMP:
            self.held_up_microseconds += length
        match strike.kind:
            case StrikeKind.CRASH:
                process.is_dead = True
                self.on_strike(process, strike)
                await process.loop.create_future()
            case StrikeKind.PAUSE:
                process.is_paused = True
                self.later(strike.seconds, process.go_on)
                self.on_strike(process, strike)
                await asyncio.sleep(0)
            case StrikeKind.OUTAGE:
                self.unavailable_until = max(self.unavailable_until, self.now_microseconds + length)
                self.on_strike(process, strike)
            case StrikeKind.RESTART:
                self.on_strike(process, strike)
            case StrikeKind.JUMP:
                delay = random.Random(f"{self.plan.seed}/{strike.at}").choice(_DELAYS_SECONDS)
                if delay:
                    self.later(delay, partial(self._set_clock, length))
                else:
                    self._set_clock(length)
                self.on_strike(process, strike)

    def _set_clock(self, length: int) -> None:
        if self.skews[1:] and self.now_microseconds - self.skews[-1][0] < _LOOK_MICROSECONDS:
            self.held_up_microseconds += abs(length)
        self.skews.append((self.now_microseconds, self.skews[-1][1] + length))


class Process:
    """An operating system's process, as far as the engine can tell: an event loop that may be stopped or lost.

    `lost` holds the claims of which its worker has been told that they have passed.
    """

    def __init__(self, world: World, name: str, *, is_client: bool) -> None:
        """Begin with nothing to do."""
        self.world = world
        self.name = name
        self.is_client = is_client
        self.is_dead = False
        self.is_paused = False
        self.lost: set[tuple[RunKey, FencingToken]] = set()
        self.ready: deque[asyncio.Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []
        self.loop = SimulatedLoop(self)  # type: ignore[abstract]  # what the engine does not use is not simulated

    def __lt__(self, other: "Process") -> bool:
        """Serve the heap of timers, whose tickets never tie."""
        return self.name < other.name

    def turn(self) -> int:
        """Run what is ready now, in order; return how much that was."""
        ready = self.ready
        asyncio._set_running_loop(self.loop)  # noqa: SLF001
        count = len(ready)
        for done in range(count):
            if self.is_dead or self.is_paused:
                return done
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()  # noqa: SLF001 - what a loop does with a handle
        return count

    def go_on(self) -> None:
        """End a pause. A trial may have waited for no more than this."""
        self.is_paused = False
        self.world.has_changed = True

    async def lag(self) -> None:
        """Take as long as a call of the store takes: often no time at all."""
        seconds = self.world.random.choice(_LAGS)
        if seconds:
            rest: asyncio.Future[None] = asyncio.Future(loop=self.loop)
            self.world.later(seconds, partial(_end, rest))
            await rest

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Begin a task in this process."""
        return self.loop.create_task(work)

    def dispose(self) -> None:
        """Unwind what a process left behind, without effect, so that nothing complains when it is collected.

        A generator within a generator cannot be unwound without a loop, and says so on its end.
        """
        self.is_dead = True
        hook, sys.unraisablehook = sys.unraisablehook, _say_nothing
        asyncio._set_running_loop(self.loop)  # noqa: SLF001
        try:
            for task in self.tasks:
                if not task.done():
                    unwind(task)
                else:
                    _look_at(task)
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001
            self.ready.clear()
            self.tasks.clear()
            sys.unraisablehook = hook


_LAGS: Final = (0.0, 0.0, 0.000_3, 0.001, 0.004)


def _end(rest: "asyncio.Future[None]") -> None:
    if not rest.done():
        rest.set_result(None)


def _say_nothing(_unraisable: object) -> None:
    """Do nothing: whatever dying code raises concerns nobody."""


def _look_at(task: "asyncio.Task[Any]") -> None:
    """Retrieve a task's exception, so that asyncio does not report it as lost."""
    if not task.cancelled():
        task.exception()


class _Handle(asyncio.Handle):
    """What is to be called once; asyncio's own asks each time whether the loop is debugged."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        """Keep it."""
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None


class SimulatedLoop(asyncio.AbstractEventLoop):
    """A process' event loop: callbacks in their order, timers on the world's clock, and nothing else."""

    def __init__(self, process: Process) -> None:
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
    ) -> asyncio.Handle:
        """Queue a callback."""
        handle = _Handle(callback, args, self, context)
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
    ) -> asyncio.TimerHandle:
        """Queue a callback for later."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # as call_later
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - asyncio's signature
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Queue a callback for a virtual time."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if not self.process.is_dead:
            self.process.world.arm(self.process, handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: a cancelled timer is passed over when it comes due."""

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

    def get_debug(self) -> bool:
        """Return False."""
        return False

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


class _Nobody:
    """Stands for no process in the heap of timers."""

    is_dead = False
    name = ""

    def __lt__(self, other: object) -> bool:
        return True


_NOBODY: Final[Any] = _Nobody()
