"""A plan is a line of text and back, and decides everything."""

import random
from collections import Counter
from itertools import islice

import pytest

from perdure.configuration import Settings
from perdure.errors import InvalidArgumentError
from perdure.torture.simulation.plans import (
    Plan,
    Strike,
    StrikeKind,
    clock_jumps,
    parse_plan,
    random_plans,
    single_crashes,
    single_endings,
    single_pauses,
    struck_in_every_way,
    struck_recoveries,
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


def test_a_plan_with_several_commits_at_once_survives_too() -> None:
    plan = Plan(workload="timers", seed=0, commits_at_once=3)
    assert str(plan) == "timers/0/1e3/"
    assert parse_plan(str(plan)) == plan


def test_some_plans_by_chance_have_several_commits_at_once() -> None:
    plans = islice(random_plans("timers", points=20, points_apart=60, seed=5), 100)
    assert Counter(plan.commits_at_once for plan in plans).keys() == {1, 2, 3}


@pytest.mark.parametrize(("commits_at_once", "line"), [(1, "timers/0/2es/"), (3, "timers/0/2es3/")])
def test_a_plan_with_standbys_survives_too(commits_at_once: int, line: str) -> None:
    plan = Plan(workload="timers", seed=0, workers=2, is_standby=True, commits_at_once=commits_at_once)
    assert str(plan) == line
    assert parse_plan(line) == plan


def test_some_plans_by_chance_have_standbys_where_there_are_several_workers() -> None:
    plans = list(islice(random_plans("timers", points=20, points_apart=60, seed=5), 100))
    assert {plan.is_standby for plan in plans if plan.workers > 1} == {False, True}
    assert not any(plan.is_standby for plan in plans if plan.workers == 1)


def test_a_line_that_is_no_plan_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="looks like"):
        parse_plan("crash it")


def test_single_crashes_strike_every_point() -> None:
    assert [[strike.at for strike in plan.strikes] for plan in single_crashes(PLAN, 3)] == [[0], [1], [2]]


def test_single_pauses_last_longer_than_a_lease() -> None:
    strikes = [strike for plan in single_pauses(PLAN, 3) for strike in plan.strikes]
    assert [(strike.kind, strike.at) for strike in strikes] == [(StrikeKind.PAUSE, at) for at in (0, 1, 2)]
    assert min(strike.seconds for strike in strikes) > Settings().lease_seconds


def test_early_ends_are_asked_for_at_every_point_alone_and_before_a_crash() -> None:
    plans = [[(str(strike.kind), strike.at) for strike in plan.strikes] for plan in single_endings(PLAN, 2)]
    for at in (0, 1):
        assert {(("cancel", at),), (("terminate", at),)} <= {tuple(strikes) for strikes in plans}
        assert [strikes[1] for strikes in plans if len(strikes) == 2 and strikes[0] == ("cancel", at)] == [
            ("crash", at + gap) for gap in (1, 3, 8)
        ]


def test_a_point_is_struck_by_everything_and_where_it_matters_once_more() -> None:
    plans = list(struck_in_every_way(PLAN, 7, random.Random(1)))
    assert [parse_plan(str(plan)) for plan in plans] == plans
    assert {plan.strikes[0].at for plan in plans} == {7}
    assert [plan.strikes[0].kind for plan in plans if len(plan.strikes) == 1] == list(StrikeKind)
    assert {plan.strikes[0].kind for plan in plans if len(plan.strikes) == 2} == {
        StrikeKind.CRASH,
        StrikeKind.CANCEL,
        StrikeKind.TERMINATE,
    }


def test_strikes_by_chance_reach_all_points_of_either_place() -> None:
    plans = list(islice(random_plans("timers", points=20, points_apart=60, seed=5), 500))
    reach = {place: max(s.at for p in plans if p.is_embedded is place for s in p.strikes) for place in (True, False)}
    assert reach[True] in range(20, 26)
    assert reach[False] in range(60, 76)


def test_recoveries_are_struck_at_each_of_the_points_that_follow_a_crash() -> None:
    plans = list(struck_recoveries(PLAN, 2))
    for kind in (StrikeKind.CRASH, StrikeKind.PAUSE):
        struck = [[strike.at for strike in plan.strikes] for plan in plans if plan.strikes[1].kind is kind]
        assert struck == [[at, at + gap] for at in (0, 1) for gap in (1, 2, 3, 4, 5, 6)]
    assert {plan.strikes[0].kind for plan in plans} == {StrikeKind.CRASH}


def test_a_clock_is_set_forward_and_back_by_a_second_up_to_an_hour() -> None:
    plans = [clock_jumps(PLAN, 20, random.Random(seed)) for seed in range(200)]
    jumps = {strike.seconds for plan in plans for strike in plan.strikes if strike.kind is StrikeKind.JUMP}
    assert jumps == {-3600.0, -40.0, -15.0, -1.0, 1.0, 15.0, 40.0, 3600.0}
    assert [parse_plan(str(plan)) for plan in plans] == plans
    kinds = {tuple(strike.kind for strike in plan.strikes) for plan in plans}
    assert (StrikeKind.JUMP,) in kinds
    assert (StrikeKind.JUMP, StrikeKind.JUMP, StrikeKind.JUMP, StrikeKind.CRASH) in kinds


def test_the_same_seed_draws_the_same_plans() -> None:
    first, second = (random_plans("timers", points=20, points_apart=30, seed=5) for _ in range(2))
    assert [next(first) for _ in range(20)] == [next(second) for _ in range(20)]
