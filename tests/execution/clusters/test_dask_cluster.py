"""What is Dask's own: nothing is run twice, no thread can be stopped; addresses, the cluster of one machine."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from perdure import Context, Settings, workflow
from perdure.execution.clusters import dask_cluster
from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from tests.execution.clusters import activities as a
from tests.execution.clusters.orders import order_of
from tests.execution.conftest import MakeEngine
from tests.execution.meeting import Meeting
from tests.execution.outcomes import outcome_of


@contextmanager
def further_workers(scheduler: str, count: int) -> Iterator[None]:
    """Add workers that nobody starts anew, each with one ``gpu``, as far as Dask knows; return when they are there."""
    from distributed import Client

    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--no-nanny", "--nthreads=1"]
    workers = [
        subprocess.Popen([*command, "--resources=gpu=1", "--no-dashboard"], stderr=subprocess.DEVNULL)
        for _ in range(count)
    ]
    try:
        with Client(scheduler, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(2 + count)
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


async def test_an_attempt_whose_worker_dies_is_made_again_on_another_by_nobody_but_the_engine(
    dask_address: str, make_engine: MakeEngine, meeting: Meeting
) -> None:
    @workflow
    async def meet_on_worker_of_dask(ctx: Context, address: str) -> str:
        return await a.meet_on_its_node.options(executor="dask")(address)

    with further_workers(dask_address, 2):
        async with make_engine(Settings(dask_address=dask_address, resources={"gpu": 1})) as engine:
            run = await engine.start(meet_on_worker_of_dask, meeting.address)
            first = await meeting.visitor()
            process, _, _ = [await first.line() for _ in range(3)]
            os.kill(int(process), signal.SIGKILL)
            second = await meeting.visitor()
            again = [await second.line() for _ in range(3)]
            assert process != again[0]
            assert again[2] == "2"
            second.tell("done")
            assert await run.result() == "done"
            (failed,) = [r.event async for r in run.history() if isinstance(r.event, e.ActivityAttemptFailed)]
            assert failed.failure.type == "WorkerProcessDiedError"
            assert meeting.visits == 2


async def test_a_function_that_never_beats_keeps_its_slot_until_it_ends(
    dask_address: str, make_engine: MakeEngine, meeting: Meeting
) -> None:
    @workflow
    async def waits_on_dask(ctx: Context, address: str) -> str:
        waiting = asyncio.ensure_future(a.wait_on_cluster.options(executor="dask")(address))
        await ctx.wait_for(a.GO)
        waiting.cancel()
        return await a.echo_on_cluster.options(executor="dask")("next")

    async with make_engine(Settings(dask_address=dask_address, dask_slots=1)) as engine:
        run = await engine.start(waits_on_dask, meeting.address)
        visitor = await meeting.visitor()
        await run.signal(a.GO, None)
        async for recorded in run.watch():
            if isinstance(recorded.event, e.ActivityScheduled) and recorded.event.activity == "echo_on_cluster":
                break
        dispatcher = engine.worker.dispatcher
        assert (dispatcher.running, dispatcher.waiting) == (1, 1)
        visitor.tell()
        assert await run.result() == "next"


async def test_without_an_address_a_cluster_of_this_machine_is_started_and_ended_with_the_engine(
    make_engine: MakeEngine,
) -> None:
    @workflow
    async def tell(ctx: Context) -> int:
        return await a.tell_dask_process()

    async with make_engine(Settings(dask_slots=1)) as engine:
        process = await (await engine.start(tell)).result()
        assert process != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@workflow
async def call_dask(ctx: Context) -> object:
    return await outcome_of(a.echo_on_cluster.options(executor="dask")("text"))


async def test_a_scheduler_that_cannot_be_reached_fails_the_attempt_which_may_be_made_again(
    make_engine: MakeEngine,
) -> None:
    import dask
    import distributed  # noqa: F401 - first: its import sets the defaults

    with dask.config.set({"distributed.comm.timeouts.connect": "100ms"}):
        async with make_engine(Settings(dask_address="tcp://127.0.0.1:1")) as engine:
            run = await engine.start(call_dask)
            told = str(await run.result())
            assert told.startswith("ClusterUnavailableError | Dask did not run activity echo_on_cluster: OSError")
            (failed,) = [r.event async for r in run.history() if isinstance(r.event, e.ActivityFailed)]
            assert failed.failure.retryable


async def test_an_attempt_that_shows_up_on_a_second_worker_has_died_on_the_first() -> None:
    cluster = dask_cluster.DaskCluster("", slots=1)
    task = dask_cluster._DaskTask(cluster, "key", "charge", asyncio.get_running_loop())
    task._appeared("tcp://127.0.0.1:1", "first")
    task._appeared("tcp://127.0.0.1:2", "second")
    heard = await task.hear()
    assert isinstance(heard, Failure)
    assert heard.type == "WorkerProcessDiedError"
    assert heard.message == (
        "the worker of Dask at tcp://127.0.0.1:1 died that ran activity charge: Dask would run it again, at "
        "tcp://127.0.0.1:2"
    )


# --- the function's side -----------------------------------------------------------------------------------------


async def test_an_execution_that_its_engine_never_asks_about_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "FORSAKEN_SECONDS", 0.0)
    order = order_of(a.echo_on_cluster, "text")
    execution = dask_cluster._Execution(order, asyncio.get_running_loop())
    await asyncio.to_thread(execution.perform)
    assert execution._performance.fetch() == b""


async def test_a_question_about_an_execution_that_is_gone_is_answered_with_nothing() -> None:
    assert await dask_cluster._answer("gone") is None
    await dask_cluster._give_up("gone")
