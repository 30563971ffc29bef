"""The whole tree, step by step, against a brute-force one that scans lists and keeps no structure."""

from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perdure.errors import InvalidArgumentError, UsageError
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.scheduling import fair
from perdure.scheduling.explanation import Absent, Running, Waiting
from perdure.scheduling.fair import Weights
from perdure.scheduling.item import Item
from perdure.scheduling.meters import ITEMS
from perdure.scheduling.tree import SchedulingTree, default_tree

NOW = Timestamp(0)
# Powers of two and whole costs: floating point is exact, so the oracle's fractions must agree to the last digit.
WEIGHTS = {"a": 1.0, "b": 2.0, "c": 0.5, "d": 4.0}


@dataclass
class Account:
    tag: Fraction = Fraction(0)
    turn: int = 0
    running: int = 0


@dataclass
class PriorityClass:
    """Start-time fair queueing as the module's text says it, by scanning."""

    accounts: dict[str, Account] = field(default_factory=dict)
    waiting: list[tuple[int, Item]] = field(default_factory=list)
    served: Fraction = Fraction(0)
    turns: int = 0

    def has_work(self, tenant: str) -> bool:
        return any(item.tenant == tenant for _, item in self.waiting)

    def virtual_time(self) -> Fraction:
        tags = [account.tag for tenant, account in self.accounts.items() if self.has_work(tenant)]
        return min([self.served, *tags])

    def turn(self, account: Account) -> None:
        self.turns += 1
        account.turn = self.turns

    def add(self, number: int, item: Item) -> None:
        if not self.has_work(item.tenant):
            account = self.accounts.setdefault(item.tenant, Account())
            account.tag = max(account.tag, self.virtual_time())
            self.turn(account)
        self.waiting.append((number, item))

    def order(self) -> list[str]:
        tenants = {item.tenant for _, item in self.waiting}
        return sorted(tenants, key=lambda tenant: (self.accounts[tenant].tag, self.accounts[tenant].turn))

    def line(self, tenant: str) -> list[Item]:
        entries = [(number, item) for number, item in self.waiting if item.tenant == tenant]
        never = float("inf")
        entries.sort(key=lambda e: (never if e[1].deadline is None else e[1].deadline, e[1].enqueued_at, e[0]))
        return [item for _, item in entries]

    def next(self) -> Item:
        return self.line(self.order()[0])[0]

    def drop(self, item: Item) -> None:
        self.waiting = [entry for entry in self.waiting if entry[1] is not item]
        self.end()

    def dispatch(self, item: Item) -> None:
        account = self.accounts[item.tenant]
        self.served = account.tag
        account.tag += Fraction(item.estimated_cost) / Fraction(WEIGHTS[item.tenant])
        account.running += 1
        self.turn(account)
        self.drop(item)

    def complete(self, item: Item, actual_cost: float) -> None:
        account = self.accounts[item.tenant]
        account.running -= 1
        if error := Fraction(actual_cost) - Fraction(item.estimated_cost):
            account.tag += error / Fraction(WEIGHTS[item.tenant])
            self.turn(account)
        self.end()

    def end(self) -> None:
        if not self.waiting and not any(account.running for account in self.accounts.values()):
            self.accounts.clear()
            self.served = Fraction(0)


