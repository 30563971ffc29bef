"""`perdure doctor`: what an operator would check by hand, each check with its finding and, where it is bad, advice.

The checks of the installation need no database. Those of the database open it as every engine does, so that whatever
keeps an engine from opening it is found and named; only then it is looked into.
"""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Final

import apsw

from perdure.cli.agenda_check import agenda_check
from perdure.cli.code import import_module
from perdure.cli.code_checks import code_checks
from perdure.cli.copies_check import copies_checks
from perdure.cli.database import Place, as_client, require_database, store_of
from perdure.cli.exits import ExitCode
from perdure.cli.finding import Check, Verdict
from perdure.cli.free_pages import free_pages_check
from perdure.cli.open_runs import OpenRuns, read_open_runs
from perdure.cli.printing import make_table, print_for_people, print_json, progress_shown, words
from perdure.cli.server_examination import server_checks
from perdure.cli.sizes import show_size
from perdure.engine import Engine
from perdure.errors import StoreError
from perdure.ports.store import StoreStatus
from perdure.stores.opening import is_on_a_server
from perdure.stores.postgres.connection import driver_version
from perdure.stores.sqlite.connection import demand_sound_sqlite, open_reading, open_writing, pragma
from perdure.stores.sqlite.integrity import faults, is_of_unused_page
from perdure.stores.sqlite.locks import demand_file_locks
from perdure.stores.sqlite.onlookers import onlookers
from perdure.stores.sqlite.presence import sidecar_folder
from perdure.stores.sqlite.settings import SqliteSettings

__all__ = ["Check", "Verdict", "examine"]


async def examine(
    place: Place, *, apps: Sequence[str] = (), replays_all: bool = False, is_quick: bool = False, as_json: bool
) -> int:
    """Print all checks; return ERROR if one has failed. Raises UsageError for a URL that names no database, and without
    the driver of one.

    `apps`: modules that define workflows, which are compared with the open runs: with all that `replays_all`, else with
    so many of the oldest. `is_quick`: leave out what reads the whole database.
    """
    for app in apps:
        import_module(app, asked_by="--app")
    checks = [*_installation(), *_needed_by(place.url)]
    try:
        path = None if is_on_a_server(place.url) else require_database(place.url)
        if path is not None:
            checks += [_folder(path), _space(path)]
        async with as_client(place) as engine:
            looked = _server(engine) if path is None else _database(engine, path.resolve(), is_quick=is_quick)
            checks += [check async for check in looked]
            replayed = None if replays_all else _REPLAYED_RUNS
            runs = await read_open_runs(engine, most=replayed, rows=_QUICK_ROWS if is_quick else None)
            checks.append(_runs(await engine.count_runs(), runs, has_workers=_has_workers(checks)))
            checks += _damaged(runs)
            if path is not None:
                checks += copies_checks(path.resolve(), now=engine.worker.clock.now())
            checks += [check async for check in code_checks(engine, runs, has_code=bool(apps))]
    except StoreError as error:
        checks.append(Check(name="database", verdict=Verdict.FAIL, finding=type(error).__name__, advice=str(error)))
    worst = max(checks, key=lambda check: _GRAVITY[check.verdict]).verdict
    if as_json:
        print_json({"verdict": worst, "checks": checks})
    else:
        _print_for_people(checks)
    return ExitCode.ERROR if worst is Verdict.FAIL else ExitCode.OK


_REPLAYED_RUNS: Final = 1_000
_QUICK_ROWS: Final = 10_000
_GRAVITY: Final = {Verdict.OK: 0, Verdict.WARN: 1, Verdict.FAIL: 2}
_STYLES: Final = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


def _print_for_people(checks: list[Check]) -> None:
    table = make_table("check", "", "finding", "advice")
    for check in checks:
        table.add_row(
            words(check.name), words(check.verdict, _STYLES[check.verdict]), words(check.finding), words(check.advice)
        )
    print_for_people(table)


# --- the installation ------------------------------------------------------------------------------------------------

_OLDEST_PYTHON: Final = (3, 11)


def _installation() -> Iterator[Check]:
    yield Check(name="perdure", verdict=Verdict.OK, finding=version("perdure"))
    python = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info >= _OLDEST_PYTHON:
        yield Check(name="python", verdict=Verdict.OK, finding=python)
    else:
        yield Check(name="python", verdict=Verdict.FAIL, finding=python, advice="use Python 3.11 or newer")


