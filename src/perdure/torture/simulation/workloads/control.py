"""Workloads of messages and control: signals, stages, state, suspension, cancellation, continue-as-new, versions."""

import asyncio
import itertools
import random
from datetime import timedelta
from typing import Any, Final

from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.workflow import OnFailure, workflow
from perdure.kernel import events as e
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp, timestamp_to_datetime
from perdure.torture.simulation.program import (
    Call,
    Question,
    cancel,
    resume,
    send,
    set_priority,
    start,
    suspend,
    terminate,
)
from perdure.torture.simulation.workloads.activities import book, slow, step
from perdure.torture.simulation.workloads.steps import second_try
from perdure.torture.simulation.workloads.workload import Workload, runs
from perdure.torture.simulation.world import EPOCH

__all__ = ["WORKLOADS", "go", "has_stage", "more"]

go: Final = Signal("go", str)
more: Final = Signal("more", int)


class _Tokens:
    """What a side effect gives: never twice in one trial, and the same in the next trial of a plan."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._count = itertools.count(1)

    def new(self) -> str:
        return f"token-{next(self._count)}"


_tokens: Final = _Tokens()


def has_stage(run_id: str, name: str) -> Question:
    """Ask whether a run has entered a stage."""
    return lambda tables: tables.count(run_id, e.StageStarted, name=name) > 0


def _has(run_id: str, kind: type[e.Event], count: int = 1) -> Question:
    return lambda tables: tables.count(run_id, kind) >= count


# --- signals -----------------------------------------------------------------------------------------------------


@workflow(name="sim_signals")
async def signals(ctx: Context) -> list[object]:
    """Wait for signals that come before and after, in order; and for one that never comes."""
    found: list[Any] = [await ctx.wait_for(go)]
    await step("between")
    found += [await ctx.wait_for(more), await ctx.wait_for(more), await ctx.wait_for(go)]
    try:
        await ctx.wait_for(more, timeout=timedelta(seconds=4))
    except TimeoutError:
        found.append("none")
    return found


def _signals_program(_chance: random.Random) -> list[Call]:
    return [
        start(signals, id="one"),
        send("one", go, "first", message_id="g1"),
        send("one", more, 1, message_id="m1"),
        send("one", more, 2, message_id="m2"),
        send("one", go, "second", message_id="g2", when=_has("one", e.ActivityCompleted)),
    ]


@workflow(name="sim_late_signals")
async def late_signals(ctx: Context) -> list[object]:
    """Wait long, out of memory, for signals that come one by one."""
    found: list[Any] = []
    for number in range(3):
        async with ctx.stage(f"wait {number}"), asyncio.timeout(10_000):
            found.append(await ctx.wait_for(more))
    return found


def _late_signals_program(_chance: random.Random) -> list[Call]:
    calls = [start(late_signals, id="one")]
    for number in range(3):
        calls.append(start(pause, 3, id=f"pause {number}", when=has_stage("one", f"wait {number}")))
        calls.append(send("one", more, number, message_id=f"m{number}", when=_has(f"pause {number}", e.RunCompleted)))
    return calls


@workflow(name="sim_pause")
async def pause(_ctx: Context, seconds: int) -> None:
    """Sleep."""
    await asyncio.sleep(seconds)


@workflow(name="sim_two_signals")
async def two_signals(ctx: Context) -> list[int]:
    """Wait for two signals."""
    return [await ctx.wait_for(more), await ctx.wait_for(more)]


@workflow(name="sim_knocked")
async def knocked(ctx: Context) -> list[int]:
    """Wait for two signals, for the second in memory: at work on something that takes longer than any trial."""
    first = await ctx.wait_for(more)
    working = asyncio.ensure_future(slow("meanwhile", 10_000))
    second = await ctx.wait_for(more)
    working.cancel()
    await asyncio.wait({working})
    return [first, second]


def _repeated_program(_chance: random.Random) -> list[Call]:
    return [
        start(two_signals, id="one", labels={"kind": "repeated"}, request_id="r1"),
        send("one", more, 1, message_id="m1", when=lambda tables: bool(tables.generations("one"))),
        send("one", more, 2, message_id="m2"),
    ]


# --- what a run keeps and shows ----------------------------------------------------------------------------------


@workflow(name="sim_keeping", stages=("first", "second", "third"))
async def keeping(ctx: Context) -> list[object]:
    """Stages, state, labels, priority, chance, side effects, trace events."""
    async with ctx.stage("first"):
        ctx.set("a", 1)
        ctx.set("b", [1, 2])
        ctx.set_labels(colour="red", size="xl")
        token = await ctx.side_effect(_tokens.new, str)
        await step("kept")
    async with ctx.stage("second"):
        ctx.delete("b")
        ctx.set_priority(Priority.HIGH, reason="because")
        ctx.set_labels(size=None)
        ctx.trace_event("seen", by="nobody")
        await asyncio.sleep(2)
        again = await step(token)
    try:
        async with ctx.stage("third"):
            await step("in third")
            raise ValueError("third")  # noqa: TRY301 - the stage must see it
    except ValueError:
        pass
    return [ctx.get("a"), ctx.get("b"), again == token, ctx.random.random(), str(ctx.uuid4())]


def _keeping_program(chance: random.Random) -> list[Call]:
    _tokens.restart()
    return runs(keeping)(chance)


@workflow(name="sim_patched")
async def patched(ctx: Context) -> list[object]:
    """Pass version markers before, between and after steps."""
    found: list[Any] = []
    for number in range(3):
        found.append(ctx.patched("p1" if number < 2 else "p2"))  # noqa: PLR2004 - the same marker twice, then another
        ctx.deprecate_patch("no way back")
        found.append(await step(f"p{number}"))
    return found


@workflow(name="sim_generations")
async def generations(ctx: Context, number: int, seen: list[int]) -> list[int]:
    """Continue as new with state, labels and signals nobody waited for."""
    ctx.set("count", ctx.get("count", int, 0) + number)
    ctx.set_labels(generation=str(number))
    await step(f"generation {number}")
    seen = [*seen, await ctx.wait_for(more)]
    if number < 3:  # noqa: PLR2004 - three generations
        ctx.continue_as_new(number + 1, seen)
    return [*seen, ctx.get("count", int, 0)]


def _generations_program(_chance: random.Random) -> list[Call]:
    calls = [start(generations, 1, [], id="one", labels={"kind": "long"})]
    for number in range(3):
        waits = _has("one", e.ActivityCompleted, number + 1)
        calls.append(send("one", go, f"carried {number}", message_id=f"g{number}", when=waits))
        carried = _has("one", e.SignalReceived, 2 * number + 1 + number * (number + 1) // 2)
        calls.append(send("one", more, number, message_id=f"m{number}", when=carried))
    return calls


def _hasty_generations_program(_chance: random.Random) -> list[Call]:
    return [start(generations, 1, [], id="one"), *_hasty_signals()]


def _hasty_tries_program(_chance: random.Random) -> list[Call]:
    return [start(second_try, id="one"), *_hasty_signals(may_be_refused=True)]


def _hasty_signals(*, may_be_refused: bool = False) -> list[Call]:
    return [send("one", more, number, message_id=f"m{number}", may_be_refused=may_be_refused) for number in range(3)]


# --- suspension, priority, end -----------------------------------------------------------------------------------


@workflow(name="sim_suspended")
async def suspended(ctx: Context) -> list[object]:
    """Be suspended while an activity runs, a timer comes due and signals come."""
    async with ctx.stage("waiting"):
        activity = asyncio.create_task(slow("meanwhile", 0.5))
        timer = asyncio.create_task(asyncio.sleep(1, "rang"))
        found: list[Any] = [await ctx.wait_for(more), await ctx.wait_for(more)]
    return [*found, await activity, await timer, await step("after")]


def _suspended_program(_chance: random.Random) -> list[Call]:
    both = _has("one", e.SignalReceived, 2)
    return [
        start(suspended, id="one"),
        suspend("one", when=has_stage("one", "waiting")),
        send("one", more, 1, message_id="m1", when=_has("one", e.RunSuspended)),
        send("one", more, 2, message_id="m2"),
        set_priority("one", Priority.LOW, when=both),
        start(pause, 3, id="pause", when=_has("one", e.PriorityChanged)),
        resume("one", when=_has("pause", e.RunCompleted)),
    ]


@workflow(name="sim_held_back")
async def held_back(ctx: Context) -> list[object]:
    """Be suspended before its time comes, which passes meanwhile."""
    return [await step("begun"), await ctx.wait_for(more)]


def _held_back_program(_chance: random.Random) -> list[Call]:
    return [
        start(held_back, id="one", start_after=timedelta(seconds=5)),
        suspend("one"),
        send("one", more, 7, message_id="m1", when=_has("one", e.RunSuspended)),
        start(pause, 8, id="pause", when=_has("one", e.SignalReceived)),
        resume("one", when=_has("pause", e.RunCompleted)),
    ]


@workflow(name="sim_self_suspended")
async def self_suspended(ctx: Context) -> list[object]:
    """Suspend itself."""
    first = await step("before")
    await ctx.suspend("look at me")
    return [first, await step("after"), await ctx.wait_for(more)]


def _self_suspended_program(_chance: random.Random) -> list[Call]:
    return [
        start(self_suspended, id="one"),
        send("one", more, 5, message_id="m1", when=_has("one", e.RunSuspended)),
        resume("one", when=_has("one", e.SignalReceived)),
    ]


@workflow(name="sim_cancelled")
async def cancelled(ctx: Context) -> None:
    """Wait, and when cancelled clean up with activities, then undo what was booked."""
    await book("room")
    try:
        async with ctx.stage("waiting"):
            await ctx.wait_for(go)
    finally:
        await step("clean-up")
        await asyncio.sleep(1)


def _cancelled_program(_chance: random.Random) -> list[Call]:
    return [start(cancelled, id="one"), cancel("one", when=has_stage("one", "waiting"))]


@workflow(name="sim_cancelled_anywhere")
async def cancelled_anywhere(_ctx: Context) -> list[object]:
    """Do a bit of everything, so that a cancellation meets it anywhere."""
    await book("one")
    await asyncio.gather(book("two"), asyncio.sleep(1), slow("short", 0.3))
    async with asyncio.timeout(2):
        await step("three")
    return ["done"]


def _cancelled_anywhere_program(chance: random.Random) -> list[Call]:
    at = chance.randrange(1, 22)
    grace = chance.choice((None, None, timedelta(seconds=0.5), timedelta(seconds=100)))
    return [start(cancelled_anywhere, id="one"), cancel("one", when=_reaches("one", at), grace=grace)]


def _reaches(run_id: str, sequence: int) -> Question:
    return lambda tables: tables.is_closed(run_id) or len(tables.events(run_id)) >= sequence


@workflow(name="sim_stubborn", on_failure=OnFailure.FAIL)
async def stubborn(ctx: Context) -> None:
    """Ignore its cancellation, until its grace ends."""
    while True:
        try:
            async with ctx.stage("waiting"):
                await ctx.wait_for(go)
        except asyncio.CancelledError:
            await asyncio.sleep(3_000)


def _stubborn_program(_chance: random.Random) -> list[Call]:
    return [
        start(stubborn, id="one"),
        cancel("one", when=has_stage("one", "waiting"), grace=timedelta(seconds=6)),
    ]


@workflow(name="sim_terminated")
async def terminated(ctx: Context) -> None:
    """Be terminated while much is pending."""
    async with ctx.stage("waiting"):
        await asyncio.gather(ctx.wait_for(go), asyncio.sleep(30_000), slow("for ever", 10_000))


def _terminated_program(_chance: random.Random) -> list[Call]:
    return [start(terminated, id="one"), terminate("one", when=has_stage("one", "waiting"))]


def _doubled_program(_chance: random.Random) -> list[Call]:
    # Started for later, so that the run is in nobody's memory and the messages meet in its inbox.
    later = timestamp_to_datetime(Timestamp(EPOCH + 5_000_000))
    return [
        start(two_signals, id="one", start_at=later),
        send("one", more, 1, message_id="m1", twice=True),
        send("one", more, 2, message_id="m2", twice=True),
    ]


def _knocked_program(_chance: random.Random) -> list[Call]:
    # The first signal has a run loaded that had left memory; the second comes meanwhile, and nothing comes after it.
    names = [f"run {number}" for number in range(6)]
    signals = [
        send(name, more, number, message_id=f"{name} {number}", when=_has("pause", e.RunCompleted))
        for name in names
        for number in (1, 2)
    ]
    return [*(start(knocked, id=name) for name in names), start(pause, 12, id="pause"), *signals]


def _cancelled_twice_program(_chance: random.Random) -> list[Call]:
    return [
        start(cancelled, id="one"),
        cancel("one", when=has_stage("one", "waiting")),
        cancel("one", when=_has("one", e.ActivityScheduled, 2), name="cancel again"),
    ]


WORKLOADS: Final = (
    Workload(
        name="signals", program=_signals_program, in_order=False, results={"one": '["first",1,2,"second","none"]'}
    ),
    Workload(name="late_signals", program=_late_signals_program, in_order=False, results={"one": "[0,1,2]"}),
    Workload(
        name="knocked",
        program=_knocked_program,
        in_order=False,
        is_large=True,
        results={f"run {number}": "[1,2]" for number in range(6)},
    ),
    Workload(name="repeated", program=_repeated_program, results={"one": "[1,2]"}),
    Workload(
        name="keeping",
        program=_keeping_program,
        results={"one": '[1,null,true,0.9836464905698936,"8dcbe45f-abc2-4f4e-b114-8de99f2cf642"]'},
    ),
    Workload(name="patched", program=runs(patched), results={"one": '[true,"p0",true,"p1",true,"p2"]'}),
    Workload(name="generations", program=_generations_program, in_order=False, results={"one": "[0,1,2,6]"}),
    Workload(
        name="hasty_generations", program=_hasty_generations_program, is_compared=False, results={"one": "[0,1,2,6]"}
    ),
    Workload(name="hasty_tries", program=_hasty_tries_program, is_compared=False, results={"one": "3"}),
    Workload(
        name="suspended",
        program=_suspended_program,
        in_order=False,
        results={"one": '[1,2,"meanwhile","rang","after"]'},
    ),
    Workload(name="held_back", program=_held_back_program, in_order=False, results={"one": '["begun",7]'}),
    Workload(name="self_suspended", program=_self_suspended_program, results={"one": '["before","after",5]'}),
    Workload(name="cancelled", program=_cancelled_program, results={"one": "RunCancelled"}),
    Workload(name="doubled", program=_doubled_program, is_compared=False, results={"one": "[1,2]"}),
    Workload(
        name="cancelled_twice", program=_cancelled_twice_program, is_compared=False, results={"one": "RunCancelled"}
    ),
    Workload(name="cancelled_anywhere", program=_cancelled_anywhere_program, is_compared=False),
    Workload(name="stubborn", program=_stubborn_program, is_dated=True, results={"one": "RunTerminated"}),
    Workload(name="terminated", program=_terminated_program, results={"one": "RunTerminated"}),
)
