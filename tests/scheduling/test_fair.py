"""Fair sharing: the published bound in every interval, exact corrections, and memory that follows the load."""

import heapq
import math
import random
from collections import Counter, defaultdict
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.errors import InvalidArgumentError
from perdure.kernel.time import Timestamp
from perdure.scheduling import fair
from perdure.scheduling.fair import Fair, Weights
from perdure.scheduling.item import Item
from perdure.scheduling.keyed import ARRIVAL, Keyed
from perdure.scheduling.meters import ITEMS, SLOT_SECONDS, Meter
from perdure.scheduling.tree import Branch

NOW = Timestamp(0)


def fair_branch(weights: Weights[str] | None = None, meter: Meter = SLOT_SECONDS) -> Branch[str]:
    return Branch(Fair(weights, meter), route=lambda item: item.tenant, grow=lambda _: Keyed(ARRIVAL))


def item(key: int, tenant: str, cost: float = 1.0) -> Item:
    return Item(key=key, tenant=tenant, enqueued_at=Timestamp(key), estimated_cost=cost)


class Ledger:
    """Service by weight per tenant, and for each pair the widest gap over all intervals with both backlogged."""

    def __init__(self, weights: dict[str, float]) -> None:
        self.weights = weights
        self.service: dict[str, float] = dict.fromkeys(weights, 0.0)
        self.longest: dict[str, float] = dict.fromkeys(weights, 0.0)
        self.widest: dict[tuple[str, str], float] = defaultdict(float)
        self._range: dict[tuple[str, str], tuple[float, float]] = {}

    def watch(self, backlog: Counter[str]) -> None:
        """Look at the state before a dispatch: intervals go on for pairs that both have work, end for the others."""
        for pair in combinations(self.weights, 2):
            if backlog[pair[0]] and backlog[pair[1]]:
                self._stretch(pair)
            else:
                self._range.pop(pair, None)

    def charge(self, tenant: str, cost: float) -> None:
        self.service[tenant] += cost / self.weights[tenant]
        self.longest[tenant] = max(self.longest[tenant], cost)
        for pair in self._range:
            self._stretch(pair)

    def _stretch(self, pair: tuple[str, str]) -> None:
        gap = self.service[pair[0]] - self.service[pair[1]]
        low, high = self._range.get(pair, (gap, gap))
        self._range[pair] = low, high = min(low, gap), max(high, gap)
        self.widest[pair] = max(self.widest[pair], high - low)

    def bound(self, pair: tuple[str, str]) -> float:
        return sum(self.longest[tenant] / self.weights[tenant] for tenant in pair)


tenants = st.sampled_from("abcde")
costs = st.floats(0.01, 100)
weight_tables = st.fixed_dictionaries({tenant: st.floats(0.1, 10) for tenant in "abcde"})


@settings(max_examples=200)
@given(
    weights=weight_tables,
    steps=st.lists(st.one_of(st.none(), st.tuples(tenants, costs)), max_size=200),
    in_flight=st.integers(1, 4),
)
def test_no_pair_of_backlogged_tenants_drifts_apart_by_more_than_one_item_each(
    weights: dict[str, float], steps: list[tuple[str, float] | None], in_flight: int
) -> None:
    branch, ledger, backlog = fair_branch(Weights(weights)), Ledger(weights), Counter[str]()
    running: list[Item] = []
    dispatches = [None] * len(steps)
    for key, step in enumerate([*steps, *dispatches]):
        if step is not None:
            branch.add(item(key, *step), NOW)
            backlog[step[0]] += 1
        elif backlog.total():
            ledger.watch(backlog)
            taken = branch.take(NOW)
            assert taken is not None
            backlog[taken.tenant] -= 1
            ledger.charge(taken.tenant, taken.estimated_cost)
            running.append(taken)
        while len(running) > (in_flight if step is not None or backlog.total() else 0):
            done = running.pop(0)
            branch.settle(done, done.estimated_cost, NOW)
    for pair, widest in ledger.widest.items():
        assert widest <= ledger.bound(pair) * (1 + 1e-9)


