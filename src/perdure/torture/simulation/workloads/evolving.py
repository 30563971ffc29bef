"""Workloads of workflows that stand side by side in several versions."""

import random
from typing import Final

from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.torture.simulation.program import Call, Question, send, start
from perdure.torture.simulation.workloads.activities import step
from perdure.torture.simulation.workloads.control import go
from perdure.torture.simulation.workloads.workload import Workload

__all__ = ["WORKLOADS"]


@workflow(name="sim_part", version="1")
async def part_1(ctx: Context) -> str:
    """Wait in the first way."""
    part = await step("first part")
    word = await ctx.wait_for(go)
    return f"{part}, {word}"


@workflow(name="sim_part", version="2")
async def part_2(ctx: Context) -> str:
    """Wait in the second way."""
    part = await step("second part")
    word = await ctx.wait_for(go)
    return f"{part}, {word}"


@workflow(name="sim_versions", version="9")
async def versions_9(ctx: Context, seen: list[str]) -> list[str]:
    """Go on as the same version, then as the newest."""
    await step(ctx.info.version)
    seen = [*seen, ctx.info.version]
    if len(seen) < 2:  # noqa: PLR2004 - two generations of this version
        ctx.continue_as_new(seen, version="9")
    if len(seen) == 2:  # noqa: PLR2004
        ctx.continue_as_new(seen)
    return seen


@workflow(name="sim_versions", version="10")
async def versions_10(ctx: Context, seen: list[str]) -> list[str]:
    """Ask both versions of a child."""
    children = [ctx.start_child(part_2, id=f"part {version}", version=version) for version in ("1", "2")]
    return [*seen, ctx.info.version, *[await child.result() for child in children]]


def _versions_program(_chance: random.Random) -> list[Call]:
    return [
        start(versions_9, [], id="one"),
        start(part_2, id="alone", version="1"),
        send("alone", go, "go", message_id="g0"),
        *(
            send(f"part {version}", go, "go", message_id=f"g{version}", when=_exists(f"part {version}"))
            for version in (1, 2)
        ),
    ]


def _exists(run_id: str) -> Question:
    return lambda tables: bool(tables.generations(run_id))


WORKLOADS: Final = (
    Workload(
        name="versions",
        program=_versions_program,
        in_order=False,
        results={"one": '["9","9","10","first part, go","second part, go"]', "alone": '"first part, go"'},
    ),
)
