"""Endings: who waits for the end of which run, in this process."""

import asyncio

from perdure.configuration import REMEMBERED_REASONS
from perdure.errors import PerdureError
from perdure.kernel.events import Event
from perdure.kernel.identity import RunKey

__all__ = ["Ending", "Endings"]

Ending = asyncio.Future[Event | None]
"""Resolves with the event that ended the run, or with None: look into the store again."""


class Endings:
    """Futures by run. They are told of ends that happen here; of ends elsewhere they are told to look again."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with nobody waiting."""
        self._loop = loop
        self._waiting: dict[RunKey, list[Ending]] = {}
        self.parked: dict[RunKey, PerdureError] = {}

    def wait(self, run_key: RunKey) -> Ending:
        """Return a future for a run's end. It raises the reason if the run is parked."""
        future: Ending = self._loop.create_future()
        if run_key in self.parked:
            future.set_exception(self.parked[run_key].with_traceback(None))  # else it grew with each who is told
        else:
            self._waiting.setdefault(run_key, []).append(future)
        return future

    def stop_waiting(self, run_key: RunKey, future: Ending) -> None:
        """Forget a future of `wait`, and what it holds."""
        if future.done() and not future.cancelled():
            future.exception()  # looked at: nobody has to be told any more
        waiting = self._waiting.get(run_key)
        if waiting is not None and future in waiting:
            waiting.remove(future)
            if not waiting:
                del self._waiting[run_key]

    def awaited(self) -> list[RunKey]:
        """Return the runs somebody waits for."""
        return list(self._waiting)

    def ended(self, run_key: RunKey, closing: Event) -> None:
        """Tell those who wait how a run ended."""
        for future in self._take(run_key):
            future.set_result(closing)

    def look_again(self, run_key: RunKey) -> None:
        """Tell those who wait that the store knows more than this process."""
        for future in self._take(run_key):
            future.set_result(None)

    def park(self, run_key: RunKey, error: PerdureError) -> None:
        """Tell those who wait, now and later, why a run does not go on in this process.

        So many are remembered; who waits for an older one is told what its row says (`perdure.execution.waiting`).
        """
        self.parked[run_key] = error.with_traceback(None)  # which holds all that the frames know
        if len(self.parked) > REMEMBERED_REASONS:
            del self.parked[next(iter(self.parked))]
        for future in self._take(run_key):
            future.set_exception(error)

    def unpark(self, run_key: RunKey) -> None:
        """Note that it is not known any more why a run does not go on, or that it does."""
        self.parked.pop(run_key, None)

    def fail_all(self, error: PerdureError) -> None:
        """Tell everybody that waiting is over."""
        for run_key in self.awaited():
            for future in self._take(run_key):
                future.set_exception(error)

    def _take(self, run_key: RunKey) -> list[Ending]:
        return [future for future in self._waiting.pop(run_key, ()) if not future.done()]
