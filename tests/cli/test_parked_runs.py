"""Runs that wait for code, as the command line shows them."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure import Context, Engine, RunTerminatedError, Signal, workflow
from perdure.authoring.registry import Registry
from perdure.cli.code_checks import code_checks
from perdure.cli.finding import Check
from perdure.cli.open_runs import read_open_runs
from tests.cli.runs import perdure

go = Signal("go", int)


def code(*, is_changed: bool) -> Registry:
    @workflow(name="cli.parking", version="7")
    async def parking(ctx: Context) -> int:
        if is_changed:
            await ctx.sleep(3600)
        return await ctx.wait_for(go)

    registry = Registry()
    registry.add_workflow(parking)
    return registry


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    """A folder with a database that holds one parked run."""
    url = f"sqlite:///{tmp_path / 'perdure.db'}"
    registry = code(is_changed=False)
    async with Engine(url, registry=registry) as engine:
        await engine.start(registry.workflow("cli.parking"), id="old")
    async with Engine(url, works=False) as client:
        await (await client.get_run("old")).signal(go, 1)
    async with Engine(url, registry=code(is_changed=True)) as engine:
        run = await engine.get_run("old")
        while (await run.describe()).parked is None:  # noqa: ASYNC110 - it is nobody's news in this process
            await asyncio.sleep(0)
    return tmp_path


async def test_a_parked_run_is_listed_and_shown_with_its_difference(directory: Path) -> None:
    listed = await asyncio.to_thread(perdure, "list", "--parked", "--json", directory=directory)
    [run] = listed.json["runs"]
    assert (run["id"], run["status"], run["parked"]["type"]) == ("old", "running", "NonDeterminismError")
    assert any(line.startswith("+ the code asks for  timer_started") for line in run["parked"]["difference"])
    shown = await asyncio.to_thread(perdure, "show", "old", directory=directory)
    assert "Parked since" in shown.out
    assert "await ctx.sleep(3600)" in shown.out
    assert "it is parked until there is code that fits" in " ".join(shown.out.split())


async def test_the_doctor_counts_parked_runs_and_versions_without_code(directory: Path) -> None:
    (directory / "shop_code.py").write_text("")
    called = await asyncio.to_thread(perdure, "doctor", "--app", "shop_code", "--json", directory=directory)
    checks = {check["name"]: check for check in called.json["checks"]}
    assert checks["parked"]["finding"].startswith("1 open runs (1 of cli.parking version 7)")
    assert "perdure list --parked" in checks["parked"]["advice"]
    assert checks["code"]["finding"] == "no code here for 1 open runs (1 of cli.parking version 7)"
    assert checks["code"]["verdict"] == "warn"


PATCHED = """
from perdure import Context, Signal, workflow

@workflow(name="cli.patching")
async def patching(ctx: Context) -> int:
    if ctx.patched("faster"):
        return await ctx.wait_for(Signal("go", int))
    await ctx.sleep(1000)
    return 1
