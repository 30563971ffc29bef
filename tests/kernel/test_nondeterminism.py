"""Changed code: the first difference between what it asks for and what its history records stops the run by name.

Each test records a run of one version of a workflow and replays it with another. What is asserted is all that the
error tells: what was recorded, what the code asked for, and the line of this file that asked.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.registry import default_registry
from perdure.authoring.signals import Signal
from perdure.authoring.workflow import Workflow, workflow
from perdure.errors import NonDeterminismError
from perdure.kernel import events as e
from perdure.kernel.backoff import fixed
from perdure.kernel.priority import Priority
from perdure.kernel.retry import Retry
from tests.kernel.lives import Life, life_of, replay
from tests.kernel.workflows import Order

AnyWorkflow = Workflow[*tuple[Any, ...], Any]
go = Signal("go", int)


@activity(name="nd.one")
async def one(amount: int) -> int:
    return amount


@activity(name="nd.two")
async def two(amount: int) -> int:
    return amount


@activity(name="nd.order")
async def order(given: Order) -> int:
    return given.amount


Code = Callable[[Context], Awaitable[object]]


def workflow_of(code: Code) -> AnyWorkflow:
    @workflow(name="nd.workflow")
    async def changing(ctx: Context) -> object:
        return await code(ctx)

    return changing


def lived(code: Code, *, steps: int = 1) -> Life:
    """Return a run of `code` in which `steps` activities have returned 1."""
    run = life_of(workflow_of(code))
    run.begin()
    for _ in range(steps):
        run.succeed(run.pending[0], 1)
    return run


def difference(old: Code, new: Code, *, steps: int = 1, page: int = 1_000) -> NonDeterminismError:
    run = lived(old, steps=steps)
    with pytest.raises(NonDeterminismError) as caught:
        replay(workflow_of(new).entry(), run.history, page=page)
    return caught.value


def line_of(code: Callable[..., object], text: str) -> str:
    """Return file:line of the first line of `code` that holds `text`."""
    lines, begin = inspect.getsourcelines(code)
    return f"{__file__}:{next(begin + offset for offset, line in enumerate(lines) if text in line)}"


async def base(ctx: Context) -> int:
    first = await one(1)
    return first + await two(2)


async def removed(ctx: Context) -> int:
    return await one(1)


async def all_removed(ctx: Context) -> int:
    await ctx.wait_for(go)
    return 0


async def added(ctx: Context) -> int:
    first = await one(1)
    ctx.set("note", "new")
    return first + await two(2)


async def reordered(ctx: Context) -> int:
    first = await two(2)
    return first + await one(1)


async def other_options(ctx: Context) -> int:
    first = await one.options(queue="slow")(1)
    return first + await two(2)


async def other_retry(ctx: Context) -> int:
    policy = Retry(attempts=9, backoff=fixed(timedelta(seconds=1)))
    first = await one.options(retry=policy)(1)
    return first + await two(2)


async def other_input(ctx: Context) -> int:
    first = await one(3)
    return first + await two(2)


async def a_timer_instead(ctx: Context) -> int:
    await ctx.sleep(5)
    return await two(2)


async def in_tasks(ctx: Context) -> int:
    results = await asyncio.gather(one(1), two(2))
    return sum(results)


ONE = 'activity_scheduled(operation=1, activity="nd.one", input='
TWO = 'activity_scheduled(operation=2, activity="nd.two", input='


@pytest.mark.parametrize("page", [1, 2, 3, 1_000])
@pytest.mark.parametrize(
    ("new", "sequence", "recorded", "actual", "asked_by"),
    [
        (removed, 5, TWO, "run_completed(result=1)", None),
        (all_removed, 3, ONE, "nothing", None),
        (added, 5, TWO, 'state_key_set(operation=2, key="note"', "ctx.set"),
        (reordered, 3, ONE, 'activity_scheduled(operation=1, activity="nd.two"', "await two(2)"),
        (other_options, 3, ONE, '"queue":"slow"', "one.options"),
        (other_retry, 3, ONE, '"attempts":9', "one.options(retry"),
        (other_input, 3, ONE, "input=[3]", "await one(3)"),
        (a_timer_instead, 3, ONE, "timer_started(operation=1, due_at=1700000005000000)", "ctx.sleep"),
        (in_tasks, 4, "activity_completed(operation=1", TWO, "asyncio.gather"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_a_change_is_told_with_both_sides_and_the_line(  # noqa: PLR0917 - a row of the table
    new: Code, sequence: int, recorded: str, actual: str, asked_by: str | None, page: int
) -> None:
    error = difference(base, new, page=page)
    assert error.sequence == sequence
    assert error.recorded.startswith(recorded)
    assert actual in error.actual
    if asked_by is not None and new is not in_tasks:
        assert error.location == line_of(new, asked_by)
    assert f"At event {sequence} the history holds {error.recorded}" in str(error)
    assert "Nothing was written" in str(error)
    assert "ctx.patched" in str(error)


def test_a_call_in_a_task_is_placed_at_its_own_line() -> None:
    async def call(ctx: Context) -> int:
        return await two(9)

    async def old(ctx: Context) -> int:
        return await asyncio.create_task(call_old())

    async def call_old() -> int:
        return await one(1)

    async def new(ctx: Context) -> int:
        return await asyncio.create_task(call(ctx))

    assert difference(old, new, steps=0).location == line_of(call, "await two(9)")


def test_a_renamed_activity_is_another_one() -> None:
    @activity(name="nd.one.renamed")
    async def renamed(amount: int) -> int:
        return amount

    async def new(ctx: Context) -> int:
        return await renamed(1)

    error = difference(base, new)
    assert 'activity="nd.one"' in error.recorded
    assert 'activity="nd.one.renamed"' in error.actual
    assert error.location == line_of(new, "await renamed")


def test_another_timer_is_told() -> None:
    async def old(ctx: Context) -> None:
        await ctx.sleep(5)

    async def new(ctx: Context) -> None:
        await ctx.sleep(6)

    error = difference(old, new, steps=0)
    assert "due_at=1700000005000000" in error.recorded
    assert "due_at=1700000006000000" in error.actual
    assert error.location == line_of(new, "ctx.sleep")


def test_code_that_asks_for_more_than_was_recorded_is_told() -> None:
    async def old(ctx: Context) -> None:
        await ctx.wait_for(go)

    async def new(ctx: Context) -> None:
        ctx.trace_event("new")
        await ctx.wait_for(go)

    error = difference(old, new, steps=0)
    assert (error.sequence, error.recorded) == (3, "nothing more")
    assert error.actual == 'trace_event_recorded(operation=1, name="new")'
    assert error.location == line_of(new, "trace_event")


@pytest.mark.parametrize("stage", ["pay", "ship"])
def test_the_line_of_a_stage_is_the_workflow_s_own(stage: str) -> None:
    async def old(ctx: Context) -> None:
        async with ctx.stage("pack"):
            await one(1)

    async def new(ctx: Context) -> None:
        async with ctx.stage(stage):
            await one(1)

    error = difference(old, new, steps=0)
    assert error.recorded == 'stage_started(operation=1, name="pack")'
    assert error.location == line_of(new, "ctx.stage")


async def waits_for_ever(ctx: Context) -> None:
    await ctx.wait_for(go)


@pytest.mark.parametrize(
    ("end", "recorded"),
    [
        (lambda: int("x"), "run_failed(operation=2"),
        (lambda: 1, "run_completed("),
    ],
)
def test_code_that_no_longer_ends_where_it_ended_is_told(end: Callable[[], object], recorded: str) -> None:
    async def old(ctx: Context) -> object:
        asyncio.get_running_loop().create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        return end()

    async def new(ctx: Context) -> None:
        asyncio.get_running_loop().create_task(asyncio.sleep(60))
        await ctx.wait_for(go)

    error = difference(old, new, steps=0)
    assert error.recorded.startswith(recorded)
    assert error.actual == "nothing"
    assert error.location is None


def test_code_that_no_longer_ends_after_a_cancellation_is_told() -> None:
    run = lived(waits_for_ever, steps=0)
    run.cancel()
    assert isinstance(run.state.closing, e.RunCancelled)

    async def new(ctx: Context) -> None:
        try:
            await ctx.wait_for(go)
        except asyncio.CancelledError:
            await ctx.wait_for(go)

    with pytest.raises(NonDeterminismError) as caught:
        replay(workflow_of(new).entry(), run.history)
    assert caught.value.recorded.startswith("run_cancelled(operation=1")


def test_code_that_fails_otherwise_is_told_with_the_line_that_raised() -> None:
    async def old(ctx: Context) -> None:
        raise KeyError("a")

    async def new(ctx: Context) -> None:
        raise ValueError("a")

    error = difference(old, new, steps=0)
    assert "failure=KeyError: 'a'" in error.recorded
    assert "failure=ValueError: a" in error.actual
    assert error.location == line_of(new, "raise ValueError")


def test_code_that_fails_with_another_text_is_the_same() -> None:
    async def old(ctx: Context) -> None:
        raise KeyError("at 0x1")

    async def new(ctx: Context) -> None:
        raise KeyError("at 0x2")

    assert replay(workflow_of(new).entry(), lived(old, steps=0).history).state.is_closed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (lambda ctx: ctx.set("k", 1), lambda ctx: ctx.set("k", 2)),
        (lambda ctx: ctx.set("k", 1), lambda ctx: ctx.set("l", 1)),
        (lambda ctx: ctx.set_labels(a="b"), lambda ctx: ctx.set_labels(a=None)),
        (lambda ctx: ctx.set_priority(Priority.LOW), lambda ctx: ctx.set_priority(Priority.HIGH)),
        (lambda ctx: ctx.trace_event("a"), lambda ctx: ctx.trace_event("a", b="c")),
        (lambda ctx: ctx.signal("x", go, 1), lambda ctx: ctx.signal("y", go, 1)),
        (lambda ctx: ctx.signal("x", go, 1), lambda ctx: ctx.signal("x", go, 2)),
        (lambda ctx: ctx.patched("a"), lambda ctx: None),
        (lambda ctx: ctx.uuid4(), lambda ctx: ctx.set("k", str(ctx.uuid4()))),
    ],
)
def test_other_words_to_the_context_are_told(old: Callable[[Context], Any], new: Callable[[Context], Any]) -> None:
    async def before(ctx: Context) -> None:
        old(ctx)
        await ctx.wait_for(go)

    async def after(ctx: Context) -> None:
        new(ctx)
        await ctx.wait_for(go)

    difference(before, after, steps=0)


def test_an_added_side_effect_is_told_and_not_called() -> None:
    called: list[int] = []

    def effect() -> int:
        called.append(1)
        return 5

    async def new(ctx: Context) -> int:
        value = await ctx.side_effect(effect, int)
        return value + await one(1)

    error = difference(base, new)
    assert error.actual.startswith("side_effect_recorded(operation=1")
    assert called == []


def test_another_child_is_told() -> None:
    @workflow(name="nd.child")
    async def child(ctx: Context, amount: int) -> int:
        return amount

    async def old(ctx: Context) -> int:
        return await ctx.run_child(child, 1)

    async def new(ctx: Context) -> int:
        return await ctx.run_child(child, 1, id="named")

    error = difference(old, new, steps=0)
    assert 'child={"id":"order-1/1"}' in error.recorded
    assert 'child={"id":"named"}' in error.actual
    assert error.location == line_of(new, "run_child")


def test_what_asyncio_itself_asks_for_is_shown_where_the_workflow_waits() -> None:
    """A callback of the loop starts a timer: whoever runs the loop stands behind it, and is not shown."""

    async def old(ctx: Context) -> None:
        await ctx.wait_for(go)

    async def new(ctx: Context) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(partial(loop.call_later, 9, int))
        await ctx.wait_for(go)

    error = difference(old, new, steps=0)
    assert error.actual.startswith("timer_started")
    assert error.location == line_of(new, "wait_for")


def test_a_step_in_a_task_of_its_own_is_shown_where_the_workflow_waits_for_it() -> None:
    async def old(ctx: Context) -> None:
        await ctx.wait_for(go)

    async def new(ctx: Context) -> None:
        await asyncio.gather(
            one(1),
            one(2),
        )

    error = difference(old, new, steps=0)
    assert error.actual.startswith("activity_scheduled")
    assert error.location == line_of(new, "gather")


# --- changes that are no difference --------------------------------------------------------------------------------


def test_an_input_that_gained_a_field_with_a_default_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch, "nd.order")

    @dataclass(frozen=True)
    class GrownOrder:
        amount: int
        currency: str = "EUR"

    @activity(name="nd.order")
    async def grown(given: GrownOrder) -> int:
        return given.amount

    async def old(ctx: Context) -> int:
        return await order(Order(amount=5))

    async def new(ctx: Context) -> int:
        return await grown(GrownOrder(amount=5))

    async def shrunk(ctx: Context) -> int:
        return await order(Order(amount=5))

    assert replay(workflow_of(new).entry(), lived(old, steps=0).history).pending == [1]
    assert "currency" in difference(new, shrunk, steps=0).recorded


def test_another_limit_on_the_definition_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch, "nd.one")

    async def old(ctx: Context) -> int:
        return await one(1)

    @activity(name="nd.one", schedule_to_close=timedelta(hours=5), retry=Retry(attempts=1, backoff=one_second()))
    async def limited(amount: int) -> int:
        return amount

    async def new(ctx: Context) -> int:
        return await limited(1)

    assert replay(workflow_of(new).entry(), lived(old, steps=0).history).pending == [1]


def forget(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make way for another definition of an activity, for this test: tomorrow's code."""
    monkeypatch.delitem(default_registry._activities, name)


def one_second() -> Any:
    return fixed(timedelta(seconds=1))


def test_the_child_s_new_version_is_no_difference_to_its_parent() -> None:
    @workflow(name="nd.versioned", version="1")
    async def first(ctx: Context) -> int:
        return 1

    @workflow(name="nd.versioned", version="2", stages=("a",), execution_timeout=timedelta(hours=1))
    async def second(ctx: Context) -> int:
        return 1

    async def old(ctx: Context) -> int:
        return await ctx.run_child(first)

    async def new(ctx: Context) -> int:
        return await ctx.run_child(second)

    assert list(replay(workflow_of(new).entry(), lived(old, steps=0).history).state.children) == [1]


def test_a_run_that_was_refused_can_go_on_with_the_old_code() -> None:
    run = lived(base)
    with pytest.raises(NonDeterminismError):
        replay(workflow_of(reordered).entry(), run.history)
    again = replay(workflow_of(base).entry(), run.history)
    again.succeed(2, 2)
    assert again.result == 3
