"""Workloads of code that changes: several versions side by side, and code that does not fit for a while."""

import random
from typing import ClassVar, Final

from perdure.authoring.context import Context
from perdure.authoring.registry import default_registry
from perdure.authoring.workflow import workflow
from perdure.client.client import Client
from perdure.kernel import events as e
from perdure.torture.simulation.program import Call, Question, send, start
from perdure.torture.simulation.tables import Tables
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


class _Deployed:
    """What the code of `mended` is, in all processes: a trial is alone in its process."""

    is_wrong = False
    deployed: ClassVar[set[bool]] = set()


@workflow(name="sim_mended")
async def mended(ctx: Context) -> str:
    """Do what the history holds, unless the wrong code is deployed."""
    if _Deployed.is_wrong:
        await ctx.sleep(1)
    first = await step("first")
    words = [await ctx.wait_for(go) for _ in range(2)]
    return f"{first}, {await step('last')}, {' '.join(words)}"


def _deploy(*, is_wrong: bool, when: Question) -> Call:
    """Put other code in the place of `mended` in all processes."""

    async def perform(_client: Client) -> None:
        _Deployed.is_wrong = is_wrong
        _Deployed.deployed.add(is_wrong)
        default_registry.add_workflow(mended)

    return Call(
        name="deploy the wrong code" if is_wrong else "deploy the right code",
        run_id="one",
        perform=perform,
        is_done=lambda _tables: is_wrong in _Deployed.deployed,
        when=when,
    )


def _mended_program(_chance: random.Random) -> list[Call]:
    _Deployed.is_wrong = False
    _Deployed.deployed.clear()
    return [
        start(mended, id="one"),
        _deploy(is_wrong=True, when=lambda tables: tables.count("one", e.ActivityCompleted) == 1),
        send("one", go, "go", message_id="g0", when=_is_at_rest),
        _deploy(is_wrong=False, when=lambda tables: _is_parked(tables) or _has_heard(tables)),
        send("one", go, "on", message_id="g1"),
    ]


def _is_at_rest(tables: Tables) -> bool:
    return all(run.owner is None for run in tables.generations("one"))


def _is_parked(tables: Tables) -> bool:
    return any(run.parked is not None for run in tables.generations("one"))


def _has_heard(tables: Tables) -> bool:
    return tables.count("one", e.SignalReceived) > 0


def _exists(run_id: str) -> Question:
    return lambda tables: bool(tables.generations(run_id))


WORKLOADS: Final = (
    Workload(
        name="versions",
        program=_versions_program,
        in_order=False,
        results={"one": '["9","9","10","first part, go","second part, go"]', "alone": '"first part, go"'},
    ),
    Workload(name="mended", program=_mended_program, results={"one": '"first, last, go on"'}),
)
