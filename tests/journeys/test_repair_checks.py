"""Checks of forks, and looks at them: code whose doings nothing has recorded does not run for these."""

from collections import Counter
from typing import Any

import pytest

from perdure import Context, Run, RunQuery, RunStatus, Signal, workflow
from perdure.authoring.registry import Registry
from perdure.errors import NonDeterminismError
from perdure.kernel import events as e
from perdure.kernel.history import RecordedEvent
from perdure.testing.replaying import Verdict, replay_history
from perdure.testing.time_travel import moment_of
from tests.journeys.conftest import MakeEngine

go = Signal("go", int)
called: Counter[str] = Counter()
DRAWN = RunQuery(statuses=frozenset({RunStatus.COMPLETED}))


@pytest.fixture(autouse=True)
def _not_called() -> None:
    called.clear()


def draw() -> int:
    called["draw"] += 1
    return 7


def drawing(*, is_changed: bool = False) -> Registry:
    """Return the code of a run that draws once it is told to, or (changed) at once."""

    @workflow(name="checks.drawing")
    async def drawing(ctx: Context) -> list[int]:
        found: list[int] = []
        ctx.query("found")(lambda: [*found])
        if is_changed:
            await ctx.side_effect(draw, int)
        found.append(await ctx.wait_for(go))
        ctx.logger.warning("drawing")
        found.append(await ctx.side_effect(draw, int))
        found.append(await ctx.wait_for(go))
        return found

    registry = Registry()
    registry.add_workflow(drawing)
    return registry


async def ended(make_engine: MakeEngine) -> int:
    """Let a run end, and return the number of the event that its side effect answers."""
    code = drawing()
    async with make_engine(registry=code) as engine:
        run = await engine.start(code.workflow("checks.drawing"), id="drawn")
        await run.signal(go, 1)
        await run.signal(go, 2)
        assert await run.result() == [1, 7, 2]
        called.clear()
        return next(r.sequence for r in await history_of(run) if isinstance(r.event, e.SignalReceived))


async def history_of(run: Run[Any]) -> list[RecordedEvent]:
    return [recorded async for recorded in run.history()]


@pytest.mark.parametrize("reapplies", [True, False])
async def test_a_check_calls_no_side_effect_and_logs_nothing(
    make_engine: MakeEngine, caplog: pytest.LogCaptureFixture, reapplies: bool
) -> None:
    point = await ended(make_engine)
    caplog.clear()
    async with make_engine(works=False, registry=drawing()) as client:
        dry = await client.bulk(DRAWN, dry_run=True).reset(event=point, reapply_signals=reapplies)
        done = await client.bulk(DRAWN).reset(event=point, reapply_signals=reapplies)
        assert (dry.done, done.done) == (1, 1)
    assert (caplog.messages, called["draw"]) == ([], 0)


async def test_whoever_looks_at_a_fork_before_it_goes_on_sees_what_is_recorded(make_engine: MakeEngine) -> None:
    point = await ended(make_engine)
    async with make_engine(works=False, registry=drawing()) as client:
        run: Run[Any] = await (await client.get_run("drawn")).reset(event=point)
        assert await run.query("found") == []
        history = await history_of(run)
        assert moment_of(history, len(history), registry=drawing()).query("found") == []
        assert replay_history(history, registry=drawing()).verdict is Verdict.SAME
        assert called["draw"] == 0
    async with make_engine(registry=drawing()) as engine:
        run = await engine.get_run("drawn")
        assert await run.result() == [1, 7, 2]
        assert called["draw"] == 1
        assert await run.query("found") == [1, 7, 2]


async def test_a_check_still_finds_code_that_asks_for_more_than_the_copy_holds(make_engine: MakeEngine) -> None:
    point = await ended(make_engine)
    async with make_engine(works=False, registry=drawing(is_changed=True)) as client:
        run = await client.get_run("drawn")
        with pytest.raises(NonDeterminismError, match="side_effect"):
            await run.reset(event=point)
        assert (await run.describe()).ref.generation == 1
