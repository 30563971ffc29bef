"""Errors that definitions declare: caught by their own class in workflow code, on every store and on a replay."""

from contextlib import suppress
from typing import Any, TypeGuard

import pytest

from perdure import (
    ActivityFailedError,
    ChildRunError,
    Context,
    NonRetryableError,
    Retry,
    Run,
    RunFailedError,
    Signal,
    Update,
    UpdateFailedError,
    activity,
    workflow,
)
from perdure.authoring.registry import Registry
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import QUICK, double, kinds, until

move_on = Signal("move_on")


class BadFileError(NonRetryableError):
    def __init__(self, path: str, line: int) -> None:
        super().__init__(f"{path}, line {line}")
        self.line = line


class MissingFileError(BadFileError):
    pass


@activity(raises=(BadFileError, OSError), retry=Retry(attempts=2, backoff=QUICK))
async def read(path: str) -> int:
    if path == "unreadable":
        raise FileNotFoundError(path)
    if path == "odd":
        raise LookupError(path)
    raise MissingFileError(path, 7)


@workflow(raises=BadFileError)
async def reading(ctx: Context, path: str) -> int:
    return await read(path)


def is_of_an_activity(error: Exception) -> TypeGuard[ActivityFailedError]:
    return isinstance(error, ActivityFailedError)


def is_of_a_child(error: Exception) -> TypeGuard[ChildRunError]:
    return isinstance(error, ChildRunError)


@workflow
async def reading_with_care(ctx: Context, path: str) -> str:
    try:
        await read(path)
    except BadFileError as error:
        return f"bad: {error.failure_message} at attempt {error.attempts}" if is_of_an_activity(error) else str(error)
    except OSError:
        return "unreadable"
    except ActivityFailedError as error:
        return f"failed: {error.failure_type}"
    return ""


@workflow
async def reading_by_a_child(ctx: Context, path: str) -> str:
    try:
        await ctx.run_child(reading, path)
    except BadFileError as error:
        return f"bad, in {error.run_id}: {error.failure_type}" if is_of_a_child(error) else str(error)
    except ChildRunError as error:
        return f"failed: {error.failure_type}"
    return ""


@workflow
async def reading_before_a_signal(ctx: Context) -> int:
    try:
        await read("torn")
    except BadFileError:
        await ctx.wait_for(move_on)
        return await double(2)
    return 0


@pytest.mark.parametrize(
    ("path", "result"),
    [("torn", "bad: torn, line 7 at attempt 1"), ("unreadable", "unreadable"), ("odd", "failed: LookupError")],
)
async def test_an_activity_s_failure_is_caught_by_the_class_that_it_declares(
    make_engine: MakeEngine, path: str, result: str
) -> None:
    async with make_engine() as engine:
        assert await (await engine.start(reading_with_care, path)).result() == result


@pytest.mark.parametrize(
    ("path", "result"),
    [("torn", "bad, in parent/1: ActivityFailedError"), ("unreadable", "failed: ActivityFailedError")],
)
async def test_a_child_run_s_failure_is_caught_by_the_class_that_its_workflow_declares(
    make_engine: MakeEngine, path: str, result: str
) -> None:
    async with make_engine() as engine:
        run = await engine.start(reading_by_a_child, path, id="parent")
        assert await run.result() == result


async def has_failed(run: Run[int]) -> bool:
    return "activity_failed" in await kinds(run)


async def test_a_replay_catches_it_again(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(reading_before_a_signal, id="waits")
        await until(lambda: has_failed(run))
    async with make_engine() as engine:
        again = await engine.get_run("waits", reading_before_a_signal)
        await again.signal(move_on)
        assert await again.result() == 4


async def test_where_nobody_catches_it_the_run_fails_as_if_nothing_were_declared(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(reading, "torn")
        with pytest.raises(RunFailedError) as failed:
            await run.result()
    assert failed.value.failure_type == "ActivityFailedError"
    assert failed.value.failure_message == (
        "activity read failed at attempt 1 (its error rules out a retry): MissingFileError: torn, line 7"
    )


def undoing(**declared: Any) -> Registry:
    """Return what a process has whose activity fails wherever that is recorded, and then waits."""

    @activity(name="declared.undo", retry=Retry.never(), **declared)
    async def undo(path: str) -> None:
        raise BadFileError(path, 7)

    @activity(name="declared.book", compensate=undo)
    async def book(path: str) -> str:
        return path

    async def handle(path: str) -> None:
        await undo(path)

    @workflow(name="declared.undoing")
    async def undoes(ctx: Context) -> int:
        ctx.on_update(undo_it, handle)
        await book("torn")
        with suppress(ActivityFailedError):
            async with ctx.stage("undoing"):
                await undo("torn")
        await ctx.compensate()
        await ctx.wait_for(move_on)
        return 7

    registry = Registry()
    registry.add_activity(undo)
    registry.add_activity(book)
    registry.add_workflow(undoes)
    return registry


undo_it = Update("undo_it", str)


@pytest.mark.parametrize(
    ("before", "after"), [({}, {"raises": BadFileError}), ({"raises": BadFileError}, {})], ids=["added", "removed"]
)
async def test_a_class_may_be_declared_and_taken_back_while_runs_are_open(
    make_engine: MakeEngine, before: dict[str, Any], after: dict[str, Any]
) -> None:
    old, new = undoing(**before), undoing(**after)
    async with make_engine(registry=old) as engine:
        run = await engine.start(old.workflow("declared.undoing"), id="open")
        with pytest.raises(UpdateFailedError):
            await run.update(undo_it, "torn")
        await until(lambda: has_undone(run))
    async with make_engine(registry=new) as engine:
        again = await engine.get_run("open")
        await again.signal(move_on)
        assert await again.result() == 7


async def has_undone(run: Run[Any]) -> bool:
    return {"stage_failed", "update_completed", "compensation_finished"} <= set(await kinds(run))
