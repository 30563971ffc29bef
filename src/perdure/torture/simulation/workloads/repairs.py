"""Workloads of repairs: retries, resets and forks, of runs that have ended and runs that are open, from any event."""

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from perdure.authoring.activity import activity
from perdure.authoring.activity_context import current_attempt
from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.client.handle import Run
from perdure.errors import ActivityFailedError
from perdure.kernel.backoff import fixed
from perdure.kernel.retry import Retry
from perdure.torture.simulation.effects import perform
from perdure.torture.simulation.loop import SimulatedLoop
from perdure.torture.simulation.program import Call, Question, cancel, repair, resume, send, start, suspend, terminate
from perdure.torture.simulation.tables import Tables
from perdure.torture.simulation.workloads.activities import flaky, once, slow, step
from perdure.torture.simulation.workloads.control import more
from perdure.torture.simulation.workloads.steps import sequential
from perdure.torture.simulation.workloads.workload import Workload

if TYPE_CHECKING:
    from perdure.torture.simulation.trial import Trial

__all__ = ["WORKLOADS"]

_BROKEN_GENERATIONS: Final = 2
_SIGNALS: Final = 3
_STALLED: Final = 18
"""So many events a run of `anywhere` has at least when it waits for a signal."""


@activity(name="sim_mended", retry=Retry(attempts=2, backoff=fixed(timedelta(seconds=1))))
async def mended() -> str:
    """Fail in the first generations, as what people have to repair does."""
    await perform()
    loop = cast("SimulatedLoop", asyncio.get_running_loop())
    trial = cast("Trial", loop.process.world.trial)
    if len(trial.tables.generations(current_attempt().run_id)) <= _BROKEN_GENERATIONS:
        raise OSError("broken")
    return "mended"


@workflow(name="sim_retried")
async def retried(ctx: Context) -> list[object]:
    """Fail in a step, beside others, after others and before others, until that is repaired."""
    first = await step("first")
    beside = asyncio.create_task(slow("beside", 0.5))
    async with ctx.stage("broken"):
        found = await mended()
    return [first, found, await beside, await ctx.wait_for(more), await step("last")]


@workflow(name="sim_repeated_anywhere")
async def anywhere(ctx: Context) -> list[object]:
    """Do a bit of everything, so that a reset may go back to anything."""
    first = await step("first")
    child = ctx.start_child(sequential, 2)
    drawn = ctx.random.random()
    async with ctx.stage("together"):
        await asyncio.gather(flaky("again", 1), asyncio.sleep(1), slow("short", 0.3))
    kept = await ctx.side_effect(lambda: drawn, float)
    with suppress(ActivityFailedError):  # lost with its owner
        await once("once")
    signals = [await ctx.wait_for(more) for _ in range(_SIGNALS)]
    return [first, *signals, *await child.result(), kept == drawn]


# --- calls -------------------------------------------------------------------------------------------------------


def _retry(name: str, *, when: Question) -> Call:
    return repair(name, "one", lambda run, mine: run.retry("again", request_id=mine), when=when)


def _reset(name: str, chance: random.Random, *, when: Question) -> Call:
    """Reset to some event of the history that there is by then."""
    share = chance.random()

    async def wish(run: Run[Any], mine: str) -> Run[Any]:
        event = 1 + int(share * ((await run.describe()).sequence - 1))
        return await run.reset("again", event=event, request_id=mine)

    return repair(name, "one", wish, when=when)


def _some_resets(chance: random.Random, count: int) -> list[Call]:
    return [_reset(f"reset {n}", chance, when=_reaches(chance.randrange(2, _STALLED))) for n in range(count)]


def _fork(name: str, chance: random.Random, *, when: Question) -> Call:
    share = chance.random()

    async def wish(run: Run[Any], mine: str) -> Run[Any]:
        event = 1 + int(share * ((await run.describe()).sequence - 1))
        return await run.fork("beside", id=name, event=event, reapply_signals=True, request_id=mine)

    return repair(name, "one", wish, makes=name, when=when)


def _has_ended(generation: int) -> Question:
    """Ask whether a generation has ended, without another after it."""
    return lambda tables: tables.is_closed("one") and len(tables.generations("one")) >= generation


def _reaches(sequence: int) -> Question:
    """Ask whether the latest generation has so many events, or has ended."""
    return lambda tables: (
        tables.is_closed("one")
        or (bool(tables.generations("one")) and tables.generations("one")[-1].sequence >= sequence)
    )


def _signals(*, round_: int = 0, may_be_refused: bool = False) -> list[Call]:
    return [
        send("one", more, number, message_id=f"m{round_}.{number}", may_be_refused=may_be_refused)
        for number in range(_SIGNALS)
    ]


def _retried_program(_chance: random.Random) -> list[Call]:
    return [
        start(retried, id="one"),
        _retry("retry 1", when=_has_ended(1)),
        _retry("retry 2", when=_has_ended(2)),
        send("one", more, 1, message_id="m1"),
    ]


def _mixed(chance: random.Random, signals: list[Call], *calls: Call) -> list[Call]:
    """Put the signals, in their order, among the calls in theirs."""
    mixed = list(calls)
    place = 0
    for signal in signals:
        place = chance.randint(place, len(mixed))
        mixed.insert(place, signal)
        place += 1
    return mixed


def _resets_program(chance: random.Random) -> list[Call]:
    resets = [
        _reset(f"reset {n}", chance, when=_reaches(chance.randrange(2, _STALLED))) for n in range(chance.randint(1, 3))
    ]
    forked = _fork("two", chance, when=_completed)
    return [start(anywhere, id="one"), *_mixed(chance, _signals(), *resets), forked]


def _completed(tables: Tables) -> bool:
    return tables.is_closed("one")


def _resume_again(name: str) -> Call:
    """Resume a run that was reset to a point where it was suspended; of any other nothing comes of it."""
    return replace(resume("one"), name=name, is_done=lambda _tables: True, is_repeatable=True)


def _everything_program(chance: random.Random) -> list[Call]:
    """Cancel, terminate or suspend beside resets; at last retry, and send what was refused meanwhile once more."""
    ends = [
        cancel("one", when=_reaches(chance.randrange(2, _STALLED))),
        terminate("one", when=_reaches(chance.randrange(2, _STALLED))),
    ]
    holds = [suspend("one", when=_reaches(chance.randrange(2, _STALLED))), _resume_again("resume")]
    resets = _some_resets(chance, 2)
    calls = [resets[0], *(holds if chance.random() < _SHARE else []), chance.choice(ends), resets[1]]
    return [
        start(anywhere, id="one"),
        *_mixed(chance, _signals(may_be_refused=True), *calls),
        _resume_again("resume before"),
        _retry("retry", when=_reaches(_STALLED)),
        _resume_again("resume after"),
        *_signals(round_=1, may_be_refused=True),
    ]


_SHARE: Final = 0.5

WORKLOADS: Final = (
    Workload(
        name="retried",
        program=_retried_program,
        is_compared=False,
        results={"one": '["first","mended","beside",1,"last"]'},
    ),
    Workload(
        name="resets",
        program=_resets_program,
        is_compared=False,
        results=dict.fromkeys(("one", "two"), '["first",0,1,2,"s0","s1",true]'),
    ),
    Workload(name="repairs", program=_everything_program, is_compared=False),
)
