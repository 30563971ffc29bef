"""`perdure worker`: real processes that work until they are told to stop."""

import asyncio
import gc
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from perdure import Context, Engine, Run, workflow
from perdure.authoring.registry import Registry
from perdure.cli import working as working_command
from perdure.cli.application import run_command_line
from perdure.cli.database import Place
from perdure.cli.exits import ExitCode
from perdure.cli.working import WorkOrder
from tests.journeys.workflows import kinds, until

MODULE = """
import asyncio
import gc
from perdure import Context, Engine, activity, workflow

@activity
async def add(a: int, b: int) -> int:
    return a + b

@activity
async def rest() -> None:
    await asyncio.Event().wait()

@activity
async def count() -> list[int]:
    return [gc.get_freeze_count(), *gc.get_threshold()]

@workflow(name="worked_counting")
async def counting(ctx: Context) -> list[int]:
    return await count()

@workflow(name="worked_adding")
async def adding(ctx: Context, a: int) -> int:
    return await add(a, 1)

@workflow(name="worked_resting")
async def resting(ctx: Context) -> None:
    await rest()

def engine() -> Engine:
    return Engine("sqlite:///runs.db", name="mine")
"""


@workflow(name="worked_adding")
async def adding(_ctx: Context, _a: int) -> int:
    raise AssertionError("it is run by another process")


@workflow(name="worked_counting")
async def counting(_ctx: Context) -> list[int]:
    raise AssertionError("it is run by another process")


@workflow(name="worked_resting")
async def resting(_ctx: Context) -> None:
    raise AssertionError("it is run by another process")


@asynccontextmanager
async def working(folder: Path, *arguments: str) -> AsyncIterator[Process]:
    """Start a worker on `runs.db` of a folder; yield it once it works."""
    async with calling(folder, "worker", *arguments) as process:
        assert process.stdout is not None
        assert b"runs.db" in await process.stdout.readline()
        yield process


@asynccontextmanager
async def calling(folder: Path, *arguments: str) -> AsyncIterator[Process]:
    (folder / "worked.py").write_text(MODULE)
    command = (sys.executable, "-m", "perdure", *arguments)
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def the_rest(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.read()).decode()


async def test_it_works_until_it_is_told_to_stop(tmp_path: Path) -> None:
    async with working(tmp_path, "worked", "--db", "sqlite:///runs.db") as process:
        async with Engine(f"sqlite:///{tmp_path / 'runs.db'}", works=False) as client:
            run = await client.start(adding, 4)
            assert await run.result() == 5
        process.send_signal(signal.SIGTERM)
        assert "stopped in good order" in await the_rest(process)
        assert await process.wait() == ExitCode.OK


async def test_the_garbage_collector_leaves_out_what_a_worker_has_imported(tmp_path: Path) -> None:
    async with (
        working(tmp_path, "worked", "--db", "sqlite:///runs.db"),
        Engine(f"sqlite:///{tmp_path / 'runs.db'}", works=False) as client,
    ):
        frozen, youngest, *older = await (await client.start(counting)).result()
        assert frozen > 10_000
        assert (youngest, *older) == (5_000, *gc.get_threshold()[1:])


async def test_an_engine_of_the_module_works_as_it_says(tmp_path: Path) -> None:
    async with working(tmp_path, "worked:engine", "--json") as process:
        process.send_signal(signal.SIGINT)
        assert await the_rest(process) == '{"stopped":true}\n'
        assert await process.wait() == ExitCode.OK


def test_a_standby_is_what_its_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(url="memory:", namespace="default")
    for is_standby in (False, True):
        engine = working_command._engine_of(place, WorkOrder(app=__name__, standby=is_standby))
        assert engine._settings.standby is is_standby


async def test_a_worker_of_a_queue_announces_its_labels(tmp_path: Path) -> None:
    labels = ("--db", "sqlite:///runs.db", "--label", "gpu=a100", "--label", "note=a=b", "--label", "plain=")
    async with (
        working(tmp_path, "worked", "--queue", "gpu", "--only-queues", *labels),
        Engine(f"sqlite:///{tmp_path / 'runs.db'}", works=False) as client,
    ):

        async def is_announced() -> bool:
            return bool(await client.worker.store.list_servers())

        await until(is_announced)
        (server,) = await client.worker.store.list_servers()
        assert server.serving.queues == ("gpu",)
        assert server.serving.labels == {"gpu": "a100", "note": "a=b", "plain": ""}


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async with working(tmp_path, "worked", "--db", "sqlite:///runs.db", "--grace", "1h") as process:
        async with Engine(f"sqlite:///{tmp_path / 'runs.db'}", works=False) as client:
            run = await client.start(resting)
            await until(lambda: _has_begun(run))
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert b"another signal" in await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == -signal.SIGTERM


async def _has_begun(run: Run[Any]) -> bool:
    return "activity_scheduled" in await kinds(run)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("json",), "'json' defines no workflow"),
        (("no_such_module",), "importing 'no_such_module' failed"),
        (("json:dumps_nothing",), "it must be an Engine"),
        (("json:decoder", "--name", "me"), "leave out --name"),
        (("json:decoder", "--standby"), "--standby"),
        (("json:decoder", "--label", "a=b"), "--label"),
        (("json", "--label", "gpu"), "--label 'gpu' must be NAME=VALUE"),
        (("json", "--label", "=a"), "labels"),
        (("json", "--grace", "soon"), "soon"),
    ],
)
def test_what_cannot_work_is_said(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working_command, "default_registry", Registry())
    assert run_command_line(["worker", *arguments]) == ExitCode.USAGE
    assert says in capsys.readouterr().err


async def test_a_server_for_development_is_there_until_it_is_told_to_stop_and_keeps_what_it_has(
    tmp_path: Path, open_folder: Path
) -> None:
    found = []
    for order in (4, 5):
        async with calling(
            tmp_path, "dev", "--postgres", "worked", "--directory", str(open_folder / "kept"), "--json"
        ) as process:
            assert process.stdout is not None
            url = json.loads(await process.stdout.readline())["url"]
            assert "worked_adding" in json.loads(await process.stdout.readline())["workflows"]
            async with Engine(url, works=False) as client:
                assert await (await client.start(adding, order)).result() == order + 1
                found.append(len((await client.list_runs()).runs))
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == ExitCode.OK
    assert found == [1, 2]


async def test_a_file_for_development_has_a_worker(tmp_path: Path) -> None:
    async with calling(tmp_path, "dev", "worked", "--directory", "kept") as process:
        assert process.stdout is not None
        assert b"export PERDURE_URL=" in await process.stdout.readline() + await process.stdout.readline()
        assert b"worked_adding" in await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == ExitCode.OK
    assert (tmp_path / "kept" / "perdure.db").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [((), "nothing to do: name a module"), (("worked", "--tcp"), "--tcp is for a server: say --postgres")],
)
async def test_development_without_anything_to_do_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    async with calling(tmp_path, "dev", *arguments) as process:
        _, err = await process.communicate()
        assert (process.returncode, reason in err.decode()) == (ExitCode.USAGE, True)
