"""What the demonstration sees of the orders: their runs, read as any client may."""

from collections.abc import Sequence
from typing import Final

import msgspec

from perdure.cli.run_report import RunReport, follow_report
from perdure.kernel import events as e
from perdure.ports.store import RunOrder, RunQuery, RunStore

__all__ = ["STAGES", "Destination", "Observation", "OrderProgress", "Snapshot"]

STAGES: Final = ("verify", "pay", "inventory", "ship", "notify")
"""The phases of an order, as the example's workflow declares them."""

_MOST_ORDERS: Final = 1_000


class _Address(msgspec.Struct, frozen=True):
    city: str
    country: str


class Destination(msgspec.Struct, frozen=True):
    """Of an order: its id and where it goes. What else it holds concerns the example only."""

    id: str
    address: _Address

    def __str__(self) -> str:
        """Render as ``Lyon, FR``."""
        return f"{self.address.city}, {self.address.country}"


class OrderProgress(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the view shows it. `stages_begun` counts the phases that it has entered; `worker` began it."""

    id: str
    destination: str
    status: str = ""
    stages_begun: int = 0
    is_closed: bool = False
    note: str = ""
    worker: str = ""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All orders at one moment."""

    orders: tuple[OrderProgress, ...]

    @property
    def closed(self) -> int:
        """How many have ended."""
        return sum(order.is_closed for order in self.orders)

    @property
    def under_way(self) -> int:
        """How many were begun and have not ended."""
        return sum(bool(order.status) and not order.is_closed for order in self.orders)

    def under_way_at(self, process: int) -> int:
        """How many a worker has begun that have not ended, by the number of its process."""
        mine = [order for order in self.orders if order.worker.endswith(f"-{process}")]
        return sum(not order.is_closed for order in mine)


class Observation:
    """Reads the runs of the orders again and again; keeps what it has read."""

    def __init__(self, store: RunStore, destinations: Sequence[Destination]) -> None:
        """Watch the orders with these ids."""
        self._store = store
        self._destinations = destinations
        self.reports: dict[str, RunReport] = {}

    async def look(self) -> Snapshot:
        """Read what is new and return the orders as of now."""
        page = await self._store.list_runs(RunQuery(order=RunOrder.OLDEST_FIRST, limit=_MOST_ORDERS))
        for summary in page.runs:
            report = self.reports.setdefault(summary.ref.id, RunReport(summary=summary))
            if report.state.sequence < summary.sequence:
                await follow_report(self._store, report, summary)
        return Snapshot(orders=tuple(self._progress(destination) for destination in self._destinations))

    def _progress(self, destination: Destination) -> OrderProgress:
        report = self.reports.get(destination.id)
        if report is None:
            return OrderProgress(id=destination.id, destination=str(destination))
        return OrderProgress(
            id=destination.id,
            destination=str(destination),
            status=report.summary.status,
            stages_begun=STAGES.index(report.stage_reached) + 1 if report.stage_reached in STAGES else 0,
            is_closed=report.summary.status.is_closed,
            note=_note(report),
            worker=report.worker,
        )


def _note(report: RunReport) -> str:
    """Return the one thing about a run that is worth a word now."""
    state = report.state
    if isinstance(state.closing, e.RunFailed):
        return "refunded" if "refund_payment" in report.undone else "rejected"
    if state.compensations:
        return "undoing"
    retrying = next((pending for pending in state.activities.values() if pending.attempt > 1), None)
    if retrying is not None and not report.summary.status.is_closed:
        return f"attempt {retrying.attempt}"
    return "recovered" if state.recoveries else ""