class TreeAgainstOracle(RuleBasedStateMachine):
    """Any mixture of calls gives the oracle's choices, and the explanations tell the oracle's order."""

    cheapest = 0
    """Lowest actual cost, as a share of the estimate."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = default_tree(Weights(WEIGHTS))
        self.classes = {priority: PriorityClass() for priority in Priority}
        self.items: dict[int, Item] = {}
        self.running: list[Item] = []
        self.numbers = 0

    def expected(self) -> Item | None:
        return next((group.next() for group in self.classes.values() if group.waiting), None)

    def arrive(self, item: Item) -> None:
        self.numbers += 1
        self.items[self.numbers] = item
        self.classes[item.priority].add(self.numbers, item)

    @rule(
        priority=st.sampled_from(Priority),
        tenant=st.sampled_from(sorted(WEIGHTS)),
        at=st.integers(0, 5),
        deadline=st.one_of(st.none(), st.none(), st.integers(0, 3)),
        cost=st.integers(1, 8),
        copies=st.integers(1, 4),
    )
    def enqueue(
        self, *, priority: Priority, tenant: str, at: int, deadline: int | None, cost: int, copies: int
    ) -> None:
        for _ in range(copies):
            item = Item(
                key=self.numbers + 1,
                priority=priority,
                tenant=tenant,
                enqueued_at=Timestamp(at),
                deadline=None if deadline is None else Timestamp(deadline),
                estimated_cost=float(cost),
            )
            self.tree.enqueue(item, NOW)
            self.arrive(item)

    @rule(times=st.integers(1, 5))
    def select(self, times: int) -> None:
        for _ in range(times):
            expected = self.expected()
            assert self.tree.select(NOW) is expected
            if expected is not None:
                self.classes[expected.priority].dispatch(expected)
                self.running.append(expected)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 10**6), factor=st.integers(0, 3))
    def complete(self, which: int, factor: int) -> None:
        item = self.running.pop(which % len(self.running))
        actual_cost = max(self.cheapest, factor) * item.estimated_cost
        self.tree.complete(item, actual_cost, NOW)
        self.classes[item.priority].complete(item, actual_cost)
        assert self.tree.explain(item) == Absent(key=item.key)

    @precondition(lambda self: len(self.tree) > 0)
    @rule(which=st.integers(0, 10**6))
    def remove(self, which: int) -> None:
        item = self.pick(which)
        assert self.tree.remove(item, NOW)
        self.classes[item.priority].drop(item)
        assert not self.tree.remove(item, NOW)

    @precondition(lambda self: len(self.tree) > 0)
    @rule(which=st.integers(0, 10**6), priority=st.sampled_from(Priority))
    def reprioritise(self, which: int, priority: Priority) -> None:
        item = self.pick(which)
        moved = self.tree.reprioritise(item, priority, NOW)
        assert (moved.key, moved.priority, moved.enqueued_at) == (item.key, priority, item.enqueued_at)
        self.classes[item.priority].drop(item)
        self.arrive(moved)

    @precondition(lambda self: len(self.tree) > 0)
    @rule(which=st.integers(0, 10**6))
    def explain(self, which: int) -> None:
        item = self.pick(which)
        group = self.classes[item.priority]
        better = [priority.name for priority in Priority if priority < item.priority and self.classes[priority].waiting]
        tenants, line = group.order(), group.line(item.tenant)
        before = line[: [other is item for other in line].index(True)]
        explanation = self.tree.explain(item, names_limit=2)
        assert isinstance(explanation, Waiting)
        assert [(standing.ahead, standing.first) for standing in explanation.standings] == [
            (len(better), tuple(better[:2])),
            (place := tenants.index(item.tenant), tuple(tenants[: min(place, 2)])),
            (len(before), tuple(str(other.key) for other in before[:2])),
        ]
        assert explanation.is_next == (item is self.expected())

    def pick(self, which: int) -> Item:
        waiting = [item for group in self.classes.values() for _, item in group.waiting]
        return waiting[which % len(waiting)]

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        waiting = [item for group in self.classes.values() for _, item in group.waiting]
        assert len(self.tree) == len(waiting)
        assert self.tree.running == len(self.running)
        assert all(self.tree.find(item.key) is item for item in waiting)

    def teardown(self) -> None:
        self.select(len(self.tree) + 1)
        assert len(self.tree) == 0
        while self.running:
            self.complete(0, 1)
        assert not self.tree._root._children, "a tree at rest remembers nothing"  # type: ignore[attr-defined]


class TreeThatSweepsAtOnceAgainstOracle(TreeAgainstOracle):
    """The same with sweeps at every opportunity. Without refunds, since those a sweep may forget (see `Fair`)."""

    cheapest = 1

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(fair, "_SMALL", 0)

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self._patch.undo()


TestTreeAgainstOracle = TreeAgainstOracle.TestCase
TestTreeAgainstOracle.settings = settings(max_examples=60, stateful_step_count=40)
TestTreeThatSweepsAtOnceAgainstOracle = TreeThatSweepsAtOnceAgainstOracle.TestCase
TestTreeThatSweepsAtOnceAgainstOracle.settings = settings(max_examples=40, stateful_step_count=40)


def item(key: str, priority: Priority = Priority.NORMAL, tenant: str = "", at: int = 0, cost: float = 1.0) -> Item:
    return Item(key=key, priority=priority, tenant=tenant, enqueued_at=Timestamp(at), estimated_cost=cost)


def keys(tree: SchedulingTree) -> list[object]:
    taken = []
    while (head := tree.select(NOW)) is not None:
        taken.append(head.key)
    return taken


def test_an_empty_tree_selects_nothing() -> None:
    tree = default_tree()
    assert tree.select(NOW) is None
    assert len(tree) == 0


def test_a_better_class_goes_first_whatever_its_tenant_has_had() -> None:
    tree = default_tree()
    for number in range(3):
        tree.enqueue(item(f"busy {number}", Priority.HIGH, "busy", cost=1e6), NOW)
    tree.enqueue(item("other", Priority.NORMAL, "other"), NOW)
    tree.enqueue(item("urgent", Priority.CRITICAL, "busy"), NOW)
    assert keys(tree) == ["urgent", "busy 0", "busy 1", "busy 2", "other"]


def test_a_promoted_item_keeps_its_age() -> None:
    tree = default_tree()
    old = item("old", Priority.LOW, at=1)
    tree.enqueue(item("young", Priority.HIGH, at=2), NOW)
    tree.enqueue(old, NOW)
    moved = tree.reprioritise(old, Priority.HIGH, NOW)
    assert tree.find("old") is moved
    assert keys(tree) == ["old", "young"]


def test_an_item_that_runs_is_charged_to_the_class_it_was_selected_from() -> None:
    tree = default_tree()
    first = item("first", tenant="a")
    tree.enqueue(first, NOW)
    tree.enqueue(item("second", tenant="a"), NOW)
    for key in ("b1", "b2", "b3"):
        tree.enqueue(item(key, tenant="b"), NOW)
    assert tree.select(NOW) is first
    with pytest.raises(UsageError, match="no item of the key 'first' waits"):
        tree.reprioritise(first, Priority.CRITICAL, NOW)
    tree.complete(item("first", Priority.CRITICAL), 3.0, NOW)
    assert keys(tree) == ["b1", "b2", "b3", "second"]


def test_an_item_that_was_not_run_after_all_costs_its_tenant_nothing() -> None:
    tree = default_tree()
    for at, key in enumerate(("a1", "a2", "b1")):
        tree.enqueue(item(key, tenant=key[0], at=at, cost=100.0), NOW)
    lost = tree.select(NOW)
    assert lost is not None
    tree.complete(lost, 0.0, NOW)
    tree.enqueue(lost, NOW)
    assert keys(tree) == ["b1", "a1", "a2"]


def test_the_meter_decides_what_tenants_share() -> None:
    tree = default_tree(meter=ITEMS)
    for number in range(3):
        tree.enqueue(item(f"a{number}", tenant="a", cost=100.0), NOW)
        tree.enqueue(item(f"b{number}", tenant="b", cost=1.0), NOW)
    assert keys(tree) == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_the_same_calls_give_the_same_order() -> None:
    def order() -> list[object]:
        tree = default_tree(Weights({"t3": 3.0}))
        for number in range(500):
            tree.enqueue(
                item(
                    f"{number}", Priority(number * 7 % 5), f"t{number * 11 % 13}", at=number % 17, cost=0.1 * number + 1
                ),
                NOW,
            )
        return keys(tree)

    assert order() == order()
    assert len(set(order())) == 500


def test_a_key_waits_or_runs_once() -> None:
    tree = default_tree()
    tree.enqueue(item("twin"), NOW)
    with pytest.raises(UsageError, match="'twin' waits already"):
        tree.enqueue(item("twin", Priority.HIGH), NOW)
    assert keys(tree) == ["twin"]
    with pytest.raises(UsageError, match="'twin' runs already"):
        tree.enqueue(item("twin"), NOW)
    tree.complete(item("twin"), 1.0, NOW)
    with pytest.raises(UsageError, match="no item of the key 'twin' runs"):
        tree.complete(item("twin"), 1.0, NOW)
    tree.enqueue(item("twin"), NOW)
    assert len(tree) == 1


@pytest.mark.parametrize("cost", [-1.0, 1e10, float("inf"), float("nan")])
def test_an_actual_cost_that_is_no_cost_is_refused_and_the_item_still_runs(cost: float) -> None:
    tree = default_tree()
    tree.enqueue(item("costly"), NOW)
    tree.select(NOW)
    with pytest.raises(InvalidArgumentError, match=r"actual_cost of 'costly' is .*; allowed is"):
        tree.complete(item("costly"), cost, NOW)
    assert tree.running == 1


@pytest.mark.parametrize("cost", [0.0, -1.0, float("inf"), float("nan")])
def test_an_item_whose_estimate_could_not_be_charged_is_refused(cost: float) -> None:
    tree = default_tree()
    with pytest.raises(InvalidArgumentError, match=r"'free' has the estimated cost .*; allowed is"):
        tree.enqueue(item("free", cost=cost), NOW)
    assert len(tree) == 0


def test_a_priority_that_is_no_class_is_refused() -> None:
    tree = default_tree()
    with pytest.raises(InvalidArgumentError, match="has the priority 5; allowed is 0"):
        tree.enqueue(item("low", priority=5), NOW)  # type: ignore[arg-type]
    tree.enqueue(item("low"), NOW)
    with pytest.raises(InvalidArgumentError, match="has the priority -1"):
        tree.reprioritise(item("low"), -1, NOW)  # type: ignore[arg-type]
    assert keys(tree) == ["low"]


def test_an_explanation_says_who_is_ahead_and_by_which_node() -> None:
    tree = default_tree()
    subject = item("subject", Priority.LOW, "acme", at=3)
    rivals = [
        item("urgent", Priority.CRITICAL),
        item("fair rival", Priority.LOW, "beta"),
        item("older", Priority.LOW, "acme", at=1),
        item("oldest", Priority.LOW, "acme", at=0),
    ]
    for waiting in [*rivals, subject]:
        tree.enqueue(waiting, NOW)

    def reason() -> str:
        explanation = tree.explain(subject)
        assert not getattr(explanation, "is_next", False)
        return explanation.reason

    assert reason() == (
        "priority class: 1 ahead of LOW (CRITICAL); a better class that has work is always served first"
    )
    tree.select(NOW)
    assert reason() == (
        "tenant: 1 ahead of acme (beta); the least service by weight is served first (0 here, 0 lowest)"
    )
    tree.select(NOW)
    assert reason() == (
        "order: 2 ahead of subject (oldest, older); the earliest deadline is served first, then the earliest arrival"
    )
    explanation = tree.explain(subject, names_limit=1)
    assert explanation.reason.startswith("order: 2 ahead of subject (oldest, ...);")
    assert isinstance(explanation, Waiting)
    assert explanation.standings[0].sentence.startswith("priority class: LOW is next;")
    for rival in rivals[2:]:
        tree.remove(rival, NOW)
    last = tree.explain(subject)
    assert isinstance(last, Waiting)
    assert last.is_next
    assert last.reason.startswith("next in line")
    tree.select(NOW)
    assert tree.explain(subject) == Running(key="subject")
    assert "dispatched already" in tree.explain(subject).reason
    tree.complete(subject, 1.0, NOW)
    assert tree.explain(subject) == Absent(key="subject")
    assert "not here" in tree.explain(subject).reason
