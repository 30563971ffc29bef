"""Workloads of starts by a key, and of starts for later: bursts, lines, windows, delays, whatever strikes meanwhile.

Each run is told the number of its start and when that was asked for, so that the laws can be read off the runs.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from perdure.authoring.context import Context
from perdure.authoring.workflow import Workflow, workflow
from perdure.client.client import Client
from perdure.client.start_rules import Debounce, Deduplicate, Singleton, WhenOpen
from perdure.engine import Engine
from perdure.kernel.events import RunCreated
from perdure.kernel.time import MICROSECONDS_PER_SECOND
from perdure.torture.simulation.program import Call, cancel, send, start
from perdure.torture.simulation.tables import Tables
from perdure.torture.simulation.workloads.activities import step
from perdure.torture.simulation.workloads.control import more
from perdure.torture.simulation.workloads.workload import Workload

if TYPE_CHECKING:
    from perdure.torture.simulation.world import World

__all__ = ["DEBOUNCED", "DEDUPLICATED", "SINGLE", "WAIT", "WINDOW", "WORKLOADS", "Asked", "asked_by"]

WAIT: Final = timedelta(seconds=3)
WINDOW: Final = timedelta(seconds=4)
DEBOUNCED, DEDUPLICATED, SINGLE = "sim_debounced", "sim_deduplicated", "sim_single"

_STARTS: Final = 6
_WITH_REQUEST_SHARE: Final = 0.6
_GAPS_SECONDS: Final = (0.0, 0.5, 1.0, 2.9, 3.0, 3.1, 5.0)


class Asked(msgspec.Struct, frozen=True):
    """What a run is told: which start it is of, when that was asked for, and whether it replaced what was there."""

    number: int
    at: int
    replaces: bool = False


@workflow(name=DEBOUNCED)
async def debounced(_ctx: Context, asked: Asked) -> int:
    """Have an effect."""
    await step("debounced")
    return asked.number


@workflow(name=DEDUPLICATED)
async def deduplicated(_ctx: Context, asked: Asked) -> int:
    """Have an effect."""
    await step("deduplicated")
    return asked.number


@workflow(name=SINGLE)
async def single(_ctx: Context, asked: Asked) -> int:
    """Have an effect and take a while."""
    await step("single")
    await asyncio.sleep(2)
    return asked.number


@workflow(name="sim_delayed")
async def delayed(ctx: Context) -> int:
    """Wait for what came before it began."""
    await step("delayed")
    return await ctx.wait_for(more)


def asked_by(tables: Tables, workflow_name: str) -> Iterator[Asked]:
    """Yield what the runs of a workflow were told, in the order in which they were created."""
    runs = [run for run in tables.database.runs.values() if run.workflow == workflow_name]
    for run in runs:
        created = tables.history(run.run_key)[0].event
        assert isinstance(created, RunCreated)
        yield msgspec.json.decode(created.input, type=tuple[Asked])[0]


def _call(
    of: Workflow[Asked, int],
    number: int,
    *,
    gap: float,
    replaces: bool,
    **options: Any,  # noqa: ANN401 - those of `start`
) -> Call:
    """Start a run by a key, some time after the start before it. It counts also if a later one took its place.

    With a request id the call is made twice, and again by whoever got no answer: it counts once.
    """

    async def perform(client: Client) -> None:
        assert isinstance(client, Engine)
        await asyncio.sleep(gap)
        asked = Asked(number, client.worker.clock.now(), replaces)
        run = await client.start(of, asked, **options)
        if options.get("request_id"):
            await asyncio.sleep(gap)
            again = await client.start(of, asked, **options)
            if again.id != run.id:
                message = f"one request gave two runs, {run.id} and {again.id}"
                raise AssertionError(message)

    def is_done(tables: Tables) -> bool:
        waiting = [given for entry in tables.database.agenda.entries() for given in entry.inputs]
        asked = [msgspec.json.decode(given, type=tuple[Asked])[0] for given in waiting]
        known = [*asked, *asked_by(tables, of.name)]
        takes_place = "debounce" in options
        return any(one.number == number or (one.number > number and (takes_place or one.replaces)) for one in known)

    return Call(
        name=f"start {number}",
        run_id=str(number),
        perform=perform,
        is_done=is_done,
        when=lambda _: True,
        is_repeatable=bool(options.get("request_id")),
    )


def _program(
    of: Workflow[Asked, int], options: Callable[[random.Random], dict[str, Any]]
) -> Callable[[random.Random], list[Call]]:
    def program(chance: random.Random) -> list[Call]:
        calls: list[Call] = []
        for number in range(_STARTS):
            said = options(chance)
            replaces = "singleton" in said and said["singleton"].when_open is WhenOpen.REPLACE
            said["request_id"] = f"start {number}" if chance.random() < _WITH_REQUEST_SHARE else ""
            calls.append(_call(of, number, gap=chance.choice(_GAPS_SECONDS), replaces=replaces, **said))
        return calls

    return program


def _world() -> "World":
    loop: Any = asyncio.get_running_loop()
    world: World = loop.process.world
    return world


def _deduplicated_program(chance: random.Random) -> list[Call]:
    """Make each start twice at once: both must give one run."""

    def call(number: int, gap: float) -> Call:
        async def perform(client: Client) -> None:
            assert isinstance(client, Engine)
            await asyncio.sleep(gap)
            world, asked = _world(), Asked(number, client.worker.clock.now())
            rule, begun = Deduplicate("k", WINDOW), world.true_time()
            runs = await asyncio.gather(*(client.start(deduplicated, asked, deduplicate=rule) for _ in range(2)))
            if len({run.id for run in runs}) == 1:
                return
            first, second = sorted([await run.describe() for run in runs], key=lambda run: run.run_key)
            # The clock may have been set forward between the two, if but for a moment, or the process stood still.
            window = round(WINDOW.total_seconds() * MICROSECONDS_PER_SECOND)
            is_over = world.shown_for(asked.at + window, since=begun, until=world.true_time()) >= 0
            if not is_over and second.created_at - first.created_at < window:
                message = f"two starts of one key at one moment gave two runs: {runs}"
                raise AssertionError(message)

        def is_done(tables: Tables) -> bool:
            return any(True for _ in asked_by(tables, DEDUPLICATED))

        return Call(name=f"start {number}", run_id=str(number), perform=perform, is_done=is_done, when=lambda _: True)

    return [call(number, chance.choice(_GAPS_SECONDS)) for number in range(_STARTS)]


def _delayed_program(_chance: random.Random) -> list[Call]:
    return [
        start(delayed, id="one", start_after=timedelta(seconds=5)),
        send("one", more, 1, message_id="early"),
        start(delayed, id="never", start_after=timedelta(seconds=3_000)),
        cancel("never"),
    ]


def _either(chance: random.Random) -> dict[str, Any]:
    return {"singleton": Singleton("k", chance.choice((WhenOpen.WAIT, WhenOpen.REPLACE)))}


WORKLOADS: Final = (
    Workload(
        name="debounced", program=_program(debounced, lambda _: {"debounce": Debounce("k", WAIT)}), is_compared=False
    ),
    Workload(name="deduplicated", program=_deduplicated_program, is_compared=False),
    Workload(
        name="singletons",
        program=_program(single, lambda _: {"singleton": Singleton("k", WhenOpen.WAIT)}),
        is_compared=False,
    ),
    Workload(name="singletons_replaced", program=_program(single, _either), is_compared=False),
    Workload(name="delayed", program=_delayed_program, in_order=False, is_dated=True),
)
