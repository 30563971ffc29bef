"""`perdure export`, `import`, `prune` and `compact`: runs that leave a database and come back, and its free pages."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from perdure.archiving.files import run_files
from perdure.cli.arguments import RunFilter
from perdure.cli.database import Place, as_client, demand_url, payloads_from_environment, require_database
from perdure.cli.exits import ExitCode
from perdure.cli.listing import query_of
from perdure.cli.printing import print_json, printable, progress_shown, sized_progress_shown
from perdure.cli.times import parse_duration
from perdure.client.archives import ImportReport, PruneReport
from perdure.engine import Engine
from perdure.errors import UsageError
from perdure.kernel.transition import RunStatus
from perdure.stores.opening import compact_store, is_on_a_server

__all__ = ["PruneOrder", "compact_database", "export_runs", "import_runs", "prune_runs"]


async def export_runs(
    place: Place, file: Path, chosen: RunFilter, *, decrypts: bool, replaces: bool, as_json: bool
) -> int:
    """Write the runs that match. Raises NoDatabaseError, StoreErrors, UsageError."""
    async with as_client(place) as engine:
        query = query_of(place.namespace, chosen, now=engine.worker.clock.now())
        with progress_shown("exporting runs", await engine.count_runs(query)) as tell:
            report = await engine.archive.export_runs(
                file, query, decrypts=decrypts, replaces=replaces, on_progress=tell
            )
    if as_json:
        print_json({"file": str(file), "namespace": place.namespace, **msgspec.structs.asdict(report)})
    else:
        are_open = f", {report.open_runs} of them open," if report.open_runs else ""
        print(f"{report.runs} runs{are_open} with {report.events} events are in {printable(str(file))}")
    return ExitCode.OK


async def import_runs(
    place: Place, files: Sequence[Path], *, takes_open: bool, skips_existing: bool, as_json: bool
) -> int:
    """Take in runs. Raises StoreErrors, UsageError."""
    total = sum(path.stat().st_size for path in run_files(files))
    async with _as_importer(place) as engine:
        with progress_shown("importing (bytes)", total) as tell:
            report = await engine.archive.import_runs(*files, takes_open=takes_open, on_progress=tell)
    if as_json:
        print_json(report)
    else:
        _print_import(report, skips_existing=skips_existing)
    is_whole = report.damaged == 0 and (skips_existing or report.refused == 0)
    return ExitCode.OK if is_whole else ExitCode.ERROR


@asynccontextmanager
async def _as_importer(place: Place) -> AsyncIterator[Engine]:
    """Open a database, or make it: values that cannot be read here are an error, not left as they are."""
    demand_url(place.url)
    payloads = payloads_from_environment()
    async with Engine(place.url, namespace=place.namespace, works=False, payloads=payloads) as engine:
        yield engine


def _print_import(report: ImportReport, *, skips_existing: bool) -> None:
    print(f"{report.imported} runs with {report.events} events were taken in.")
    if report.present:
        print(f"{report.present} were there already.")
    if report.left_open:
        print(f"{report.left_open} are open and were left out: with --open they are taken in, and go on here.")
    if report.refused:
        end = "." if skips_existing else ":"
        print(f"{report.refused} were not taken in{end}")
        for refusal in () if skips_existing else report.refusals:
            print(f"  {printable(refusal.run)}: {printable(refusal.reason)}")
    if report.damaged:
        print(f"{report.damaged} places are damaged; what they belong to was not taken in:")
        for damage in report.damages:
            name = f" (run {printable(damage.run)})" if damage.run else ""
            print(f"  {printable(damage.reason)}{name}")


class PruneOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs are removed, and where they go."""

    older_than: str
    statuses: tuple[RunStatus, ...]
    workflows: tuple[str, ...]
    newest: int
    archive: Path | None
    has_no_archive: bool
    is_dry: bool
    as_json: bool


async def prune_runs(place: Place, order: PruneOrder) -> int:
    """Remove runs. Raises NoDatabaseError, StoreErrors, UsageError."""
    if not order.is_dry and (order.archive is None) != order.has_no_archive:
        message = "say where the runs are kept, --archive FOLDER, or that they are not: --no-archive"
        raise UsageError(message)
    async with as_client(place) as engine:
        report = await _prune(engine, order, is_dry=True)
        if not order.is_dry:
            with progress_shown("removing runs", report.runs) as tell:
                report = await _prune(engine, order, on_progress=lambda so_far: tell(so_far.runs))
    if order.as_json:
        print_json({"namespace": place.namespace, "dry_run": order.is_dry, **msgspec.structs.asdict(report)})
    elif order.is_dry:
        print(f"{report.runs} runs with {report.events} events would be removed. None was.")
    else:
        where = "" if order.archive is None else f"; {report.archived_bytes} bytes were added to {order.archive}"
        print(printable(f"{report.runs} runs with {report.events} events were removed{where}"))
    if report.unreadable and not order.as_json:
        for refusal in report.refusals:
            print(printable(f"{refusal.run}: {refusal.reason}"))
        print(f"{report.unreadable} runs are damaged, and stay. See `perdure verify`.")
    return ExitCode.ERROR if report.unreadable else ExitCode.OK


async def _prune(
    engine: Engine,
    order: PruneOrder,
    *,
    is_dry: bool = False,
    on_progress: Callable[[PruneReport], object] | None = None,
) -> PruneReport:
    return await engine.archive.prune(
        older_than=parse_duration(order.older_than),
        statuses=order.statuses,
        workflows=order.workflows,
        newest=order.newest,
        archive=order.archive,
        dry_run=is_dry,
        on_progress=on_progress,
    )


def compact_database(place: Place, *, accepts_lost_pages: bool, as_json: bool) -> int:
    """Give free pages back. Raises NoDatabaseError, StoreErrors, UsageError."""
    if not is_on_a_server(place.url):
        require_database(place.url)
    with sized_progress_shown("compacting") as tell:
        done = compact_store(place.url, accepts_lost_pages=accepts_lost_pages, on_progress=tell)
    if as_json:
        print_json(done)
    else:
        print(f"{done.bytes_before} bytes before, {done.bytes_after} now")
    return ExitCode.OK
