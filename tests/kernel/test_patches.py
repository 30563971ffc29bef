"""The life of a patch: which deployment fits the runs of which other, and what is said of one that came too early."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.workflow import Workflow, workflow
from perdure.errors import NonDeterminismError
from perdure.kernel import events as e
from tests.kernel.lives import Life, life_of, replay


@activity(name="patches.old")
async def old(amount: int) -> int:
    return amount


@activity(name="patches.new")
async def new(amount: int) -> int:
    return amount


async def before(_ctx: Context) -> int:
    return await old(1)


async def patched(ctx: Context) -> int:
    if ctx.patched("way"):
        return await new(1)
    return await old(1)


async def deprecated(ctx: Context) -> int:
    ctx.deprecate_patch("way")
    return await new(1)


async def gone(_ctx: Context) -> int:
    return await new(1)


Step = Callable[[Context], Awaitable[int]]
DEPLOYMENTS: dict[str, Step] = {"before": before, "patched": patched, "deprecated": deprecated, "gone": gone}


def workflow_of(step: Step) -> Workflow[Any]:
    @workflow(name="patches.workflow")
    async def changing(ctx: Context) -> int:
        first = await step(ctx)
        await ctx.sleep(1)
        return first + await step(ctx)

    return changing


def lived(deployment: str) -> Life:
    """Return a run that has passed the place once and sleeps."""
    run = life_of(workflow_of(DEPLOYMENTS[deployment]))
    run.begin()
    run.succeed(run.pending[0], 1)
    return run


def markers(run: Life) -> list[tuple[int, bool]]:
    return [(event.operation, event.deprecated) for event in run.events if isinstance(event, e.VersionDecided)]


FITS = {
    ("before", "before"), ("before", "patched"),
    ("patched", "patched"), ("patched", "deprecated"),
    ("deprecated", "deprecated"), ("deprecated", "patched"), ("deprecated", "gone"),
    ("gone", "gone"),
}  # fmt: skip


@pytest.mark.parametrize(("recorded", "deployed"), sorted(FITS))
@pytest.mark.parametrize("page", [1, 2, 1_000])
def test_a_run_goes_on_under_the_deployment_before_and_after_its_own(recorded: str, deployed: str, page: int) -> None:
    again = replay(workflow_of(DEPLOYMENTS[deployed]).entry(), lived(recorded).history, page=page)
    again.wait(1)
    again.succeed(again.pending[0], 1)
    assert again.result == 2
    assert len(markers(again)) <= 1
    assert replay(workflow_of(DEPLOYMENTS[deployed]).entry(), again.history).state == again.state


@pytest.mark.parametrize(
    ("recorded", "deployed", "advice"),
    [
        (
            "before",
            "deprecated",
            "This run passed here before ctx.patched('way') was there, or by its old way: restore",
        ),
        ("patched", "gone", "This run recorded the patch 'way', whose call is gone: put ctx.deprecate_patch('way')"),
        ("patched", "before", "This run recorded the patch 'way', whose call is gone"),
        ("before", "gone", "Restore the old order of calls, or guard the change with ctx.patched"),
        ("deprecated", "before", "Restore the old order of calls"),
    ],
)
def test_a_step_too_early_is_refused_and_the_error_says_which(recorded: str, deployed: str, advice: str) -> None:
    run = lived(recorded)
    with pytest.raises(NonDeterminismError) as caught:
        replay(workflow_of(DEPLOYMENTS[deployed]).entry(), run.history)
    assert advice in caught.value.advice
    assert caught.value.advice in str(caught.value)
    assert caught.value.sequence == (4 if recorded == "deprecated" else 3)


def test_a_deprecated_marker_takes_no_number_so_that_its_call_may_go() -> None:
    assert markers(lived("patched")) == [(1, False)]
    assert markers(lived("deprecated")) == [(0, True)]


def test_a_run_that_waits_where_it_passed_by_the_old_way_is_refused_too() -> None:
    @workflow(name="patches.waiting")
    async def waiting(ctx: Context) -> None:
        await asyncio.sleep(1)
        await asyncio.Event().wait()

    @workflow(name="patches.waiting")
    async def too_early(ctx: Context) -> None:
        await asyncio.sleep(1)
        ctx.deprecate_patch("way")
        await asyncio.Event().wait()

    run = life_of(waiting)
    run.begin()
    run.wait(1)
    with pytest.raises(NonDeterminismError, match="the history holds nothing more; the code asked for version_decided"):
        replay(too_early.entry(), run.history)


def test_code_that_asks_and_deprecates_one_patch_is_told_so_where_they_disagree() -> None:
    @workflow(name="patches.twice")
    async def once(ctx: Context) -> bool:
        await ctx.sleep(1)
        return True

    @workflow(name="patches.twice")
    async def twice(ctx: Context) -> bool:
        known = ctx.patched("way")
        await ctx.sleep(1)
        ctx.deprecate_patch("way")
        return known

    fresh = life_of(twice)
    fresh.begin()
    fresh.wait(1)
    assert fresh.result is True
    run = life_of(once)
    run.begin()
    again = replay(twice.entry(), run.history)
    again.wait(1)
    closing = again.state.closing
    assert isinstance(closing, e.RunFailed)
    assert "use one of the two" in closing.failure.message
