"""Resets of runs that are open: ended and gone on with in one commit, whoever owns them."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perdure import (
    Context,
    Engine,
    Retry,
    Run,
    RunNotRepairableError,
    RunStatus,
    Signal,
    StaleTokenError,
    Update,
    activity,
    current_attempt,
    defer,
    workflow,
)
from perdure.authoring.registry import Registry
from perdure.authoring.workflow import Workflow
from perdure.errors import InvalidArgumentError
from perdure.kernel import events as e
from perdure.kernel.events import ParentClosePolicy
from perdure.ports.store import RunStore
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import kinds, until

go = Signal("go", int)
add = Update("add", int, int)
world: Counter[str] = Counter()
tokens: list[str] = []


@pytest.fixture(autouse=True)
def _a_new_world() -> None:
    world.clear()
    tokens.clear()


@activity
async def open_step(name: str) -> str:
    world[name] += 1
    return name


@activity
async def open_for_ever() -> None:
    world["begun"] += 1
    try:
        await asyncio.Event().wait()
    finally:
        world["stopped"] += 1


@activity
async def open_outside() -> str:
    tokens.append(current_attempt().token)
    defer()


@workflow
async def open_signals(ctx: Context) -> list[object]:
    first = await open_step("first")
    return [first, await ctx.wait_for(go), await ctx.wait_for(go), ctx.info.generation]


@workflow
async def open_stuck(_ctx: Context) -> str:
    await open_step("first")
    await open_for_ever()
    return "never"


@workflow
async def open_deferring(_ctx: Context) -> str:
    return await open_outside()


@activity(at_most_once=True)
async def open_outside_once() -> str:
    tokens.append(current_attempt().token)
    defer()


@workflow
async def open_deferring_once(_ctx: Context) -> str:
    return await open_outside_once()


@activity(at_most_once=True, retry=Retry(attempts=1))
async def open_outside_for_good() -> str:
    tokens.append(current_attempt().token)
    defer()


@workflow
async def open_deferring_for_good(_ctx: Context) -> str:
    return await open_outside_for_good()


@workflow
async def open_child(ctx: Context) -> int:
    return await ctx.wait_for(go)


@workflow
async def open_parent(ctx: Context) -> list[object]:
    kept = ctx.start_child(open_child, id="kept")
    await open_step("between")
    ctx.start_child(open_child, id="ended", policy=ParentClosePolicy.TERMINATE)
    await ctx.wait_for(go)
    return [await kept.result(), ctx.info.generation]


@workflow
async def open_grandparent(ctx: Context) -> list[object]:
    return await ctx.run_child(open_signals, id="child")


@workflow
async def open_cleaning(ctx: Context) -> None:
    try:
        await open_step("first")
        await ctx.wait_for(Signal("never", int))
    finally:
        await ctx.wait_for(go)


@workflow
async def open_giving_up(ctx: Context) -> None:
    ctx.start_child(open_cleaning, id="child")
    await ctx.wait_for(go)


@workflow
async def open_adding(ctx: Context) -> int:
    total = 0

    async def on_add(number: int) -> int:
        nonlocal total
        await open_step("adding")
        await ctx.wait_for(go)
        total += number
        return total

    ctx.on_update(add, on_add)
    await ctx.wait_for(Signal("end", int))
    return total


async def has(run: Run[Any], kind: str, count: int = 1) -> bool:
    return (await kinds(run)).count(kind) >= count


async def test_an_open_run_is_ended_and_goes_on_from_the_event(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_signals, id="order")
        await run.signal(go, 1)
        await until(lambda: has(run, "signal_received"))
        waiting = asyncio.create_task(run.result())
        key = (await run.describe()).run_key
        reset = await run.reset("wrong", event=2, by="ops")
        await reset.signal(go, 2)
        assert await waiting == await reset.result() == ["first", 1, 2, 2]
        assert world == {"first": 2}
        store = engine.worker.store
        before = await store.find(key)
        assert before is not None
        assert (before.status, before.owner) == (RunStatus.CONTINUED, None)
        ending = (await store.read_history(key))[-1].event
        assert ending == e.RunReset(next_generation=2, point=2, reason="wrong", by="ops")


async def test_what_runs_for_the_old_generation_is_stopped_in_whatever_process(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_stuck, id="order")
        await until(lambda: _is(world["begun"] == 1))
        async with make_engine(works=False, name="client") as client:
            await (await client.get_run("order")).reset(event=2)
            await until(lambda: _is(world["stopped"] == 1))
            await until(lambda: _is(world["begun"] == 2))
        assert world["first"] == 2
        assert await kinds(run) == ["run_created", "run_started", "run_forked", *(await kinds(run))[3:]]
        await run.terminate()


async def _is(fact: bool) -> bool:
    return fact


async def test_messages_that_nobody_has_read_go_along(make_engine: MakeEngine) -> None:
    async with make_engine(works=False) as client:
        run = await client.start(open_signals, id="order")
        await run.signal(go, 1)
        reset = await run.reset(event=1)
        await reset.signal(go, 2)
    async with make_engine() as engine:
        assert await (await engine.get_run("order")).result() == ["first", 1, 2, 2]


async def test_children_that_were_open_at_the_point_stay_and_later_ones_end(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_parent, id="parent")
        await until(lambda: has(run, "child_started", 2))
        at = (await kinds(run)).index("activity_completed")
        reset = await run.reset(event=at)
        ended = await engine.get_run("ended")
        await until(lambda: _has_ended(ended, RunStatus.TERMINATED))
        await (await engine.get_run("kept")).signal(go, 7)
        await reset.signal(go, 1)
        assert await reset.result() == [7, 2]
        await until(lambda: _has_ended(ended, RunStatus.TERMINATED))


async def _has_ended(run: Run[Any], status: RunStatus) -> bool:
    return (await run.describe()).status is status


async def test_a_fork_takes_no_open_child_along(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_parent, id="parent")
        await until(lambda: has(run, "child_started", 2))
        with pytest.raises(RunNotRepairableError, match=r"child run default/kept .* \(event 2\)"):
            await run.fork(event=5)
        await run.terminate()


async def test_a_parent_hears_of_the_end_of_a_child_that_was_reset(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        parent = await engine.start(open_grandparent, id="parent")
        await until(lambda: _exists(engine, "child"))
        child = await engine.get_run("child")
        await until(lambda: has(child, "activity_completed"))
        reset = await child.reset(event=2)
        await reset.signal(go, 1)
        await reset.signal(go, 2)
        assert await parent.result() == ["first", 1, 2, 2]


async def _exists(engine: Engine, run_id: str) -> bool:
    return any(row.ref.id == run_id for row in (await engine.list_runs()).runs)


async def test_a_deferred_attempt_is_made_again_under_another_token(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_deferring, id="order")
        await until(lambda: has(run, "activity_deferred"))
        reset = await run.reset()
        await until(lambda: has(reset, "activity_deferred", 2))
        with pytest.raises(StaleTokenError):
            await engine.complete(tokens[0], "old")
        await engine.complete(tokens[1], "new")
        assert await reset.result() == "new"


async def test_an_outcome_that_was_told_and_not_read_counts_after_the_reset(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_deferring, id="order")
        await until(lambda: has(run, "activity_deferred"))
    async with make_engine(works=False) as client:
        await client.complete(tokens[0], "told")
        await (await client.get_run("order")).reset()
        await _is_told_again(client)
    async with make_engine() as engine:
        assert await (await engine.get_run("order")).result() == "told"
        await _is_told_again(engine)
    assert len(tokens) == 1


async def test_an_outcome_that_an_ended_run_has_not_read_counts_in_its_retry(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_deferring, id="order")
        await until(lambda: has(run, "activity_deferred"))
    async with make_engine(registry=Registry()) as without_code:
        run = await without_code.get_run("order")
        await without_code.complete(tokens[0], "told")
        await run.terminate()
        await until(lambda: _has_ended(run, RunStatus.TERMINATED))
        await run.retry()
        await _is_told_again(without_code)
    async with make_engine() as engine:
        assert await (await engine.get_run("order")).result() == "told"
        await _is_told_again(engine)


async def _is_told_again(engine: Engine) -> None:
    """See that whoever tells the outcome again hears that it counts, and whoever tells another that it does not."""
    await engine.complete(tokens[0], "told")
    for late in (engine.complete(tokens[0], "other"), engine.fail(tokens[0], ValueError("late"))):
        with pytest.raises(StaleTokenError, match="is completed already"):
            await late


@pytest.mark.parametrize("reads", range(3))
async def test_an_outcome_is_known_again_whenever_the_new_generation_takes_it_meanwhile(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, reads: int
) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_deferring, id="order")
        await until(lambda: has(run, "activity_deferred"))

    taken: list[object] = []

    async def take() -> None:
        async with make_engine() as engine:
            taken.append(await (await engine.get_run("order")).result())

    async with make_engine(works=False) as client:
        await client.complete(tokens[0], "told")
        await (await client.get_run("order")).reset()
        _do_before_a_read(monkeypatch, client.worker.store, reads, take)
        await client.complete(tokens[0], "told")
    assert taken == ["told"]
    assert len(tokens) == 1


def _do_before_a_read(
    monkeypatch: pytest.MonkeyPatch, store: RunStore, reads: int, does: Callable[[], Awaitable[None]]
) -> None:
    """Do something after so many reads of histories and inboxes, before the next."""
    count = 0

    def counted(read: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def reading(*args: Any, **options: Any) -> object:
            nonlocal count
            count += 1
            if count == reads + 1:
                await does()
            return await read(*args, **options)

        return reading

    for name in ("read_history", "read_inbox"):
        monkeypatch.setattr(store, name, counted(getattr(store, name)))


async def test_a_failure_that_was_told_and_not_read_counts_no_more_once_the_run_is_reset(
    make_engine: MakeEngine,
) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_deferring, id="order")
        await until(lambda: has(run, "activity_deferred"))
    async with make_engine(works=False) as client:
        await client.fail(tokens[0], ValueError("told"))
        await (await client.get_run("order")).reset()
        await _is_not_wanted(client)
    async with make_engine() as engine:
        run = await engine.get_run("order")
        await until(lambda: has(run, "activity_deferred", 2))
        await _is_not_wanted(engine)
        await engine.complete(tokens[1], "new")
        assert await run.result() == "new"


async def _is_not_wanted(engine: Engine) -> None:
    for late in (engine.complete(tokens[0], "told"), engine.fail(tokens[0], ValueError("told"))):
        with pytest.raises(StaleTokenError, match="is not wanted any more"):
            await late


async def test_a_token_of_a_call_that_the_reset_left_behind_is_stale_whatever_the_new_call_returns(
    make_engine: MakeEngine,
) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_deferring, id="order")
        await until(lambda: has(run, "activity_deferred"))
        reset = await run.reset(event=1)
        await until(lambda: has(reset, "activity_deferred"))
        await engine.complete(tokens[1], "same")
        assert await reset.result() == "same"
        with pytest.raises(StaleTokenError, match="is not wanted any more"):
            await engine.complete(tokens[0], "same")


async def test_an_outcome_of_an_at_most_once_step_that_was_told_is_not_lost(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_deferring_once, id="order")
        await until(lambda: has(run, "activity_deferred"))
    async with make_engine(works=False) as client:
        await client.complete(tokens[0], "told")
        await (await client.get_run("order")).reset()
    async with make_engine() as engine:
        assert await (await engine.get_run("order")).result() == "told"


@pytest.mark.parametrize("deferring", [open_deferring, open_deferring_once, open_deferring_for_good])
async def test_an_outcome_counts_after_the_reset_however_many_messages_stand_before_it(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, deferring: Workflow[str]
) -> None:
    monkeypatch.setattr("perdure.execution.mail.INBOX_PAGE", 2)
    async with make_engine() as engine:
        run = await engine.start(deferring, id="order")
        await until(lambda: has(run, "activity_deferred"))
    async with make_engine(works=False) as client:
        run = await client.get_run("order")
        for number in range(5):
            await run.signal(go, number)
        await client.complete(tokens[0], "told")
        await run.reset()
    async with make_engine() as engine:
        assert await (await engine.get_run("order")).result() == "told"
    assert len(tokens) == 1


async def test_an_accepted_update_is_handled_again(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_adding, id="order")
        await run.update(add, 5, wait="accepted", request_id="u1")
        await until(lambda: has(run, "activity_completed"))
        reset = await run.reset(activity="open_step")
        await reset.signal(go, 1)
        assert await reset.update(add, 5, request_id="u1") == 5
        await reset.signal(Signal("end", int), 0)
        assert await reset.result() == 5
        assert world["adding"] == 2


async def test_a_run_that_is_being_cancelled_stays_so_whether_its_owner_has_read_it_or_not(
    make_engine: MakeEngine,
) -> None:
    async with make_engine() as engine:
        parent = await engine.start(open_giving_up, id="parent")
        await until(lambda: _exists(engine, "child"))
        child = await engine.get_run("child")
        await until(lambda: has(child, "activity_completed"))
        await parent.signal(go, 1)
        await until(lambda: has(child, "run_cancel_requested"))
        reset = await child.reset(event=2)
        await until(lambda: has(reset, "run_cancel_requested"))
        await reset.signal(go, 1)
        await until(lambda: _has_ended(reset, RunStatus.CANCELLED))


async def test_a_cancellation_that_nobody_had_read_has_all_its_grace_after_the_reset(make_engine: MakeEngine) -> None:
    grace = timedelta(seconds=100)
    async with make_engine() as engine:
        run = await engine.start(open_cleaning, id="order")
        await until(lambda: has(run, "activity_completed"))
    async with make_engine(works=False) as client:
        run = await client.get_run("order")
        await run.cancel("enough", grace=grace)
        await run.reset()
    async with make_engine() as engine:
        run = await engine.get_run("order")
        await until(lambda: has(run, "run_cancel_requested"))
        found = {type(recorded.event): recorded async for recorded in run.history()}
        asked = found[e.RunCancelRequested].event
        assert isinstance(asked, e.RunCancelRequested)
        assert asked.grace_until == found[e.RunForked].at + grace // timedelta(microseconds=1)
        await run.terminate()


async def test_who_waits_for_an_accepted_update_gets_the_answer_of_the_new_generation(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_adding, id="order")
        waiting = asyncio.create_task(run.update(add, 5))
        await until(lambda: has(run, "activity_completed"))
        reset = await run.reset(activity="open_step")
        await reset.signal(go, 1)
        assert await waiting == 5
        await reset.terminate()


async def test_a_parked_run_is_reset_to_code_that_fits(make_engine: MakeEngine) -> None:
    async with make_engine(registry=_having("good")) as engine:
        run = await engine.start(_having("good").workflow("open.deployed"), id="order")
        await until(lambda: has(run, "activity_completed"))
    async with make_engine(registry=_having("bad"), works=False) as client:
        await (await client.get_run("order")).signal(go, 1)
    async with make_engine(registry=_having("bad")) as engine:
        run = await engine.get_run("order")
        await until(lambda: _is_parked(run))
        await run.reset("the new code", event=2)
        assert await run.result() == "bad"
        assert world == {"good": 1, "bad": 1}


def _having(name: str) -> Registry:
    registry = Registry()

    @workflow(name="open.deployed")
    async def deployed(ctx: Context) -> str:
        async with ctx.stage(name):
            found = await open_step(name)
            await ctx.wait_for(go)
        return found

    registry.add_workflow(deployed)
    registry.add_activity(open_step)
    return registry


async def _is_parked(run: Run[Any]) -> bool:
    return (await run.describe()).parked is not None


async def test_a_run_goes_back_behind_a_moment_or_an_activity(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_signals, id="order")
        await until(lambda: has(run, "activity_completed"))
        with pytest.raises(RunNotRepairableError, match="has done nothing since"):
            await run.reset(before=datetime.now(UTC) + timedelta(days=1))
        with pytest.raises(RunNotRepairableError, match="was created only after"):
            await run.reset(before=datetime.now(UTC) - timedelta(days=1))
        with pytest.raises(RunNotRepairableError, match="it has called: open_step"):
            await run.reset(activity="nothing")
        with pytest.raises(InvalidArgumentError, match="stage and activity are given"):
            await run.reset(stage="a", activity="b")
        since = datetime.now(UTC)
        await asyncio.sleep(0.001)
        await run.signal(go, 1)
        await until(lambda: has(run, "signal_received"))
        reset = await run.reset(before=since, reapply_signals=False)
        assert (await kinds(reset))[:5] == [
            "run_created",
            "run_started",
            "activity_scheduled",
            "activity_completed",
            "run_forked",
        ]
        again = await reset.reset(activity="open_step")
        await again.signal(go, 3)
        await again.signal(go, 4)
        assert await again.result() == ["first", 3, 4, 3]


async def test_a_busy_run_is_reset_all_the_same(make_engine: MakeEngine) -> None:
    @workflow(name="open.busy")
    async def busy(ctx: Context) -> int:
        if ctx.info.generation > 1:
            return await ctx.wait_for(go)
        while True:
            await open_step("busy")

    async with make_engine() as engine:
        run = await engine.start(busy, id="order")
        await until(lambda: _is(world["busy"] > 5))
        reset = await run.reset(event=1)
        await reset.signal(go, 5)
        assert await reset.result() == 5


async def test_one_request_makes_one_reset(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(open_signals, id="order")
        other = await engine.start(open_signals, id="other")
        await until(lambda: has(run, "activity_completed"))
        await asyncio.gather(*(run.reset(event=2, request_id="r") for _ in range(3)))
        assert (await run.describe()).ref.generation == 2
        with pytest.raises(InvalidArgumentError, match="was used to reset run"):
            await other.reset(event=2, request_id="r")
        await other.signal(go, 0, request_id="s")
        await other.terminate()
        await until(lambda: _has_ended(other, RunStatus.TERMINATED))
        with pytest.raises(InvalidArgumentError, match="used to send run default/other a message"):
            await other.retry(request_id="s")
        await run.terminate()
