"""The world of a trial: processes with event loops of their own on one virtual clock, and points that are struck."""

import asyncio
import heapq
import random
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Final, TypeVar

from perdure.kernel.identity import FencingToken, RunKey
from perdure.kernel.tasks import TaskClaim
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.testing.unwinding import unwind
from perdure.torture.simulation.kinds import Point
from perdure.torture.simulation.loop import Handle, SimulatedLoop, Timer
from perdure.torture.simulation.plans import ENDINGS, Plan, Strike, StrikeKind

__all__ = ["EPOCH", "Process", "World"]

T = TypeVar("T")

EPOCH: Final = Timestamp(1_700_000_000_000_000)
"""When every world begins."""

_LOOK_MICROSECONDS: Final = 7_000_000
"""The engine looks so often whether the clock was set: who sets it twice meanwhile may make timers late by as much."""
_DELAYS_SECONDS: Final = (0.0, 0.0, 0.000_5, 9.0)
"""The clock is set at a point, between two, or when all is calm after one."""
_MOST_STEPS: Final = 20_000
_STEPS_A_SECOND: Final = 10
"""Who waits for a clock that was set back looks again and again meanwhile: three processes take four steps a second."""
_LONGEST_SECONDS: Final = 2_000


class World:
    """Virtual time, processes, and the strikes of one plan. It is also the clock of all engines in it."""

    def __init__(self, plan: Plan, *, longest_seconds: float = _LONGEST_SECONDS) -> None:
        """Begin at `EPOCH` with no process. What goes on for longer than `longest_seconds` hangs."""
        self.plan = plan
        self.random = random.Random(plan.seed)
        self.now_microseconds = 0
        self.processes: list[Process] = []
        self._living: list[Process] = []
        self.course: list[Point] = []
        self.struck: list[tuple[Strike, Point]] = []
        self.findings: list[str] = []
        self.disturbed_microseconds = 0
        self.held_up_microseconds = 0
        self.has_changed = True
        self.unavailable_until = 0
        self.skews: list[tuple[int, int]] = [(0, 0)]
        """From which microseconds of true time on the clock is how far ahead."""
        self.is_skewed = any(strike.kind is StrikeKind.JUMP for strike in plan.strikes)
        self._strikes: dict[int, Strike] = {strike.at: strike for strike in plan.strikes}
        self._timers: list[tuple[int, int, Process, Timer | None, Callable[[], None] | None]] = []
        self._ticket = 0
        self._steps = 0
        set_back = sum(-min(strike.seconds, 0) for strike in plan.strikes)
        self.set_back_microseconds = round(set_back * MICROSECONDS_PER_SECOND)
        self._longest_microseconds = round(longest_seconds * MICROSECONDS_PER_SECOND) + self.set_back_microseconds
        self._most_steps = _MOST_STEPS + round(set_back * _STEPS_A_SECOND)
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

    def arm(self, process: "Process", timer: Timer) -> None:
        """Have a timer of a process' loop run when it is due."""
        self._push(round(timer.due * MICROSECONDS_PER_SECOND), process, timer, None)

    def wake(self, rest: "asyncio.Future[None]", *, after_microseconds: int) -> None:
        """End a rest after a while."""
        self._push(self.now_microseconds + after_microseconds, _NOBODY, None, partial(_end, rest))

    def would_go_on(self, process: "Process") -> bool:
        """Whether `process`, which is at work, would be the next to work if it gave way: nothing else is to be done.

        It counts as a step of the trial: whoever never waits is to be noticed.
        """
        self._steps += 1
        is_stopped = self._steps >= self._most_steps or process.is_paused or process.is_dead
        return not (is_stopped or self.has_changed or self._runnable())

    def skip(self, process: "Process", microseconds: int) -> bool:
        """Let time pass at once if `process`, which is at work, would be the next to do anything after it; say whether.

        The course is then the same as if it waited, which takes much longer.
        """
        at = self.now_microseconds + microseconds
        if (self._timers and self._timers[0][0] <= at) or not self.would_go_on(process):
            return False
        self.now_microseconds = at
        return True

    def _push(self, at: int, process: "Process", handle: Timer | None, callback: Callable[[], None] | None) -> None:
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
                if runnable := self._runnable():
                    chosen = runnable[0] if len(runnable) == 1 else self.random.choice(runnable)
                    handled = chosen.turn()  # in which steps are counted, too
                    self._steps += handled
                elif not self._timers or self.now_microseconds > self._longest_microseconds:
                    return is_done()
                else:
                    self._pass_time()
                if self._steps > self._most_steps:
                    self.findings.append(f"the trial did not come to rest within {self._most_steps} callbacks")
                    return False
        finally:
            asyncio._set_running_loop(outer)  # noqa: SLF001

    def _runnable(self) -> "list[Process]":
        return [one for one in self._living if one.ready and not (one.is_paused or one.is_dead)]

    def _pass_time(self) -> None:
        timers = self._timers
        self.now_microseconds = now = timers[0][0]
        while timers and timers[0][0] <= now:
            _, _, process, handle, callback = heapq.heappop(timers)
            if callback is not None:
                callback()
            elif handle is not None and not handle.is_cancelled and not process.is_dead:
                process.ready.append(handle)

    # --- processes and points ------------------------------------------------------------------------------------

    def add(self, name: str, *, is_client: bool) -> "Process":
        """Start a process."""
        process = Process(self, name, is_client=is_client)
        self.processes.append(process)
        self._living = [one for one in self._living if not one.is_dead] + [process]
        return process

    async def point(self, process: "Process", name: str, about: frozenset[str] = frozenset()) -> None:
        """Pass a point; if the plan strikes here, the caller dies, stands still, or goes on under harder conditions."""
        point = Point(name, about)
        strike = self._strikes.get(len(self.course))
        self.course.append(point)
        if strike is None or process.is_dead:
            return
        self.struck.append((strike, point))
        await self._strike(process, strike)

    async def _strike(self, process: "Process", strike: Strike) -> None:
        length = round(strike.seconds * MICROSECONDS_PER_SECOND)
        self.disturbed_microseconds += abs(length)
        if strike.kind is not StrikeKind.JUMP and strike.kind not in ENDINGS:
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
            case StrikeKind.RESTART | StrikeKind.CANCEL | StrikeKind.TERMINATE:
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

    `lost` and `lost_tasks` hold the claims of which its worker has been told that they have passed; `resumed_at` says
    when the last pause ended, in microseconds.
    """

    def __init__(self, world: World, name: str, *, is_client: bool) -> None:
        """Begin with nothing to do."""
        self.world = world
        self.name = name
        self.is_client = is_client
        self.is_dead = False
        self.is_paused = False
        self.resumed_at: int | None = None
        self.lost: set[tuple[RunKey, FencingToken]] = set()
        self.lost_tasks: set[TaskClaim] = set()
        self.ready: deque[Handle] = deque()
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
            if handle.is_cancelled:
                continue
            try:
                handle.context.run(handle.callback, *handle.args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - as every loop of asyncio
                self.loop.call_exception_handler({"message": f"exception in {handle.callback}", "exception": error})
        return count

    def go_on(self) -> None:
        """End a pause. A trial may have waited for no more than this."""
        self.is_paused = False
        self.resumed_at = self.world.now_microseconds
        self.world.has_changed = True

    async def lag(self) -> None:
        """Take as long as a call of the store takes: often no time at all."""
        draw = self.world.random.getrandbits
        while (number := draw(_LAG_BITS)) >= len(_LAGS_MICROSECONDS):  # as `choice` does, which takes thrice as long
            pass
        if (microseconds := _LAGS_MICROSECONDS[number]) and not self.world.skip(self, microseconds):
            rest: asyncio.Future[None] = asyncio.Future(loop=self.loop)
            self.world.wake(rest, after_microseconds=microseconds)
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


_LAGS_MICROSECONDS: Final = (0, 0, 300, 1_000, 4_000)
_LAG_BITS: Final = len(_LAGS_MICROSECONDS).bit_length()


def _end(rest: "asyncio.Future[None]") -> None:
    if not rest.done():
        rest.set_result(None)


def _say_nothing(_unraisable: object) -> None:
    """Do nothing: whatever dying code raises concerns nobody."""


def _look_at(task: "asyncio.Task[Any]") -> None:
    """Retrieve a task's exception, so that asyncio does not report it as lost."""
    if not task.cancelled():
        task.exception()


class _Nobody:
    """Stands for no process in the heap of timers."""

    is_dead = False
    name = ""

    def __lt__(self, other: object) -> bool:
        return True


_NOBODY: Final[Any] = _Nobody()
