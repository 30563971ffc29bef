"""Blocking calls: code that holds the event loop is reported with its stack, while it holds it.

One thread asks the loop for a sign of life and waits `Settings.blocking_seconds` for it. If none comes, the stack of
the loop's thread names the culprit: one warning per incident to the logger ``perdure.blocking``, and the duration once
the loop turns again. A hold that is longer than one and a half times the limit is always seen, one that is shorter than
the limit never.

While the engine has work the loop is asked again half a limit after each answer: a handful of times a second, whatever
the load. Without work the thread waits for the next and costs nothing.

**Limits.** Code that never lets go of the interpreter's lock cannot be seen while it runs: it is reported afterwards,
without a stack. So is a process that was stopped, or that got no processor.
"""

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Final, NamedTuple

from perdure.execution.active_run import ActiveRun
from perdure.execution.loop_executor import LoopExecutor
from perdure.logs import Lines, logger_named

__all__ = ["BlockingWatch"]

STACK_LIMIT: Final = 25
"""How many frames of the culprit's stack are shown, from the innermost."""

_logger = logger_named("perdure.blocking")

_END_SECONDS = 5.0
"""How long the end of the thread is waited for: it only has to wake, unless a log handler is slow."""


class BlockingWatch:
    """Watches one event loop from a thread of its own. `start`, `stop` and `work_begins` are for the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, seconds: float, is_busy: Callable[[], bool]) -> None:
        """Report who holds `loop` for longer than `seconds`; 0: do nothing.

        `is_busy`, asked from the thread: whether code may run on the loop.
        """
        self._loop = loop
        self._seconds = seconds
        self._is_busy = is_busy
        self._loop_thread = threading.get_ident()
        self._has_begun = False
        self._is_resting = False
        self._is_stopped = False
        self._stirred = threading.Event()
        self._stopped = threading.Event()
        self._turned = threading.Event()
        self._turned_at = 0.0
        self._thread = threading.Thread(target=self._watch, name="perdure-blocking-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        if self._seconds:
            self._thread.start()

    def stop(self) -> None:
        """Watch no more; the thread has ended when this returns."""
        self._is_stopped = True
        self._stopped.set()
        self._turned.set()
        self._stirred.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_END_SECONDS)

    def work_begins(self) -> None:
        """Have the loop watched from now on. Cheap: called whenever runs are advanced."""
        self._has_begun = True
        if self._is_resting:
            self._stirred.set()

    def _watch(self) -> None:
        while not self._is_stopped:
            if self._has_work():
                self._ask()
                self._stopped.wait(self._seconds / 2)
            else:
                self._rest()

    def _has_work(self) -> bool:
        has_begun, self._has_begun = self._has_begun, False
        return has_begun or self._is_busy()

    def _rest(self) -> None:
        """Wait for work. Announced before the last look, so that work that begins in between is not missed."""
        self._stirred.clear()
        self._is_resting = True
        if not (self._has_begun or self._is_stopped):
            self._stirred.wait()
        self._is_resting = False

    def _ask(self) -> None:
        """Ask for one sign of life; report if it does not come in time."""
        self._turned.clear()
        if self._is_stopped:  # looked at after the clearing: `stop` may have set the sign just before
            return
        asked_at = time.monotonic()
        try:
            self._loop.call_soon_threadsafe(self._turn)
        except RuntimeError:  # the loop is closed
            self._is_stopped = True
            return
        culprit = None
        if not self._turned.wait(self._seconds):
            culprit = _find_culprit(sys._current_frames().get(self._loop_thread))  # noqa: SLF001 - the documented way
            if not self._turned.is_set():
                _logger.warning(
                    "the event loop is held for more than %s s by %s; a plain `def` activity would run in a thread\n%s",
                    self._seconds,
                    culprit.who,
                    Lines(culprit.stack),
                )
                self._turned.wait()
        if self._is_stopped:
            return
        held_seconds = self._turned_at - asked_at
        if culprit is not None:
            _logger.info("the event loop turns again; %s held it for %.2f s", culprit.who, held_seconds)
        elif held_seconds > self._seconds:
            _logger.warning(
                "the event loop was held for %.2f s, by code that kept the interpreter's lock or because the process "
                "was stopped",
                held_seconds,
            )

    def _turn(self) -> None:
        self._turned_at = time.monotonic()
        self._turned.set()


class _Culprit(NamedTuple):
    who: str
    stack: str


def _find_culprit(innermost: FrameType | None) -> _Culprit:
    """Name the run or activity whose code the frame belongs to; show the stack from there inwards."""
    who = "code outside of the engine"
    frames: list[FrameType] = []
    frame = innermost
    while frame is not None:
        found = _OWNERS.get(frame.f_code)
        if found is not None:
            who = found(frame)
            break
        frames.append(frame)
        frame = frame.f_back
    while len(frames) > 1 and _is_engine(frames[-1]):  # how the engine came to the user's code helps nobody
        frames.pop()
    shown = [(each, each.f_lineno) for each in reversed(frames[:STACK_LIMIT])]
    return _Culprit(who, "".join(traceback.StackSummary.extract(iter(shown)).format()))


def _is_engine(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").partition(".")[0] in {"perdure", "asyncio"}


def _activity(frame: FrameType) -> str:
    call = frame.f_locals["running"].call
    return f"activity {call.activity!r}, attempt {call.attempt}, of run {call.run.ref}"


def _run(frame: FrameType) -> str:
    return f"workflow code of run {frame.f_locals['self'].ref}"


_OWNERS: Final = {LoopExecutor._run.__code__: _activity, ActiveRun.advance.__code__: _run}  # noqa: SLF001 - of our own