class OverloadedPool:
    """Eight tenants of weight 1 to 4 with endless work, 32 slots, and estimates that err by tenant and at random.

    Each tenant errs in its own direction, from five times too little to five times too much.
    """

    SLOTS = 32

    def __init__(self, seed: int) -> None:
        self.weights = {f"t{number}": float(1 + number % 4) for number in range(8)}
        self.errors = {tenant: 5.0 ** (number / 3.5 - 1) for number, tenant in enumerate(self.weights)}
        self.actual: dict[object, float] = {}
        self.branch = fair_branch(Weights(self.weights))
        self._random = random.Random(seed)
        self._running: list[tuple[float, int, Item]] = []
        self._now = 0.0
        for tenant in self.weights:
            self._enqueue(tenant)

    def dispatch(self) -> Item:
        taken = self.branch.take(NOW)
        assert taken is not None
        self._enqueue(taken.tenant)
        heapq.heappush(self._running, (self._now + self.actual[taken.key], len(self.actual), taken))
        if len(self._running) == self.SLOTS:
            self._now, _, done = heapq.heappop(self._running)
            self.branch.settle(done, self.actual[done.key], NOW)
        return taken

    def _enqueue(self, tenant: str) -> None:
        key = len(self.actual)
        self.actual[key] = self._random.lognormvariate(0, 0.7)
        error = self.errors[tenant] * self._random.uniform(0.5, 2)
        self.branch.add(item(key, tenant, self.actual[key] * error), NOW)


def test_with_wrong_estimates_and_many_in_flight_the_shares_follow_the_actual_cost() -> None:
    pool, service = OverloadedPool(seed=1), defaultdict[str, float](float)
    for _ in range(12_000):
        taken = pool.dispatch()
        service[taken.tenant] += pool.actual[taken.key] / pool.weights[taken.tenant]
    mean = sum(service.values()) / len(service)
    assert max(abs(own / mean - 1) for own in service.values()) < 0.02


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_wrong_estimates_no_pair_drifts_apart_by_more_than_what_is_in_flight(seed: int) -> None:
    pool = OverloadedPool(seed)
    ledger, everyone = Ledger(pool.weights), Counter(dict.fromkeys(pool.weights, 1))
    for _ in range(3_000):
        ledger.watch(everyone)
        taken = pool.dispatch()
        ledger.charge(taken.tenant, pool.actual[taken.key])
        ledger.longest[taken.tenant] = max(ledger.longest[taken.tenant], taken.estimated_cost)
    for pair, widest in ledger.widest.items():
        assert 0 < widest <= (pool.SLOTS + 1) * ledger.bound(pair)


def served(branch: Branch[str], count: int) -> str:
    """Dispatch and complete `count` items one after the other, at their estimated cost; return the tenants."""
    names = []
    for _ in range(count):
        taken = branch.take(NOW)
        assert taken is not None
        names.append(taken.tenant)
        branch.settle(taken, taken.estimated_cost, NOW)
    return "".join(names)


def fill(branch: Branch[str], tenants: str, first_key: int = 0, cost: float = 1.0) -> None:
    for key, tenant in enumerate(tenants, start=first_key):
        branch.add(item(key, tenant, cost), NOW)


def test_equal_tenants_take_turns_whatever_they_enqueued_first() -> None:
    branch = fair_branch()
    fill(branch, "aaaaaabbbccc")
    assert served(branch, 12) == "abcabcabcaaa"


def test_a_weight_of_three_gets_three_times_the_service() -> None:
    branch = fair_branch(Weights({"a": 3.0}))
    fill(branch, "a" * 300 + "b" * 100)
    assert Counter(served(branch, 200)) == {"a": 150, "b": 50}


def test_a_changed_weight_holds_from_the_next_dispatch() -> None:
    weights = Weights[str]()
    branch = fair_branch(weights)
    fill(branch, "a" * 500 + "b" * 500)
    assert Counter(served(branch, 200)) == {"a": 100, "b": 100}
    weights.set("a", 4.0)
    assert Counter(served(branch, 200))["a"] in {159, 160, 161}


