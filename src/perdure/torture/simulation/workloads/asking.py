"""Workloads of updates: accepted, rejected, repeated, waiting for a handler, over generations."""

import asyncio
import random
from typing import Final

from perdure.authoring.context import Context
from perdure.authoring.updates import Update
from perdure.authoring.workflow import workflow
from perdure.torture.simulation.program import Call, ask, ask_again, ask_with_start, send, start
from perdure.torture.simulation.workloads.activities import step
from perdure.torture.simulation.workloads.control import go, more
from perdure.torture.simulation.workloads.workload import Workload

__all__ = ["WORKLOADS"]

put: Final = Update("put", int, int)


class _Total:
    """What the handlers of one run have put together."""

    def __init__(self, amount: int = 0) -> None:
        self.amount = amount

    async def put(self, amount: int) -> int:
        """Add an amount, in two steps."""
        await step(f"put {amount}")
        await asyncio.sleep(1)
        self.amount += amount
        return self.amount


def _refuse_odd(amount: int) -> None:
    if amount % 2:
        raise ValueError("odd")


@workflow(name="sim_updated")
async def updated(ctx: Context) -> int:
    """Answer updates from the second second on, until told to stop."""
    total = _Total()
    await asyncio.sleep(2)
    ctx.on_update(put, total.put, validator=_refuse_odd)
    await ctx.wait_for(go)
    await ctx.updates_finished()
    return total.amount


def _updated_program(_chance: random.Random) -> list[Call]:
    return [
        start(updated, id="one"),
        ask("one", put, 2, request_id="waits"),
        ask("one", put, 3, request_id="odd"),
        ask("one", put, 4, request_id="twice", twice=True),
        ask_with_start(updated, id="two", update=put, input=10, request_id="begins"),
        ask_with_start(updated, id="two", update=put, input=20, request_id="follows"),
        send("one", go, "stop", message_id="g1"),
        send("two", go, "stop", message_id="g2"),
    ]


@workflow(name="sim_rolling")
async def rolling(ctx: Context, generation: int) -> int:
    """Leave an update to the next generation."""
    total = _Total()
    if generation == 1:
        await asyncio.sleep(2)
        ctx.continue_as_new(2)
    ctx.on_update(put, total.put)
    await ctx.wait_for(go)
    return total.amount


def _rolling_program(_chance: random.Random) -> list[Call]:
    return [
        start(rolling, 1, id="one"),
        ask("one", put, 2, request_id="moves"),
        ask_with_start(rolling, 1, id="two", update=put, input=4, request_id="is carried"),
        send("one", go, "stop", message_id="g1"),
        send("two", go, "stop", message_id="g2"),
    ]


@workflow(name="sim_adding_up")
async def adding_up(ctx: Context, amount: int) -> int:
    """Answer updates in a generation after the other, until told to stop."""
    total = _Total(amount)
    ctx.on_update(put, total.put)
    going = asyncio.create_task(ctx.wait_for(more))
    stopping = asyncio.create_task(ctx.wait_for(go))
    await asyncio.wait([going, stopping], return_when=asyncio.FIRST_COMPLETED)
    await ctx.updates_finished()
    if going.done():
        ctx.continue_as_new(total.amount)
    return total.amount


def _adding_up_program(_chance: random.Random) -> list[Call]:
    first = ask("one", put, 2, request_id="first")
    begins = ask_with_start(adding_up, 0, id="two", update=put, input=4, request_id="begins")
    follows = ask_with_start(adding_up, 0, id="two", update=put, input=8, request_id="follows")
    return [
        start(adding_up, 0, id="one"),
        first,
        send("one", more, 1, message_id="m1"),
        ask_again("first again", first, answers=(2,), when=lambda tables: len(tables.generations("one")) > 1),
        ask("one", put, 2, request_id="second"),
        send("one", go, "stop", message_id="g1"),
        ask_again("first at last", first, answers=(2,), when=lambda tables: tables.is_closed("one")),
        begins,
        follows,
        send("two", more, 1, message_id="m2"),
        ask_again("begins again", begins, answers=(4,), when=lambda tables: len(tables.generations("two")) > 1),
        ask_again("follows again", follows, answers=(12, 8), when=lambda tables: len(tables.generations("two")) > 1),
        send("two", go, "stop", message_id="g2"),
        ask_again("follows at last", follows, answers=(12, 8), when=lambda tables: tables.is_closed("two")),
    ]


@workflow(name="sim_sharing")
async def sharing(ctx: Context) -> tuple[int, int]:
    """Let two tasks share, one piece at a time, what updates and a signal bring; each finds one when it goes on."""
    total, lacked = _Total(), 0

    async def take(name: str, pieces: int) -> None:
        nonlocal lacked
        for number in range(pieces):
            await ctx.wait_until(lambda: total.amount > 0)
            lacked += total.amount <= 0
            total.amount -= 2
            await step(f"{name} takes {number}")

    ctx.on_update(put, total.put)
    taking = [asyncio.create_task(take("a", 2)), asyncio.create_task(take("b", 1))]
    total.amount += await ctx.wait_for(more)
    await asyncio.gather(*taking)
    await ctx.updates_finished()
    return lacked, total.amount


def _sharing_program(_chance: random.Random) -> list[Call]:
    return [
        start(sharing, id="one"),
        ask("one", put, 2, request_id="first"),
        send("one", more, 2, message_id="g1"),
        ask("one", put, 2, request_id="last"),
    ]


WORKLOADS: Final = (
    Workload(name="updated", program=_updated_program, in_order=False, results={"one": "6", "two": "30"}),
    Workload(name="rolling", program=_rolling_program, in_order=False, results={"one": "2", "two": "4"}),
    Workload(name="adding_up", program=_adding_up_program, in_order=False, results={"one": "4", "two": "12"}),
    Workload(name="sharing", program=_sharing_program, in_order=False, results={"one": "[0,0]"}),
)
