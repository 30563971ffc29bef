"""What workflow code can do, each shown by a run from start to end on every store."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from perdure import (
    ChildRunError,
    Context,
    Priority,
    RunClosedError,
    RunFailedError,
    RunNotFoundError,
    RunStatus,
    Settings,
    workflow,
)
from perdure.kernel import events as e
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import decide, double, is_out_of_memory, until, waiting_for_decision


async def test_a_signal_wakes_the_run_that_waits_for_it(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(waiting_for_decision)
        assert (await run.describe()).stage == "review"
        await run.signal(decide, True)
        assert await run.result() == "yes"


async def test_a_signal_reaches_a_run_that_has_left_memory(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(idle_seconds=0.01)) as engine:
        run = await engine.start(waiting_for_decision)
        summary = await run.describe()
        await until(lambda: is_out_of_memory(engine, summary.run_key))
        assert (await run.describe()).owner is None
        await run.signal(decide, False)
        assert await run.result() == "no"


async def test_a_durable_timer_fires_in_a_run_that_has_left_memory(make_engine: MakeEngine) -> None:
    @workflow
    async def napping(ctx: Context) -> float:
        before = ctx.now()
        await asyncio.sleep(0.1)
        return (ctx.now() - before).total_seconds()

    async with make_engine(Settings(idle_seconds=0.01)) as engine:
        assert await (await engine.start(napping)).result() >= 0.1


async def test_a_run_survives_its_engine(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        await engine.start(waiting_for_decision, id="survivor")
    async with make_engine() as engine:
        run = await engine.get_run("survivor", waiting_for_decision)
        await run.signal(decide, True)
        assert await run.result() == "yes"


async def test_stages_and_progress_are_in_the_row(make_engine: MakeEngine) -> None:
    @workflow(stages=("one", "two"))
    async def staged(ctx: Context) -> None:
        async with ctx.stage("one"):
            await double(1)
        async with ctx.stage("two"):
            await ctx.wait_for(decide)

    async with make_engine() as engine:
        run = await engine.start(staged)
        async for recorded in run.watch():
            if isinstance(recorded.event, e.StageStarted) and recorded.event.name == "two":
                break
        summary = await run.describe()
        assert summary.stage == "two"
        assert 0 < summary.progress < 1
        await run.signal(decide, True)
        await run.result()
        assert (await run.describe()).progress == 1


async def test_state_and_labels_are_durable_and_runs_are_found_by_label(make_engine: MakeEngine) -> None:
    @workflow
    async def noting(ctx: Context) -> int:
        ctx.set("count", 1)
        ctx.set("gone", 2)
        ctx.delete("gone")
        ctx.set_labels(region="eu", temporary=None)
        count = ctx.get("count", int)
        assert count is not None
        ctx.set("count", count + 1)
        return count + len([key for key in ("count", "gone") if ctx.get(key) is not None])

    async with make_engine() as engine:
        run = await engine.start(noting, labels={"temporary": "yes", "kept": "yes"})
        assert await run.result() == 2
        assert (await run.describe()).labels == {"region": "eu", "kept": "yes"}
        page = await engine.list_runs(labels={"region": "eu"})
        assert [summary.ref.id for summary in page.runs] == [run.id]


async def test_a_child_run_gives_its_result_or_its_failure(make_engine: MakeEngine) -> None:
    @workflow
    async def child(ctx: Context, number: int) -> int:
        if number < 0:
            message = "negative"
            raise ValueError(message)
        return await double(number)

    @workflow
    async def parent(ctx: Context) -> str:
        good = await ctx.run_child(child, 4)
        try:
            await ctx.run_child(child, -1, id="bad-child")
        except ChildRunError as error:
            return f"{good} {error.run_id} {error.failure_type}"
        return ""

    async with make_engine() as engine:
        assert await (await engine.start(parent)).result() == "8 bad-child ValueError"


async def test_a_child_whose_id_is_taken_fails_in_its_parent(make_engine: MakeEngine) -> None:
    @workflow
    async def parent_of_taken(ctx: Context) -> str:
        try:
            await ctx.run_child(waiting_for_decision, id="taken")
        except ChildRunError as error:
            return error.failure_type
        return ""

    async with make_engine() as engine:
        await engine.start(waiting_for_decision, id="taken")
        assert await (await engine.start(parent_of_taken)).result() == "RunExistsError"


async def test_side_effects_random_and_ids_are_the_same_after_a_reload(make_engine: MakeEngine) -> None:
    calls: list[int] = []
    seen: list[tuple[object, ...]] = []

    def compute() -> int:
        calls.append(1)
        return 42

    @workflow
    async def chancy(ctx: Context) -> bool:
        value = await ctx.side_effect(compute, int)
        seen.append((value, ctx.random.random(), ctx.uuid4(), ctx.now()))
        return await ctx.wait_for(decide)

    async with make_engine() as engine:
        await engine.start(chancy, id="chance")
    async with make_engine() as engine:
        run = await engine.get_run("chance")
        await run.signal(decide, True)
        await run.result()
    assert len(calls) == 1
    assert len(seen) == 2
    assert seen[0] == seen[1]


async def test_queries_read_running_waiting_and_closed_runs(make_engine: MakeEngine) -> None:
    @workflow
    async def answering(ctx: Context) -> str:
        words = ["one"]

        @ctx.query("words")
        def answer(prefix: str) -> str:
            return prefix + " ".join(words)

        words.append("two")
        await ctx.wait_for(decide)
        words.append("three")
        return "done"

    async with make_engine(Settings(idle_seconds=0.01)) as engine:
        run = await engine.start(answering)
        assert await run.query("words", ">") == ">one two"
        key = (await run.describe()).run_key
        await until(lambda: is_out_of_memory(engine, key))
        assert await run.query("words", ">") == ">one two"
        await run.signal(decide, True)
        await run.result()
        assert await run.query("words", "") == "one two three"


async def test_priority_changes_are_recorded(make_engine: MakeEngine) -> None:
    @workflow(priority=Priority.LOW)
    async def urgent(ctx: Context) -> None:
        ctx.set_priority(Priority.HIGH, reason="a customer waits")
        await ctx.wait_for(decide)

    async with make_engine() as engine:
        run = await engine.start(urgent)
        assert (await run.describe()).priority is Priority.HIGH
        await run.set_priority(Priority.CRITICAL, by="operator")
        assert (await run.describe()).priority is Priority.CRITICAL
        changes = [r.event async for r in run.history() if isinstance(r.event, e.PriorityChanged)]
        assert [(c.old, c.new) for c in changes] == [
            (Priority.LOW, Priority.HIGH),
            (Priority.HIGH, Priority.CRITICAL),
        ]


async def test_a_run_signals_another(make_engine: MakeEngine) -> None:
    @workflow
    async def telling(ctx: Context) -> None:
        _ = ctx.signal("listener", decide, True)

    async with make_engine() as engine:
        listener = await engine.start(waiting_for_decision, id="listener")
        await (await engine.start(telling)).result()
        assert await listener.result() == "yes"


async def test_a_run_learns_what_became_of_a_signal_that_it_awaits(make_engine: MakeEngine) -> None:
    @workflow
    async def doubling(ctx: Context, number: int) -> int:
        return await double(number)

    @workflow
    async def telling_all(ctx: Context, targets: list[str]) -> list[str]:
        async def tell(target: str) -> str:
            try:
                await ctx.signal(target, decide, True)
            except (RunNotFoundError, RunClosedError) as error:
                return type(error).__name__
            return "delivered"

        return list(await asyncio.gather(*map(tell, targets)))

    async with make_engine() as engine:
        listener = await engine.start(waiting_for_decision, id="listener")
        await (await engine.start(doubling, 1, id="ended")).result()
        run = await engine.start(telling_all, ["listener", "ended", "nobody"])
        assert await run.result() == ["delivered", "RunClosedError", "RunNotFoundError"]
        assert await listener.result() == "yes"


async def test_a_refused_signal_that_is_not_awaited_stands_in_the_history(make_engine: MakeEngine) -> None:
    @workflow
    async def telling_and_going_on(ctx: Context) -> None:
        _ = ctx.signal("nobody", decide, True)
        await ctx.wait_for(decide)

    async with make_engine() as engine:
        run = await engine.start(telling_and_going_on)
        answer = await anext(r.event async for r in run.watch() if isinstance(r.event, e.SignalAnswered))
        assert answer.outcome is e.SignalOutcome.MISSING
        await run.signal(decide, True)
        await run.result()


async def test_a_signal_is_awaited_where_it_is_sent(make_engine: MakeEngine) -> None:
    @workflow
    async def awaiting_late(ctx: Context) -> None:
        sent = ctx.signal("nobody", decide, True)
        await asyncio.sleep(0.001)
        await sent

    async with make_engine() as engine:
        with pytest.raises(RunFailedError, match="where it is called"):
            await (await engine.start(awaiting_late)).result()


async def test_a_run_starts_not_before_its_time(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        soon = datetime.now(UTC) + timedelta(milliseconds=50)
        run = await engine.start(waiting_for_decision, start_at=soon)
        assert (await run.describe()).status is RunStatus.CREATED
        await run.signal(decide, True)
        assert await run.result() == "yes"
        started_at = (await run.describe()).started_at
        assert started_at is not None
        assert started_at >= int(soon.timestamp() * 1_000_000)


async def test_a_run_that_waits_is_not_due_when_its_engine_has_closed(make_engine: MakeEngine) -> None:
    @workflow
    async def patient(ctx: Context) -> None:
        await asyncio.sleep(timedelta(days=30).total_seconds())

    async with make_engine() as engine:
        waiting = await engine.start(waiting_for_decision, id="waiting")
        await engine.start(patient, id="patient")
        await waiting.describe()
    async with make_engine(works=False) as client:
        waiting_row = await (await client.get_run("waiting")).describe()
        patient_row = await (await client.get_run("patient")).describe()
        assert waiting_row.owner is patient_row.owner is None
        assert waiting_row.wake_at is not None  # its time limit of three days
        assert patient_row.wake_at is not None
        assert patient_row.started_at is not None
        assert patient_row.wake_at - patient_row.started_at == timedelta(days=30).total_seconds() * 1_000_000
