"""`perdure export`, `import`, `prune` and `compact`: all their arguments, nothing of what they do."""

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from perdure.cli.arguments import ALL, HERE, DatabaseArguments, Json, RunFilter, Statuses, WorkflowNames

__all__ = ["compact", "export", "import_", "prune"]


def export(
    *,
    to: Annotated[Path, Parameter(help="The file; a name that ends with .gz is compressed.")],
    chosen: RunFilter = ALL,
    decrypt: Annotated[
        bool, Parameter(negative="", help="Write values that are kept secret decrypted; else as they are stored.")
    ] = False,
    force: Annotated[bool, Parameter(negative="", help="Replace the file if it is there.")] = False,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Write runs with all their rows to a file of JSON lines, for `perdure import`."""
    from perdure.cli.archiving import export_runs

    return asyncio.run(export_runs(database.place(), to, chosen, decrypts=decrypt, replaces=force, as_json=json))


def import_(
    files: Annotated[list[Path], Parameter(name="FILES", help="Files of `perdure export`, or folders with archives.")],
    /,
    *,
    with_open: Annotated[
        bool,
        Parameter(
            name="--open",
            negative="",
            help="Take in open runs, too: they go on here, so see to it that they do not go on where they are from.",
        ),
    ] = False,
    skip_existing: Annotated[
        bool, Parameter(negative="", help="Pass over runs whose id another run has, without an error.")
    ] = False,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Take in exported or archived runs; those that are there already are left alone.

    Exit code 1 if a run could not be taken in, or a file is damaged.
    """
    from perdure.cli.archiving import import_runs

    return asyncio.run(
        import_runs(database.place(), files, takes_open=with_open, skips_existing=skip_existing, as_json=json)
    )


def prune(
    *,
    older_than: Annotated[str, Parameter(help="Runs that ended longer ago, for example 30d.")],
    status: Statuses = None,
    workflow: WorkflowNames = None,
    keep_newest: Annotated[int, Parameter(help="Of each workflow so many of the newest closed runs stay.")] = 0,
    archive: Annotated[
        Path | None, Parameter(help="A folder: the runs are written to a new file there before they are removed.")
    ] = None,
    no_archive: Annotated[bool, Parameter(negative="", help="Do not keep them anywhere.")] = False,
    dry_run: Annotated[bool, Parameter(negative="", help="Count them, and remove none.")] = False,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Remove closed runs with all their rows, and archive them before; what an open run needs stays.

    Their ids, and the request ids of calls to them, are free then.
    """
    from perdure.cli.archiving import PruneOrder, prune_runs

    order = PruneOrder(
        older_than=older_than,
        statuses=tuple(status or ()),
        workflows=tuple(workflow or ()),
        newest=keep_newest,
        archive=archive,
        has_no_archive=no_archive,
        is_dry=dry_run,
        as_json=json,
    )
    return asyncio.run(prune_runs(database.place(), order))


def compact(
    *,
    accept_lost_pages: Annotated[
        bool,
        Parameter(negative="", help="Give back also pages that nothing leads to, on which rows may have been."),
    ] = False,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Give the free pages of the database back to the disk, if nothing is damaged; nobody else may have it open."""
    from perdure.cli.archiving import compact_database

    return compact_database(database.place(), accepts_lost_pages=accept_lost_pages, as_json=json)
