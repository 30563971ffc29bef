"""A plan is a line of text and back, and decides everything."""

import pytest

from perdure.errors import InvalidArgumentError
from perdure.torture.simulation.plans import (
    Plan,
    Strike,
    StrikeKind,
    paired_crashes,
    parse_plan,
    random_plans,
    single_crashes,
)

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
    assert [[strike.at for strike in plan.strikes] for plan in single_crashes(PLAN, 3)] == [[0], [1], [2]]


def test_paired_crashes_strike_every_point_and_the_points_that_follow() -> None:
    pairs = [[strike.at for strike in plan.strikes] for plan in paired_crashes(PLAN, 2)]
    assert pairs == [[at, at + gap] for at in (0, 1) for gap in (1, 2, 3, 4, 5, 6)]


def test_the_same_seed_draws_the_same_plans() -> None:
    first, second = random_plans("timers", 20, seed=5), random_plans("timers", 20, seed=5)
    assert [next(first) for _ in range(20)] == [next(second) for _ in range(20)]
