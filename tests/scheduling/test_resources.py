"""Resources: never more than there is, all or nothing, and a bound on how often a demand is passed."""

import random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.scheduling.item import Item
from perdure.scheduling.resources import ResourceDemand, ResourcePool

NOW = Timestamp(0)
NORMAL = Item(key="normal", priority=Priority.NORMAL, enqueued_at=NOW)
CRITICAL = Item(key="critical", priority=Priority.CRITICAL, enqueued_at=NOW)
CAPACITY: Final = {"gpu": 4, "memory": 8}
AMOUNTS = st.fixed_dictionaries({}, optional={"gpu": st.integers(1, 4), "memory": st.integers(1, 8)}).filter(bool)


@given(st.lists(AMOUNTS, min_size=1, max_size=6), st.integers(1, 5), st.lists(st.integers(0, 1_000), max_size=120))
def test_what_runs_never_holds_more_than_there_is_and_all_comes_back(
    amounts: list[dict[str, int]], passes: int, choices: list[int]
) -> None:
    pool = ResourcePool(CAPACITY, passes=passes)
    demands = [ResourceDemand(pool, each) for each in amounts]
    running: list[ResourceDemand] = []
    for choice in choices:
        if choice % 2 and running:
            running.pop(choice % len(running)).give(NORMAL, NOW)
        else:
            demand = demands[choice % len(demands)]
            if not demand.refuses(NORMAL, NOW):
                demand.take(NORMAL, NOW)
                running.append(demand)
        for dimension, capacity in CAPACITY.items():
            held = sum(demand.amounts.get(dimension, 0) for demand in running)
            assert held <= capacity
            assert pool.free[dimension] == capacity - held
    for demand in running:
        demand.give(NORMAL, NOW)
    assert pool.free == CAPACITY


@pytest.mark.parametrize("seed", range(30))
def test_a_demand_is_passed_no_more_often_than_the_bound_says(seed: int) -> None:
    chance = random.Random(seed)
    passes, pool = 7, ResourcePool(CAPACITY, passes=7)
    demands = [
        ResourceDemand(pool, {"gpu": chance.randint(1, 4), "memory": chance.randint(1, 8)}) for _ in range(5)
    ] + [ResourceDemand(pool, CAPACITY)]  # the last one fits only into an empty pool
    running: list[ResourceDemand] = []
    passed, ahead = dict.fromkeys(demands, 0), dict.fromkeys(demands, 0)
    waits, starts = set[ResourceDemand](), dict.fromkeys(demands, 0)
    for _ in range(3_000):
        if running and chance.random() < 0.5:
            running.pop(chance.randrange(len(running))).give(NORMAL, NOW)
        demand = chance.choice(demands)  # whatever the order in which they are tried
        if demand.refuses(NORMAL, NOW):
            if demand not in waits:
                waits.add(demand)
                passed[demand], ahead[demand] = 0, len(waits) - 1
            continue
        demand.take(NORMAL, NOW)
        running.append(demand)
        starts[demand] += 1
        waits.discard(demand)
        for other in waits:
            passed[other] += 1
            assert passed[other] <= passes + ahead[other]
    assert min(starts.values()) > 10


def full_pool(passes: int) -> tuple[ResourcePool, ResourceDemand, ResourceDemand]:
    """Return a pool of 2 with 1 taken, a demand for 1 and a waiting one for 2 that has been passed `passes` times."""
    pool = ResourcePool({"gpu": 2, "disk": 1}, passes=passes)
    one, two = ResourceDemand(pool, {"gpu": 1}), ResourceDemand(pool, {"gpu": 2})
    one.take(NORMAL, NOW)
    assert two.refuses(NORMAL, NOW)
    for _ in range(passes):
        assert not one.refuses(NORMAL, NOW)
        one.take(NORMAL, NOW)
        one.give(NORMAL, NOW)
    return pool, one, two


def test_after_enough_passes_what_becomes_free_is_kept_for_the_demand_that_waits() -> None:
    _, one, two = full_pool(passes=3)
    assert two.has_reservation
    assert one.refuses(NORMAL, NOW)
    assert "passed 3 of at most 3 times; what becomes free is kept for it" in two.sentence(NOW)
    one.give(NORMAL, NOW)
    assert one.refuses(NORMAL, NOW)
    assert not two.refuses(NORMAL, NOW)
    assert two.take(NORMAL, NOW), "those that it kept out are tried again"


def test_a_reservation_stops_neither_a_better_class_nor_another_dimension() -> None:
    pool, one, _ = full_pool(passes=3)
    assert not one.refuses(CRITICAL, NOW)
    assert not ResourceDemand(pool, {"disk": 1}).refuses(NORMAL, NOW)


def test_starts_of_a_better_class_are_no_passes() -> None:
    pool = ResourcePool({"gpu": 2}, passes=1)
    one, two = ResourceDemand(pool, {"gpu": 1}), ResourceDemand(pool, {"gpu": 2})
    one.take(NORMAL, NOW)
    assert two.refuses(NORMAL, NOW)
    one.take(CRITICAL, NOW)
    assert not two.has_reservation


def test_a_demand_that_waits_for_something_else_keeps_nothing() -> None:
    _, one, two = full_pool(passes=3)
    assert two.stand_aside(), "those that it kept out are tried again"
    assert not one.refuses(NORMAL, NOW)


def test_a_demand_that_can_never_be_met_is_named_with_what_there_is() -> None:
    pool = ResourcePool({"gpu": 1}, passes=1)
    assert pool.excess({"gpu": 1}) == ""
    assert pool.excess({"gpu": 2, "disk": 3}) == "gpu: 2 asked for, 1 there; disk: 3 asked for, 0 there"
