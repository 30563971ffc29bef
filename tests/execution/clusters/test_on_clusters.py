"""Activities on clusters: what holds on Ray and on Dask alike, on real ones, with processes that are really killed."""

import asyncio
import os
import signal
import sys
from datetime import timedelta

import pytest

from perdure import Context, Engine, Run, Settings, activity, workflow
from perdure.authoring.activity import Activity
from perdure.authoring.registry import Registry
from perdure.errors import UsageError
from perdure.execution.clusters.executor import ClusterExecutor
from perdure.execution.late_executor import LateExecutor
from perdure.kernel import events as e
from perdure.kernel.options import ActivityOptions, Executor
from tests.execution.clusters import activities as a
from tests.execution.clusters.conftest import OnCluster
from tests.execution.conftest import MakeEngine
from tests.execution.meeting import Meeting
from tests.execution.outcomes import outcome_of


@workflow
async def meet_there(ctx: Context, kind: str, address: str) -> str:
    return await a.meet_on_cluster.options(executor=kind)(address)


@workflow
async def echo_there(ctx: Context, kind: str, text: str) -> str:
    return await a.echo_on_cluster.options(executor=kind)(text)


async def test_it_runs_in_another_process_where_its_attempt_is_known(
    on_cluster: OnCluster, kind: str, meeting: Meeting
) -> None:
    async with on_cluster() as engine:
        run = await engine.start(meet_there, kind, meeting.address)
        visitor = await meeting.visitor()
        assert int(await visitor.line()) != os.getpid()
        assert await visitor.line() == "1"
        visitor.tell("done")
        assert await run.result() == "done"


async def test_large_arguments_and_results_pass_to_a_cluster(on_cluster: OnCluster, kind: str) -> None:
    text = "ä" * 900_000
    async with on_cluster() as engine:
        assert await (await engine.start(echo_there, kind, text)).result() == text


async def test_what_it_raises_there_becomes_the_failure_with_its_traceback(on_cluster: OnCluster, kind: str) -> None:
    @workflow
    async def fails_there(ctx: Context, kind: str) -> object:
        return await outcome_of(a.fail_on_cluster.options(executor=kind)("word"))

    async with on_cluster() as engine:
        run = await engine.start(fails_there, kind)
        assert await run.result() == "LookupError | word"
        (failed,) = [r.event async for r in run.history() if isinstance(r.event, e.ActivityFailed)]
        assert "raise LookupError(word)" in (failed.failure.traceback or "")


async def test_the_details_of_its_heartbeat_reach_the_next_attempt(on_cluster: OnCluster, kind: str) -> None:
    @workflow
    async def resumes_there(ctx: Context, kind: str) -> object:
        return await a.beat_then_fail.options(executor=kind)(7)

    async with on_cluster() as engine:
        assert await (await engine.start(resumes_there, kind)).result() == 7


async def test_what_it_publishes_there_arrives_in_order_before_its_outcome(on_cluster: OnCluster, kind: str) -> None:
    @workflow
    async def publishes_there(ctx: Context, kind: str) -> None:
        await a.publish_on_cluster.options(executor=kind)(50)

    async with on_cluster() as engine:
        run = await engine.start(publishes_there, kind)
        assert [item.value async for item in run.stream(a.STEPS)] == list(range(50))


async def test_it_leaves_its_outcome_to_somebody_outside(on_cluster: OnCluster, kind: str, meeting: Meeting) -> None:
    @workflow
    async def defers_there(ctx: Context, kind: str, address: str) -> str:
        return await a.defer_on_cluster.options(executor=kind)(address)

    async with on_cluster() as engine:
        run = await engine.start(defers_there, kind, meeting.address)
        token = await (await meeting.visitor()).line()
        async for recorded in run.watch():
            if isinstance(recorded.event, e.ActivityDeferred):
                break
        await engine.complete(token, "done")
        assert await run.result() == "done"


# --- ends of processes -------------------------------------------------------------------------------------------


