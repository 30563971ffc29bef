"""The synchronous façade of exports, imports and removals."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

from perdure.client.archives import Archives, ExportReport, ImportReport, PruneReport
from perdure.client.loop_thread import LoopThread
from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunQuery

__all__ = ["SyncArchives"]


class SyncArchives:
    """The operations of `Archives`, waiting instead of awaiting. `on_progress` is called in the engine's thread."""

    def __init__(self, loop: LoopThread, archives: Archives) -> None:
        """Build from parts; `SyncClient.archive` returns it."""
        self._loop = loop
        self._archives = archives

    def export_runs(
        self,
        file: Path | str,
        query: RunQuery | None = None,
        *,
        decrypts: bool = False,
        replaces: bool = False,
        on_progress: Callable[[int], object] | None = None,
    ) -> ExportReport:
        """Write runs to a file; see `Archives.export_runs`."""
        call = self._archives.export_runs(file, query, decrypts=decrypts, replaces=replaces, on_progress=on_progress)
        return self._loop.call(call)

    def import_runs(
        self, *files: Path | str, takes_open: bool = False, on_progress: Callable[[int], object] | None = None
    ) -> ImportReport:
        """Take in the runs of files; see `Archives.import_runs`."""
        return self._loop.call(self._archives.import_runs(*files, takes_open=takes_open, on_progress=on_progress))

    def prune(
        self,
        *,
        older_than: timedelta,
        statuses: Iterable[RunStatus | str] = (),
        workflows: Iterable[str] = (),
        newest: int = 0,
        archive: Path | str | None,
        dry_run: bool = False,
        on_progress: Callable[[PruneReport], object] | None = None,
    ) -> PruneReport:
        """Remove closed runs; see `Archives.prune`."""
        call = self._archives.prune(
            older_than=older_than,
            statuses=statuses,
            workflows=workflows,
            newest=newest,
            archive=archive,
            dry_run=dry_run,
            on_progress=on_progress,
        )
        return self._loop.call(call)
