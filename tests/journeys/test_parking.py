"""Runs whose code does not fit their histories: parked, for all to see, until there is code that fits."""

import asyncio
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from perdure import (
    Context,
    Engine,
    NonDeterminismError,
    Run,
    RunStatus,
    RunTerminatedError,
    Signal,
    Update,
    Workflow,
    workflow,
)
from perdure.authoring.registry import Registry
from perdure.kernel.identity import RunKey
from perdure.kernel.messages import TerminateMessage
from perdure.kernel.transition import Delivery, Parking
from perdure.ports.store import RunQuery, RunSummary
from tests.journeys.conftest import MakeEngine

go = Signal("go", int)


def fitting() -> Registry:
    """Return what a process has whose code fits the runs of `begin`."""

    @workflow(name="parking.asleep")
    async def asleep(ctx: Context) -> int:
        return await ctx.wait_for(go)

    return _having(asleep)


def changed() -> Registry:
    """Return what a process has whose code does not fit them."""

    @workflow(name="parking.asleep")
    async def asleep(ctx: Context) -> int:
        await ctx.sleep(3600)
        return await ctx.wait_for(go)

    return _having(asleep)


def restless() -> Registry:
    """Return what a process has whose code fits them and never waits again."""

    @workflow(name="parking.asleep")
    async def asleep(ctx: Context) -> None:
        waiting = asyncio.ensure_future(ctx.wait_for(go))
        await ctx.wait_for(Signal("other", int))
        while not waiting.done():  # noqa: ASYNC110 - the code that is to break
            await asyncio.sleep(0)

    return _having(asleep)


def _having(definition: Workflow[*tuple[Any, ...], Any]) -> Registry:
    registry = Registry()
    registry.add_workflow(definition)
    return registry


async def begin(make_engine: MakeEngine, *run_ids: str) -> None:
    """Begin runs that wait, and give each a message, so that whoever works next looks at them."""
    registry = fitting()
    async with make_engine(registry=registry) as engine:
        for run_id in run_ids or ("old",):
            await engine.start(registry.workflow("parking.asleep"), id=run_id)
    async with make_engine(works=False, name="client") as client:
        for run_id in run_ids or ("old",):
            await (await client.get_run(run_id)).signal(Signal("other", int), 1)


async def parked(run: Run[Any]) -> Parking:
    """Wait until a run is parked."""
    return (await _when(run, lambda row: row.parked is not None)).parked  # type: ignore[return-value]


async def _when(run: Run[Any], is_so: Any) -> RunSummary:
    while not is_so(row := await run.describe()):  # noqa: ASYNC110 - it is nobody's news in this process
        await asyncio.sleep(0)
    return row


async def test_why_a_run_is_parked_is_known_to_other_processes_with_the_lines_of_code(make_engine: MakeEngine) -> None:
    await begin(make_engine)
    async with (
        make_engine(registry=changed(), name="worker"),
        make_engine(works=False, name="client") as client,
    ):
        reason = (await parked(await client.get_run("old"))).reason
        assert reason.type == "NonDeterminismError"
        assert reason.traceback is not None
        difference = reason.traceback.splitlines()
        assert any(line.startswith("- the history holds  ") for line in difference)
        assert any(line.startswith("+ the code asks for  timer_started(") for line in difference)
        assert any(line.lstrip().startswith(">") and "await ctx.sleep(3600)" in line for line in difference)
        found = await client.worker.store.list_runs(RunQuery(only_parked=True))
        assert [run.ref.id for run in found.runs] == ["old"]
        assert found.runs[0].owner is None
        assert found.runs[0].status is RunStatus.RUNNING


async def test_a_parked_run_goes_on_in_a_new_process_with_code_that_fits(make_engine: MakeEngine) -> None:
    await begin(make_engine)
    async with make_engine(registry=changed(), name="old deployment") as broken:
        await parked(await broken.get_run("old"))
        async with make_engine(registry=fitting(), name="new deployment") as fixed:
            run = await fixed.get_run("old")
            await run.signal(go, 7)
            assert await run.result() == 7
            row = await run.describe()
            assert row.parked is None


async def test_a_run_that_another_process_parked_is_tried_by_one_whose_code_comes_later(
    make_engine: MakeEngine,
) -> None:
    await begin(make_engine)
    registry = Registry()
    async with (
        make_engine(registry=registry, name="fixed") as fixed,
        make_engine(registry=changed(), name="broken") as broken,
    ):
        await parked(await broken.get_run("old"))
        registry.add_workflow(fitting().workflow("parking.asleep"))
        run = await fixed.get_run("old")
        await run.signal(go, 3)
        assert await run.result() == 3


async def test_a_run_is_tried_once_by_each_code_and_never_in_a_circle(make_engine: MakeEngine) -> None:
    await begin(make_engine)
    async with (
        make_engine(registry=changed(), name="one") as one,
        make_engine(registry=changed(), name="other") as other,
    ):
        run = await one.get_run("old")
        row = await _when(run, lambda row: row.parked is not None and len(row.parked.tried) == 2)
        assert row.parked is not None
        assert set(row.parked.tried) == {one.worker.code, other.worker.code}
        for engine in (one, other):
            engine.worker.claims.try_parked()
        await run.signal(go, 1)  # a message for the code is no reason to try again
        for engine in (one, other):
            assert (
                await engine.worker.store.claim(
                    now=engine.worker.clock.now(),
                    limit=1,
                    workflows=engine.worker.registry.workflow_versions,
                    code=engine.worker.code,
                )
                == []
            )
        assert (await run.describe()).parked == row.parked


