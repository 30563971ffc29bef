"""Runs that are tried again from their start: how long, and how far apart."""

from datetime import timedelta
from typing import Any

import pytest

from perdure.authoring.context import Context
from perdure.authoring.workflow import Workflow, workflow
from perdure.kernel import events as e
from perdure.kernel.backoff import decorrelated_jitter, fixed
from perdure.kernel.retry import Retry
from tests.kernel.lives import SECOND, START, Life, life_of, program_of, replay


@workflow(
    name="tried.by_budget",
    retry=Retry(attempts=None, backoff=fixed(timedelta(seconds=10)), budget=timedelta(seconds=35)),
)
async def by_budget(ctx: Context, seconds: int) -> None:
    await ctx.sleep(seconds)
    raise ValueError


@workflow(
    name="tried.ever_further_apart",
    retry=Retry(attempts=6, backoff=decorrelated_jitter(timedelta(seconds=1), maximum=timedelta(hours=1))),
)
async def ever_further_apart(ctx: Context) -> None:
    raise ValueError


@workflow(name="tried.rolling", retry=Retry(attempts=2, backoff=fixed(timedelta(seconds=10))))
async def rolling(ctx: Context, turn: int) -> None:
    if turn == 2:
        ctx.continue_as_new(3)
    if ctx.info.attempt == 2 and turn == 1:
        ctx.continue_as_new(2)
    raise ValueError


def next_attempt(life: Life, code: Workflow[*tuple[Any, ...], None]) -> Life:
    """Return the generation that a run has opened, begun at its time."""
    creation = life.advanced.creations[-1]
    created = creation.created.event
    assert isinstance(created, e.RunCreated)
    following = Life(program_of(code.entry(), created), created)
    following.now = creation.wake_at
    following.begin()
    return following


@pytest.mark.parametrize(("seconds", "attempts"), [(0, 4), (1, 4), (2, 3), (30, 1)])
def test_every_attempt_of_a_run_begins_within_the_budget_since_the_first_began(seconds: int, attempts: int) -> None:
    life = life_of(by_budget, seconds)
    life.now += 100 * SECOND  # it waited before it began
    life.begin()
    made = 1
    while True:
        if not life.state.is_closed:
            life.wait(seconds)
        if isinstance(life.result, e.RunFailed):
            break
        life = next_attempt(life, by_budget)
        made += 1
        assert life.created.first_attempt_at == START + 100 * SECOND
    assert made == attempts
    assert replay(by_budget.entry(), life.history).state == life.state


def test_decorrelated_jitter_grows_with_the_wait_before() -> None:
    life = life_of(ever_further_apart)
    life.begin()
    waits = []
    while not isinstance(life.result, e.RunFailed):
        life = next_attempt(life, ever_further_apart)
        waits.append(life.created.retry_delay_microseconds)
    assert len(waits) == 5
    assert max(waits) > 3 * SECOND
    assert all(SECOND <= later <= 3 * max(SECOND, before) for before, later in zip([0, *waits], waits, strict=False))


def test_a_generation_that_is_no_further_attempt_counts_anew() -> None:
    life = life_of(rolling, 1)
    life.begin()
    second = next_attempt(life, rolling)
    third = next_attempt(second, rolling)
    assert (second.created.first_attempt_at, second.created.retry_delay_microseconds) == (START, 10 * SECOND)
    assert (third.created.first_attempt_at, third.created.retry_delay_microseconds) == (None, 0)
