"""Workloads of requests with ids: made again, at once, later, and by whoever got no answer, they count once."""

import asyncio
import random
from typing import Final

from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.kernel import events as e
from perdure.torture.simulation.program import Call, request, start
from perdure.torture.simulation.workloads.control import go, more
from perdure.torture.simulation.workloads.workload import Workload

__all__ = ["WORKLOADS"]


@workflow(name="sim_held")
async def held(ctx: Context) -> int:
    """Wait for a signal in two generations."""
    signalled = await ctx.wait_for(more)
    if signalled == 1:
        ctx.continue_as_new()
    return signalled


@workflow(name="sim_asked_to_stop")
async def asked_to_stop(ctx: Context) -> None:
    """Wait to be cancelled, and take a while to clean up."""
    try:
        await ctx.wait_for(go)
    finally:
        await asyncio.sleep(1)


def _held_program(_chance: random.Random) -> list[Call]:
    return [
        start(held, id="one"),
        request(
            "hold", "one", lambda run, mine: run.suspend("wait", request_id=mine), e.RunSuspended, request_id="hold"
        ),
        request("go on", "one", lambda run, mine: run.resume(request_id=mine), e.RunResumed, request_id="go on"),
        request(
            "hold again", "one", lambda run, mine: run.suspend("no", request_id=mine), e.RunSuspended, request_id="hold"
        ),
        request(
            "first", "one", lambda run, mine: run.signal(more, 1, request_id=mine), e.SignalReceived, request_id="1"
        ),
        request(
            "second",
            "one",
            lambda run, mine: run.signal(more, 2, request_id=mine),
            e.SignalReceived,
            request_id="2",
            when=lambda tables: len(tables.generations("one")) > 1,
        ),
    ]


def _stopped_program(_chance: random.Random) -> list[Call]:
    return [
        start(asked_to_stop, id="one"),
        request(
            "stop",
            "one",
            lambda run, mine: run.cancel("enough", request_id=mine),
            e.RunCancelRequested,
            e.RunCancelled,
            request_id="stop",
        ),
        request(
            "stop again",
            "one",
            lambda run, mine: run.cancel("enough", request_id=mine),
            e.RunCancelRequested,
            e.RunCancelled,
            request_id="stop",
            when=lambda tables: tables.is_closed("one"),
        ),
    ]


WORKLOADS: Final = (
    Workload(name="held", program=_held_program, in_order=False, results={"one": "2"}),
    Workload(name="stopped", program=_stopped_program, in_order=False),
)
