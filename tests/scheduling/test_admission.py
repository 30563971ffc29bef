"""Admission against the obvious rule: while a slot is free, nothing waits that its limits would let start."""

import random
from collections import Counter
from datetime import timedelta

import pytest

from perdure.kernel.limits import RateLimit
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.scheduling.admission import Admission, Group
from perdure.scheduling.concurrency import ConcurrencyLimit
from perdure.scheduling.explanation import Parked, Running, Waiting
from perdure.scheduling.item import Item
from perdure.scheduling.limit import Limit
from perdure.scheduling.rate import ArrivalTimes, RateGate
from perdure.scheduling.resources import ResourceDemand, ResourcePool
from perdure.scheduling.tree import SchedulingTree, default_tree

NEVER = 10**9


class House:
    """Lines with slots, served as the dispatcher serves them, and the limits of named groups."""

    def __init__(self, slots: dict[str, int], *, passes: int = NEVER) -> None:
        self.trees: dict[str, SchedulingTree] = {name: default_tree() for name in slots}
        self.free = dict(slots)
        self.admission: Admission[str] = Admission(self.trees)
        self.counts: dict[object, int] = {}
        self.times = ArrivalTimes()
        self.pool = ResourcePool({"gpu": 4}, passes=passes)
        self.waiting: dict[Item, Group[str]] = {}
        self.running: dict[Item, Group[str]] = {}
        self.started: list[Item] = []
        self.rated_at: list[Timestamp] = []
        self.now = Timestamp(1_000_000)

    def limits(self, name: str) -> list[Limit]:
        """Return the limits that a name spells: `c2` concurrency, `w3` a shared one, `g3` resources, `r5` a rate."""
        made: list[Limit] = []
        for part in name.split("-")[1:]:
            amount = int(part[1:] or 1)
            if part[0] == "c":
                made.append(ConcurrencyLimit(self.counts, name, amount, what=name))
            elif part[0] == "w":
                made.append(ConcurrencyLimit(self.counts, "all", amount, what="all"))
            elif part[0] == "g":
                made.append(ResourceDemand(self.pool, {"gpu": amount}))
            else:
                made.append(RateGate(self.times, "rate", RateLimit(amount, per=timedelta(seconds=1))))
        return made

    def add(self, name: str, item: Item) -> Item:
        group = self.admission.group(name, name.split("-", maxsplit=1)[0], lambda: self.limits(name))
        self.waiting[item] = group
        self.admission.add(group, item, self.now)
        self.serve()
        return item

    def end(self, item: Item) -> None:
        group = self.running.pop(item)
        self.free[group.line] += 1
        self.trees[group.line].complete(item, 1.0, self.now)
        self.admission.release(group, item, 1.0, self.now)
        self.serve()

    def give_up(self, item: Item) -> None:
        self.admission.remove(self.waiting.pop(item), item, self.now)
        self.serve()

    def pass_time(self, microseconds: int) -> None:
        self.now = Timestamp(self.now + microseconds)
        self.serve()

    def serve(self) -> None:
        while True:
            for line in self.trees:
                self.start_what_fits(line)
            groups = self.admission.opened(self.now)
            if not groups:
                return
            for group in groups:
                self.admission.offer(group, self.now)
                self.start_what_fits(group.line)

    def start_what_fits(self, line: str) -> None:
        while self.free[line] and (item := self.trees[line].select(self.now)):
            group = self.waiting[item]
            if self.admission.admit(group, item, self.now) is None:
                self.free[line] -= 1
                del self.waiting[item]
                self.running[item] = group
                self.started.append(item)
                if "-r" in str(group.key):
                    self.rated_at.append(self.now)


NAMES = [
    "loop-c2",
    "loop-w3",
    "loop-w3-c1",
    "loop-g1",
    "loop-g3-w3",
    "thread-g2",
    "thread-g4-r5",
    "thread-r5",
    "loop-c3-r5",
]


@pytest.mark.parametrize("seed", range(40))
def test_nothing_waits_that_could_start_and_no_limit_is_exceeded(seed: int) -> None:
    chance = random.Random(seed)
    house = House({"loop": chance.choice([2, 100]), "thread": chance.choice([1, 100])})
    for number in range(400):
        match chance.randrange(4):
            case 0 | 1:
                priority = chance.choice([Priority.HIGH, Priority.NORMAL, Priority.NORMAL])
                tenant = chance.choice("ab")
                item = Item(key=number, priority=priority, tenant=tenant, enqueued_at=Timestamp(number))
                house.add(chance.choice(NAMES), item)
            case 2 if house.running:
                house.end(chance.choice(list(house.running)))
            case 3 if house.waiting and chance.random() < 0.2:
                house.give_up(chance.choice(list(house.waiting)))
            case _:
                house.pass_time(chance.randrange(300_000))
        _check_that_limits_hold(house)
        _check_that_nothing_could_start(house)
    for begin in house.rated_at:
        assert sum(begin <= start < begin + 1_000_000 for start in house.rated_at) <= 5
    while house.waiting or house.running:
        if house.running:
            house.end(next(iter(house.running)))
        else:
            opening = house.admission.next_opening_at
            assert opening is not None, "what waits waits for time"
            house.pass_time(opening - house.now)
    assert len(house.admission) == 0
    assert house.counts == {}
    assert house.pool.free == {"gpu": 4}


