"""A plan is a line of text and back, and decides everything."""

import pytest

from perdure.errors import InvalidArgumentError
from perdure.torture.simulation.plans import Plan, Strike, StrikeKind, parse_plan, random_plans, single_crashes

PLAN = Plan(
    workload="signals",
    seed=7,
    workers=3,
    is_embedded=False,
    strikes=(Strike(kind=StrikeKind.CRASH, at=4), Strike(kind=StrikeKind.PAUSE, at=11, seconds=25.0)),
)


def test_a_plan_survives_being_written_down() -> None:
    assert parse_plan(str(PLAN)) == PLAN


def test_a_plan_without_strikes_survives_too() -> None:
    plan = Plan(workload="timers", seed=0)
    assert parse_plan(str(plan)) == plan


def test_a_line_that_is_no_plan_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="looks like"):
        parse_plan("crash it")


def test_single_crashes_strike_every_point() -> None:
    plans = [plan for plan in single_crashes(PLAN, 5) if len(plan.strikes) == 1]
    assert [plan.strikes[0].at for plan in plans] == [0, 1, 2, 3, 4]


def test_the_same_seed_draws_the_same_plans() -> None:
    first, second = random_plans("timers", 20, seed=5), random_plans("timers", 20, seed=5)
    assert [next(first) for _ in range(20)] == [next(second) for _ in range(20)]
