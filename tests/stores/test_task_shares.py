"""Turns of those who share a queue: the bound of start-time fair queueing, whatever tasks take and are expected to."""

from collections.abc import Sequence
from itertools import combinations, count
from random import Random

import pytest

from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.ports.tasks import TaskCost
from perdure.stores.task_shares import Choice, Line, Place, Shares, Waiting, charge, choose, corrected, sound_cost

NUMBERS = count(1)


def tasks_of(costs: Sequence[float]) -> list[Waiting]:
    return [Waiting(Place(Timestamp(next(NUMBERS)), RunKey(1), Operation(1)), cost, None) for cost in costs]


class Queue:
    """A queue of one class, in which each share has more tasks than are ever claimed."""

    def __init__(self, waiting: dict[str, list[Waiting]]) -> None:
        self.waiting = waiting
        self.shares = Shares()
        self.served = dict.fromkeys(waiting, 0.0)

    def claim(self, limit: int) -> list[Choice]:
        firsts = {share: tasks[0].place for share, tasks in self.waiting.items() if tasks}
        line = Line("gpu", Priority.NORMAL, firsts, self.shares)
        chosen, reached = choose(
            lambda priority: [line] if priority == line.priority and firsts else [],
            lambda _, share: self.waiting[share],
            limit=limit,
        )
        assert reached == [line]
        self.shares = charge(line, chosen)
        for choice in chosen:
            self.waiting[choice.share].remove(choice.task)
            self.served[choice.share] += choice.task.cost
        return chosen


@pytest.mark.parametrize("seed", range(20))
def test_of_two_that_wait_all_the_time_none_gets_ahead_by_more_than_a_task_of_each(seed: int) -> None:
    chance = Random(seed)
    names = "abcdefgh"[: chance.randrange(2, 9)]
    costs = {name: [chance.choice((0.1, 1.0, 1.0, 4.0)) for _ in range(400)] for name in names}
    queue = Queue({name: tasks_of(costs[name]) for name in names})
    seen: list[dict[str, float]] = [dict(queue.served)]
    for _ in range(60):
        queue.claim(chance.randrange(1, 6))
        seen.append(dict(queue.served))
    for one, other in combinations(names, 2):
        bound = max(costs[one]) + max(costs[other])
        ahead = [served[one] - served[other] for served in seen]
        assert max(ahead) - min(ahead) <= bound + 1e-9  # in any interval


@pytest.mark.parametrize("seed", range(10))
def test_who_gives_wrong_expectations_gets_no_more_of_the_time_for_that(seed: int) -> None:
    chance = Random(seed)
    factors = {"honest": 1.0, "long": 5.0, "short": 0.2}
    queue = Queue({name: tasks_of([1.0] * 3_000) for name in factors})
    had, under_way = dict.fromkeys(factors, 0.0), list[Choice]()
    for _ in range(1_500):
        under_way += queue.claim(1)
        if len(under_way) > 8:
            ended = under_way.pop(chance.randrange(len(under_way)))
            actual = ended.task.cost * factors[ended.share]
            had[ended.share] += actual
            cost = TaskCost(queue="gpu", priority=Priority.NORMAL, share=ended.share, seconds=actual - ended.task.cost)
            queue.shares = corrected(queue.shares, cost)
    longest = max(factors.values())
    assert max(had.values()) - min(had.values()) <= 2 * longest * 9  # D + 1 times the bound of one server
    assert max(had.values()) / min(had.values()) < 1.2


def test_nothing_is_stored_of_a_queue_that_is_not_shared() -> None:
    queue = Queue({"a": tasks_of([1.0] * 5)})
    queue.claim(2)
    assert queue.shares == Shares()


def test_what_is_stored_goes_with_the_last_but_one_that_shares() -> None:
    queue = Queue({"a": tasks_of([1.0] * 9), "b": tasks_of([1.0])})
    queue.claim(4)
    assert queue.shares.tags == {"a": 3.0, "b": 1.0}
    queue.claim(1)
    assert queue.shares == Shares()


def test_a_share_that_begins_without_a_tag_begins_where_the_furthest_behind_of_the_others_is() -> None:
    shares = Shares({"a": 7.0, "b": 5.0, "idle": 1.0}, 6.0)
    assert shares.virtual_time(["a", "b", "new"]) == 5.0
    assert shares.virtual_time(["a", "new"]) == 6.0


@pytest.mark.parametrize("stored", [None, "x", b"\xff", 7, 0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_a_cost_that_none_has_is_a_second(stored: object) -> None:
    assert sound_cost(stored) == 1.0
