"""What is Ray's own: nodes that die, processes that are killed, addresses, the cluster of one machine."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from perdure import Context, Run, Settings, workflow
from perdure.kernel import events as e
from tests.execution.clusters import activities as a
from tests.execution.clusters.ray_nodes import further_node
from tests.execution.conftest import MakeEngine
from tests.execution.meeting import Meeting
from tests.execution.outcomes import outcome_of
from tests.execution.scripts import environment, run_script


async def test_an_attempt_whose_node_dies_fails_and_is_made_again_on_another(
    ray_address: str, make_engine: MakeEngine, meeting: Meeting
) -> None:
    @workflow
    async def meet_on_node_of_ray(ctx: Context, address: str) -> str:
        return await a.meet_on_its_node.options(executor="ray")(address)

    settings = Settings(ray_address=ray_address, resources={"gpu": 1})
    async with make_engine(settings) as engine:
        run = await engine.start(meet_on_node_of_ray, meeting.address)
        with further_node(ray_address):
            first = await meeting.visitor()
            process, node, _ = [await first.line() for _ in range(3)]
            with further_node(ray_address):
                os.kill(int(node), signal.SIGKILL)  # a process of Ray is a child of its node's
                second = await meeting.visitor()
                again = [await second.line() for _ in range(3)]
                assert process != again[0]
                assert node != again[1]
                assert again[2] == "2"
                second.tell("done")
                assert await run.result() == "done"
        (failed,) = [r.event async for r in run.history() if isinstance(r.event, e.ActivityAttemptFailed)]
        assert failed.failure.type == "WorkerProcessDiedError"
        assert meeting.visits == 2


async def until_published(run: Run[None]) -> None:
    async for _ in run.stream(a.STEPS):
        return


async def test_a_function_that_never_beats_is_killed_at_once(
    ray_address: str, make_engine: MakeEngine, meeting: Meeting
) -> None:
    @workflow
    async def waits_on_ray(ctx: Context, address: str) -> None:
        await a.wait_on_cluster.options(executor="ray")(address)

    async with make_engine(Settings(ray_address=ray_address, process_stop_seconds=3600.0)) as engine:
        run = await engine.start(waits_on_ray, meeting.address)
        visitor = await meeting.visitor()
        await run.terminate()
        assert await visitor.line() == ""


async def test_a_function_that_does_not_end_in_time_is_killed(
    ray_address: str, make_engine: MakeEngine, meeting: Meeting
) -> None:
    @workflow
    async def beats_once_on_ray(ctx: Context, address: str) -> None:
        await a.beat_once_on_cluster.options(executor="ray")(address)

    async with make_engine(Settings(ray_address=ray_address, process_stop_seconds=0.1)) as engine:
        run = await engine.start(beats_once_on_ray, meeting.address)
        visitor = await meeting.visitor()
        await until_published(run)
        await run.terminate()
        assert await visitor.line() == ""


@workflow
async def call_ray(ctx: Context) -> object:
    return await outcome_of(a.echo_on_cluster.options(executor="ray")("text"))


async def test_the_connection_of_the_process_must_be_the_one_that_the_settings_name(
    ray_address: str, make_engine: MakeEngine
) -> None:
    async with make_engine(Settings(ray_address="192.0.2.1:6379")) as engine:
        told = str(await (await engine.start(call_ray)).result())
        assert told.startswith("UsageError | ray_address is 192.0.2.1:6379, but this process is connected to")
        assert ray_address in told


async def test_the_client_of_ray_is_refused(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(ray_address="ray://127.0.0.1:10001")) as engine:
        told = str(await (await engine.start(call_ray)).result())
        assert told.startswith("UsageError | ray_address is ray://127.0.0.1:10001: Ray's client has no streams")


PARENT = """
import asyncio, sys
from perdure import Engine, Settings
from tests.execution.clusters.test_on_clusters import meet_there

async def main(address: str, meeting: str) -> None:
    async with Engine("memory:", settings=Settings(ray_address=address)) as engine:
        await (await engine.start(meet_there, "ray", meeting)).result()

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
"""


async def test_what_runs_there_ends_when_its_engine_is_killed(
    ray_address: str, tmp_path: Path, meeting: Meeting
) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command = [sys.executable, str(script), ray_address, meeting.address]
    parent = await asyncio.create_subprocess_exec(*command, env=environment())
    try:
        visitor = await meeting.visitor()
        assert await visitor.line() != ""
        assert await visitor.line() == "1"
        parent.kill()
        assert await visitor.line() == ""
    finally:
        if parent.returncode is None:
            parent.kill()
        await parent.wait()


SCRIPT = """
import asyncio, os, sys
import ray
from perdure import ActivityFailedError, Context, Engine, Settings, activity, workflow
from tests.execution.clusters.activities import ONCE
from tests.execution.clusters.ray_activities import tell_ray_process

@activity(executor="ray", retry=ONCE)
def in_the_main_script() -> None: ...

@workflow
async def ask(ctx: Context) -> list[str]:
    told = [str(await tell_ray_process() != os.getpid())]
    try:
        await in_the_main_script()
    except ActivityFailedError as error:
        told.append(error.failure_message)
    return told

@workflow
async def ask_in_vain(ctx: Context) -> str:
    try:
        return str(await tell_ray_process.options(retry=ONCE)())
    except ActivityFailedError as error:
        return f"{error.failure_type}: {error.failure_message}"

async def main() -> None:
    async with Engine("memory:", settings=Settings(ray_address="127.0.0.1:1")) as engine:
        print(await (await engine.start(ask_in_vain)).result())
    async with Engine("memory:", settings=Settings(ray_slots=1)) as engine:
        print(ray.is_initialized(), *await (await engine.start(ask)).result(), sep="\\n")
        print(ray.cluster_resources()["CPU"])
        async with Engine("memory:", settings=Settings(ray_slots=1)) as other:
            await (await other.start(ask)).result()
        print(await (await engine.start(ask_in_vain)).result() != str(os.getpid()), ray.is_initialized())
    print(ray.is_initialized())

if __name__ == "__main__":
    asyncio.run(main())
"""


MAIN_SCRIPT = (
    "it is defined in the main script, which is another one there; define it at the top level of a module that the "
    "nodes can import"
)


def test_without_an_address_a_cluster_is_started_at_the_first_use_and_ended_with_the_engine(
    ray_head: str, tmp_path: Path
) -> None:
    told = run_script(tmp_path, SCRIPT)
    in_vain, *others = told.stdout.splitlines()
    assert in_vain.startswith("ClusterUnavailableError: Ray did not run activity tell_ray_process: Connection"), told
    assert others == [
        "False",
        "True",
        f"activity in_the_main_script cannot run on Ray: {MAIN_SCRIPT}",
        "1.0",
        "True True",
        "False",
    ], told.stderr
