"""Turns of those who share a queue: the bound of start-time fair queueing, whatever tasks take and are expected to."""

from collections.abc import Sequence
from itertools import combinations, count
from random import Random

import pytest

from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.ports.tasks import TaskCost
from perdure.stores.task_shares import (
    Choice,
    Line,
    Place,
    Shares,
    Tag,
    Waiting,
    charge,
    choose,
    corrected,
    is_sound_tag,
    left_behind,
    sound_cost,
    without,
)

NUMBERS = count(1)
START = Timestamp(1_700_000_000_000_000)


def tasks_of(costs: Sequence[float]) -> list[Waiting]:
    return [Waiting(Place(Timestamp(next(NUMBERS)), RunKey(1), Operation(1)), cost, None) for cost in costs]


class Queue:
    """A queue of one class, in which each share has more tasks than are ever claimed."""

    def __init__(self, waiting: dict[str, list[Waiting]]) -> None:
        self.waiting = waiting
        self.shares = Shares()
        self.now = START
        self.served = dict.fromkeys(waiting, 0.0)

    @property
    def line(self) -> Line:
        firsts = {share: tasks[0].place for share, tasks in self.waiting.items() if tasks}
        return Line("gpu", Priority.NORMAL, firsts, self.shares)

    def correct(self, share: str, seconds: float) -> None:
        cost = TaskCost(queue="gpu", priority=Priority.NORMAL, share=share, seconds=seconds)
        self.shares = corrected(self.line, cost, now=self.now)

    def claim(self, limit: int) -> list[Choice]:
        line = self.line
        chosen, reached = choose(
            lambda priority: [line] if priority == line.priority else [],
            lambda _, share: iter([*self.waiting[share]]),
            limit=limit,
        )
        assert reached == [line]
        self.shares = charge(line, chosen, now=self.now)
        for choice in chosen:
            self.waiting[choice.share].remove(choice.task)
            self.served[choice.share] += choice.task.cost
        idle = [share for share in left_behind(self.shares, chosen) if not self.waiting[share]]
        self.shares = without(self.shares, idle)
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


@pytest.mark.parametrize("seed", range(20))
def test_whoever_comes_and_goes_none_gets_ahead_by_more_than_a_task_of_each_while_both_wait(seed: int) -> None:
    chance = Random(seed)
    names = "abcde"[: chance.randrange(2, 6)]
    queue = Queue({name: [] for name in names})
    longest = 8.0
    since: dict[tuple[str, str], list[float]] = {}
    for _ in range(400):
        queue.now = Timestamp(queue.now + chance.choice((0, 0, 1_000_000, 9_000_000)))
        for name in chance.sample(names, chance.randrange(2)):
            queue.waiting[name] += tasks_of(chance.choices((0.1, 1.0, longest), k=chance.choice((1, 1, 9))))
        left = {name: len(tasks) for name, tasks in queue.waiting.items()}
        served = dict(queue.served)
        for choice in queue.claim(chance.randrange(1, 5)):
            for pair in combinations(names, 2):
                if all(left[name] for name in pair):
                    since.setdefault(pair, []).append(served[pair[0]] - served[pair[1]])
            left[choice.share] -= 1
            served[choice.share] += choice.task.cost
            for (one, other), ahead in since.items():
                ahead.append(served[one] - served[other])
                assert max(ahead) - min(ahead) <= 2 * longest + 1e-9
            since = {pair: ahead for pair, ahead in since.items() if all(left[name] for name in pair)}


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
            queue.correct(ended.share, actual - ended.task.cost)
    longest = max(factors.values())
    assert max(had.values()) - min(had.values()) <= 2 * longest * 9  # D + 1 times the bound of one server
    assert max(had.values()) / min(had.values()) < 1.2


def test_nothing_is_stored_of_a_queue_that_is_not_shared() -> None:
    queue = Queue({"a": tasks_of([1.0] * 5)})
    queue.claim(2)
    assert queue.shares == Shares()


def test_what_is_stored_goes_with_the_last_but_one_that_shares() -> None:
    queue = Queue({"a": tasks_of([1.0] * 9), "b": tasks_of([1.0])})
    queue.claim(2)
    assert {share: tag.had for share, tag in queue.shares.tags.items()} == {"a": 1.0, "b": 1.0}
    queue.claim(1)
    assert queue.shares == Shares()


def test_a_share_of_which_nothing_can_be_taken_gives_none_a_start_before_others() -> None:
    """Its tag stands still, and is no measure of where a new one begins."""
    queue = Queue({"stuck": [], "b": tasks_of([1.0] * 50), "new": tasks_of([1.0] * 50)})
    queue.shares = Shares({"stuck": Tag(5.0, START), "b": Tag(1_000.0, START)}, 999.0)
    assert [choice.share for choice in queue.claim(10)].count("new") <= 6


def test_a_debt_ends_with_the_rush_and_as_much_time() -> None:
    queue = Queue({"a": tasks_of([3_600.0, 1.0, 1.0]), "b": tasks_of([1.0] * 9)})
    queue.claim(2)
    queue.waiting["a"] = []
    queue.claim(1)
    assert queue.shares.tags["a"].had == 3_600.0
    queue.now = Timestamp(START + 3_700 * 1_000_000)
    queue.claim(1)
    assert "a" not in queue.shares.tags


def test_what_was_begun_while_nobody_else_waited_counts_once_somebody_does() -> None:
    queue = Queue({"long": tasks_of([1.0] * 9), "other": []})
    queue.claim(8)
    assert queue.shares == Shares()
    queue.correct("long", 1_000.0)
    assert queue.shares == Shares()  # nobody else waits
    queue.waiting["other"] = tasks_of([1.0] * 50)
    queue.correct("long", 1_000.0)
    assert {choice.share for choice in queue.claim(40)} == {"other"}


@pytest.mark.parametrize(
    ("had", "clock", "at", "is_sound"),
    [
        (1.0, 0.0, 7, True),
        (float("nan"), 0.0, 7, False),
        (1.0, float("inf"), 7, False),
        (1e300, 0.0, 7, False),
        ("x", 0.0, 7, False),
        (None, 0.0, 7, False),
        (1.0, b"", 7, False),
        (1.0, 0.0, None, False),
    ],
)
def test_a_tag_that_nobody_wrote_is_known(had: object, clock: object, at: object, is_sound: bool) -> None:
    assert is_sound_tag(had, clock, at) is is_sound


@pytest.mark.parametrize("stored", [None, "x", b"\xff", 7, 0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_a_cost_that_none_has_is_a_second(stored: object) -> None:
    assert sound_cost(stored) == 1.0
