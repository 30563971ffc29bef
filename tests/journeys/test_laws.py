"""The laws of the fold on the real engine: what runs really do, on real files, in the middle of their work.

The generated histories of tests/kernel/test_state.py reach more; these are those that the engine writes.
"""

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from perdure import (
    ChildRunError,
    Context,
    Engine,
    Priority,
    Retry,
    Run,
    RunClosedError,
    Settings,
    Signal,
    activity,
    current_attempt,
    workflow,
)
from perdure.kernel import events as e
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunRef
from perdure.kernel.state import RunState, fold
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import QUICK

approve = Signal("approve", bool)


@activity(retry=Retry(attempts=3, backoff=QUICK))
async def reserve(item: str) -> str:
    if item == "rare" and current_attempt().attempt < 3:
        raise ConnectionError("not yet")
    return f"reserved {item}"


@activity
async def put_back(reservation: str) -> None: ...


@activity(compensate=put_back)
async def set_aside(item: str) -> str:
    return item


@workflow
async def refusing(ctx: Context) -> None:
    raise LookupError("out of stock")


@workflow(stages=("reserve", "approve", "undo"))
async def varied(ctx: Context) -> list[str]:
    """Record nearly every kind of event that a run can."""
    done: list[str] = []
    async with ctx.stage("reserve"):
        ctx.set("items", 3)
        ctx.set_labels(kind="varied")
        done += await asyncio.gather(*(reserve(item) for item in ("book", "rare", "lamp")))
        done.append(await set_aside("table"))
    async with ctx.stage("approve"):
        ctx.set_priority(Priority.HIGH)
        try:
            await ctx.wait_for(approve, timeout=timedelta(milliseconds=5))
        except TimeoutError:
            ctx.trace_event("late")
        if await ctx.wait_for(approve):
            done.append(await ctx.side_effect(lambda: "approved"))
        ctx.delete("items")
    async with ctx.stage("undo"):
        await ctx.sleep(timedelta(milliseconds=1))
        try:
            await ctx.run_child(refusing)
        except ChildRunError as error:
            done.append(error.failure_type)
        assert ctx.patched("undo everything")
        await ctx.compensate()
    return done


EXPECTED = ["reserved book", "reserved rare", "reserved lamp", "table", "approved", "LookupError"]


async def lived(engine: Engine) -> list[str]:
    """Start a varied run, answer it, return its result."""
    return await approved(await engine.start(varied, id="varied"))


async def approved(run: Run[list[str]]) -> list[str]:
    """Answer a run when it has waited in vain; return its result."""
    async for recorded in run.watch():
        if isinstance(recorded.event, e.TraceEventRecorded):
            with suppress(RunClosedError):
                await run.signal(approve, True)
    return await run.result()


async def history_of(engine: Engine) -> list[RecordedEvent]:
    return [recorded async for recorded in (await engine.get_run("varied")).history()]


async def test_law_2_what_a_worker_holds_is_what_its_history_says_after_each_transition(
    make_engine: MakeEngine,
) -> None:
    held: dict[int, RunState] = {}
    async with make_engine() as engine:

        def published(ref: RunRef, events: Sequence[RecordedEvent]) -> None:
            if ref.id == "varied":
                (run,) = (run for run in engine.worker.active.values() if run.ref == ref)
                held[events[-1].sequence] = run.state.copy()

        engine.worker.listeners.append(published)
        assert await lived(engine) == EXPECTED
        history = await history_of(engine)
    assert len(held) >= 8
    assert max(held) == len(history)
    for sequence, state in held.items():
        assert fold(RunState(), history[:sequence]) == state


async def test_law_6_the_progress_of_a_real_run_never_falls_and_is_1_at_its_end_only(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        assert await lived(engine) == EXPECTED
        history = await history_of(engine)
    progress = [fold(RunState(), history[:length]).progress for length in range(len(history) + 1)]
    assert progress == sorted(progress)
    assert progress.index(1.0) == len(history)
    assert len(set(progress)) == 5, "none, one, two, three of three declared stages, and the end"


@pytest.fixture
def files(tmp_path: Path) -> "Files":
    return Files(tmp_path)


class Files:
    """A database and what a crash would leave of it: the file and its log, as they are at that moment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.crashes: list[tuple[int, Path]] = []
        self.url = f"sqlite:///{folder / 'runs.db'}"

    def crash(self, acknowledged: int, *, log_bytes: int | None = None) -> Path:
        """Copy the files, the log perhaps only in part; note which event was acknowledged by then."""
        copy = self.folder / f"crash {len(self.crashes)}"
        copy.mkdir()
        for name in ("runs.db", "runs.db-wal"):
            shutil.copy(self.folder / name, copy / name)
        if log_bytes is not None:
            with (copy / "runs.db-wal").open("r+b") as log:
                log.truncate(log_bytes)
        self.crashes.append((acknowledged, copy))
        return copy


async def recovered(copy: Path) -> list[RecordedEvent]:
    """Return the history of the run after a crash, with which its row agrees. Opens the files, but works on nothing."""
    async with Engine(f"sqlite:///{copy / 'runs.db'}", works=False) as engine:
        if not await engine.count_runs():
            return []
        history = await history_of(engine)
        row, state = await (await engine.get_run("varied")).describe(), fold(RunState(), history)
    assert (row.sequence, row.status, row.stage, row.progress) == (
        state.sequence,
        state.status,
        state.stage,
        state.progress,
    )
    return history


async def test_law_4_a_crash_after_any_acknowledgement_loses_nothing_and_the_run_goes_on(files: Files) -> None:
    async with Engine(files.url) as engine:

        def published(ref: RunRef, events: Sequence[RecordedEvent]) -> None:
            if ref.id == "varied":
                files.crash(events[-1].sequence)

        engine.worker.listeners.append(published)
        assert await lived(engine) == EXPECTED
        whole = await history_of(engine)
    assert len(files.crashes) >= 8
    for acknowledged, copy in files.crashes:
        history = await recovered(copy)
        assert len(history) >= acknowledged
        assert history == whole[: len(history)]
        async with Engine(f"sqlite:///{copy / 'runs.db'}", settings=Settings(idle_seconds=0.01)) as engine:
            run = await engine.get_run("varied", varied)
            assert await approved(run) == EXPECTED
            assert (await history_of(engine))[:acknowledged] == whole[:acknowledged]


async def test_law_4_a_log_that_is_cut_off_anywhere_holds_whole_transitions_only(files: Files) -> None:
    ends = {0}
    async with Engine(files.url) as engine:
        engine.worker.listeners.append(
            lambda ref, events: ends.add(events[-1].sequence) if ref.id == "varied" else None
        )
        assert await lived(engine) == EXPECTED
        whole = await history_of(engine)
        size = (files.folder / "runs.db-wal").stat().st_size
        for log_bytes in range(0, size, size // 60):
            files.crash(0, log_bytes=log_bytes)
    lengths = set()
    for _, copy in files.crashes:
        history = await recovered(copy)
        assert history == whole[: len(history)]
        lengths.add(len(history))
    assert lengths <= ends
    assert len(lengths) > 5
