"""Activities in threads: their context, their heartbeats, and what becomes of one that never ends."""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path

from perdure import (
    ActivityFailedError,
    ActivityTimeoutError,
    Context,
    Retry,
    Settings,
    activity,
    current_attempt,
    fixed,
    heartbeat,
    workflow,
)
from perdure.kernel import events as e
from tests.execution.conftest import MakeEngine

LIMIT_SECONDS = 60.0

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


async def test_it_runs_in_a_thread_of_the_pool_which_is_used_again(make_engine: MakeEngine) -> None:
    @activity
    def tell_thread() -> str:
        return f"{threading.current_thread().name} {current_attempt().attempt}"

    @workflow
    async def thrice(ctx: Context) -> list[str]:
        return [await tell_thread() for _ in range(3)]

    async with make_engine() as engine:
        assert await (await engine.start(thrice)).result() == ["perdure-activity-1 1"] * 3


async def test_no_more_run_at_once_than_there_are_slots(make_engine: MakeEngine) -> None:
    pairs = threading.Barrier(2)

    @activity
    def meet_another() -> str:
        pairs.wait(LIMIT_SECONDS)
        return threading.current_thread().name

    @workflow
    async def four_meet(ctx: Context) -> list[str]:
        return list(await asyncio.gather(*[meet_another() for _ in range(4)]))

    async with make_engine(Settings(thread_slots=2)) as engine:
        names = await (await engine.start(four_meet)).result()
        assert set(names) == {"perdure-activity-1", "perdure-activity-2"}


async def test_context_variables_are_those_of_whoever_opened_the_engine(make_engine: MakeEngine) -> None:
    @activity
    def tell_tenant() -> str:
        seen = tenant.get()
        tenant.set("an activity")
        return seen

    @activity
    async def tell_tenant_on_loop() -> str:
        seen = tenant.get()
        tenant.set("an activity")
        return seen

    @workflow
    async def four_times(ctx: Context) -> list[str]:
        return [await tell_tenant(), await tell_tenant_on_loop(), await tell_tenant(), await tell_tenant_on_loop()]

    tenant.set("the opener")
    async with make_engine() as engine:
        tenant.set("the caller")
        assert await (await engine.start(four_times)).result() == ["the opener"] * 4


async def test_what_it_raises_becomes_the_failure_whatever_it_is(make_engine: MakeEngine) -> None:
    @activity(retry=Retry.never())
    def leaves() -> None:
        sys.exit("leaving")

    @activity(retry=Retry.never())
    def cancels_itself() -> None:
        raise asyncio.CancelledError

    @workflow
    async def collects(ctx: Context) -> list[str]:
        collected = []
        for failing in (leaves, cancels_itself):
            try:
                await failing()
            except ActivityFailedError as error:
                collected.append(error.failure_type)
        return collected

    async with make_engine() as engine:
        assert await (await engine.start(collects)).result() == ["SystemExit", "CancelledError"]


async def test_a_heartbeat_raises_once_the_call_was_given_up(make_engine: MakeEngine) -> None:
    raised = threading.Event()
    given_up = threading.Event()

    @activity
    def beats() -> None:
        try:
            heartbeat("alive")  # a thread that begins late is given up before
            assert given_up.wait(LIMIT_SECONDS)
            heartbeat("still alive")
        except asyncio.CancelledError:
            raised.set()
            raise

    @workflow
    async def gives_up(ctx: Context) -> str:
        try:
            await beats.options(timeout=timedelta(milliseconds=20), retry=Retry.never())()
        except ActivityTimeoutError as error:
            return error.timeout
        return ""

    async with make_engine() as engine:
        assert await (await engine.start(gives_up)).result() == "start_to_close"
        given_up.set()
        assert await asyncio.to_thread(raised.wait, LIMIT_SECONDS)


async def test_the_slot_stays_taken_until_a_function_that_was_given_up_has_ended(make_engine: MakeEngine) -> None:
    may_end = threading.Event()

    @activity(retry=Retry.never())
    def stuck() -> None:
        assert may_end.wait(LIMIT_SECONDS)

    @activity
    def quick() -> str:
        return "ran"

    @activity
    async def look() -> list[int]:
        dispatcher = engine.worker.dispatcher
        return [dispatcher.running, dispatcher.waiting]

    @workflow
    async def crowds(ctx: Context) -> list[object]:
        try:
            await stuck.options(timeout=timedelta(milliseconds=20))()
        except ActivityTimeoutError:
            waiting = asyncio.ensure_future(quick())
            seen: list[object] = [*await look()]
            await release()
            return [*seen, await waiting]
        return []

    @activity
    async def release() -> None:
        may_end.set()

    async with make_engine(Settings(thread_slots=1)) as engine:
        # The stuck one runs, and the one that looks; the quick one waits.
        assert await (await engine.start(crowds)).result() == [2, 1, "ran"]


async def test_the_last_of_many_beats_that_come_faster_than_the_loop_turns_is_kept(make_engine: MakeEngine) -> None:
    @activity
    def beats_fast() -> None:
        for step in range(10_000):
            heartbeat(step)
        raise LookupError

    @workflow
    async def runs_fast(ctx: Context) -> None:
        with contextlib.suppress(ActivityFailedError):
            await beats_fast.options(retry=Retry(attempts=2, backoff=fixed(timedelta(milliseconds=1))))()

    async with make_engine() as engine:
        run = await engine.start(runs_fast)
        await run.result()
        (failed,) = [r.event async for r in run.history() if isinstance(r.event, e.ActivityAttemptFailed)]
        assert bytes(failed.heartbeat) == b"9999"


STUCK = """
import asyncio, threading
from perdure import Context, Engine, Settings, activity, workflow

begun = threading.Event()

@activity
def stuck() -> None:
    begun.set()
    threading.Event().wait()

@workflow
async def waits(ctx: Context) -> None:
    await stuck()

async def main() -> None:
    async with Engine("memory:", settings=Settings(shutdown_grace_seconds=0.0)) as engine:
        await engine.start(waits)
        await asyncio.to_thread(begun.wait)

asyncio.run(main())
print("ended")
"""


def test_a_function_that_never_ends_does_not_keep_the_program_from_ending(tmp_path: Path) -> None:
    script = tmp_path / "stuck.py"
    script.write_text(STUCK)
    ran = subprocess.run(
        [sys.executable, "-W", "error", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "ended\n", "")