async def test_code_that_breaks_only_when_a_run_goes_on_does_not_pass_it_round_in_a_circle(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.kernel.loop._CALLBACKS_LIMIT", 1_000)
    await begin(make_engine)
    async with (
        make_engine(registry=restless(), name="one") as one,
        make_engine(registry=restless(), name="other") as other,
    ):
        run = await one.get_run("old")
        row = await _when(run, lambda row: row.parked is not None and len(row.parked.tried) == 2)
        assert row.parked is not None
        assert set(row.parked.tried) == {one.worker.code, other.worker.code}


async def test_a_parked_run_that_is_resumed_is_tried_again_at_once(make_engine: MakeEngine) -> None:
    await begin(make_engine)
    async with make_engine(registry=changed()) as engine:
        run = await engine.get_run("old")
        before = await parked(run)
        token = (await run.describe()).fencing_token
        await run.resume()
        row = await _when(run, lambda row: row.parked is not None and row.fencing_token > token)
        assert row.parked == before


async def test_a_run_parked_in_this_process_goes_on_when_its_module_is_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "parking_module.py"
    source = (
        "from perdure import Context, Signal, workflow\n"
        "go = Signal('go', int)\n"
        "@workflow(name='parking.reloaded')\n"
        "async def reloaded(ctx: Context) -> int:\n"
        "    return await ctx.wait_for(go)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module.write_text(source)
    code = importlib.import_module("parking_module")
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    async with Engine(url) as engine:
        await engine.start(code.reloaded, id="one")
    async with Engine(url, works=False) as client:
        await (await client.get_run("one")).signal(Signal("other", int), 1)
    module.write_text(source.replace("    return", "    await ctx.sleep(3600)\n    return"))
    importlib.reload(code)
    async with Engine(url) as engine:
        run = await engine.get_run("one")
        await parked(run)
        with pytest.raises(NonDeterminismError):
            await run.result()
        module.write_text(source)
        importlib.reload(code)
        await _when(run, lambda row: row.parked is None)
        await run.signal(go, 9)
        assert await run.result() == 9


async def test_who_waits_for_a_run_that_was_parked_too_long_ago_to_be_remembered_is_told_what_its_row_says(
    make_engine: MakeEngine,
) -> None:
    await begin(make_engine)
    async with make_engine(registry=changed()) as engine:
        run = await engine.get_run("old")
        row = await _when(run, lambda row: row.parked is not None)
        with pytest.raises(NonDeterminismError) as told:
            await run.result()
        engine.worker.endings.unpark(row.run_key)
        async with asyncio.timeout(10):
            with pytest.raises(NonDeterminismError) as read:
                await run.result()
        assert str(read.value) == str(told.value)
        assert vars(read.value) == vars(told.value)
        assert vars(told.value)["location"] is not None


async def test_a_parked_run_can_be_terminated_by_a_client_while_a_worker_has_the_wrong_code(
    make_engine: MakeEngine,
) -> None:
    await begin(make_engine)
    async with make_engine(registry=changed()), make_engine(works=False, name="client") as client:
        run = await client.get_run("old")
        await parked(run)
        await run.terminate("not worth a fix")
        with pytest.raises(RunTerminatedError, match="not worth a fix"):
            await run.result()
        assert (await run.describe()).parked is None


async def test_a_termination_ends_a_parked_run_wherever_it_stands_in_the_inbox(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.execution.mail.INBOX_PAGE", 1)
    await begin(make_engine)
    async with make_engine(registry=changed()), make_engine(works=False, name="client") as client:
        run = await client.get_run("old")
        row = await _when(run, lambda row: row.parked is not None)
        of_another_parent = Delivery(
            target=row.run_key,
            message=TerminateMessage(parent_key=RunKey(row.run_key + 1)),
            message_id="stray",
            at=client.worker.clock.now(),
        )
        await client.worker.store.commit([of_another_parent])
        await run.terminate("not worth a fix")
        with pytest.raises(RunTerminatedError, match="not worth a fix"):
            await run.result()


async def test_who_waits_for_a_parked_run_elsewhere_is_told_once(
    make_engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await begin(make_engine)
    async with make_engine(registry=changed()), make_engine(works=False, name="client") as client:
        run = await client.get_run("old")
        await parked(run)
        waiting = [asyncio.create_task(run.result()) for _ in range(3)]
        await _when(run, lambda _row: "is parked and waits for other code" in caplog.text)
        async with make_engine(registry=fitting(), name="fixed"):
            await run.signal(go, 2)
            assert await asyncio.gather(*waiting) == [2, 2, 2]
    assert caplog.text.count("is parked and waits for other code") == 1


async def test_who_waits_for_a_run_whose_version_is_missing_here_is_told_once(
    make_engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await begin(make_engine, "one", "other")
    async with make_engine(registry=Registry()) as engine:
        waiting = [asyncio.create_task((await engine.get_run(name)).result()) for name in ("one", "other")]
        await _when(await engine.get_run("one"), lambda _row: "waits for another process" in caplog.text)
        async with make_engine(registry=fitting(), name="other") as other:
            for name in ("one", "other"):
                await (await other.get_run(name)).signal(go, 2)
            assert await asyncio.gather(*waiting) == [2, 2]
    assert caplog.text.count("waits for another process, or for code: no workflow named 'parking.asleep'") == 1


async def test_each_update_of_a_parked_run_is_told_of_its_own_request_only(make_engine: MakeEngine) -> None:
    await begin(make_engine)
    async with make_engine(registry=changed()) as engine:
        run = await engine.get_run("old")
        for number in range(2):
            with pytest.raises(NonDeterminismError) as told:
                await run.update(Update("add", int, int), number)
            assert str(told.value).count("may still; make the call again with request_id=") == 1
            assert "timer_started" in told.value.actual
