"""Driving: a virtual loop lives in turns of the test's own event loop, and here it is decided when time passes.

One thread, one test, two loops. The test's loop calls `_turn`; the virtual loop runs what is ready; when nothing is,
the rules say what happens next:

| the virtual loop is idle, and                        | then                                                        |
|------------------------------------------------------|-------------------------------------------------------------|
| a thread, a process, a socket, the disk is at work   | nothing; but a timer rings when its real time has passed    |
| the test advances                                    | time goes to the next timer, or to where the test wanted it |
| the test waits for a run                             | time goes to the next timer                                 |
| the test waits for a run, and no timer is set        | `StandstillError`, once the patience has passed             |
| otherwise                                            | time stands still                                           |

Before time passes because the test waits for a run, other tasks of the test that are ready have their turns.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.testing.environment.virtual_time import VirtualLoop, VirtualTime

__all__ = ["Driver"]

_GRACE_TURNS: Final = 3
"""How many turns the test's other tasks have, as long as they are ready, before time passes."""

_STEPS_PER_TURN: Final = 100
"""How often time may pass before the loop of the test has a turn in which it can be stopped."""


class Driver:
    """Runs one virtual loop after the other within the loop of a test."""

    def __init__(
        self,
        time: VirtualTime,
        *,
        patience_seconds: float,
        is_busy: Callable[[], bool],
        after_turn: Callable[[], None],
        on_standstill: Callable[[], None],
    ) -> None:
        """Drive nothing yet.

        `is_busy`: whether something outside of the loop is at work for it. `after_turn`: called when the loop has run.
        `on_standstill`: called when the test has waited in vain for `patience_seconds` of real time.
        """
        self.time: Final = time
        self.waits = 0
        self._patience_seconds = patience_seconds
        self._is_busy = is_busy
        self._after_turn = after_turn
        self._on_standstill = on_standstill
        self._host: asyncio.AbstractEventLoop | None = None
        self._loop: VirtualLoop | None = None
        self._will_turn = False
        self._grace = 0
        self._busy_since: float | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._idle: list[asyncio.Future[None]] = []
        self._target: tuple[Timestamp, asyncio.Future[None]] | None = None

    # --- what it drives ------------------------------------------------------------------------------------------

    @property
    def host(self) -> asyncio.AbstractEventLoop:
        """The loop of the test: the one that runs when it is first asked for."""
        running = asyncio.get_running_loop()
        if self._host is not running:
            self._forget_host()
            self._host = running
            self._watch()
        return running

    def drive(self, loop: VirtualLoop) -> None:
        """Drive this loop from now on."""
        self.release()
        self._loop = loop
        if self._host is not None:
            self._watch()
            self.wake()

    def release(self) -> None:
        """Drive nothing."""
        self._forget_host()
        self._loop = None
        self._busy_since = None

    def wake(self) -> None:
        """Have a turn soon: there is something new to do."""
        self._grace = 0
        self._turn_soon()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let time pass within the block whenever nothing else is to be done."""
        self.waits += 1
        self.wake()
        try:
            yield
        finally:
            self.waits -= 1

    async def until_idle(self) -> None:
        """Return when nothing is left to do at this instant."""
        future = self.host.create_future()
        self._idle.append(future)
        self.wake()
        await future

    async def advance_to(self, moment: Timestamp) -> None:
        """Let time pass to `moment`, and all that is due until then happen at its time."""
        await self.until_idle()
        while self._target is not None:  # another task of the test advances: one after the other
            await asyncio.wait([self._target[1]])
        future = self.host.create_future()
        self._target = (moment, future)
        self.wake()
        try:
            await future
        finally:
            self._target = None

    # --- turns ---------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if self._host is not None and self._loop is not None:
            self._host.add_reader(self._loop.fileno(), self._turn)

    def _forget_host(self) -> None:
        self._silence()
        if self._host is not None and self._loop is not None and not self._host.is_closed():
            self._host.remove_reader(self._loop.fileno())

    def _turn_soon(self) -> None:
        if not self._will_turn and self._loop is not None:
            self._will_turn = True
            self.host.call_soon(self._turn_again)

    def _turn_again(self) -> None:
        self._will_turn = False
        self._turn()

    def _turn(self) -> None:
        for _ in range(_STEPS_PER_TURN):
            loop = self._loop
            if loop is None:
                return
            self._silence()
            loop.run_ready()
            self._after_turn()
            if self._loop is not loop or not self._goes_on(loop):
                return
            if not self._test_is_idle:
                break
        self._turn_soon()

    def _goes_on(self, loop: VirtualLoop) -> bool:
        """Decide what happens now; return whether the loop is to run again."""
        if not loop.is_idle:
            return True
        if self._is_busy():
            self._wait_in_real_time(loop)
            return False
        self._busy_since = None
        return self._rest(loop)

    def _rest(self, loop: VirtualLoop) -> bool:
        """As `_goes_on`, now that nothing is ready and nothing is under way."""
        if self._idle:
            idle, self._idle = self._idle, []
            for future in idle:
                _settle(future)
            return False
        if self._target is not None:
            return self._advance(loop, *self._target)
        if not self.waits:
            return False
        if loop.next_timer_seconds is None:
            self._alarm = self.host.call_later(self._patience_seconds, self._stand_still)
            return False
        if self._grace < _GRACE_TURNS and not self._test_is_idle:
            self._grace += 1
        else:
            self._pass(loop.next_timer_seconds)
        return True

    @property
    def _test_is_idle(self) -> bool:
        """Whether no other task of the test is ready; of a loop that is not asyncio's own this is not known."""
        ready = getattr(self._host, "_ready", None)
        return ready is not None and not ready

    def _advance(self, loop: VirtualLoop, moment: Timestamp, future: "asyncio.Future[None]") -> bool:
        remaining = (moment - self.time.now()) / MICROSECONDS_PER_SECOND
        if remaining <= 0:
            _settle(future)
            return False
        if loop.next_timer_seconds is None or loop.next_timer_seconds > remaining:
            self.time.pass_to(moment)
        else:
            self._pass(loop.next_timer_seconds)
        return True

    def _pass(self, seconds: float) -> None:
        self._grace = 0
        self.time.pass_seconds(seconds)

    def _wait_in_real_time(self, loop: VirtualLoop) -> None:
        """Something outside is at work: a timer rings only when its real time has passed as well."""
        now = self.host.time()
        if self._busy_since is None:
            self._busy_since = now
        if loop.next_timer_seconds is not None and (self.waits or self._target is not None):
            remaining = self._busy_since + loop.next_timer_seconds - now
            self._alarm = self.host.call_later(max(remaining, 0.0), self._overdue, loop.next_timer_seconds)

    def _overdue(self, seconds: float) -> None:
        self._busy_since = None
        self._pass(seconds)
        self._turn_soon()

    def _stand_still(self) -> None:
        if self.waits:
            self._on_standstill()

    def _silence(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
