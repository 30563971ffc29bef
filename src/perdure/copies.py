"""Copies of a database in use: whole ones (`backup`), ones that follow it (`replicate`), and what is made of them again
(`restore`, to the newest copy or to a point in time).

See docs/how-to/backup.md. The functions serve programs; the commands of the same names serve people.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from perdure.configuration import Settings
from perdure.errors import InvalidArgumentError, StateError
from perdure.kernel.time import timestamp_from_datetime
from perdure.logs import logger_named
from perdure.ports.clock import SystemClock
from perdure.stores.opening import database_path

if TYPE_CHECKING:
    from perdure.stores.sqlite.copies.operations import Copied, Restored
    from perdure.stores.sqlite.copies.points import Point
    from perdure.stores.sqlite.copies.standing import Standing

__all__ = ["DEFAULT_KEEP", "backup", "points_in_time", "replicate", "restore", "start_replication"]

DEFAULT_KEEP: Final = timedelta(days=7)
"""So far back the points in time of a replication reach."""

_LOGGER: Final = logger_named("perdure.copies")

# The store's modules are imported when they are called for: most programs never do.
# ruff: noqa: PLC0415


async def backup(
    url: str, to: str | Path, *, force: bool = False, on_progress: Callable[[int, int], None] | None = None
) -> "Copied":
    """Copy the database at `url`, which may be in use, into the file `to`, and check the copy.

    The copy is the database as it was at one moment after the call. Nobody waits for it. What is damaged in both is
    named (`Copied.damaged`); pages that are never used are logged (`perdure.copies`), too. `force`: replace a file that
    is there, but not if something is damaged that may be whole in it. `on_progress` is told, in another thread, how
    many pages are copied and of how many.

    Raises UsageError for a URL without a file and for the database's own file, StateError if `to` exists or has no
    folder, StoreFullError if there is no room, CopyDamagedError if the copy is not what was copied, StoreCorruptError
    if it is too damaged to be kept, or to replace what is there, and other StoreErrors. Then `to` is as it was.
    """
    from perdure.stores.sqlite.copies.operations import back_up

    return await asyncio.to_thread(
        back_up, database_path(url), Path(to), is_forced=force, on_progress=on_progress or _ignore
    )


async def replicate(
    url: str,
    to: str | Path,
    *,
    every: timedelta = timedelta(seconds=1),
    keep: timedelta = DEFAULT_KEEP,
    standby: bool = False,
    on_round: Callable[["Standing"], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Keep a copy of the database at `url` in the folder `to` until cancelled.

    `every` so often what was committed is added to it: so much can be lost at most with the disk of the database, and
    so far apart are the points in time of the last hour to which it can be restored; in the day before there is one in
    each minute, before that one in each ten minutes. `keep`: they reach so far back, at least. What cannot be written
    is logged (`perdure.copies`) and tried again. `standby`: where another process keeps the copy already, wait until it
    ends, and go on with it; and where none can be begun, try again. `on_round` is told, in another thread, how far the
    copy is after each addition; `on_progress` how many pages of a whole copy are done, and of how many.

    Raises InvalidArgumentError for times that are not positive, UsageError for a URL without a file and for a folder
    with copies of another database, StoreLockedError if another process keeps the copy, and the StoreErrors of opening.
    """
    from perdure.stores.sqlite.copies.following import Following

    if min(every, keep) <= timedelta(0):
        raise InvalidArgumentError(f"replicate: every={every} and keep={keep} must be longer than nothing")
    following = Following(
        database_path(url),
        Path(to),
        clock=SystemClock(),
        every_seconds=every.total_seconds(),
        keep_seconds=keep.total_seconds(),
        on_standing=on_round or _ignore,
        on_progress=on_progress or _ignore,
    )
    with ThreadPoolExecutor(1, thread_name_prefix="perdure-copies") as executor:
        running = asyncio.wrap_future(executor.submit(following.run, waits_for_turn=standby))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            following.stop()
            await running  # its last round
            raise


async def restore(
    source: str | Path,
    to: str | Path,
    *,
    at: datetime | None = None,
    force: bool = False,
    accepts_damaged: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> "Restored":
    """Make the database file `to` of a copy: a file that `backup` made, or a folder that `replicate` made.

    `at`: as it was then, of a folder: the last point taken at or before it; otherwise the newest. `force`: replace a
    database that nobody has open. Everything is checked before the file gets its name. `accepts_damaged`: what was
    damaged already when it was copied (`Copied.damaged`) is restored as it is, and told (`Restored.damaged`); no worker
    goes on with such a run, and nothing opens a database whose tables have lost a column. Pages that are never used are
    restored of a folder in any case, and told.

    Raises CopyDamagedError, which names the newest point that is whole; StateError if there is no such point, or if
    `to` exists or has no folder; StoreLockedError if the database `to` is open; UsageError for a source that is no
    copy; StoreFullError, and other StoreErrors. Then nothing has changed.
    """
    from perdure.stores.sqlite.copies.operations import restore as restore_now

    moment = None if at is None else timestamp_from_datetime(at)
    source = _existing(source)
    return await asyncio.to_thread(
        restore_now,
        source,
        Path(to),
        at=moment,
        is_forced=force,
        accepts_damaged=accepts_damaged,
        now=SystemClock().now(),
        on_progress=on_progress or _ignore,
    )


async def points_in_time(folder: str | Path) -> "list[Point]":
    """Return the points in time to which the copy in a folder can be restored, oldest first.

    They are read off the headers; whether all is whole is seen when one is restored. Raises StateError if there is no
    such folder.
    """
    from perdure.stores.sqlite.copies.points import read_contents

    return (await asyncio.to_thread(read_contents, _existing(folder))).points


def start_replication(url: str, settings: Settings) -> asyncio.Task[None]:
    """Begin to keep the copy that an engine's settings ask for, as soon as no other process does.

    An error that ends it is logged, since the engine goes on.
    """
    every = timedelta(seconds=settings.replicate_every_seconds)
    keep = timedelta(seconds=settings.replicate_keep_seconds)
    copying = replicate(url, settings.replicate_to, every=every, keep=keep, standby=True)
    task = asyncio.get_running_loop().create_task(copying, name="perdure-copies")
    task.add_done_callback(_log_end)
    return task


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOGGER.error("no copy of the database is kept any more: %s", error, exc_info=error)


def _existing(source: str | Path) -> Path:
    source = Path(source)
    if not source.exists():
        raise StateError(f"there is no copy at {source.absolute()}")
    return source


def _ignore(*_facts: object) -> None:
    pass