def test_cost_is_shared_and_not_the_number_of_items_unless_items_are_metered() -> None:
    by_cost, by_number = fair_branch(), fair_branch(meter=ITEMS)
    for branch in (by_cost, by_number):
        fill(branch, "a" * 100, cost=10.0)
        fill(branch, "b" * 1000, first_key=1000, cost=1.0)
    assert Counter(served(by_cost, 550)) == {"a": 50, "b": 500}
    assert Counter(served(by_number, 100)) == {"a": 50, "b": 50}


def test_idleness_earns_no_credit() -> None:
    branch = fair_branch()
    fill(branch, "a" * 300)
    assert served(branch, 100) == "a" * 100
    fill(branch, "b" * 100, first_key=1000)
    assert Counter(served(branch, 100)) == {"a": 50, "b": 50}


def test_a_returning_tenant_is_served_after_at_most_one_item_of_each_other() -> None:
    branch = fair_branch()
    fill(branch, "abcde" * 50)
    served(branch, 103)
    fill(branch, "z", first_key=1000)
    assert "z" in served(branch, 6)


def test_a_tenant_that_leaves_and_returns_at_once_cannot_shed_what_it_owes() -> None:
    branch = fair_branch()
    fill(branch, "a" * 50)
    fill(branch, "b", first_key=1000, cost=10.0)
    assert served(branch, 2) == "ab"
    fill(branch, "b", first_key=1001)
    assert served(branch, 11).index("b") >= 9


def test_a_refund_is_given_in_full_though_it_lies_before_the_virtual_time() -> None:
    branch = fair_branch()
    fill(branch, "a" * 50, cost=10.0)
    fill(branch, "b" * 500, first_key=1000)
    overestimated = branch.take(NOW)
    assert overestimated is not None
    assert overestimated.tenant == "a"
    assert served(branch, 5) == "b" * 5, "as long as the estimate stands, a has had its share"
    branch.settle(overestimated, 1.0, NOW)
    first = branch.take(NOW)
    assert first is not None
    assert first.tenant == "a", "the service of a is 1 against 5 of b"


def test_a_tenant_with_one_sequential_run_gets_the_share_of_its_weight() -> None:
    branch = fair_branch(Weights({"a": 3.0}))
    fill(branch, "b" * 1000 + "c" * 1000, first_key=1000)
    names = ""
    for step in range(300):
        fill(branch, "a" if "a" in names[-1:] or not step else "", first_key=step)
        names += served(branch, 1)
    assert Counter(names) == {"a": 180, "b": 60, "c": 60}


def test_momentary_idleness_does_not_cost_a_refund() -> None:
    branch = fair_branch()
    fill(branch, "a" * 10 + "b" * 10, cost=10.0)
    overestimated = [branch.take(NOW) for _ in range(6)]
    for done in overestimated:
        assert done is not None
        branch.settle(done, 1.0, NOW)
    fill(branch, "c" * 10, first_key=100)
    assert Counter(served(branch, 3).replace("b", "a")) == {"a": 2, "c": 1}, "c joins where a and b are, not beyond"


def test_the_end_of_a_busy_period_forgets_everything() -> None:
    branch = fair_branch()
    fill(branch, "a", cost=1000.0)
    served(branch, 1)
    fill(branch, "ab" * 10, first_key=10)
    assert served(branch, 4) == "abab"


def test_memory_follows_the_tenants_with_work_and_not_all_that_ever_came() -> None:
    policy: Fair[str] = Fair()
    branch = Branch(policy, route=lambda item: item.tenant, grow=lambda _: Keyed(ARRIVAL))
    fill(branch, "z" * 6_000)
    largest = 0
    for number in range(5_000):
        branch.add(item(10_000 + number, f"t{number}"), NOW)
        for _ in range(2):
            taken = branch.take(NOW)
            assert taken is not None
            branch.settle(taken, 0.5 + number % 2, NOW)
        largest = max(largest, len(policy._children), len(policy._line))
    assert largest < 200
    assert len(branch._children) <= 2


