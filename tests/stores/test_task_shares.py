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
    Decision,
    Line,
    Place,
    Shares,
    Tag,
    TaskTurns,
    UnreadSharesError,
    Waiting,
    charge,
    choose,
    comers,
    corrected,
    is_sound_tag,
    order,
    sound_cost,
)

NUMBERS = count(1)
START = Timestamp(1_700_000_000_000_000)


def tasks_of(costs: Sequence[float]) -> list[Waiting]:
    return [Waiting(Place(Timestamp(next(NUMBERS)), RunKey(1), Operation(1)), cost, None) for cost in costs]


class Queue:
    """A queue of one class, in which each share has more tasks than are ever claimed, read a few shares at a time."""

    def __init__(self, waiting: dict[str, list[Waiting]], *, at_once: int = 100) -> None:
        self.waiting = waiting
        self.at_once = at_once
        self.shares = Shares()
        self.now = START
        self.served = dict.fromkeys(waiting, 0.0)
        self.come(*waiting)

    def come(self, *shares: str) -> None:
        queued = [(("gpu", Priority.NORMAL, who), task.place.queued_at) for who in shares for task in self.waiting[who]]
        come = {who: tag for (*_, who), tag in comers(queued).items()}
        self.shares = Shares({**come, **self.shares.tags}, self.shares.clock)

    def line(self, *, most: int) -> Line:
        """Return what a store reads: so many of those with a tag, and as many of those without one."""
        places = sorted(order(who, tag, clock=self.shares.clock) for who, tag in self.shares.tags.items())
        served, new = [
            [place for place in places if (self.shares.tags[place[2]].had is None) is is_new]
            for is_new in (False, True)
        ]
        tags = {who: self.shares.tags[who] for *_, who in [*served[:most], *new[:most]]}
        return Line(
            "gpu",
            Priority.NORMAL,
            Shares(tags, self.shares.clock),
            read_to=served[most - 1] if len(served) > most else None,
            read_to_comer=new[most - 1][1:] if len(new) > most else None,
        )

    def correct(self, share: str, seconds: float) -> None:
        cost = TaskCost(queue="gpu", priority=Priority.NORMAL, share=share, seconds=seconds)
        self.shares = corrected(self.line(most=1_000), cost, now=self.now)

    def decide(self, limit: int) -> tuple[Line, Decision]:
        for times in count(1):
            line = self.line(most=self.at_once * times)
            of_class = {line.priority: [line]}
            try:
                return line, choose(
                    lambda priority, lines=of_class: lines.get(priority, []),  # type: ignore[misc]
                    lambda _, share: iter([*self.waiting[share]]),
                    limit=limit,
                )
            except UnreadSharesError:
                continue
        raise AssertionError

    def claim(self, limit: int) -> list[Choice]:
        line, (chosen, reached, passed) = self.decide(limit)
        assert reached == [line]
        idle = [who for *_, who in passed if not self.waiting[who]]
        shares = charge(line, chosen, now=self.now, idle=idle)
        left = {who: tag for who, tag in self.shares.tags.items() if who not in line.shares.tags}
        self.shares = Shares({**left, **shares.tags}, shares.clock)
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
            queue.correct(ended.share, actual - ended.task.cost)
    longest = max(factors.values())
    assert max(had.values()) - min(had.values()) <= 2 * longest * 9  # D + 1 times the bound of one server
    assert max(had.values()) / min(had.values()) < 1.2


@pytest.mark.parametrize("seed", range(20))
def test_a_decision_on_the_first_shares_of_a_line_is_that_on_all_of_them(seed: int) -> None:
    chance = Random(seed)
    names = [f"t{number}" for number in range(chance.randrange(1, 40))]
    tasks = {name: tasks_of([chance.choice((0.5, 1.0, 3.0)) for _ in range(chance.randrange(6))]) for name in names}
    queues = [Queue({name: [*some] for name, some in tasks.items()}, at_once=most) for most in (1, 3, 1_000)]
    for _ in range(60):
        limit, late, who = chance.randrange(1, 9), tasks_of([1.0]), chance.choice(names)
        correction = chance.choice((-0.7, 5.0))
        claimed = []
        for queue in queues:
            queue.correct(who, correction)
            claimed.append([(one.share, one.task.place) for one in queue.claim(limit)])
            queue.waiting[who] += late
            queue.come(who)
        assert claimed[0] == claimed[1] == claimed[2]


