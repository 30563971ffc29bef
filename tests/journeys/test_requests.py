"""Request ids: a call that is made again has one effect, whenever and from wherever it is made."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from perdure import (
    Context,
    Engine,
    Priority,
    Run,
    RunCancelledError,
    RunClosedError,
    RunTerminatedError,
    Signal,
    SyncEngine,
    workflow,
)
from perdure.kernel import events as e
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import until

note = Signal("note", int)
close = Signal("close")

Wish = Callable[[Run[Any], str], Awaitable[None]]


@workflow
async def notebook(ctx: Context) -> list[int]:
    """Collect notes until it is closed; the fourth goes into a new book."""
    notes = ctx.get("notes", list[int], [])

    @ctx.query("notes")
    def show() -> list[int]:
        return notes

    while len(notes) != 3:
        notes.append(await ctx.wait_for(note))
        ctx.set("notes", notes)
        if len(notes) == 2 and ctx.info.generation == 1:
            ctx.continue_as_new()
    return notes


@workflow
async def open_end(ctx: Context) -> None:
    await ctx.wait_for(close)


async def events_of(run: Run[Any], kind: type[e.Event]) -> int:
    return len([recorded async for recorded in run.history() if isinstance(recorded.event, kind)])


async def until_noted(run: Run[Any], count: int) -> None:
    async def is_noted() -> bool:
        return len(await run.query("notes")) >= count

    await until(is_noted)


async def test_a_signal_that_was_consumed_is_not_taken_again(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(notebook, id="n")
        await run.signal(note, 1, request_id="first")
        await until_noted(run, 1)
        await run.signal(note, 1, request_id="first")
    async with make_engine() as engine:  # also not by another engine, after a restart
        run = await engine.get_run("n", notebook)
        await run.signal(note, 1, request_id="first")
        await run.signal(note, 2, request_id="second")
        await run.signal(note, 1, request_id="first")  # also not by its next generation
        await run.signal(note, 3)
        assert await run.result() == [1, 2, 3]
        await run.signal(note, 1, request_id="first")  # also when it has ended
        with pytest.raises(RunClosedError):
            await run.signal(note, 1, request_id="another")


VERBS: dict[str, tuple[Wish, type[e.Event]]] = {
    "suspend": (lambda run, mine: run.suspend("wait", request_id=mine), e.RunSuspended),
    "set_priority": (lambda run, mine: run.set_priority(Priority.HIGH, request_id=mine), e.PriorityChanged),
    "cancel": (lambda run, mine: run.cancel("enough", request_id=mine), e.RunCancelRequested),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_request_made_again_is_recorded_once(make_engine: MakeEngine, verb: str) -> None:
    wish, kind = VERBS[verb]

    async def is_recorded() -> bool:
        return await events_of(run, kind) == 1

    async with make_engine() as engine:
        run = await engine.start(open_end)
        await wish(run, "mine")
        await until(is_recorded)
        if verb == "suspend":
            await run.resume(request_id="on")
            await run.resume(request_id="on")
        await wish(run, "mine")
        if verb == "cancel":
            with pytest.raises(RunCancelledError):
                await run.result()
        else:
            await run.signal(close)
            await run.result()
        assert await events_of(run, kind) == 1
        await wish(run, "mine")


async def test_a_termination_made_again_is_answered_as_the_first(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_end)
        for _ in range(3):
            await run.terminate("enough", request_id="mine")
        with pytest.raises(RunTerminatedError):
            await run.result()
        await run.terminate("enough", request_id="mine")
        with pytest.raises(RunClosedError):
            await run.terminate("enough", request_id="other")


async def test_a_signal_with_start_made_again_starts_no_run_after_the_one_it_reached(make_engine: MakeEngine) -> None:
    async def ask(engine: Engine) -> Run[None]:
        return await engine.signal_with_start(open_end, id="o", signal=close, request_id="mine")

    async with make_engine() as engine:
        run = await engine.start(open_end, id="o")
        await ask(engine)
        await run.result()
        again = await ask(engine)
        assert (await again.describe()).ref.generation == 1


def test_synchronous_programs_make_requests(tmp_path: object) -> None:
    with SyncEngine(f"sqlite:///{tmp_path}/runs.db") as engine:
        run = engine.start(open_end)
        for _ in range(2):
            run.suspend("wait", request_id="wait")
            run.resume(request_id="on")
            run.set_priority(Priority.LOW, request_id="low")
            run.terminate("enough", request_id="end")
        with pytest.raises(RunTerminatedError):
            run.result()
        kinds = [recorded.type for recorded in run.history()]
        assert kinds.count("run_suspended") == kinds.count("priority_changed") == 1
