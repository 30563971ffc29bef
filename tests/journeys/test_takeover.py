"""Several engines on one database: who goes on with the runs of one that was killed, and what of them is done again."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from perdure import Engine
from perdure.errors import StoreUnavailableError
from perdure.kernel.identity import RunKey
from tests.journeys.taken_over import QUICK, WAITS, noting
from tests.journeys.workflows import until
from tests.postgres_passage import Passage
from tests.postgres_server import value

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'runs.db'}"
    emptied: str = request.getfixturevalue("emptied_postgres")
    return emptied


@pytest.mark.parametrize("is_standby", [False, True], ids=["cold", "standby"])
async def test_an_engine_goes_on_with_the_run_of_a_process_that_is_killed(
    url: str, tmp_path: Path, is_standby: bool
) -> None:
    file = tmp_path / "notes"
    async with asyncio.timeout(60), Engine(url, settings=replace(QUICK, standby=is_standby)) as engine:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.journeys.taken_over",
            url,
            str(file),
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, WAITS: "yes"},
        )
        try:
            assert child.stdout is not None
            assert await child.stdout.readline() == b"waiting\n"
            run = await engine.get_run("one")
            row = await run.describe()
            assert row.owner != engine.worker.worker_id
            await until(lambda: _is_warm(engine, {row.run_key: row.sequence} if is_standby else {}))
        finally:
            child.kill()
            await child.wait()
        assert await run.result() == "noted"
        assert file.read_text().split() == ["first", "second", "second", "third"]
        assert engine.worker.standby.taken_over == is_standby


async def _is_warm(engine: Engine, copies: dict[RunKey, int]) -> bool:
    return engine.worker.standby.warm == copies


async def test_engines_go_on_after_the_server_has_ended_all_their_connections(
    emptied_postgres: str, tmp_path: Path
) -> None:
    files = [tmp_path / f"notes {number}" for number in range(10)]
    async with asyncio.timeout(60), Engine(emptied_postgres, settings=QUICK) as one, Engine(emptied_postgres) as other:
        runs = [await one.start(noting, str(file), id=file.name) for file in files]
        for _ in range(5):
            await value(emptied_postgres, END_ALL_CONNECTIONS)
            await asyncio.sleep(0.02)
        found = [await other.get_run(file.name) for file in files]
        assert [await run.result() for run in (*runs, *found)] == ["noted"] * 20
        assert (await other.verify()).is_sound
    assert [list(dict.fromkeys(file.read_text().split())) for file in files] == [["first", "second", "third"]] * 10


async def test_an_engine_goes_on_when_a_server_that_could_not_be_reached_is_back(
    emptied_postgres: str, tmp_path: Path
) -> None:
    files = [tmp_path / f"notes {number}" for number in range(10)]
    async with (
        asyncio.timeout(60),
        Passage.to(emptied_postgres) as (passage, url),
        Engine(url, settings=QUICK) as engine,
    ):
        runs = [await engine.start(noting, str(file), id=file.name) for file in files]
        passage.cut()
        with pytest.raises(StoreUnavailableError, match="Check that it runs and can be reached"):
            await engine.list_runs()
        await asyncio.sleep(QUICK.lease_seconds / 2)
        await passage.open()
        assert [await run.result() for run in runs] == ["noted"] * 10
        assert engine.trouble is None
        assert (await engine.verify()).is_sound
    assert [list(dict.fromkeys(file.read_text().split())) for file in files] == [["first", "second", "third"]] * 10


END_ALL_CONNECTIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