def _check_that_limits_hold(house: House) -> None:
    names = Counter(str(group.key) for group in house.running.values())
    assert names["loop-c2"] <= 2
    assert names["loop-w3-c1"] <= 1
    assert names["loop-c3-r5"] <= 3
    assert sum(count for name, count in names.items() if "-w3" in name) <= 3
    assert names["loop-g1"] + 3 * names["loop-g3-w3"] + 2 * names["thread-g2"] + 4 * names["thread-g4-r5"] <= 4


def _check_that_nothing_could_start(house: House) -> None:
    for item, group in house.waiting.items():
        if house.free[group.line]:
            fresh = house.limits(str(group.key))
            assert any(limit.refuses(item, house.now) for limit in fresh), f"{group.key} could start"
            for limit in fresh:
                limit.stand_aside()


def item(key: object, *, priority: Priority = Priority.NORMAL, at: int = 0) -> Item:
    return Item(key=str(key), priority=priority, enqueued_at=Timestamp(at))


def keys(house: House) -> list[object]:
    return [each.key for each in house.started]


def test_items_with_the_same_limits_start_in_the_order_of_their_arrival() -> None:
    house = House({"loop": 100})
    for number in range(50):
        house.add("loop-c1", item(number, at=number))
    while house.running:
        house.end(next(iter(house.running)))
    assert keys(house) == [str(number) for number in range(50)]


def test_a_better_class_goes_before_the_candidate_that_is_blocked() -> None:
    house = House({"loop": 100})
    first = house.add("loop-c1", item("first"))
    house.add("loop-c1", item("second"))
    house.add("loop-c1", item("urgent", priority=Priority.CRITICAL))
    house.end(first)
    assert keys(house) == ["first", "urgent"]


def test_what_does_not_fit_holds_up_nobody() -> None:
    house = House({"loop": 100})
    house.add("loop-g3-w3", item("large"))
    house.add("loop-g3-w3", item("parked"))
    house.add("loop-g1", item("small"))
    assert keys(house) == ["large", "small"]


def test_groups_that_wait_at_one_limit_are_tried_by_class_and_age() -> None:
    house = House({"loop": 100, "thread": 100})
    holder = house.add("thread-g4-r5", item("holder"))
    house.add("loop-g1", item("young", at=3))
    house.add("thread-g2", item("old", at=2))
    house.add("loop-g3-w3", item("urgent", priority=Priority.HIGH, at=4))
    house.end(holder)
    assert keys(house) == ["holder", "urgent", "young"]  # the old one needs more than is left


def test_a_large_demand_is_not_passed_for_ever() -> None:
    house = House({"loop": 100, "thread": 100}, passes=10)
    small = [house.add("loop-g1", item(f"small {number}", at=number)) for number in range(4)]
    house.add("thread-g4-r5", item("large", at=4))
    for number in range(5, 40):
        house.add("loop-g1", item(f"small {number}", at=number))
    passed = 0
    while "large" not in keys(house):
        house.end(next(iter(house.running)))
        passed = len(house.started) - len(small)
    assert passed <= 10 + 1


def test_a_reservation_ends_when_its_group_waits_for_something_else() -> None:
    house = House({"loop": 100}, passes=0)  # whoever waits has a reservation
    holder = house.add("loop-g3", item("holder"))
    house.add("loop-r1", item("rated"))
    house.add("loop-g2-r1", item("large and rated", at=1))
    house.add("loop-g1", item("small", at=2))
    assert keys(house) == ["holder", "rated"]
    house.end(holder)
    assert keys(house) == ["holder", "rated", "small"]
    house.pass_time(1_000_000)
    assert keys(house) == ["holder", "rated", "small", "large and rated"]


def test_one_that_changes_its_class_keeps_its_age() -> None:
    house = House({"loop": 100})
    first = house.add("loop-c1", item("first"))
    second = house.add("loop-c1", item("second", at=1))
    house.add("loop-c1", item("third", at=2, priority=Priority.HIGH))
    group = house.waiting.pop(second)
    house.waiting[house.admission.reprioritise(group, second, Priority.HIGH, house.now)] = group
    house.serve()
    house.end(first)
    assert keys(house) == ["first", "second"]


def test_those_that_are_parked_cost_a_decision_nothing() -> None:
    house = House({"loop": 100})
    asked = 0

    class Counting(ConcurrencyLimit):
        def refuses(self, item: Item, now: Timestamp) -> bool:
            nonlocal asked
            asked += 1
            return super().refuses(item, now)

    group = house.admission.group("many", "loop", lambda: [Counting(house.counts, "many", 1, what="many")])
    for number in range(1_000):
        house.waiting[one := item(number, at=number)] = group
        house.admission.add(group, one, house.now)
        house.serve()
    asked = 0
    house.end(next(iter(house.running)))
    assert asked == 2  # one that starts, and the next one


def test_it_says_which_limit_and_who_is_ahead_there() -> None:
    house = House({"loop": 1})
    first = house.add("loop-c1", item("first"))
    second = house.add("loop-c1", item("second", at=1))
    group = house.waiting[second]
    assert isinstance(house.admission.explain(group, first, house.now), Running)
    house.end(first)
    third = house.add("loop-c1", item("third", at=2))
    fourth = house.add("loop-c1", item("fourth", at=3))
    waits = house.admission.explain(group, third, house.now)
    assert isinstance(waits, Waiting)
    assert waits.reason.startswith("next in line")
    house.free["loop"] = 1
    house.serve()
    parked = house.admission.explain(group, third, house.now)
    assert isinstance(parked, Parked)
    assert parked.reason == "concurrency of loop-c1: 1 run, at most 1 may"
    assert parked.opens_at is None
    behind = house.admission.explain(group, fourth, house.now)
    assert "1 ahead of fourth (third)" in behind.reason
