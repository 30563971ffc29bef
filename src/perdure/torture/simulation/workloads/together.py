"""Workloads of several runs: children, runs that signal each other, parents that end first, crowds, and more
than one worker has slots for."""

import asyncio
import random
from typing import Any, Final

from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.client.starting import IdPolicy
from perdure.errors import ActivityError, ChildRunError, RunClosedError, RunNotFoundError
from perdure.kernel import events as e
from perdure.kernel.events import ParentClosePolicy
from perdure.torture.simulation.program import Call, cancel, send, start
from perdure.torture.simulation.workloads.activities import book, flaky, lasting, step
from perdure.torture.simulation.workloads.control import go, more, pause, two_signals
from perdure.torture.simulation.workloads.steps import branches, sequential
from perdure.torture.simulation.workloads.workload import Workload, runs

__all__ = ["WORKLOADS"]


@workflow(name="sim_child")
async def child(_ctx: Context, label: str, failures: int) -> str:
    """Succeed or fail."""
    await flaky(label, failures)
    return label


@workflow(name="sim_parent")
async def parent(ctx: Context) -> list[object]:
    """Children one after the other, at once, failing, and detached."""
    found: list[Any] = [await ctx.run_child(child, "first", 0, id="child 1")]
    found += await asyncio.gather(
        ctx.run_child(child, "second", 1, id="child 2"), ctx.run_child(child, "third", 0, id="child 3")
    )
    try:
        await ctx.run_child(child, "failing", 9, id="child 4")
    except ChildRunError as error:
        found += [error.outcome, error.failure_type]
    ctx.start_child(sequential, 2, id="child 5", policy=ParentClosePolicy.ABANDON)
    return found


@workflow(name="sim_leaving")
async def leaving(ctx: Context) -> None:
    """End before the children: they are cancelled, terminated, or live on."""
    ctx.start_child(waiting, id="to cancel", policy=ParentClosePolicy.CANCEL)
    ctx.start_child(waiting, id="to terminate", policy=ParentClosePolicy.TERMINATE)
    ctx.start_child(pause, 200, id="to live", policy=ParentClosePolicy.ABANDON)
    await ctx.wait_for(more)
    await ctx.wait_for(more)


@workflow(name="sim_waiting")
async def waiting(ctx: Context) -> None:
    """Say so to the parent, then wait for what never comes."""
    if ctx.info.parent is not None:
        _ = ctx.signal(ctx.info.parent.id, more, 1)
    await ctx.wait_for(go)


@workflow(name="sim_taken")
async def taken(ctx: Context) -> str:
    """Ask for a child whose id is taken."""
    try:
        await ctx.run_child(child, "never", 0, id="taken")
    except ChildRunError as error:
        return error.failure_type
    return "no error"


def _taken_program(_chance: random.Random) -> list[Call]:
    return [
        start(pause, 1, id="taken"),
        start(taken, id="one", when=lambda tables: bool(tables.generations("taken"))),
    ]


@workflow(name="sim_telling")
async def telling(ctx: Context) -> list[str]:
    """Send signals to a run that waits, to one that has ended and to nobody, and learn what becomes of them."""
    listener = ctx.start_child(two_signals, id="listener")
    await ctx.run_child(child, "short", 0, id="ended")
    _ = ctx.signal("nobody", more, 0)
    heard = await asyncio.gather(*(_told(ctx, run_id) for run_id in ("listener", "ended", "nobody", "listener")))
    await listener.result()
    return list(heard)


async def _told(ctx: Context, run_id: str) -> str:
    try:
        await ctx.signal(run_id, more, 1)
    except (RunNotFoundError, RunClosedError) as error:
        return type(error).__name__
    return "delivered"


@workflow(name="sim_player")
async def player(ctx: Context, other: str, serves: bool, rounds: int) -> list[int]:  # noqa: FBT001 - a workflow's argument
    """Play signals back and forth with another run."""
    seen: list[int] = []
    if serves:
        _ = ctx.signal(other, more, 0)
    for _ in range(rounds):
        ball = await ctx.wait_for(more)
        seen.append(ball)
        _ = ctx.signal(other, more, ball + 1)
    return seen


def _players_program(_chance: random.Random) -> list[Call]:
    # The one who serves starts when the other is there: a signal to nobody is lost by definition.
    return [
        start(player, "ping", False, 4, id="pong"),  # noqa: FBT003 - a workflow's argument
        start(player, "pong", True, 3, id="ping", when=lambda tables: bool(tables.generations("pong"))),  # noqa: FBT003
    ]