def test_nothing_is_charged_in_a_queue_that_is_not_shared() -> None:
    queue = Queue({"a": tasks_of([1.0] * 5)})
    before = queue.shares
    queue.claim(2)
    assert queue.shares == before


def test_what_is_owed_goes_with_the_last_but_one_that_shares() -> None:
    queue = Queue({"a": tasks_of([1.0] * 9), "b": tasks_of([1.0])})
    queue.claim(4)
    assert {share: tag.had for share, tag in queue.shares.tags.items()} == {"a": 3.0, "b": 1.0}
    for _ in range(2):
        queue.claim(1)
    assert {share: tag.had for share, tag in queue.shares.tags.items()} == {"a": None}


def test_the_row_of_the_last_one_stays_and_those_of_all_others_go() -> None:
    """Or a queue that only one uses would write and delete a row for each of its tasks."""
    queue = Queue({name: tasks_of([1.0]) for name in "abc"})
    queue.claim(3)
    queue.now = Timestamp(START + 10_000_000)
    queue.claim(3)
    assert [*queue.shares.tags] == ["c"]


def test_who_waits_longest_is_first_among_those_that_come() -> None:
    queue = Queue({"z": tasks_of([1.0]), "m": tasks_of([1.0]), "a": tasks_of([1.0])})
    assert [choice.share for choice in queue.claim(3)] == ["z", "m", "a"]


def test_a_share_of_which_nothing_can_be_taken_gives_none_a_start_before_others() -> None:
    """Its tag stands still, and is no measure of where a new one begins."""
    queue = Queue({"stuck": [], "b": tasks_of([1.0] * 50), "new": tasks_of([1.0] * 50)})
    queue.shares = Shares(
        {"stuck": Tag(5.0, START, START), "b": Tag(1_000.0, START, START), "new": Tag(None, START, START)}, 999.0
    )
    assert [choice.share for choice in queue.claim(10)].count("new") <= 6


def test_a_debt_ends_with_the_rush_and_as_much_time() -> None:
    queue = Queue({"a": tasks_of([3_600.0, 1.0, 1.0]), "b": tasks_of([1.0] * 9)})
    queue.claim(2)
    queue.waiting["a"] = []
    queue.claim(1)
    assert queue.shares.tags["a"].had == 3_600.0
    assert [*queue.shares.forgiven(now=queue.now)] == []
    queue.now = Timestamp(START + 3_700 * 1_000_000)
    assert "a" in queue.shares.forgiven(now=queue.now)
    line = queue.line(most=9)
    assert "a" in charge(line, [], now=START, idle=["a"]).tags
    assert "a" not in charge(line, [], now=queue.now, idle=["a"]).tags


def test_what_was_begun_while_nobody_else_waited_counts_once_somebody_does() -> None:
    queue = Queue({"long": tasks_of([1.0] * 9), "other": []})
    queue.claim(8)
    before = queue.shares
    queue.correct("long", 1_000.0)
    assert queue.shares == before  # nobody else waits
    queue.waiting["other"] = tasks_of([1.0] * 50)
    queue.come("other")
    queue.correct("long", 1_000.0)
    assert {choice.share for choice in queue.claim(40)} == {"other"}


def test_a_worker_looks_at_all_shares_each_second_and_after_a_clock_was_set_back() -> None:
    turns = TaskTurns()
    due = [turns.is_sweep_due(now=Timestamp(START + after)) for after in (0, 0, 999_999, 1_000_000, 1_999_999, 500_000)]
    assert due == [True, False, False, True, False, True]


@pytest.mark.parametrize(
    ("had", "clock", "since", "at", "is_sound"),
    [
        (1.0, 0.0, 7, 7, True),
        (None, 0.0, 7, 7, True),
        (float("nan"), 0.0, 7, 7, False),
        (1.0, float("inf"), 7, 7, False),
        (1e300, 0.0, 7, 7, False),
        ("x", 0.0, 7, 7, False),
        (1.0, None, 7, 7, False),
        (1.0, b"", 7, 7, False),
        (1.0, 0.0, "x", 7, False),
        (1.0, 0.0, 7, None, False),
    ],
)
def test_a_tag_that_nobody_wrote_is_known(
    had: object, clock: object, since: object, at: object, is_sound: bool
) -> None:
    assert is_sound_tag(had, clock, since, at) is is_sound


@pytest.mark.parametrize("stored", [None, "x", b"\xff", 7, 0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_a_cost_that_none_has_is_a_second(stored: object) -> None:
    assert sound_cost(stored) == 1.0