def _needed_by(url: str) -> Iterator[Check]:
    if is_on_a_server(url):
        yield Check(name="asyncpg", verdict=Verdict.OK, finding=driver_version())
        return
    yield _demanded("sqlite", f"{apsw.sqlite_lib_version()} (apsw {apsw.apsw_version()})", demand_sound_sqlite)
    yield _demanded("file locks", "flock works on this platform", demand_file_locks)


def _demanded(name: str, finding: str, demand: Callable[[], None]) -> Check:
    try:
        demand()
    except Exception as error:  # noqa: BLE001 - whatever is missing, the table says it
        return Check(name=name, verdict=Verdict.FAIL, finding=finding, advice=str(error))
    return Check(name=name, verdict=Verdict.OK, finding=finding)


# --- the file and its surroundings -----------------------------------------------------------------------------------

_SCARCE_BYTES: Final = 1_000_000_000
_EMPTY_BYTES: Final = 50_000_000
_LARGE_LOG_BYTES: Final = 2 * SqliteSettings().long_log_bytes


def _folder(path: Path) -> Check:
    """Whether the lock files beside the database can be made and locked."""
    folder = sidecar_folder(path.resolve())
    if not folder.is_dir():
        return Check(name="lock files", verdict=Verdict.OK, finding=f"none yet; they will be in {folder}")
    files = sorted(entry.name for entry in folder.iterdir())
    try:
        for entry in folder.iterdir():
            if entry.suffix == ".lock":
                with entry.open("r+b"):
                    pass
    except OSError as error:
        advice = "give the user that runs the engine the right to read and write this folder and its files"
        return Check(name="lock files", verdict=Verdict.FAIL, finding=str(error), advice=advice)
    return Check(name="lock files", verdict=Verdict.OK, finding=f"{len(files)} files in {folder}")


def _space(path: Path) -> Check:
    free = shutil.disk_usage(path.resolve().parent).free
    finding = f"{show_size(free)} free beside {path}"
    if free < _EMPTY_BYTES:
        return Check(
            name="disk space",
            verdict=Verdict.FAIL,
            finding=finding,
            advice="make room: commits will fail when it is full",
        )
    if free < _SCARCE_BYTES:
        return Check(name="disk space", verdict=Verdict.WARN, finding=finding, advice="make room soon")
    return Check(name="disk space", verdict=Verdict.OK, finding=finding)


# --- the database, open ----------------------------------------------------------------------------------------------


async def _server(engine: Engine) -> AsyncIterator[Check]:
    status = await store_of(engine).status()
    yield _facts(status)
    for check in server_checks(status):
        yield check
    yield await agenda_check(engine)


async def _database(engine: Engine, path: Path, *, is_quick: bool) -> AsyncIterator[Check]:
    status = await store_of(engine).status()
    yield _facts(status)
    yield free_pages_check(status)
    yield _log(path)
    yield await asyncio.to_thread(_settings, path)
    yield await _integrity(path, is_quick=is_quick)
    yield await asyncio.to_thread(_sessions, path, int(engine.worker.worker_id))
    yield await agenda_check(engine)


def _facts(status: StoreStatus) -> Check:
    finding = f"{status.location}, {show_size(status.size_bytes)}, schema version {status.schema_version}"
    return Check(name="database", verdict=Verdict.OK, finding=finding)


def _log(path: Path) -> Check:
    log = path.with_name(f"{path.name}-wal")
    size = log.stat().st_size if log.exists() else 0
    if size > _LARGE_LOG_BYTES:
        readers = ", ".join(onlookers(path)) or "none that can be seen now"
        advice = f"it grows while somebody reads for long: end that; who reads now: {readers}"
        return Check(name="log", verdict=Verdict.WARN, finding=show_size(size), advice=advice)
    return Check(name="log", verdict=Verdict.OK, finding=show_size(size))


