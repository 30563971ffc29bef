"""Export: the runs that match a query, whole, with all their generations, into one file."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import msgspec

from perdure.archiving.files import written_whole
from perdure.archiving.line_making import lines_of_runs
from perdure.archiving.origins import with_origins
from perdure.archiving.run_lines import end_line, heading_line
from perdure.errors import HistoryError
from perdure.kernel.identity import RunKey, RunRef
from perdure.ports.clock import Clock
from perdure.ports.keeping import WholeRun
from perdure.ports.store import RunOrder, RunQuery, RunStore, RunSummary

__all__ = ["ExportReport", "export_runs"]

_PAGE_RUNS = 100


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an export wrote: generations of runs, how many of them were open, and their events."""

    runs: int = 0
    open_runs: int = 0
    events: int = 0


async def export_runs(
    store: RunStore,
    clock: Clock,
    path: Path,
    query: RunQuery,
    *,
    decrypts: bool = False,
    replaces: bool = False,
    on_progress: Callable[[int], object] | None = None,
) -> ExportReport:
    """Write all runs that match, oldest first; `on_progress` is told how many were looked at so far.

    Each is as it stands at one moment, not all at the same one. Raises InvalidArgumentError for a file that exists,
    unless it `replaces`, UsageError for a database and its parts, StoreUnavailableError for one that cannot be written,
    HistoryError for a damaged run.
    """
    report = ExportReport()
    written: dict[RunKey, bool] = {}
    async with written_whole(path, replaces=replaces) as write:
        await write([heading_line(now=clock.now())])
        looked_at = 0
        async for latest in _all_runs(store, query):
            async for run in _generations(store, latest, written, decrypts=decrypts):
                await write(await _lines(store, run))
                report = _with(report, run)
                if not latest.status.is_closed:
                    written[run.summary.run_key] = not run.summary.status.is_closed
            looked_at += 1
            if on_progress is not None:
                on_progress(looked_at)
        await write([end_line(report.runs)])
    return report


async def _lines(store: RunStore, run: WholeRun) -> list[bytes]:
    [lines] = await lines_of_runs(await with_origins(store, [run]))
    if isinstance(lines, HistoryError):
        message = f"run {run.summary.ref} cannot be exported: {lines}"
        raise HistoryError(message) from lines
    return lines


async def _all_runs(store: RunStore, query: RunQuery) -> AsyncIterator[RunSummary]:
    """Yield the latest generations; parents come before their children so, and generations in their order."""
    query = msgspec.structs.replace(query, order=RunOrder.OLDEST_FIRST, limit=_PAGE_RUNS, cursor="")
    while True:
        page = await store.list_runs(query)
        for run in page.runs:
            yield run
        if not page.next_cursor:
            return
        query = msgspec.structs.replace(query, cursor=page.next_cursor)


async def _generations(
    store: RunStore, latest: RunSummary, written: Mapping[RunKey, bool], *, decrypts: bool
) -> AsyncIterator[WholeRun]:
    """Yield what is left of the generations of a run, up to the one that was listed, but those that are `written`.

    None of a run that was written open, which that says, and has gone on since: it stands there as it was then.
    """
    keys: list[RunKey] = []
    for generation in range(1, latest.ref.generation):
        ref = RunRef(namespace=latest.ref.namespace, id=latest.ref.id, generation=generation)
        earlier = await store.find(ref, latest=False)
        keys += [] if earlier is None else [earlier.run_key]
    if any(written.get(key) for key in keys):
        return
    for key in (*keys, latest.run_key):
        whole = None if key in written else await store.read_whole(key, decrypts=decrypts)
        if whole is not None:
            yield whole


def _with(report: ExportReport, run: WholeRun) -> ExportReport:
    return ExportReport(
        runs=report.runs + 1,
        open_runs=report.open_runs + (not run.summary.status.is_closed),
        events=report.events + len(run.history),
    )
