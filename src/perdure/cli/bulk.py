"""`perdure bulk`: one wish for all runs that match, after a look at how many they are."""

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Literal

import msgspec

from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.listing import RunFilter, query_of
from perdure.cli.printing import print_json, printable, reading_progress
from perdure.cli.steering import caller
from perdure.cli.times import parse_duration
from perdure.client.bulk import Bulk, BulkReport
from perdure.errors import UsageError

__all__ = ["BulkOrder", "ask_many"]


class BulkOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What the runs are asked, and how. `is_dry`: only count them. `is_confirmed`: do not ask back."""

    operation: Literal["cancel", "terminate", "suspend", "resume"]
    reason: str = ""
    grace: str | None = None
    is_dry: bool = False
    is_confirmed: bool = False
    as_json: bool = False


async def ask_many(place: Place, chosen: RunFilter, order: BulkOrder) -> int:
    """Ask all runs that match. Raises NoDatabaseError, StoreErrors, UsageError."""
    if order.grace is not None and order.operation != "cancel":
        message = f"--grace belongs to cancel; {order.operation} has none"
        raise UsageError(message)
    grace = None if order.grace is None else parse_duration(order.grace)
    async with as_client(place) as engine:
        query = query_of(place.namespace, chosen, now=engine.worker.clock.now())
        report = await _ask(engine.bulk(query, dry_run=True), order, grace)
        if not order.is_dry and report.found and _is_wanted(report.found, order):
            with reading_progress(order.operation, report.found) as tell:
                on_progress: Callable[[BulkReport], object] = lambda so_far: tell(so_far.handled)  # noqa: E731
                report = await _ask(engine.bulk(query, on_progress=on_progress), order, grace)
    _print(report, place, order)
    return ExitCode.ERROR if report.failures else ExitCode.OK


async def _ask(bulk: Bulk, order: BulkOrder, grace: timedelta | None) -> BulkReport:
    match order.operation:
        case "cancel":
            return await bulk.cancel(order.reason, grace=grace, by=caller())
        case "terminate":
            return await bulk.terminate(order.reason, by=caller())
        case "suspend":
            return await bulk.suspend(order.reason, by=caller())
        case "resume":
            return await bulk.resume(by=caller())


def _is_wanted(found: int, order: BulkOrder) -> bool:
    """Ask back. Raises UsageError where nobody can answer."""
    if order.is_confirmed:
        return True
    if order.as_json or not sys.stdin.isatty():
        message = f"{found} runs match; say --yes to {order.operation} them, or --dry-run to count them only"
        raise UsageError(message)
    print(f"{order.operation} {found} runs? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print(report: BulkReport, place: Place, order: BulkOrder) -> None:
    if order.as_json:
        failures = [{"id": failure.id, "error": str(failure.error)} for failure in report.failures]
        counts = {"found": report.found, "done": report.done, "ended": report.ended}
        print_json({"operation": order.operation, "namespace": place.namespace, **counts, "failures": failures})
        return
    if report.handled == 0:
        print(f"{report.found} runs match; none was asked to {order.operation}.")
        return
    print(f"{report.done} of {report.found} runs were asked to {order.operation}; {report.ended} had ended before.")
    for failure in report.failures:
        print(f"{printable(failure.id)}: {printable(str(failure.error))}")