def test_corrections_of_a_tenant_that_is_not_first_do_not_pile_up() -> None:
    policy: Fair[str] = Fair(Weights({"b": 1000.0}))
    branch = Branch(policy, route=lambda item: item.tenant, grow=lambda _: Keyed(ARRIVAL))
    fill(branch, "b" * 1000)
    running = [branch.take(NOW) for _ in range(990)]
    fill(branch, "a" * 2, first_key=2000)
    for done in running:
        assert done is not None
        branch.settle(done, 2.0, NOW)
        assert len(policy._line) < 70
    assert served(branch, 3) == "abb", "a goes from 0.989 to 1.989, b stands at 1.98 and moves by 0.001"


def test_a_tenant_that_owes_still_owes_after_a_sweep() -> None:
    policy: Fair[str] = Fair()
    branch = Branch(policy, route=lambda item: item.tenant, grow=lambda _: Keyed(ARRIVAL))
    debtors = [f"t{number:03}" for number in range(200)]
    for number, tenant in enumerate(debtors):
        branch.add(item(number, tenant, cost=10.0), NOW)
    fill(branch, "z" * 100, first_key=1000)
    served(branch, 201)
    for number, tenant in enumerate(debtors, start=2000):
        branch.add(item(number, tenant, cost=10.0), NOW)
    assert served(branch, 9) == "z" * 9


def order_of(steps: list[tuple[int, int, int]], in_flight: int) -> list[object]:
    """Enqueue (tenant, cost, then selections), completing at one to three times the estimate; return the keys."""
    branch, running, keys = fair_branch(), list[Item](), list[object]()
    for key, (tenant, cost, selections) in enumerate([*steps, *((0, 1, 9) for _ in range(20))]):
        branch.add(item(key, f"t{tenant}", float(cost)), NOW)
        for _ in range(selections):
            if (taken := branch.take(NOW)) is not None:
                keys.append(taken.key)
                running.append(taken)
        while len(running) > in_flight:
            done = running.pop(key % len(running))
            branch.settle(done, done.estimated_cost * (1 + key % 3), NOW)
    return keys


def assert_sweeping_changes_no_decision(steps: list[tuple[int, int, int]], in_flight: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fair, "_SMALL", 10**9)
        unswept = order_of(steps, in_flight)
        patch.setattr(fair, "_SMALL", 0)
        assert order_of(steps, in_flight) == unswept


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.integers(0, 3)), min_size=20, max_size=150),
    st.integers(1, 12),
)
def test_sweeping_changes_no_decision(steps: list[tuple[int, int, int]], in_flight: int) -> None:
    assert_sweeping_changes_no_decision(steps, in_flight)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sweeping_changes_no_decision_among_many_tenants(seed: int) -> None:
    rng = random.Random(seed)
    steps = [(rng.randrange(100), rng.randint(1, 99), rng.choice([0, 0, 1, 2])) for _ in range(3_000)]
    assert_sweeping_changes_no_decision(steps, 60)


@pytest.mark.parametrize("weight", [0.0, -1.0, 1e-9, 1e9, math.inf, math.nan])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'acme' is .*; allowed is 1e-06 to 1000000"):
        Weights({"acme": weight})
    with pytest.raises(InvalidArgumentError, match="a child without its own is"):
        Weights[str](default=weight)
    weights = Weights({"acme": 2.0})
    with pytest.raises(InvalidArgumentError):
        weights.set("acme", weight)
    assert weights.of("acme") == 2.0


def test_a_standing_names_the_tenants_with_less_service() -> None:
    policy: Fair[str] = Fair(name="tenant")
    branch = Branch(policy, route=lambda item: item.tenant, grow=lambda _: Keyed(ARRIVAL))
    fill(branch, "abcdabcd")
    served(branch, 2)
    standing = policy.standing("a", 2)
    assert (standing.node, standing.child, standing.ahead, standing.first) == ("tenant", "a", 2, ("c", "d"))
    assert policy.standing("c", 2).ahead == 0
    assert "(1 here, 0 lowest)" in standing.rule