async def test_an_attempt_whose_process_is_killed_fails_and_is_made_again_once(
    on_cluster: OnCluster, kind: str, meeting: Meeting
) -> None:
    async with on_cluster() as engine:
        run = await engine.start(meet_there, kind, meeting.address)
        first = await meeting.visitor()
        os.kill(int(await first.line()), signal.SIGKILL)
        second = await meeting.visitor()
        assert [await second.line() != "", await second.line()] == [True, "2"]
        second.tell("done")
        assert await run.result() == "done"
        (failed,) = [r.event async for r in run.history() if isinstance(r.event, e.ActivityAttemptFailed)]
        assert failed.failure.type == "WorkerProcessDiedError"
        assert "died that ran activity meet_on_cluster" in failed.failure.message


# --- giving up ---------------------------------------------------------------------------------------------------


@workflow
async def give_up_there(ctx: Context, kind: str, address: str) -> str:
    beating = asyncio.ensure_future(a.beat_on_cluster.options(executor=kind)(address))
    await ctx.wait_for(a.GO)
    beating.cancel()
    return await a.echo_on_cluster.options(executor=kind)("next")


async def until_it_beats(run: Run[str]) -> None:
    """Return when a heartbeat has arrived: what is published after it has."""
    async for _ in run.stream(a.STEPS):
        return


async def test_a_function_that_beats_there_hears_that_it_was_given_up_and_can_clean_up(
    on_cluster: OnCluster, kind: str, meeting: Meeting
) -> None:
    async with on_cluster(**{f"{kind}_slots": 1}) as engine:
        run = await engine.start(give_up_there, kind, meeting.address)
        await until_it_beats(run)
        await run.signal(a.GO, None)
        assert await (await meeting.visitor()).line() == "cleaned up"
        assert await run.result() == "next"


async def test_closing_the_engine_gives_up_what_runs_there(on_cluster: OnCluster, kind: str, meeting: Meeting) -> None:
    async with on_cluster(shutdown_grace_seconds=0.0) as engine:
        run = await engine.start(give_up_there, kind, meeting.address)
        await until_it_beats(run)
    assert await (await meeting.visitor()).line() == "cleaned up"


async def test_an_attempt_that_is_given_up_before_it_has_begun_never_begins(
    on_cluster: OnCluster, kind: str, meeting: Meeting
) -> None:
    @workflow
    async def withdraws(ctx: Context, kind: str, address: str) -> list[str]:
        meet = a.meet_on_cluster.options(executor=kind)
        wanted = [asyncio.ensure_future(meet(address)) for _ in range(2)]
        await ctx.wait_for(a.GO)
        unwanted = asyncio.ensure_future(meet(address))
        await ctx.wait_for(a.GO)
        unwanted.cancel()
        return [await each for each in [*wanted, asyncio.ensure_future(meet(address))]]

    async with on_cluster(**{f"{kind}_slots": 4}) as engine:
        run = await engine.start(withdraws, kind, meeting.address)
        visitors = [await meeting.visitor(), await meeting.visitor()]
        await run.signal(a.GO, None)
        await until_submitted(engine, kind, 3)
        await run.signal(a.GO, None)
        for visitor in visitors:
            visitor.tell("first")
        (await meeting.visitor()).tell("last")
        assert await run.result() == ["first", "first", "last"]
        assert meeting.visits == 3