"""


async def test_the_doctor_says_how_many_open_runs_still_need_the_old_way_of_a_patch(tmp_path: Path) -> None:
    @workflow(name="cli.patching")
    async def before(ctx: Context) -> int:
        await ctx.sleep(1000)
        return 1

    url = f"sqlite:///{tmp_path / 'perdure.db'}"
    async with Engine(url) as engine:
        await engine.start(before, id="old")
    names: dict[str, Any] = {"__name__": "patched_code"}
    exec(compile(PATCHED, "patched_code.py", "exec"), names)
    async with Engine(url) as engine:
        await engine.start(names["patching"], id="new")
    (tmp_path / "patched_code.py").write_text(PATCHED)

    def check() -> dict[str, str]:
        called = perdure("doctor", "--app", "patched_code", "--json", directory=tmp_path)
        return next(check for check in called.json["checks"] if check["name"] == "patch cli.patching faster")

    found = await asyncio.to_thread(check)
    assert found["finding"] == "of 2 open runs that passed it, 1 go the old way, 1 hold its marker"
    assert "keep ctx.patched" in found["advice"]
    async with Engine(url, works=True) as engine:
        run = await engine.get_run("old")
        await run.terminate()
        while not (await run.describe()).status.is_closed:  # noqa: ASYNC110 - it is nobody's news here
            await asyncio.sleep(0)
    found = await asyncio.to_thread(check)
    assert found["finding"] == "of 1 open runs that passed it, 0 go the old way, 1 hold its marker"
    assert "ctx.deprecate_patch in the place of ctx.patched" in found["advice"]


async def test_the_doctor_replays_so_many_of_the_oldest_runs_unless_it_is_told_to_replay_all(tmp_path: Path) -> None:
    text = PATCHED.replace("cli.patching", "cli.sampled")
    names: dict[str, Any] = {"__name__": "patched_code"}
    exec(compile(text, "patched_code.py", "exec"), names)
    url = f"sqlite:///{tmp_path / 'perdure.db'}"
    async with Engine(url) as engine:
        for number in range(3):
            await engine.start(names["patching"], id=f"run {number}")

    async def patches(most: int | None) -> dict[str, Check]:
        async with Engine(url, works=False) as engine:
            runs = await read_open_runs(engine, most=most)
            checks = [check async for check in code_checks(engine, runs, has_code=True)]
            return {check.name: check for check in checks if check.name.startswith("patch")}

    few = await patches(2)
    assert few["patches"].finding == "looked for in the 2 oldest of 3 open runs"
    assert few["patch cli.sampled faster"].finding.startswith("of 2 open runs that passed it, 0 go the old way")
    assert "before you take it out, ask perdure doctor --all" in few["patch cli.sampled faster"].advice
    for most in (3, None):
        [found] = (await patches(most)).values()
        assert found.finding.startswith("of 3 open runs that passed it, 0 go the old way")
        assert "the old way may go" in found.advice
    (tmp_path / "patched_code.py").write_text(text)
    called = await asyncio.to_thread(perdure, "doctor", "--app", "patched_code", "--all", "--json", directory=tmp_path)
    assert "patch cli.sampled faster" in {check["name"] for check in called.json["checks"]}


async def test_the_doctor_counts_all_runs_that_are_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pages they fill."""
    monkeypatch.setattr("perdure.cli.open_runs._PAGE_RUNS", 2)
    registry = code(is_changed=False)
    async with Engine(f"sqlite:///{tmp_path / 'perdure.db'}", works=False) as engine:
        for number in range(5):
            await engine.start(registry.workflow("cli.parking"), id=f"due {number}")
        await engine.start(registry.workflow("cli.parking"), id="later", start_after=timedelta(days=1))
        runs = await read_open_runs(engine, most=0)
    assert (runs.count, runs.due) == (6, 5)


async def test_a_damaged_row_is_named_and_hides_no_other(directory: Path) -> None:
    async with Engine(f"sqlite:///{directory / 'perdure.db'}", works=False) as engine:
        await engine.start(code(is_changed=False).workflow("cli.parking"), id="sound")
    connection = apsw.Connection(str(directory / "perdure.db"))
    connection.execute("UPDATE runs SET parked = '{' WHERE id = 'old'")
    connection.close()
    listed = await asyncio.to_thread(perdure, "list", "--json", directory=directory)
    damage = {run["id"]: run["damage"] for run in listed.json["runs"]}
    assert damage["sound"] is None
    assert damage["old"].startswith("parked cannot be read: ")
    printed = await asyncio.to_thread(perdure, "list", directory=directory)
    assert "The row of run old is damaged: parked cannot be read: " in printed.out
    shown = await asyncio.to_thread(perdure, "show", "old", directory=directory)
    assert "parked cannot be read" in shown.out
    called = await asyncio.to_thread(perdure, "doctor", "--json", directory=directory)
    [rows] = [check for check in called.json["checks"] if check["name"] == "rows"]
    assert rows["verdict"] == "fail"
    assert rows["finding"].startswith("1 open runs have rows that cannot be read whole; run old: parked cannot be")


async def test_a_run_whose_code_nobody_has_is_terminated_from_another_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'perdure.db'}"
    registry = code(is_changed=False)
    async with Engine(url, registry=registry) as engine:
        await engine.start(registry.workflow("cli.parking"), id="old")
    async with Engine(url, registry=Registry(), name="without the code") as engine:
        called = await asyncio.to_thread(perdure, "terminate", "old", "--reason", "it is gone", directory=tmp_path)
        assert called.code == 0, called.err
        with pytest.raises(RunTerminatedError, match="it is gone"):
            await (await engine.get_run("old")).result()