def _settings(path: Path) -> Check:
    """Set and read back on a connection of our own, as the writer of every engine does for its own."""
    connection = open_writing(path, settings=SqliteSettings())
    try:
        found = {name: str(pragma(connection, name)) for name in ("journal_mode", "synchronous", "foreign_keys")}
    finally:
        connection.close()
    finding = ", ".join(f"{name} {_READABLE.get((name, value), value)}" for name, value in found.items())
    if found == _EXPECTED:
        return Check(name="settings", verdict=Verdict.OK, finding=finding)
    return Check(
        name="settings", verdict=Verdict.FAIL, finding=finding, advice="commits may not be durable: report this"
    )


_EXPECTED: Final = {"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"}
_READABLE: Final = {("synchronous", "2"): "full", ("foreign_keys", "1"): "on"}


async def _integrity(path: Path, *, is_quick: bool) -> Check:
    if is_quick:
        return Check(name="integrity", verdict=Verdict.OK, finding="left out, as --quick says")
    title = f"checking {show_size(path.stat().st_size)}; --quick leaves this out"  # noqa: ASYNC240 - it is there
    with progress_shown(title, 1) as tell:
        checking = asyncio.ensure_future(asyncio.to_thread(_check_integrity, path))
        while not checking.done():
            await asyncio.wait({checking}, timeout=_SHOWN_EVERY_SECONDS)
            tell(int(checking.done()))
    return checking.result()


_SHOWN_EVERY_SECONDS: Final = 0.2
_FAULTS_TOLD: Final = 5


def _check_integrity(path: Path) -> Check:
    try:
        with closing(open_reading(path, settings=SqliteSettings())) as connection:
            found = list(islice(faults(connection, check="quick_check"), _FAULTS_TOLD))
    except apsw.Error as error:
        found = [str(error)]
    if not found:
        return Check(name="integrity", verdict=Verdict.OK, finding="quick_check found nothing")
    advice = "stop the engines, keep a copy of the file with its -wal, and restore a backup"
    if is_of_unused_page(found[0]):  # then nothing else is found
        advice = "rows may have been on them: see `perdure verify`, and what `perdure compact` says of them"
    return Check(name="integrity", verdict=Verdict.FAIL, finding="; ".join(found), advice=advice)


def _sessions(path: Path, own: int) -> Check:
    """Who else has the database open: every live session holds the lock of its file."""
    connection = open_reading(path, settings=SqliteSettings())
    try:
        rows = [*connection.execute("SELECT worker_id, name, pid FROM sessions ORDER BY worker_id")]
    finally:
        connection.close()
    alive: list[str] = []
    dead: list[str] = []
    for number, name, pid in rows:
        if number != own:
            (alive if _holds_its_lock(path, number) else dead).append(f"{name} (process {pid})")
    finding = f"alive: {', '.join(alive)}" if alive else "none but this command"
    if dead:
        advice = "their runs go to the next worker that opens the database or renews its lease"
        return Check(
            name="sessions", verdict=Verdict.WARN, finding=f"{finding}; dead: {', '.join(dead)}", advice=advice
        )
    return Check(name="sessions", verdict=Verdict.OK, finding=finding)


def _holds_its_lock(path: Path, session: int) -> bool:
    """Whether a session's process lives. The lock is asked for shared, so that two who ask do not meet."""
    import fcntl  # Windows lacks it; the check of file locks has said so by then

    try:
        with (sidecar_folder(path) / f"session-{session}.lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _has_workers(checks: Sequence[Check]) -> bool:
    alive = next(check for check in checks if check.name == "sessions")
    return alive.verdict is Verdict.OK and not alive.finding.startswith("none")


def _runs(total: int, runs: OpenRuns, *, has_workers: bool) -> Check:
    finding = f"{total}, of which {runs.count + runs.left} open"
    if runs.left:
        finding = f"{finding}; only the {runs.count} oldest of these were looked at, as --quick says"
    if runs.due and not has_workers:
        finding = f"{finding}, {runs.due} of these due"
        return Check(name="runs", verdict=Verdict.WARN, finding=finding, advice="start a worker: nobody runs them")
    return Check(name="runs", verdict=Verdict.OK, finding=finding)


def _damaged(runs: OpenRuns) -> Iterator[Check]:
    if runs.damaged:
        finding = f"{len(runs.damaged)} open runs have rows that cannot be read whole; {runs.damaged[0]}"
        advice = "the runs go on from their histories; perdure list --json names the rows"
        yield Check(name="rows", verdict=Verdict.FAIL, finding=finding, advice=advice)
