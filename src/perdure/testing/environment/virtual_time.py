"""Virtual time: a clock that stands still until somebody moves it, and an event loop whose timers follow it.

The loop is asyncio's own, with a selector that never waits: where the loop would, it stops instead and says how long it
would have waited. Whoever drives it (`perdure.testing.environment.driving`) then decides whether that time passes.
So coroutines, sockets, threads and processes work as on every loop, and only the timers are virtual: `asyncio.sleep`,
`asyncio.timeout`, `loop.call_later` of whatever runs on it. Nothing is patched: the selector and `time` are what
asyncio lets a loop choose.
"""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from contextvars import Context
from datetime import datetime
from typing import Any, Final, TypeVarTuple

from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp, timestamp_to_datetime

__all__ = ["HORIZON_SECONDS", "VirtualLoop", "VirtualTime"]

Ts = TypeVarTuple("Ts")

HORIZON_SECONDS: Final = 100 * 365 * 24 * 3600.0
"""A timer further away than this never rings: there is then nothing to wait for."""

_TURNS: Final = 200
"""How many turns a loop makes before its host has one."""


class VirtualTime:
    """The clock of one environment, in whole microseconds: a `perdure.ports.clock.Clock`."""

    def __init__(self, start: Timestamp) -> None:
        """Stand still at `start`."""
        self._start: Final = start
        self._microseconds = 0

    def now(self) -> Timestamp:
        """Return the virtual instant."""
        return Timestamp(self._start + self._microseconds)

    def datetime(self) -> datetime:
        """Return the virtual instant as an aware datetime."""
        return timestamp_to_datetime(self.now())

    @property
    def seconds(self) -> float:
        """What has passed so far."""
        return self._microseconds / MICROSECONDS_PER_SECOND

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass: at least a microsecond, so that whoever waits comes closer to the end of it."""
        self._microseconds += max(round(seconds * MICROSECONDS_PER_SECOND), 1)

    def pass_to(self, moment: Timestamp) -> None:
        """Let time pass until `moment`; one that has passed already changes nothing."""
        self._microseconds = max(moment - self._start, self._microseconds)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time that is run in turns within another one's."""

    def __init__(self, time: VirtualTime) -> None:
        """Have nothing to do yet."""
        self._virtual_time = time
        self._never_waiting = _NeverWaiting(self)
        super().__init__(self._never_waiting)
        self._clock_resolution = 1 / MICROSECONDS_PER_SECOND  # a timer's float may miss its microsecond by a rounding
        self._in_executors = 0
        self._engine_descriptors: set[object] = set()

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._virtual_time.seconds

    def run_ready(self) -> None:
        """Run what is ready, and what that makes ready, up to a limit. Call it from a callback of another loop.

        Afterwards `is_idle` and `next_timer_seconds` say how it stands.
        """
        outer = asyncio._get_running_loop()  # noqa: SLF001 - the pair that asyncio documents for loop implementers
        asyncio._set_running_loop(None)  # noqa: SLF001
        self._never_waiting.begin(_TURNS)
        try:
            self.run_forever()
        finally:
            asyncio._set_running_loop(outer)  # noqa: SLF001

    @property
    def is_idle(self) -> bool:
        """Whether nothing was ready any more when `run_ready` returned.

        The last look of a turn may find nothing, and a timer due within the resolution of the clock, which then rings.
        """
        return self._never_waiting.is_idle and not self._ready  # type: ignore[attr-defined]  # as of every asyncio loop

    @property
    def next_timer_seconds(self) -> float | None:
        """How far away the next timer was when `run_ready` returned idle; None: there is none."""
        if self._never_waiting.would_wait_seconds is None:
            return None
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]  # asyncio waits a day at most
        return max(timers[0].when() - self.time(), 0.0)

    @property
    def is_outside(self) -> bool:
        """Whether something that was begun here is done in a thread of `run_in_executor`."""
        return self._in_executors > 0

    @property
    def has_connections(self) -> bool:
        """Whether sockets are open here that are not the engine's."""
        return len(self._never_waiting.get_map()) > len(self._engine_descriptors) + 1

    def fileno(self) -> int:
        """Return the descriptor that can be read when something has come from outside."""
        return self._never_waiting.fileno()

    # --- what a loop does, differently ---------------------------------------------------------------------------

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Queue a callback for a virtual time. One beyond the horizon is not even queued."""
        if when - self.time() > HORIZON_SECONDS:
            return asyncio.TimerHandle(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]  # noqa: ANN401 - asyncio's word
        """Run a function in a thread, and know about it."""
        future = super().run_in_executor(executor, func, *args)
        self._in_executors += 1
        future.add_done_callback(self._back_from_executor)
        return future

    def _back_from_executor(self, _future: object) -> None:
        self._in_executors -= 1

    def add_reader(self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> None:  # noqa: ANN401 - asyncio's word
        """Watch a descriptor; the engine's own ones are told from those of activities."""
        if str(getattr(callback, "__module__", "")).startswith("perdure."):
            self._engine_descriptors.add(_number(fd))
        super().add_reader(fd, callback, *args)

    def remove_reader(self, fd: Any) -> bool:  # noqa: ANN401 - asyncio's word
        """Watch a descriptor no more."""
        self._engine_descriptors.discard(_number(fd))
        return super().remove_reader(fd)


def _number(descriptor: Any) -> object:  # noqa: ANN401 - whatever has a file number
    return descriptor if isinstance(descriptor, int) else descriptor.fileno()


class _NeverWaiting(selectors.BaseSelector):
    """A selector that looks and does not wait: it has its loop stop where it would."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()
        self._turns = 0
        self.is_idle = False
        self.would_wait_seconds: float | None = None

    def begin(self, turns: int) -> None:
        self._turns = turns
        self.is_idle = False
        self.would_wait_seconds = None

    def fileno(self) -> int:
        return self._real.fileno()  # as epoll's and kqueue's selectors do

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = self._real.select(0)
        if timeout == 0 or events:
            self._turns -= 1
            if self._turns < 0:
                self._loop.stop()
        else:
            self.is_idle = True
            self.would_wait_seconds = timeout
            self._loop.stop()
        return events

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401 - as its base
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:  # noqa: ANN401 - as its base
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401 - as its base
        return self._real.modify(fileobj, events, data)

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()
