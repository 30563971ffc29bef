"""Workloads of code that changes: several versions side by side, and code that does not fit for a while, or is gone."""

import random
from collections.abc import Iterable
from datetime import timedelta
from typing import ClassVar, Final

from perdure.authoring.context import Context
from perdure.authoring.registry import default_registry
from perdure.authoring.workflow import workflow
from perdure.client.client import Client
from perdure.kernel import events as e
from perdure.kernel.events import ParentClosePolicy
from perdure.kernel.identity import WorkflowVersion
from perdure.torture.simulation.program import Call, Question, cancel, send, start, terminate
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
    """What the code is, in all processes: a trial is alone in its process."""

    is_wrong = False
    is_gone = False
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
        is_indispensable=not is_wrong,
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
    return _are_at_rest(tables, ["one"])


def _is_parked(tables: Tables) -> bool:
    return any(run.parked is not None for run in tables.generations("one"))


def _has_heard(tables: Tables) -> bool:
    return tables.count("one", e.SignalReceived) > 0


@workflow(name="sim_undeployed")
async def undeployed(ctx: Context) -> None:
    """Wait for what never comes, as does a timer that comes due while nobody has the code."""
    try:
        await ctx.wait_for(go, timeout=timedelta(seconds=10))
    except TimeoutError:
        await step("late")
        await ctx.wait_for(go)


@workflow(name="sim_outliving")
async def outliving(ctx: Context) -> None:
    """Leave a child behind that is to end, and has perhaps no code any more."""
    ctx.start_child(undeployed, id="child", policy=ParentClosePolicy.TERMINATE)
    await ctx.wait_for(go)


def _undeploy(*, when: Question) -> Call:
    """Take the code of `undeployed` away from all processes. It comes back when all is over: then it is replayed."""
    key = WorkflowVersion(undeployed.name, undeployed.version)
    versions = default_registry.workflow_versions

    async def perform(_client: Client) -> None:
        default_registry._workflows.pop(key, None)  # noqa: SLF001 - no process does so, but others never had it
        default_registry._workflow_versions = versions - {key}  # noqa: SLF001
        _Deployed.is_gone = True

    return Call(
        name="undeploy",
        run_id="deadline",
        perform=perform,
        is_done=lambda _tables: _Deployed.is_gone,
        when=when,
    )


def _redeploy(*, when: Question) -> Call:
    async def perform(_client: Client) -> None:
        default_registry.add_workflow(undeployed)

    return Call(
        name="deploy again",
        run_id="deadline",
        perform=perform,
        is_done=lambda _tables: default_registry.find(undeployed.name, undeployed.version) is not None,
        when=when,
        is_indispensable=True,
    )


def _codeless_program(chance: random.Random) -> list[Call]:
    default_registry.add_workflow(undeployed)
    _Deployed.is_gone = False
    names = ("deadline", "terminated", "cancelled", "unbegun", "child", "parent")
    calls = [
        terminate("terminated"),
        cancel("cancelled", grace=timedelta(seconds=15)),
        cancel("unbegun", name="cancel before its begin"),
        send("parent", go, "go", message_id="g0"),
    ]
    chance.shuffle(calls)
    return [
        start(undeployed, id="deadline", execution_timeout=timedelta(seconds=30)),
        start(undeployed, id="terminated"),
        start(undeployed, id="cancelled"),
        start(undeployed, id="unbegun", start_after=timedelta(days=1)),
        start(outliving, id="parent"),
        _undeploy(when=lambda tables: _exists("child")(tables) and _are_at_rest(tables, names)),
        *calls,
        _redeploy(when=lambda tables: all(_has_ended(tables, name) for name in names)),
    ]


def _are_at_rest(tables: Tables, run_ids: Iterable[str]) -> bool:
    return all(run.owner is None for run_id in run_ids for run in tables.generations(run_id))


def _has_ended(tables: Tables, run_id: str) -> bool:
    return any(run.status.is_closed for run in tables.generations(run_id))


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
    # Not compared: a process that still holds a run has its code, and lets a cancellation clean up.
    Workload(
        name="codeless",
        program=_codeless_program,
        is_compared=False,
        results={
            "deadline": "RunFailed",
            "terminated": "RunTerminated",
            "unbegun": "RunCancelled",
            "child": "RunTerminated",
            "parent": "null",
        },
    ),
)
