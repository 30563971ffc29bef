"""Strict priority against the obvious rule: the lowest number that has work."""

from hypothesis import given
from hypothesis import strategies as st

from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.scheduling.item import Item
from perdure.scheduling.strict import Strict

NOW = Timestamp(0)


@given(st.lists(st.tuples(st.sampled_from(Priority), st.booleans())))
def test_the_best_class_with_work_is_served(steps: list[tuple[Priority, bool]]) -> None:
    policy, backlogged = Strict(), set[Priority]()
    for priority, has_work in steps:
        if has_work:
            policy.on_enqueue(priority, Item(key=1, enqueued_at=NOW), NOW)
            backlogged.add(priority)
        else:
            policy.on_idle(priority, NOW)
            backlogged.discard(priority)
        assert policy.select(NOW) == min(backlogged, default=None)


def test_what_was_served_and_what_it_cost_changes_nothing() -> None:
    policy, item = Strict(), Item(key=1, enqueued_at=NOW)
    policy.on_enqueue(Priority.LOW, item, NOW)
    policy.on_enqueue(Priority.HIGH, item, NOW)
    for _ in range(100):
        policy.on_dispatch(Priority.HIGH, item, NOW)
        policy.on_complete(Priority.HIGH, item, 1e9, NOW)
        assert policy.select(NOW) is Priority.HIGH


def test_a_standing_names_the_better_classes_with_work() -> None:
    policy, item = Strict(), Item(key=1, enqueued_at=NOW)
    for priority in (Priority.CRITICAL, Priority.NORMAL, Priority.LOW, Priority.BACKGROUND):
        policy.on_enqueue(priority, item, NOW)
    standing = policy.standing(Priority.LOW, 1)
    assert (standing.child, standing.ahead, standing.first) == ("LOW", 2, ("CRITICAL",))
    assert policy.standing(Priority.CRITICAL, 5).ahead == 0
