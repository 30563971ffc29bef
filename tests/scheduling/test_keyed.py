"""The leaf against a sorted list: any mixture of arrivals, removals and takes gives the order of the keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.kernel.time import Timestamp
from perdure.scheduling.item import Item
from perdure.scheduling.keyed import ARRIVAL, Keyed, deadline_then_arrival

NOW = Timestamp(0)


def item(key: int, at: int, deadline: int | None = None) -> Item:
    return Item(key=key, enqueued_at=Timestamp(at), deadline=None if deadline is None else Timestamp(deadline))


def drain(leaf: Keyed) -> list[Item]:
    taken = []
    while (head := leaf.take(NOW)) is not None:
        taken.append(head)
    return taken


operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 6), st.one_of(st.none(), st.integers(0, 3))),
        st.tuples(st.just("take"), st.just(0), st.none()),
        st.tuples(st.just("discard"), st.integers(0, 10**6), st.none()),
    ),
    max_size=120,
)


@given(operations)
def test_items_leave_by_deadline_then_arrival_then_order_of_coming(steps: list[tuple[str, int, int | None]]) -> None:
    leaf = Keyed(deadline_then_arrival)
    waiting: list[tuple[float, int, int, Item]] = []
    for number, (step, value, deadline) in enumerate(steps):
        match step:
            case "add":
                new = item(number, value, deadline)
                waiting.append((float("inf") if deadline is None else deadline, value, number, new))
                leaf.add(new, NOW)
            case "take":
                waiting.sort(key=lambda entry: entry[:3])
                expected = waiting.pop(0)[3] if waiting else None
                assert leaf.take(NOW) is expected
            case _ if waiting:
                leaf.discard(waiting.pop(value % len(waiting))[3], NOW)
        assert leaf.pending == len(waiting)
    assert drain(leaf) == [entry[3] for entry in sorted(waiting, key=lambda entry: entry[:3])]


@given(st.permutations(range(12)), st.lists(st.integers(0, 11), max_size=80))
def test_an_item_removed_and_enqueued_again_is_served_once_and_in_its_place(
    arrivals: list[int], toggled: list[int]
) -> None:
    leaf = Keyed(ARRIVAL)
    items = {at: item(at, at) for at in arrivals}
    waiting = set[int]()
    for at in [*arrivals, *toggled]:
        if at in waiting:
            leaf.discard(items[at], NOW)
        else:
            leaf.add(items[at], NOW)
        waiting ^= {at}
    assert [taken.enqueued_at for taken in drain(leaf)] == sorted(waiting)


def test_a_retried_item_keeps_its_age() -> None:
    leaf = Keyed(ARRIVAL)
    first, second, third = item(1, 10), item(2, 20), item(3, 30)
    for waiting in (first, second, third):
        leaf.add(waiting, NOW)
    assert leaf.take(NOW) is first
    leaf.add(first, NOW)
    assert drain(leaf) == [first, second, third]


def test_the_dead_never_outnumber_the_living() -> None:
    leaf = Keyed(ARRIVAL)
    items = [item(at, (at * 7919) % 1000) for at in range(1000)]
    for waiting in items:
        leaf.add(waiting, NOW)
    for waiting in items[:990]:
        leaf.discard(waiting, NOW)
        entries = len(leaf._line) - leaf._next + len(leaf._early or ())
        assert entries <= 2 * leaf.pending + 1
    survivors = [taken.enqueued_at for taken in drain(leaf)]
    assert survivors == sorted(waiting.enqueued_at for waiting in items[990:])


@given(st.permutations(range(40)), st.sets(st.integers(0, 39), min_size=25, max_size=35))
def test_a_leaf_that_buried_its_dead_serves_the_rest_in_order(arrivals: list[int], dead: set[int]) -> None:
    leaf = Keyed(ARRIVAL)
    items = {at: item(at, at) for at in arrivals}
    for waiting in items.values():
        leaf.add(waiting, NOW)
    for at in dead:
        leaf.discard(items[at], NOW)
    assert [taken.enqueued_at for taken in drain(leaf)] == sorted(set(arrivals) - dead)


def test_the_dead_are_forgotten_once_they_are_passed() -> None:
    leaf = Keyed(ARRIVAL)
    items = [item(at, at) for at in (5, 6, 7, 8, 1, 2)]
    for waiting in items:
        leaf.add(waiting, NOW)
    leaf.discard(items[0], NOW)
    leaf.discard(items[4], NOW)
    assert [leaf.take(NOW), leaf.take(NOW)] == [items[5], items[1]]
    assert not leaf._dead, "another object may get the identity of a dead one"


def test_items_that_come_in_order_need_no_heap() -> None:
    leaf = Keyed(ARRIVAL)
    for at in (3, 3, 4, 4):
        leaf.add(item(at, at), NOW)
    assert leaf._early is None
    drain(leaf)
    leaf.add(item(1, 1), NOW)
    assert leaf._early is None, "an empty leaf begins a new line"


def test_a_line_that_is_never_empty_does_not_grow() -> None:
    leaf = Keyed(ARRIVAL)
    leaf.add(item(0, 0), NOW)
    for at in range(1, 5_000):
        leaf.add(item(at, at), NOW)
        assert leaf.take(NOW) is not None
        assert len(leaf._line) < 64


@pytest.mark.parametrize("names_limit", [0, 1, 9])
@given(steps=operations)
def test_a_standing_counts_exactly_the_items_that_are_served_before(
    names_limit: int, steps: list[tuple[str, int, int | None]]
) -> None:
    leaf = Keyed(deadline_then_arrival)
    waiting = []
    for number, (step, value, deadline) in enumerate(steps):
        match step:
            case "add":
                waiting.append(item(number, value, deadline))
                leaf.add(waiting[-1], NOW)
            case "take" if waiting:
                taken = leaf.take(NOW)
                waiting = [other for other in waiting if other is not taken]
            case _ if waiting:
                leaf.discard(waiting.pop(value % len(waiting)), NOW)
    standings = {other.key: leaf.standings(other, names_limit)[0] for other in waiting}
    for place, served in enumerate(order := drain(leaf)):
        assert standings[served.key].ahead == place
        assert standings[served.key].first == tuple(str(other.key) for other in order[: min(place, names_limit)])
