"""A replication that goes on until it is stopped: when it makes its rounds, and what it does after one that failed."""

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from perdure.errors import StoreError, StoreLockedError, UsageError
from perdure.logs import logger_named
from perdure.ports.clock import Clock
from perdure.stores.sqlite.copies.replication import Replication
from perdure.stores.sqlite.copies.standing import Standing, note_trouble
from perdure.stores.sqlite.copies.visit import Visit
from perdure.stores.sqlite.copies.whole import Progress

__all__ = ["Following", "pause_seconds"]

_LOGGER: Final = logger_named("perdure.copies")


class Following:
    """One replication in a thread of its own: `run` blocks until `stop` is called."""

    def __init__(
        self,
        database: Path,
        target: Path,
        *,
        clock: Clock,
        every_seconds: float,
        keep_seconds: float,
        on_standing: Callable[[Standing], None],
        on_progress: Progress,
    ) -> None:
        """Prepare. `on_standing` is told after each round how far the copy is, `on_progress` how far a base is; both
        in the thread of `run`."""
        self._database: Final = database
        self._target: Final = target
        self._clock: Final = clock
        self._every: Final = every_seconds
        self._keep: Final = keep_seconds
        self._on_standing: Final = on_standing
        self._on_progress: Final = on_progress
        self._stopped: Final = threading.Event()
        self._give_up_at = math.inf

    def stop(self) -> None:
        """Ask for the end: after a last round, or amid a base that takes seconds. Any thread may call it."""
        self._give_up_at = time.monotonic() + _GRACE_SECONDS
        self._stopped.set()

    def run(self, *, waits_for_turn: bool) -> None:
        """Replicate. `waits_for_turn`: while another process replicates into the folder, wait until it ends, and while
        the copy cannot be begun, try again.

        Raises StoreErrors if that is not wanted, StoreLockedError if another replicates, and UsageError: nothing was
        begun. What keeps a copy from being begun is left beside the database for whoever examines it.
        """
        for failures in count(1):
            is_last = self._stopped.is_set()
            try:
                self._replicate(waits_for_turn=waits_for_turn)
            except (StoreError, UsageError) as error:
                if not isinstance(error, StoreLockedError):  # else its standing is another's, who keeps the copy
                    note_trouble(self._database, self._target, str(error), every=round(self._every * 1_000_000))
                if not waits_for_turn or isinstance(error, UsageError):
                    raise
                _LOGGER.warning("no copy of %s is kept in %s yet: %s", self._database, self._target, error)
            else:
                return
            if is_last:
                return
            self._stopped.wait(pause_seconds(self._every, failures=failures))

    def _replicate(self, *, waits_for_turn: bool) -> None:
        with Visit(self._database) as visit:
            replication = Replication(
                visit,
                self._target,
                clock=self._clock,
                every_microseconds=round(self._every * 1_000_000),
                keep_microseconds=round(self._keep * 1_000_000),
                on_progress=self._go_on,
            )
            if self._begin(replication, waits_for_turn=waits_for_turn):
                try:
                    with suppress(_StoppedError):
                        self._follow(replication)
                finally:
                    replication.end()

    def _begin(self, replication: Replication, *, waits_for_turn: bool) -> bool:
        """Return whether the replication has begun; it has not if it was stopped while it waited."""
        while True:
            is_last = self._stopped.is_set()
            try:
                replication.begin()
            except StoreLockedError:
                if not waits_for_turn:
                    raise
            else:
                return True
            if is_last:
                return False
            self._stopped.wait(max(self._every, _SHORTEST_PAUSE_SECONDS))

    def _follow(self, replication: Replication) -> None:
        failures = 0
        while True:
            is_last = self._stopped.is_set()  # a round that has begun may have read the log's end already
            try:
                failures = 0 if self._make_round(replication, renews=not is_last) else failures + 1
            except _StoppedError:  # amid a base: what has come since is added to the generation before, if there is one
                self._make_round(replication, renews=False)
                return
            if is_last:
                return
            self._pause(replication, failures)

    def _make_round(self, replication: Replication, *, renews: bool) -> bool:
        try:
            replication.follow(renews=renews)
        except StoreError as error:
            _LOGGER.warning("the copy of %s in %s is behind: %s", self._database, self._target, error)
            return False
        finally:
            if replication.standing is not None:
                self._on_standing(replication.standing)
        return True

    def _pause(self, replication: Replication, failures: int) -> None:
        """Wait for the next round, and not so long while the log grows fast."""
        until = time.monotonic() + pause_seconds(self._every, failures=failures)
        while (left := until - time.monotonic()) > 0 and not self._stopped.wait(min(left, _LOOK_SECONDS)):
            if not failures and self._is_pressed(replication):
                return

    def _is_pressed(self, replication: Replication) -> bool:
        with suppress(StoreError):
            return replication.is_pressed
        return False

    def _go_on(self, done: int, total: int) -> None:
        """Tell how far a base is. Raises _StoppedError if it takes long, and the end has been asked for."""
        if time.monotonic() > self._give_up_at:
            raise _StoppedError
        self._on_progress(done, total)


def pause_seconds(every_seconds: float, *, failures: int) -> float:
    """Return how long to wait for the next round after so many in a row have failed: twice as long after each."""
    if not failures:
        return every_seconds
    return min(max(every_seconds, 1.0) * 2.0 ** min(failures, _MOST_DOUBLINGS), _LONGEST_PAUSE_SECONDS)


class _StoppedError(Exception):
    """Ends a base that takes long."""


_GRACE_SECONDS: Final = 5.0
"""How long a base may take yet that is begun or needed when the end is asked for."""
_LOOK_SECONDS: Final = 1.0
_SHORTEST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 60.0
_MOST_DOUBLINGS: Final = 6
