"""Activities in worker processes: real processes, really killed."""

import asyncio
import multiprocessing
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from perdure import (
    Context,
    Engine,
    Settings,
    activity,
    workflow,
)
from perdure.execution.process_executor import ProcessExecutor
from perdure.execution.reach import why_unreachable
from perdure.kernel import events as e
from perdure.kernel.options import Executor
from tests.execution import process_activities as a
from tests.execution.conftest import MakeEngine
from tests.execution.meeting import Meeting
from tests.execution.outcomes import outcome_of
from tests.execution.scripts import environment, run, run_script


def pool_of(engine: Engine) -> ProcessExecutor:
    executor = engine.worker.attempts._executors[Executor.PROCESS]
    assert isinstance(executor, ProcessExecutor)
    return executor


@workflow
async def call_tell_process(ctx: Context, times: int) -> list[int]:
    return [await a.tell_process() for _ in range(times)]


@workflow
async def call_tell_process_at_once(ctx: Context, times: int) -> list[int]:
    return list(await asyncio.gather(*[a.tell_process() for _ in range(times)]))


@workflow
async def call_meet(ctx: Context, address: str) -> str:
    return await a.meet_in_process(address)


@workflow
async def call_meet_within(ctx: Context, address: str) -> str:
    return await a.meet_in_process.options(timeout=timedelta(seconds=2))(address)


