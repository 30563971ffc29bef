"""The function's side of an attempt on a cluster: what runs in a process that Ray or Dask has chosen.

The function runs in one thread, and another passes on what it reports. Reports that are not fetched yet wait here:
of several heartbeats in a row only the last, of published values at most `MOST_REPORTS`; then `publish` waits.
"""

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Final

from perdure.authoring.activity_context import Attempt
from perdure.errors import InternalError
from perdure.execution.performing import perform
from perdure.execution.process_messages import Beat, Perform, Published, Ready, Report, decode_order, frame
from perdure.kernel.payload import NULL, Payload

__all__ = ["MOST_REPORTS", "Performance"]

MOST_REPORTS: Final = 1_000
"""So many reports of one attempt may wait to be fetched."""


class Performance:
    """One attempt in this process."""

    def __init__(self, order: bytes, *, on_news: Callable[[], object]) -> None:
        """Be ready to `perform`. `on_news` is called, in whatever thread, when there is something to fetch.

        Raises InternalError for bytes that are no order: the engine has another version of Perdure, say.
        """
        decoded = decode_order(order)
        if not isinstance(decoded, Perform):
            raise InternalError(f"a cluster was handed an order to {decoded.__class__.__name__}; it performs only")
        self._order: Final = decoded
        self._on_news: Final = on_news
        self._reports: list[Report] = []
        self._changed: Final = threading.Condition()
        self._is_given_up = False
        self._has_ended = False

    def perform(self) -> None:
        """Run the function, in this thread, and report what becomes of it."""
        self._report(Ready())
        outcome = copy_context().run(perform, self._order, _ClusterAttempt(self, self._order))
        with self._changed:
            self._has_ended = True
        self._report(outcome)

    def give_up(self) -> None:
        """Have the function's next heartbeat raise."""
        with self._changed:
            self._is_given_up = True
            self._changed.notify_all()

    def fetch(self) -> bytes:
        """Return the frames of what was reported since; empty if nothing was."""
        with self._changed:
            reports, self._reports = self._reports, []
            self._changed.notify_all()
        return b"".join(map(frame, reports))

    def wait_until_fetched(self) -> None:
        """Wait until the outcome was fetched, or is not wanted any more."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_over or self._is_given_up)

    @property
    def is_over(self) -> bool:
        """Whether the function has ended and everything was fetched."""
        return self._has_ended and not self._reports

    @property
    def is_given_up(self) -> bool:
        """Whether the outcome is not wanted any more."""
        return self._is_given_up

    def beat(self, beat: Beat) -> None:
        """Report a heartbeat, in place of one that was not fetched; without details it leaves those in force."""
        with self._changed:
            last = self._reports[-1] if self._reports else None
            if isinstance(last, Beat):
                self._reports[-1] = beat if beat.details != NULL else last
                return
        self._report(beat)

    def publish(self, published: Published) -> None:
        """Report a value, once there is room for it."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._reports) < MOST_REPORTS or self._is_given_up)
        self._report(published)

    def _report(self, report: Report) -> None:
        with self._changed:
            self._reports.append(report)
        self._on_news()


class _ClusterAttempt:
    """An attempt as its function sees it: see `RunningAttempt`."""

    __slots__ = ("_order", "_performance")

    def __init__(self, performance: Performance, order: Perform) -> None:
        self._performance = performance
        self._order = order

    @property
    def is_cancelled(self) -> bool:
        return self._performance.is_given_up

    def describe(self) -> Attempt:
        return self._order.attempt

    def beat(self, details: Payload) -> None:
        self._performance.beat(Beat(number=self._order.number, details=details))

    def publish(self, stream: str, value: Payload) -> None:
        self._performance.publish(Published(number=self._order.number, stream=stream, value=value))
