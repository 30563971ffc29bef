"""Workloads of streams: a client reads what runs publish, goes on after its own death, and must see each value once."""

import random
from contextlib import aclosing
from typing import Any, Final

from perdure.authoring.context import Context
from perdure.authoring.streams import Stream
from perdure.authoring.workflow import workflow
from perdure.client.client import Client
from perdure.errors import InternalError
from perdure.kernel.transition import RunStatus
from perdure.torture.simulation.program import Call, start
from perdure.torture.simulation.workloads.activities import speaking, step
from perdure.torture.simulation.workloads.workload import Workload

__all__ = ["WORKLOADS"]

_numbers: Final = Stream("numbers", int)
_labels: Final = Stream("labels", str)


@workflow(name="sim_publishing")
async def publishing(ctx: Context, first: int) -> int:
    """Publish numbers between steps, over two generations."""
    for number in range(first, first + 3):
        ctx.publish(_numbers, number)
        await step(f"after {number}")
    ctx.publish(_numbers, first + 3)
    if first == 0:
        ctx.continue_as_new(4)
    return first


@workflow(name="sim_having_spoken")
async def having_spoken(_ctx: Context) -> str:
    """Let an activity publish."""
    return await speaking(_labels.name)


def listen(run_id: str, stream: Stream[Any], expected: list[object], *, repeats: bool = False) -> Call:
    """Read a stream to its end, from where this client stopped when it died; the values must be those expected, or the
    first of them where the run was ended early.

    `repeats`: an attempt that is made again may have published again; the last of each must be there.
    """
    seen: list[object] = []
    positions = [""]

    async def perform(client: Client) -> None:
        run = await client.get_run(run_id)
        async with aclosing(run.stream(stream, after=positions[-1])) as items:
            async for item in items:
                seen.append(item.value)
                positions.append(item.position)
        is_whole = (await (await client.get_run(run_id)).describe()).status is RunStatus.COMPLETED
        read = seen[-len(expected) :] if repeats else seen
        wanted = expected if is_whole or repeats else expected[: len(read)]
        if read != wanted and (is_whole or not repeats):
            message = f"the stream {stream.name!r} of run {run_id} gave {seen}, not {expected}"
            raise InternalError(message)

    return Call(
        name=f"listen to {run_id}",
        run_id=run_id,
        perform=perform,
        is_done=lambda tables: tables.is_closed(run_id),
        when=lambda tables: bool(tables.generations(run_id)),
        is_repeatable=True,
    )


def _publishing_program(_chance: random.Random) -> list[Call]:
    return [start(publishing, 0, id="one"), listen("one", _numbers, list(range(8)))]


def _speaking_program(_chance: random.Random) -> list[Call]:
    return [start(having_spoken, id="one"), listen("one", _labels, ["a2", "b2"], repeats=True)]


WORKLOADS: Final = (
    Workload(name="publishing", program=_publishing_program, results={"one": "4"}),
    Workload(name="speaking", program=_speaking_program, is_compared=False, results={"one": '"spoken"'}),
)
