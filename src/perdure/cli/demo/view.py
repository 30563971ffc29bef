"""The demonstration while it runs: a live table on a terminal, lines elsewhere, nothing for programs."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self

from perdure.cli.demo.observation import STAGES, OrderProgress, Snapshot
from perdure.cli.printing import make_console, make_table, printable, shortened, words

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

__all__ = ["View", "make_view"]


class View(Protocol):
    """Shows what happens; used as a context manager."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End."""
        ...

    def show(self, snapshot: Snapshot) -> None:
        """Show the orders as of now."""
        ...

    def tell(self, news: str) -> None:
        """Tell what happened to the worker."""
        ...


def make_view(*, is_quiet: bool) -> View:
    """Return the view that fits standard output."""
    if is_quiet:
        return _QuietView()
    return _LiveView() if sys.stdout.isatty() else _PlainView()


class _QuietView:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing was begun."""

    def show(self, snapshot: Snapshot) -> None:
        """Keep quiet."""

    def tell(self, news: str) -> None:
        """Keep quiet."""


class _PlainView(_QuietView):
    """Prints a line for each order that has ended, and for what happens to the worker."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._ended: set[str] = set()

    def show(self, snapshot: Snapshot) -> None:
        for order in snapshot.orders:
            if order.is_closed and order.id not in self._ended:
                self._ended.add(order.id)
                self.tell(f"{order.id} {order.note if order.status == 'failed' else order.status}")

    def tell(self, news: str) -> None:
        print(f"{time.monotonic() - self._begun:6.1f} s  {printable(news)}", flush=True)


class _LiveView:
    """Redraws a table of all orders, or of as many as the terminal has room for."""

    def __init__(self) -> None:
        from rich.live import Live

        self._begun = time.monotonic()
        self._console = make_console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._marks = _marks_for(self._console.encoding)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        self._live.update(self._drawn(snapshot), refresh=True)

    def tell(self, news: str) -> None:
        line = f"{time.monotonic() - self._begun:6.1f} s  {news}"
        self._live.console.print(words(line, "bold red" if "killed" in news else "bold"))

    def _drawn(self, snapshot: Snapshot) -> "RenderableType":
        table = make_table("order", "to", *STAGES, "")
        for order in _fitting(snapshot.orders, self._console.height - _LINES_AROUND):
            cells = [self._cell(order, index) for index in range(len(STAGES))]
            table.add_row(
                words(order.id),
                words(shortened(order.destination, _DESTINATION_CHARACTERS)),
                *cells,
                words(order.note, "yellow"),
            )
        table.caption = (
            f"{time.monotonic() - self._begun:.0f} s: {snapshot.closed} of {len(snapshot.orders)} orders ended"
        )
        table.caption_justify = "left"
        return table

    def _cell(self, order: OrderProgress, index: int) -> "Text":
        phase = _phase(order, index)
        return words(self._marks[phase], _STYLES[phase])


_LINES_AROUND: Final = 8
_DESTINATION_CHARACTERS: Final = 18
_STYLES: Final = {"done": "green", "now": "cyan", "failed": "red", "to come": "dim"}


def _marks_for(encoding: str) -> dict[str, str]:
    """Return the marks of a phase that the terminal can show."""
    try:
        "●◐✗·".encode(encoding)
    except UnicodeEncodeError:
        return dict(zip(_STYLES, "+ox.", strict=True))
    return dict(zip(_STYLES, "●◐✗·", strict=True))


def _fitting(orders: tuple[OrderProgress, ...], room: int) -> list[OrderProgress]:
    """Return the orders there is room for: those under way before those to come, before those that have ended."""
    if len(orders) <= room:
        return list(orders)
    wanted = sorted(orders, key=lambda order: (order.is_closed, not order.status))[: max(room, 1)]
    return [order for order in orders if order in wanted]


def _phase(order: OrderProgress, index: int) -> str:
    """Return how far an order is with the phase of this index."""
    last = order.stages_begun - 1
    if index > last or not order.status:
        return "to come"
    if index < last or order.status == "completed":
        return "done"
    return "failed" if order.is_closed or order.note == "undoing" else "now"
