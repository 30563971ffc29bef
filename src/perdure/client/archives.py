"""Runs that leave the database and come back, as programs and operators see them: ``engine.archive``."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import msgspec

from perdure.archiving.exporting import ExportReport, export_runs
from perdure.archiving.files import Archive
from perdure.archiving.importing import ImportReport, import_runs
from perdure.archiving.pruning import PruneReport, Pruning, Selection
from perdure.authoring.arguments import require_choice, require_duration, require_integer, require_text
from perdure.client.gateway import Gateway, require_outside
from perdure.configuration import Retention
from perdure.errors import InvalidArgumentError
from perdure.kernel.transition import CLOSED_STATUSES, RunStatus
from perdure.ports.store import Changes, RunQuery

__all__ = ["Archives", "ExportReport", "ImportReport", "PruneReport"]


class Archives:
    """Exports, imports and removes runs of one namespace."""

    def __init__(self, open_gateway: Callable[[], Gateway], namespace: str) -> None:
        """Work through the gateway of an open client."""
        self._open = open_gateway
        self._namespace = namespace

    async def export_runs(
        self,
        file: Path | str,
        query: RunQuery | None = None,
        *,
        decrypts: bool = False,
        replaces: bool = False,
        on_progress: Callable[[int], object] | None = None,
    ) -> ExportReport:
        """Write the runs that match (None: all), with all their generations, to a file; it is durable then.

        A name that ends with ``.gz`` is compressed. Values that a codec keeps secret stay as they are stored, unless
        this `decrypts` them. `replaces`: a file of this name is replaced. `on_progress` is told how many runs of the
        query are done. Open runs are written as they stand; they go on here.

        Raises InvalidArgumentError for a file that exists, UsageError for a database and its parts, StoreErrors: then
        nothing has changed.
        """
        gateway = self._gateway()
        return await export_runs(
            gateway.store,
            gateway.clock,
            _path(file, "file"),
            msgspec.structs.replace(query or RunQuery(), namespace=self._namespace),
            decrypts=decrypts,
            replaces=replaces,
            on_progress=on_progress,
        )

    async def import_runs(
        self,
        *files: Path | str,
        takes_open: bool = False,
        on_progress: Callable[[int], object] | None = None,
    ) -> ImportReport:
        """Take in the runs of exported files, and of folders with archives, into their own namespaces.

        Each run comes in whole or not at all; one that is there already is left alone, one whose id another run has is
        refused. Open runs come only if this `takes_open`: they go on here at once, their timers due when they were, so
        make sure that they do not go on where they were exported. `on_progress` is told how many bytes are read.

        Raises InvalidArgumentError for a file that is not there, StoreErrors; what had come in by then stays.
        """
        gateway = self._gateway()
        paths = [_path(file, "files") for file in files]
        try:
            return await import_runs(gateway.store, paths, takes_open=takes_open, on_progress=on_progress)
        finally:
            gateway.hear(Changes(ready=True, everything=True))  # the store tells others only

    async def prune(
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
        """Remove runs that ended longer ago than `older_than`, with all their rows, for good.

        Only of these `statuses` and `workflows`; of each workflow the `newest` so many stay. They are first written to
        a new file in the folder `archive`; None: they are lost. What an open run needs stays, and so does what a start
        by a key is still answered with. `dry_run`: count them only, damaged ones that would stay, too.
        `on_progress` is told the report so far.

        Their ids and request ids are free afterwards: the same call made again later is a new one.

        Another's short pass is waited for, such as the first one of an engine's retention, and for up to a minute the
        end of one whose process has died.

        Raises InvalidArgumentError, StoreLockedError if another has been at it for half a minute and goes on, and
        StoreErrors; what was removed until then is in the archive.
        """
        gateway = self._gateway()
        require_duration(older_than, "older_than", may_be_zero=True)
        require_integer(newest, "newest", least=0)
        chosen = Selection(
            namespace=self._namespace,
            statuses=frozenset(_closed_status(status) for status in statuses),
            workflows=frozenset(require_text(name, "workflows (names)") for name in workflows),
        )
        pruning = Pruning(gateway.store, gateway.clock, Retention(keep=older_than, newest=newest), chosen)
        if dry_run:
            return await pruning.count()
        files = None if archive is None else Archive(_path(archive, "archive"))
        try:
            return await pruning.run(
                holder=f"session {gateway.worker_id}",
                archive=files,
                waits=True,
                on_progress=on_progress,
            )
        finally:
            if files is not None:
                files.close()

    def _gateway(self) -> Gateway:
        require_outside()
        return self._open()


def _path(value: object, subject: str) -> Path:
    if isinstance(value, str | Path) and str(value):
        return Path(value)
    message = f"{subject}: {value!r:.60} is no path"
    raise InvalidArgumentError(message)


def _closed_status(value: object) -> RunStatus:
    status = require_choice(value, RunStatus, "statuses")
    if status not in CLOSED_STATUSES:
        message = f"statuses: {status}: runs that have not ended are never removed"
        raise InvalidArgumentError(message)
    return status
