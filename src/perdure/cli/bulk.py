"""`perdure bulk`: one wish for all runs that match, after a look at how many they are."""

import asyncio
import sys
from typing import Literal

import msgspec

from perdure.cli.arguments import RunFilter
from perdure.cli.code import import_module
from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.listing import query_of
from perdure.cli.printing import print_json, printable, progress_shown
from perdure.cli.repair_commands import NOWHERE, PointArguments
from perdure.cli.repairing import options_of
from perdure.cli.steering import caller
from perdure.cli.times import parse_duration
from perdure.client.bulk import Bulk, BulkReport
from perdure.errors import UsageError
from perdure.kernel.time import Timestamp
from perdure.ports.store import RunQuery

__all__ = ["BulkOrder", "ask_many"]


class BulkOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What the runs are asked, and how. `is_dry`: only count them. `is_confirmed`: do not ask back."""

    operation: Literal["cancel", "terminate", "suspend", "resume", "retry", "reset"]
    reason: str = ""
    grace: str | None = None
    point: PointArguments = NOWHERE
    version: str | None = None
    apps: tuple[str, ...] = ()
    is_dry: bool = False
    is_confirmed: bool = False
    as_json: bool = False


def ask_many(place: Place, chosen: RunFilter, order: BulkOrder) -> int:
    """Ask all runs that match. Raises NoDatabaseError, StoreErrors, UsageError.

    Whoever calls is asked back between two openings of the database: an event loop would take the first interrupt for
    itself. The runs that are asked are those of which the question told, without any that came later.
    """
    _require_sound(order)
    for app in order.apps:
        import_module(app, asked_by=f"--app {app}")
    query, report = asyncio.run(_count(place, chosen, order))
    if not order.is_dry and report.found and _is_wanted(report.found, order):
        report = asyncio.run(_ask_all(place, query, report.found, order))
    _print(report, place, order)
    return ExitCode.ERROR if report.failures else ExitCode.OK


def _require_sound(order: BulkOrder) -> None:
    if order.grace is not None and order.operation != "cancel":
        message = f"--grace belongs to cancel; {order.operation} has none"
        raise UsageError(message)
    if order.point != NOWHERE and order.operation != "reset":
        message = f"a point from which runs go on belongs to reset; {order.operation} has none"
        raise UsageError(message)
    if (order.version is not None or order.apps) and order.operation not in ("retry", "reset"):
        message = f"--version and --app belong to retry and reset; {order.operation} has none"
        raise UsageError(message)


async def _count(place: Place, chosen: RunFilter, order: BulkOrder) -> tuple[RunQuery, BulkReport]:
    async with as_client(place) as engine:
        now = engine.worker.clock.now()
        query = msgspec.structs.replace(query_of(place.namespace, chosen, now=now), created_until=now)
        return query, await _ask(engine.bulk(query, dry_run=True), order, now=now)


async def _ask_all(place: Place, query: RunQuery, found: int, order: BulkOrder) -> BulkReport:
    async with as_client(place) as engine:
        now = engine.worker.clock.now()
        with progress_shown(order.operation, found) as tell:
            return await _ask(engine.bulk(query, on_progress=lambda so_far: tell(so_far.handled)), order, now=now)


async def _ask(bulk: Bulk, order: BulkOrder, *, now: Timestamp) -> BulkReport:
    match order.operation:
        case "cancel":
            grace = None if order.grace is None else parse_duration(order.grace)
            return await bulk.cancel(order.reason, grace=grace, by=caller())
        case "terminate":
            return await bulk.terminate(order.reason, by=caller())
        case "suspend":
            return await bulk.suspend(order.reason, by=caller())
        case "resume":
            return await bulk.resume(by=caller())
        case "retry":
            return await bulk.retry(order.reason, by=caller(), version=order.version)
        case "reset":
            return await bulk.reset(
                order.reason, **options_of(order.point, now=now, version=order.version, drops_signals=False)
            )


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
    if order.is_dry and order.operation in _DONE:
        print(f"{report.found} runs match; {report.done} of them can be {_DONE[order.operation]}. None was.")
    elif report.handled == 0:
        print(f"{report.found} runs match; none was asked to {order.operation}.")
    else:
        what = _DONE.get(order.operation, f"asked to {order.operation}")
        print(f"{report.done} of {report.found} runs were {what}; {report.ended} had ended before.")
    for failure in report.failures:
        print(f"{printable(failure.id)}: {printable(str(failure.error))}")


_DONE = {"retry": "retried", "reset": "reset"}