async def test_the_time_of_an_attempt_counts_from_when_its_function_begins(
    on_cluster: OnCluster, kind: str, meeting: Meeting
) -> None:
    @workflow
    async def hurries(ctx: Context, kind: str, address: str) -> list[str]:
        meet = a.meet_on_cluster.options(executor=kind)
        patient = [asyncio.ensure_future(meet(address)) for _ in range(2)]
        await ctx.wait_for(a.GO)
        hurried = a.beat_on_cluster.options(executor=kind, timeout=timedelta(microseconds=1))
        patient.append(asyncio.ensure_future(outcome_of(hurried(address))))
        return [await each for each in patient]

    async with on_cluster(**{f"{kind}_slots": 3}) as engine:
        run = await engine.start(hurries, kind, meeting.address)
        visitors = [await meeting.visitor(), await meeting.visitor()]
        await run.signal(a.GO, None)
        await until_submitted(engine, kind, 3)
        assert engine.worker.dispatcher.running == 3
        for visitor in visitors:
            visitor.tell("done")
        *done, hurried = await run.result()
        assert done == ["done", "done"]
        assert "timed out" in hurried


async def until_submitted(engine: Engine, kind: str, count: int) -> None:
    """Return when so many attempts are on the cluster, begun or not."""
    late = engine.worker.attempts._executors[Executor(kind)]
    assert isinstance(late, LateExecutor)
    executor = late.made
    assert isinstance(executor, ClusterExecutor)
    async with asyncio.timeout(60):
        while sum(attempt._task is not None for attempt in executor._attempts.values()) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.001)  # nobody tells


# --- clusters that are not there ---------------------------------------------------------------------------------


LIBRARIES = {"ray": "ray", "dask": "distributed"}


@pytest.fixture
def lacking(kind: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name a kind of cluster whose library is not installed."""
    monkeypatch.setitem(sys.modules, LIBRARIES[kind], None)
    return kind


async def test_an_activity_whose_library_is_missing_fails_for_good_and_says_what_to_install(lacking: str) -> None:
    @workflow
    async def calls_in_vain(ctx: Context, kind: str) -> object:
        return await outcome_of(a.echo_on_cluster.options(executor=kind, retry=a.TWICE)("text"))

    registry = Registry()
    registry.add_workflow(calls_in_vain)
    registry.add_activity(a.echo_on_cluster)
    async with Engine("memory:", registry=registry) as engine:
        run = await engine.start(calls_in_vain, lacking)
        told = str(await run.result())
        assert told.startswith("UsageError | ")
        assert f"pip install 'perdure[{lacking}]'" in told
        assert not [r async for r in run.history() if isinstance(r.event, e.ActivityAttemptFailed)]


async def test_an_engine_that_lacks_the_library_of_a_declared_activity_does_not_open(lacking: str) -> None:
    def declared() -> None: ...

    registry = Registry()
    options = ActivityOptions(executor=Executor(lacking))
    registry.add_activity(Activity(declared, name="declared_for_cluster", options=options))
    told = rf"activity declared_for_cluster needs the package .* install 'perdure\[{lacking}\]'"
    with pytest.raises(UsageError, match=told):
        async with Engine("memory:", registry=registry):
            pass
    without = Settings(ray_slots=0, dask_slots=0)
    async with (
        Engine("memory:", registry=registry, settings=without),
        Engine("memory:", registry=registry, works=False),
    ):
        pass


async def test_a_function_inside_another_is_not_handed_to_a_cluster(make_engine: MakeEngine, kind: str) -> None:
    @activity(name="hidden_from_cluster")
    def hidden() -> None: ...

    @workflow
    async def calls_hidden_there(ctx: Context, kind: str) -> object:
        return await outcome_of(hidden.options(executor=kind)())

    async with make_engine() as engine:
        told = str(await (await engine.start(calls_hidden_there, kind)).result())
        assert f"UsageError | activity hidden_from_cluster cannot run on {kind.capitalize()}" in told
        assert "is defined inside a function" in told


def test_addresses_are_texts() -> None:
    with pytest.raises(ValueError, match="ray_address is 6379; it must be a text"):
        Settings(ray_address=6379)  # type: ignore[arg-type]


async def test_no_cluster_is_started_before_the_first_use(make_engine: MakeEngine, kind: str) -> None:
    async with make_engine() as engine:
        executor = engine.worker.attempts._executors[Executor(kind)]
        assert isinstance(executor, LateExecutor)
        assert executor.made is None