async def test_it_runs_in_another_process_which_is_kept_for_the_next_call(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(call_tell_process, 3)
        processes = await run.result()
        assert len(set(processes)) == 1
        assert os.getpid() not in processes


async def test_no_process_is_started_before_the_first_use(make_engine: MakeEngine) -> None:
    @activity
    async def nothing() -> None: ...

    @workflow
    async def without_processes(ctx: Context) -> None:
        await nothing()

    async with make_engine() as engine:
        await (await engine.start(without_processes)).result()
        assert pool_of(engine).processes == 0


async def test_there_are_never_more_processes_than_slots(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(process_slots=2)) as engine:
        run = await engine.start(call_tell_process_at_once, 12)
        assert len(set(await run.result())) <= 2
        assert pool_of(engine).processes <= 2


async def test_its_attempt_is_known_there(make_engine: MakeEngine, meeting: Meeting) -> None:
    async with make_engine() as engine:
        run = await engine.start(call_meet, meeting.address)
        visitor = await meeting.visitor()
        assert int(await visitor.line()) != os.getpid()
        assert await visitor.line() == "1"
        visitor.tell("done")
        assert await run.result() == "done"


async def test_a_function_in_a_process_leaves_its_outcome_to_somebody_outside(
    make_engine: MakeEngine, meeting: Meeting
) -> None:
    @workflow
    async def call_leave(ctx: Context, address: str) -> str:
        return await a.leave_to_somebody(address)

    async with make_engine() as engine:
        run = await engine.start(call_leave, meeting.address)
        token = await (await meeting.visitor()).line()
        async for recorded in run.watch():
            if isinstance(recorded.event, e.ActivityDeferred):
                break
        await engine.complete(token, "done")
        assert await run.result() == "done"


async def test_a_function_in_a_process_publishes(make_engine: MakeEngine) -> None:
    @workflow
    async def call_publish(ctx: Context, up_to: int) -> None:
        await a.publish_in_process(up_to)

    async with make_engine() as engine:
        run = await engine.start(call_publish, 50)
        assert [item.value async for item in run.stream(a.NUMBERS)] == list(range(50))


async def test_large_arguments_and_results_pass(make_engine: MakeEngine) -> None:
    @workflow
    async def echo(ctx: Context, text: str) -> str:
        return await a.echo_in_process(text)

    text = "ä" * 900_000
    async with make_engine() as engine:
        assert await (await engine.start(echo, text)).result() == text


async def test_what_it_raises_becomes_the_failure_with_its_traceback(make_engine: MakeEngine) -> None:
    @workflow
    async def fails(ctx: Context) -> object:
        return [await outcome_of(a.fail_in_process("word")), await outcome_of(a.leave_in_process())]

    async with make_engine() as engine:
        run = await engine.start(fails)
        assert await run.result() == ["LookupError | word", "SystemExit | leaving"]
        failed = [r.event async for r in run.history() if isinstance(r.event, e.ActivityFailed)]
        assert "raise LookupError(word)" in (failed[0].failure.traceback or "")
        assert pool_of(engine).processes == 1


# --- ends of processes -------------------------------------------------------------------------------------------


async def test_a_process_that_is_killed_fails_its_attempt_which_is_tried_again(
    make_engine: MakeEngine, meeting: Meeting
) -> None:
    async with make_engine() as engine:
        run = await engine.start(call_meet, meeting.address)
        first = await meeting.visitor()
        os.kill(int(await first.line()), signal.SIGKILL)
        second = await meeting.visitor()
        assert [await second.line() != "", await second.line()] == [True, "2"]
        second.tell("done")
        assert await run.result() == "done"
        (failed,) = [r.event async for r in run.history() if isinstance(r.event, e.ActivityAttemptFailed)]
        assert failed.failure.type == "WorkerProcessDiedError"
        assert "was ended by SIGKILL" in failed.failure.message


async def test_the_details_of_its_last_heartbeat_reach_the_next_attempt_when_it_was_killed(
    make_engine: MakeEngine,
) -> None:
    @workflow
    async def resumes(ctx: Context) -> object:
        return await a.beat_then_die(7)

    async with make_engine() as engine:
        assert await (await engine.start(resumes)).result() == 7


async def test_the_way_a_process_ended_is_told(make_engine: MakeEngine) -> None:
    @workflow
    async def ends(ctx: Context) -> list[str]:
        return [await outcome_of(a.end_with_status(3)), await outcome_of(a.break_the_interpreter())]

    async with make_engine() as engine:
        exited, broken = await (await engine.start(ends)).result()
        assert (
            exited == "WorkerProcessDiedError | the worker process of activity end_with_status ended with exit status 3"
        )
        assert "was ended by SIGSEGV" in broken


async def test_a_process_that_cuts_itself_off_ends_and_fails_its_attempt(make_engine: MakeEngine) -> None:
    @workflow
    async def cuts(ctx: Context) -> str:
        return str(await outcome_of(a.close_everything()))

    async with make_engine() as engine:
        assert "was ended by SIGKILL" in await (await engine.start(cuts)).result()


@pytest.mark.parametrize(
    ("garbage", "says"),
    [(b"\0\0\0\2{]", "what is no report"), (b"\xff\xff\xff\xff", "a frame of 4,294,967,295 bytes is announced")],
)
async def test_a_process_that_speaks_garbage_is_ended_and_fails_its_attempt(
    make_engine: MakeEngine, garbage: bytes, says: str
) -> None:
    @workflow(name="speaks_garbage")
    async def speaks(ctx: Context, garbage: bytes) -> str:
        return str(await outcome_of(a.speak_garbage(garbage)))

    async with make_engine() as engine:
        assert says in await (await engine.start(speaks, garbage)).result()


async def test_a_process_that_is_told_garbage_ends(make_engine: MakeEngine, meeting: Meeting) -> None:
    async with make_engine() as engine:
        run = await engine.start(call_meet, meeting.address)
        await (await meeting.visitor()).line()
        [process] = pool_of(engine)._all
        process._socket.send(b"\0\0\0\2{]")
        second = await meeting.visitor()  # the next attempt, in another process
        assert [await second.line() != "", await second.line()] == [True, "2"]
        second.tell("done")
        assert await run.result() == "done"


async def test_a_process_that_takes_too_long_to_start_fails_its_attempt(make_engine: MakeEngine) -> None:
    @workflow
    async def calls(ctx: Context) -> str:
        return str(await outcome_of(a.tell_process.options(retry=a.ONCE)()))

    async with make_engine(Settings(process_start_seconds=0.000_001)) as engine:
        told = await (await engine.start(calls)).result()
        assert told.startswith("WorkerProcessDiedError")
        assert "before it was ready" in told


async def test_processes_are_spawned_where_there_is_no_fork_server(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    async with make_engine() as engine:
        (process,) = await (await engine.start(call_tell_process, 1)).result()
        assert process != os.getpid()


async def test_an_idle_process_that_dies_is_replaced_and_nothing_fails(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        (before,) = await (await engine.start(call_tell_process, 1)).result()
        (process,) = pool_of(engine)._all
        os.kill(before, signal.SIGKILL)
        await asyncio.to_thread(process._process.join)
        (after,) = await (await engine.start(call_tell_process, 1)).result()
        assert after != before


# --- giving up ---------------------------------------------------------------------------------------------------


async def test_an_attempt_that_runs_out_of_time_is_killed_and_the_next_gets_a_fresh_process(
    make_engine: MakeEngine, meeting: Meeting
) -> None:
    async with make_engine() as engine:
        run = await engine.start(call_meet_within, meeting.address)
        first = await meeting.visitor()
        process = await first.line()
        assert await first.line() == "1"
        assert await first.line() == ""
        second = await meeting.visitor()
        assert await second.line() != process
        second.tell("done")
        assert await run.result() == "done"


async def test_a_function_that_beats_hears_that_it_was_given_up_and_its_process_is_kept(
    make_engine: MakeEngine, meeting: Meeting
) -> None:
    @workflow
    async def gives_up(ctx: Context, address: str) -> object:
        await outcome_of(a.beat_until_given_up.options(timeout=timedelta(seconds=0.2))(address))
        return await a.tell_process()

    settings = Settings(process_slots=1, process_stop_seconds=60.0)
    async with make_engine(settings) as engine:
        run = await engine.start(gives_up, meeting.address)
        visitor = await meeting.visitor()
        process = int(await visitor.line())
        assert await visitor.line() == "cleaned up"
        assert await run.result() == process


async def test_a_function_that_ignores_termination_is_killed(make_engine: MakeEngine, meeting: Meeting) -> None:
    @workflow
    async def gives_up(ctx: Context, address: str) -> object:
        return await outcome_of(a.ignore_termination.options(timeout=timedelta(seconds=0.2))(address))

    async with make_engine(Settings(process_stop_seconds=0.1)) as engine:
        run = await engine.start(gives_up, meeting.address)
        visitor = await meeting.visitor()
        assert await visitor.line() != ""
        assert await visitor.line() == ""
        assert "timed out" in str(await run.result())


async def test_what_a_function_has_started_ends_with_it(make_engine: MakeEngine, meeting: Meeting) -> None:
    @workflow
    async def starts(ctx: Context, address: str) -> object:
        return await outcome_of(a.start_a_descendant(address))

    async with make_engine() as engine:
        run = await engine.start(starts, meeting.address)
        visitor = await meeting.visitor()
        assert await visitor.line() != ""
        await run.terminate()
        assert await visitor.line() == ""


async def test_a_cancelled_call_is_killed_while_its_process_still_starts(make_engine: MakeEngine) -> None:
    @workflow
    async def gives_up(ctx: Context) -> object:
        try:
            async with asyncio.timeout(0.001):
                await a.burn()
        except TimeoutError:
            return await a.tell_process()
        return None

    async with make_engine(Settings(process_slots=1)) as engine:
        assert await (await engine.start(gives_up)).result() != os.getpid()


async def test_closing_the_engine_ends_every_process(make_engine: MakeEngine, meeting: Meeting) -> None:
    settings = Settings(process_slots=2, shutdown_grace_seconds=0.0)
    async with make_engine(settings) as engine:
        pool = pool_of(engine)
        await engine.start(call_meet, meeting.address)
        await (await engine.start(call_tell_process, 1)).result()
        visitor = await meeting.visitor()
        processes = [each._process for each in pool._all]
        assert len(processes) == 2
        assert await visitor.line() != ""
        assert await visitor.line() == "1"
    assert await visitor.line() == ""
    assert pool.processes == 0
    assert [process.is_alive() for process in processes] == [False, False]


async def test_an_activity_may_use_processes_of_its_own(make_engine: MakeEngine) -> None:
    @workflow
    async def squares(ctx: Context) -> list[int]:
        return await a.square_in_own_processes([1, 2, 3])

    async with make_engine() as engine:
        assert await (await engine.start(squares)).result() == [1, 4, 9]


# --- functions out of reach --------------------------------------------------------------------------------------


async def test_a_function_inside_another_is_refused_at_once_and_for_good(make_engine: MakeEngine) -> None:
    @activity(executor="process")
    def hidden() -> None: ...

    @workflow
    async def calls_hidden(ctx: Context) -> object:
        return await outcome_of(hidden())

    async with make_engine() as engine:
        told = str(await (await engine.start(calls_hidden)).result())
        assert "UsageError | activity hidden cannot run in a worker process" in told
        assert "is defined inside a function" in told
        assert pool_of(engine).processes == 0


def test_a_function_at_the_top_of_a_module_is_reachable() -> None:
    assert why_unreachable(a.square) is None
    assert why_unreachable(lambda: None) is not None


SCRIPT = """
import asyncio, os, sys
from perdure import Context, Engine, activity, workflow, Retry, ActivityFailedError

@activity(executor="process", retry=Retry.never())
def tell() -> int:
    return os.getpid()

@workflow
async def ask(ctx: Context) -> str:
    try:
        return str(await tell() != os.getpid())
    except ActivityFailedError as error:
        return error.failure_message

async def main() -> None:
    async with Engine("memory:") as engine:
        print(await (await engine.start(ask)).result())
"""


def test_a_main_script_may_define_activities_for_processes(tmp_path: Path) -> None:
    told = run_script(tmp_path, SCRIPT + '\nif __name__ == "__main__":\n    asyncio.run(main())\n')
    assert told.stdout == "True\n", told.stderr


def test_modules_may_be_loaded_once_before_processes_are_forked(tmp_path: Path) -> None:
    asks_for_module = (
        SCRIPT.replace("return os.getpid()", "return int('tabnanny' in sys.modules)")
        .replace('Engine("memory:")', 'Engine("memory:", settings=Settings(process_modules=("tabnanny",)))')
        .replace("import Context", "import Settings, Context")
        .replace("await tell() != os.getpid()", "await tell()")
    )
    told = run_script(tmp_path, asks_for_module + '\nif __name__ == "__main__":\n    asyncio.run(main())\n')
    assert told.stdout == "1\n", told.stderr


def test_code_from_the_command_line_is_told_that_it_is_out_of_reach() -> None:
    told = run([sys.executable, "-c", SCRIPT + "\nasyncio.run(main())\n"])
    assert "it is defined at an interactive prompt, or in code that came by standard input or -c" in told.stdout


def test_a_main_script_without_a_guard_is_told_so_and_ends(tmp_path: Path) -> None:
    told = run_script(tmp_path, SCRIPT + "\nasyncio.run(main())\n")
    assert "below `if __name__ == '__main__':`" in told.stdout
    assert "an engine was opened while a worker process imported the main script" in told.stderr


# --- the end of the parent ---------------------------------------------------------------------------------------

PARENT = """
import asyncio, sys
from perdure import Engine
from tests.execution.test_process_executor import call_meet

async def main() -> None:
    async with Engine("memory:") as engine:
        await (await engine.start(call_meet, sys.argv[1])).result()

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_worker_processes_end_when_their_parent_is_killed(tmp_path: Path, meeting: Meeting) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = await asyncio.create_subprocess_exec(sys.executable, script, meeting.address, env=environment())
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
