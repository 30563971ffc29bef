"""The synchronous engine where scripts and servers use it: threads, activities, forks, interrupts, the end."""

import asyncio
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perdure import Context, ResultTimeoutError, RunFailedError, Signal, SyncEngine, activity, workflow
from perdure.errors import WrongContextError

go = Signal("sync_go", int)
engines: list[SyncEngine] = []


@workflow(name="sync_doubled")
async def doubled(_ctx: Context, number: int) -> int:
    return await double(number)


@activity(name="sync_double")
def double(number: int) -> int:
    return 2 * number


@workflow(name="sync_waiting")
async def waiting(ctx: Context) -> int:
    return await ctx.wait_for(go)


@activity(name="sync_starting")
def starting(number: int) -> int:
    return engines[0].start(doubled, number).result()


@workflow(name="sync_nested")
async def nested(_ctx: Context, number: int) -> int:
    return await starting(number)


@workflow(name="sync_forbidden")
async def forbidden(_ctx: Context) -> None:
    engines[0].start(doubled, 1)


@pytest.fixture
def engine() -> object:
    with SyncEngine("memory:") as opened:
        engines[:] = [opened]
        yield opened
        engines.clear()


def test_many_threads_share_one_engine(engine: SyncEngine) -> None:
    with ThreadPoolExecutor(20) as threads:
        results = list(threads.map(lambda number: engine.start(doubled, number).result(), range(100)))
    assert results == [2 * number for number in range(100)]


def test_an_activity_in_a_thread_may_use_the_engine_that_runs_it(engine: SyncEngine) -> None:
    assert engine.start(nested, 4).result() == 8


def test_workflow_code_is_told_what_to_use_instead(engine: SyncEngine) -> None:
    with pytest.raises(RunFailedError, match=r"WrongContextError: .*called by workflow code.*ctx\.run_child"):
        engine.start(forbidden).result()


async def test_a_running_loop_is_told_what_to_use_instead(engine: SyncEngine) -> None:
    with pytest.raises(WrongContextError, match=r"from a running event loop.*async with Engine"):
        engine.start(doubled, 1)


def test_a_result_that_takes_too_long_leaves_the_run_going_on(engine: SyncEngine) -> None:
    from datetime import timedelta

    run = engine.start(waiting)
    with pytest.raises(ResultTimeoutError):
        run.result(timeout=timedelta(milliseconds=1))
    run.signal(go, 3)
    assert run.result() == 3


HEAD = """
import os, signal, sys, threading
from perdure import Context, Signal, SyncEngine, workflow
go = Signal("go", int)

@workflow
async def waiting(ctx: Context) -> int:
    return await ctx.wait_for(go)
"""


def script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a script of its own, on a database in the folder."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", HEAD + textwrap.dedent(text)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_a_forked_process_is_told_to_open_an_engine_of_its_own(tmp_path: Path) -> None:
    ran = script(
        tmp_path,
        """
        with SyncEngine("sqlite:///runs.db") as engine:
            engine.start(waiting, id="one")
            child = os.fork()
            if not child:
                try:
                    engine.start(waiting)
                except Exception as error:
                    print(type(error).__name__, error, flush=True)
                with SyncEngine("sqlite:///runs.db", works=False) as own:
                    own.get_run("one").signal(go, 7)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            print(engine.get_run("one").result())
        """,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[0].startswith(
        "WrongContextError the engine was opened before this process was forked"
    )
    assert ran.stdout.splitlines()[1] == "7"


def test_an_interrupt_while_waiting_leaves_the_run_going_on(tmp_path: Path) -> None:
    ran = script(
        tmp_path,
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with SyncEngine("sqlite:///runs.db") as engine:
            run = engine.start(waiting)
            threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            try:
                run.result()
            except KeyboardInterrupt:
                run.signal(go, 5)
                print("interrupted", run.result())
        """,
    )
    assert (ran.returncode, ran.stdout) == (0, "interrupted 5\n"), ran.stderr


def test_an_engine_left_open_is_closed_in_good_order_when_the_interpreter_ends(tmp_path: Path) -> None:
    ran = script(
        tmp_path,
        """
        engine = SyncEngine("sqlite:///runs.db").__enter__()
        engine.start(waiting, id="left")
        """,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    again = script(
        tmp_path,
        """
        with SyncEngine("sqlite:///runs.db") as engine:
            run = engine.get_run("left")
            run.signal(go, 9)
            print(run.result(), [recorded.type for recorded in run.history()])
        """,
    )
    assert again.stdout == "9 ['run_created', 'run_started', 'signal_received', 'run_completed']\n", again.stderr


def test_a_forked_process_that_ends_does_not_close_the_engine_of_its_parent(tmp_path: Path) -> None:
    ran = script(
        tmp_path,
        """
        engine = SyncEngine("sqlite:///runs.db").__enter__()
        run = engine.start(waiting)
        child = os.fork()
        if not child:
            sys.exit()  # by the interpreter's end, not by os._exit
        assert os.waitpid(child, 0)[1] == 0
        run.signal(go, 4)
        print(run.result())
        """,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "4\n", "")


def test_a_forked_process_that_leaves_the_block_leaves_the_engine_to_its_parent(tmp_path: Path) -> None:
    ran = script(
        tmp_path,
        """
        with SyncEngine("sqlite:///runs.db") as engine:
            run = engine.start(waiting)
            child = os.fork()
            if child:
                assert os.waitpid(child, 0)[1] == 0
                run.signal(go, 4)
                print(run.result())
        """,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "4\n", "")


def test_an_engine_left_open_that_cannot_be_closed_keeps_nothing_else_from_ending_well(tmp_path: Path) -> None:
    ran = script(
        tmp_path,
        """
        from perdure import Engine
        from perdure.client.sync import SyncClient

        class Closed(Engine):
            async def __aexit__(self, *error):
                await super().__aexit__(*error)
                print("closed")
                raise OSError("the disk is gone")

        engines = [SyncClient(lambda: Closed("memory:")).__enter__() for _ in range(2)]
        threading.Thread(target=lambda: (threading.main_thread().join(), print("waited for"))).start()
        """,
    )
    assert (ran.returncode, sorted(ran.stdout.splitlines())) == (0, ["closed", "closed", "waited for"]), ran.stderr
    assert ran.stderr.count("OSError: the disk is gone") == 2


def test_engines_that_were_closed_leave_nothing_behind_for_the_end(tmp_path: Path) -> None:
    ran = script(
        tmp_path,
        """
        import gc
        from perdure.client.loop_thread import calls_at_exit

        def use():
            with SyncEngine("memory:"):
                pass
            gc.collect()
            return len(threading._threading_atexits), len(calls_at_exit())

        print(len({use() for _ in range(3)}), len(calls_at_exit()))
        """,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "1 0\n", "")


async def test_an_iteration_given_up_in_a_running_loop_ends_without_a_complaint(
    engine: SyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    run = await asyncio.to_thread(engine.start, waiting)
    events = run.watch()
    await asyncio.to_thread(next, events)
    del events
    assert complaints == []
