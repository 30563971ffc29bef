"""Rare plans: the engine passes them, and each strikes what it takes aim at."""

import pytest

from perdure.torture.simulation.campaign import drawn_plans, undisturbed
from perdure.torture.simulation.plans import Plan
from perdure.torture.simulation.rare import RARE_PLANS
from perdure.torture.simulation.trial import Trial


@pytest.mark.parametrize("plan", RARE_PLANS, ids=str)
def test_a_rare_plan_breaks_nothing_and_its_strikes_meet_points(plan: Plan) -> None:
    expected = undisturbed(plan.workload).canon
    trial = Trial(plan)
    try:
        assert trial.run(expected).findings == ()
        assert {strike for strike, _ in trial.world.struck} == set(plan.strikes)
    finally:
        trial.dispose()


def test_a_campaign_begins_with_the_rare_plans_of_its_workloads() -> None:
    plans = drawn_plans(["timers", "signals"], 100, 1)
    rare = [plan for plan in RARE_PLANS if plan.workload in {"timers", "signals"}]
    assert [next(plans) for _ in rare] == rare
    assert next(plans).strikes == ()