@workflow(name="sim_cancelling_parent")
async def cancelling_parent(ctx: Context) -> str:
    """Give a child up after a while; the child undoes what it did."""
    try:
        async with asyncio.timeout(100):
            await ctx.run_child(booked, id="given up")
    except TimeoutError:
        await asyncio.sleep(100)
        return "given up"
    return "not"


@workflow(name="sim_booked")
async def booked(ctx: Context) -> None:
    """Book, then wait."""
    await book("for child")
    await ctx.wait_for(go)


def _again_program(_chance: random.Random) -> list[Call]:
    return [
        start(sequential, 1, id="one"),
        start(
            sequential,
            2,
            id="one",
            generation=2,
            id_policy=IdPolicy.RESTART_CLOSED,
            when=lambda tables: tables.is_closed("one"),
        ),
    ]


@workflow(name="sim_crowd_member")
async def crowd_member(ctx: Context, number: int) -> list[object]:
    """One of many: a little of everything."""
    async with ctx.stage("working"):
        await step(f"c{number}")
        results = await asyncio.gather(*(flaky(f"c{number}.{n}", n) for n in range(2)), return_exceptions=True)
        await asyncio.sleep(0.5 * (number % 3))
    signal = await ctx.wait_for(more)
    if number % 2:
        await ctx.run_child(child, f"of {number}", 0, id=f"child of {number}")
    try:
        await flaky("hopeless", 9)
    except ActivityError:
        return [signal, len(results)]
    return []


def _crowd_program(chance: random.Random) -> list[Call]:
    numbers = list(range(5))
    chance.shuffle(numbers)
    calls = [start(crowd_member, number, id=f"member {number}") for number in numbers]
    chance.shuffle(numbers)
    return [*calls, *(send(f"member {number}", more, number, message_id=f"m{number}") for number in numbers)]


@workflow(name="sim_patient")
async def patient(_ctx: Context, label: str) -> str:
    """Do what takes longer than several renewals of a lease, and long enough for others to wait for the slot."""
    return await lasting(label)


def _loaded_program(_chance: random.Random) -> list[Call]:
    """Start more than one worker may have slots for, of which others may have some that are free."""
    return [start(patient, f"p{number}", id=f"patient {number}") for number in range(4)]


def _mixture_program(chance: random.Random) -> list[Call]:
    at = chance.randrange(1, 12)
    return [
        start(branches, 3, 2, id="branches"),
        start(two_signals, id="two"),
        start(sequential, 3, id="doomed"),
        send("two", more, 1, message_id="m1"),
        cancel("doomed", when=lambda tables: tables.is_closed("doomed") or len(tables.events("doomed")) >= at),
        start(crowd_member, 1, id="member"),
        send("two", more, 2, message_id="m2", when=lambda tables: tables.count("member", e.ActivityCompleted) > 0),
        send("member", more, 3, message_id="m3"),
    ]


WORKLOADS: Final = (
    Workload(
        name="children",
        program=runs(parent),
        in_order=False,
        results={"one": '["first","second","third","failed","ActivityFailedError"]'},
    ),
    Workload(
        name="leaving",
        program=runs(leaving),
        is_dated=True,
        in_order=False,
        results={"to cancel": "RunCancelled", "to terminate": "RunTerminated", "to live": "null"},
    ),
    Workload(
        name="telling",
        program=runs(telling),
        in_order=False,
        results={"one": '["delivered","RunClosedError","RunNotFoundError","delivered"]'},
    ),
    Workload(name="taken", program=_taken_program, in_order=False, results={"one": '"RunExistsError"'}),
    Workload(
        name="players", program=_players_program, in_order=False, results={"ping": "[1,3,5]", "pong": "[0,2,4,6]"}
    ),
    Workload(
        name="cancelling_parent",
        program=runs(cancelling_parent),
        is_dated=True,
        in_order=False,
        results={"one": '"given up"', "given up": "RunCancelled"},
    ),
    Workload(name="again", program=_again_program, is_compared=False, results={"one": '["s0","s1"]'}),
    Workload(
        name="crowd",
        program=_crowd_program,
        in_order=False,
        is_large=True,
        results={
            "member 0": "[0,2]",
            "member 1": "[1,2]",
            "member 2": "[2,2]",
            "member 3": "[3,2]",
            "member 4": "[4,2]",
        },
    ),
    Workload(
        name="loaded",
        program=_loaded_program,
        in_order=False,
        results={f"patient {number}": f'"p{number}"' for number in range(4)},
    ),
    Workload(name="mixture", program=_mixture_program, is_compared=False, is_large=True),
)
