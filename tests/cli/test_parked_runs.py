"""Runs that wait for code, as the command line shows them."""

import asyncio
from pathlib import Path

import pytest

from perdure import Context, Engine, Signal, workflow
from perdure.authoring.registry import Registry
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
