"""Processes that are killed while they remove runs: each run is in the database or in the archive, whole."""

import random
import subprocess
import sys
from pathlib import Path

from perdure.archiving.files import lines_of, run_files
from perdure.archiving.run_lines import SavedRun, read_runs
from perdure.kernel.identity import RunKey
from perdure.kernel.transition import RunStatus
from perdure.ports.keeping import WholeRun
from perdure.ports.store import RunQuery
from perdure.ports.verification import VerificationWish
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import START, later
from tests.archiving.worlds import end_soundly, plain

RUNS = 400
EVENTS = 40
BATCH = 1_000 // EVENTS
"""So many runs are archived, and then removed, at a time: whoever is killed in between leaves these in both."""

KILLS = 5

REMOVES = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from perdure.archiving.files import Archive
from perdure.archiving.pruning import Pruning
from perdure.configuration import Retention
from perdure.stores.sqlite.store import SqliteStore

class Clock:
    def now(self):
        return int(sys.argv[3])

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open(session_name="removes", lease_seconds=30, on_changes=lambda changes: None)
    pruning = Pruning(store, Clock(), Retention(keep=timedelta(0)))
    archive = Archive(Path(sys.argv[2]), file_bytes=20_000)
    await pruning.run(holder="it", archive=archive, on_progress=lambda report: print(report.runs, flush=True))
    await store.close()

asyncio.run(main())
"""


async def opened(database: Path) -> StoreSession:
    session = StoreSession(SqliteStore(database))
    await session.open(name="test", lease_seconds=30)
    return session


async def made(database: Path) -> dict[RunKey, WholeRun]:
    """Fill a database with runs that have ended."""
    session = await opened(database)
    keys = []
    for number in range(RUNS):
        run = await session.hold(f"run {number}", request_id=f"start {number}")
        await end_soundly(session, run, RunStatus.COMPLETED, at=START, signals=EVENTS - 2)
        keys.append(run.run_key)
    found = await present(session, keys)
    await session.store.close()
    return found


async def present(session: StoreSession, keys: list[RunKey]) -> dict[RunKey, WholeRun]:
    found = {key: await session.store.read_whole(key) for key in keys}
    return {key: plain(run) for key, run in found.items() if run is not None}


def archived(folder: Path) -> list[WholeRun]:
    return [one.run for file in run_files([folder]) for one in read_runs(lines_of(file)) if isinstance(one, SavedRun)]


def by_key(runs: list[WholeRun]) -> dict[RunKey, WholeRun]:
    return {run.summary.run_key: run for run in runs}


def remove(database: Path, folder: Path, *, number: int, until: int | None) -> None:
    """Let a process remove runs; kill it when it has told so often that some are gone."""
    # Later each time than the turn of the one before it would last, which may have died within it.
    command = [sys.executable, "-c", REMOVES, str(database), str(folder), str(later(1_000 * (number + 1)))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = 0
        while (until is None or told < until) and process.stdout.readline():
            told += 1
        if until is not None:
            process.kill()
    assert until is not None or process.returncode == 0


async def test_whoever_is_killed_while_it_removes_runs_loses_none(tmp_path: Path) -> None:
    database, folder = tmp_path / "runs.db", tmp_path / "archive"
    before = await made(database)
    chance = random.Random(5)
    for number in range(KILLS):
        remove(database, folder, number=number, until=chance.randrange(1, 3))
        session = await opened(database)
        left = await present(session, list(before))
        assert {**left, **by_key(archived(folder))} == before
        assert await session.store.count_runs(RunQuery()) == len(left)
        await session.store.close()
    remove(database, folder, number=KILLS, until=None)
    session = await opened(database)
    assert await session.store.count_runs(RunQuery()) == 0
    found = archived(folder)
    assert by_key(found) == before
    assert len(found) - len(before) <= KILLS * BATCH
    verified = await session.store.verify(VerificationWish(now=START))
    assert (verified.defects, verified.damaged) == ((), ())
    await session.store.close()
