"""Retention as a duty of every process that works: one of them removes what is over, now and then."""

import asyncio
from typing import Final, Protocol

from perdure.archiving.files import Archive
from perdure.archiving.pruning import Pruning, Selection
from perdure.archiving.turns import read_turn
from perdure.configuration import Retention
from perdure.errors import StoreError, StoreLockedError
from perdure.kernel.time import MICROSECONDS_PER_SECOND, duration_microseconds
from perdure.logs import logger_named
from perdure.ports.clock import Clock
from perdure.ports.store import RunStore
from perdure.timekeeping.clock_watch import ClockWatch

__all__ = ["RetentionDuty"]

_logger = logger_named("perdure.retention")

_PAUSE_AFTER_FAILURE_SECONDS: Final = 60.0
_TOLD: Final = 10
"""Of so many damaged runs the log says what they are."""

_SETTLING_SECONDS: Final = 60.0
"""The clock must have gone as time does for so long before anything is removed by it: a machine that has just begun may
show any time. Where it is looked more often than that, it is as long as from one look to the next."""

_RESTS: Final = 1.0
"""It works for half of the time at most, as long as it keeps up: the runs of this process come first."""


class Host(Protocol):
    """What the duty needs from the worker around it."""

    name: str

    @property
    def store(self) -> RunStore:
        """The store."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock."""
        ...


class RetentionDuty:
    """Removes closed runs for one process, when nobody else has done so for a while."""

    def __init__(self, host: Host, retention: Retention, *, namespace: str) -> None:
        """Keep what `retention` says, of the runs of a namespace."""
        self._host: Final = host
        self._namespace: Final = namespace
        self._retention: Final = retention
        self._archive: Final = None if retention.archive is None else Archive(retention.archive)

    async def work(self) -> None:
        """Do the duty for ever. What fails is tried again after a pause."""
        watch = ClockWatch(self._host.clock, asyncio.get_running_loop())
        settling_seconds = min(_SETTLING_SECONDS, self._retention.every.total_seconds())
        try:
            while True:
                await asyncio.sleep(settling_seconds)
                while not watch.was_set():
                    seconds = await self._look()
                    await asyncio.sleep(seconds)
        finally:
            if self._archive is not None:
                self._archive.close()

    async def _look(self) -> float:
        """Remove what is over, if it is time; return how many seconds to wait then."""
        every = duration_microseconds(self._retention.every)
        try:
            passed_at = (await read_turn(self._host.store)).passes.get(self._namespace)
            waits = 0 if passed_at is None else passed_at + every - self._host.clock.now()
            if 0 < waits <= every:  # a longer wait is that of a clock that was set back
                return waits / MICROSECONDS_PER_SECOND
            await self._prune()
        except StoreLockedError:
            return min(_PAUSE_AFTER_FAILURE_SECONDS, every / MICROSECONDS_PER_SECOND)
        except Exception as error:  # a service loop: nothing may end it but the closing of the engine
            _logger.warning(
                "removing closed runs failed and will be tried again: %s",
                error,
                exc_info=not isinstance(error, StoreError),
            )
            return _PAUSE_AFTER_FAILURE_SECONDS
        return every / MICROSECONDS_PER_SECOND

    async def _prune(self) -> None:
        chosen = Selection(namespace=self._namespace)
        pruning = Pruning(self._host.store, self._host.clock, self._retention, chosen, rests=_RESTS)
        report = await pruning.run(holder=self._host.name, archive=self._archive, is_duty=True)
        if report.runs:
            kept = "" if self._archive is None else f", archived in {self._archive.folder}"
            _logger.info("%d closed runs with %d events were removed%s", report.runs, report.events, kept)
        if report.unreadable:
            first = "; ".join(f"{refusal.run}: {refusal.reason}" for refusal in report.refusals[:_TOLD])
            text = "%d closed runs stay since they are damaged (see `perdure verify`), the first: %s"
            _logger.error(text, report.unreadable, first)
