"""`perdure dev`: a database to develop on, with a worker on it if a module is named, until it is told to stop."""

import asyncio
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from perdure.cli.database import DEFAULT_URL, Place, url_of
from perdure.cli.exits import ExitCode
from perdure.cli.printing import print_json_line
from perdure.cli.working import WorkOrder, work
from perdure.errors import UsageError
from perdure.local_postgres import LocalPostgres

__all__ = ["DevelopmentOrder", "develop"]


class DevelopmentOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be there: a worker of `app` (empty: none), on which kind of database, kept in which folder."""

    app: str = ""
    on_postgres: bool = False
    folder: Path | None = None
    has_tcp: bool = False
    as_json: bool = False


def develop(order: DevelopmentOrder, *, log: str) -> int:
    """Serve until a signal comes. Raises UsageError, LocalPostgresError, and the errors of opening the database."""
    if not order.app and not order.on_postgres:
        raise UsageError("nothing to do: name a module, for a worker, or say --postgres, for a server, or both")
    if order.has_tcp and not order.on_postgres:
        raise UsageError("--tcp is for a server: say --postgres, too")
    with _database(order) as url:
        _tell(order, url)
        if order.app:
            return work(Place(url=url), WorkOrder(app=order.app, as_json=order.as_json), log=log)
        asyncio.run(_signalled())
    return ExitCode.OK


async def _signalled() -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


@contextmanager
def _database(order: DevelopmentOrder) -> Iterator[str]:
    if order.on_postgres:
        with LocalPostgres(order.folder or _FOLDER / "postgres", tcp=order.has_tcp) as server:
            yield server.url()
    elif order.folder is None:
        yield DEFAULT_URL
    else:
        order.folder.mkdir(parents=True, exist_ok=True)
        yield url_of(order.folder / "perdure.db")


def _tell(order: DevelopmentOrder, url: str) -> None:
    if order.as_json:
        print_json_line({"url": url})
        sys.stdout.flush()
        return
    print("The database stays when this ends. Elsewhere, for the other commands:")
    print(f"  export PERDURE_URL={shlex.quote(url)}", flush=True)
    if not order.app:
        print("Stop the server by Ctrl-C or SIGTERM.", flush=True)


_FOLDER: Final = Path(".perdure")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
