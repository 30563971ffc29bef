"""Whose task is next: those who share a queue get equal parts of what its servers do, by what that takes.

**Promise.** The best class is always first. Within a class of a queue those who share it, each tenant of a namespace,
get their parts by start-time fair queueing: of two that both wait all the time neither gets ahead of the other by more
than one task each, in seconds of a slot (Goyal, Vin, Cheng, SIGCOMM 1996, theorem 1; with D tasks under way whose costs
turn out to be others than expected, by D + 1: Jin, Chase, Kaur, SIGMETRICS 2004). Each share's own tasks, and those of
a queue that is not shared, go by when they were queued, and so do the heads of several queues that one worker serves.

**Exact on all machines, without a leader.** Claims of a queue take turns, on PostgreSQL by an advisory lock, in SQLite
as all writers do. Whoever has the turn is the leader, for one decision: all that it decides by is in the database, and
what it decides is there for the next one with the same commit. So no election precedes the first claim after a crash,
no announced slot travels to a leader and back, and who is cut off amid a decision has decided nothing. A leader that
keeps its tree in memory decides faster, and was rejected for that: a decision is short beside the transaction that
makes it durable. Queues do not wait for each other; so they are the shards.

**State.** Only while at least two share a class of a queue: a *tag* for each that has been served, the seconds it has
had on the clock of that class, and the clock itself, the latest start tag that was served (`perdure.scheduling.fair`
says why the rules are as they are; this is the same discipline, on values that a database holds). Whoever has no tag,
since it is new, or was idle until the clock had passed its tag, begins at the clock; so does whoever was left without
a task by the claim that has moved the clock past it. A claim charges what the call says its attempt takes
(`expected_duration`, a second without); what it has taken is told with the worker's next claim, and corrects the tag,
unclamped: of what was claimed while nobody else waited all of it, if somebody waits by then. Who was idle for as long
as its tag is ahead of the clock is forgiven that, so that debts end with a rush.

**Limits.** All shares weigh the same. A share counts as idle if no task of it waits for somebody with the labels of the
claiming worker. Corrections of a worker that dies are lost, at most the cost of the tasks that it had; one that is
closed tells them. Engines whose roles see some namespaces only (row-level security) decide by what they see. Runs are
claimed by class and time alone: a worker has room for many, and shares its slots among their tenants
(`perdure.scheduling`).
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Any, Final, NamedTuple

import msgspec

from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import LEAST_SECONDS, MOST_SECONDS
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.ports.tasks import TaskCost

__all__ = [
    "Choice", "Line", "Place", "Shares", "Tag", "Tasks", "Waiting", "charge", "choose", "corrected", "is_sound_tag",
    "left_behind", "sound_cost", "without",
]  # fmt: skip


class Place(NamedTuple):
    """Where a task stands among those of its share."""

    queued_at: Timestamp
    run_key: RunKey
    operation: Operation


class Waiting(NamedTuple):
    """A task that may be claimed. `cost`: how many seconds it is expected to take. `row` is the store's own."""

    place: Place
    cost: float
    row: Any


class Tag(NamedTuple):
    """What a share has had, in seconds on the clock of its line, and when that was written last."""

    had: float
    at: Timestamp


class Shares(msgspec.Struct, frozen=True):
    """What is stored of a class of a queue: the tags of those that have one, and the clock, the latest start tag that
    was served."""

    tags: Mapping[str, Tag] = {}
    clock: float = 0.0


class Line(NamedTuple):
    """A class of a queue: who waits, each with the place of its first task, and what is stored of it."""

    queue: str
    priority: Priority
    firsts: Mapping[str, Place]
    shares: Shares


class Choice(NamedTuple):
    """A task that is to be claimed, and whose share of which line it is."""

    line: Line
    share: str
    task: Waiting


Tasks = Callable[[Line, str], Iterator[Waiting]]
"""Gives the tasks of a share that may be claimed, in their order; no more of them are asked for than are needed."""


def choose(lines: Callable[[Priority], Sequence[Line]], tasks: Tasks, *, limit: int) -> tuple[list[Choice], list[Line]]:
    """Return which tasks to claim, in order, and which lines that was decided by: those of the best classes.

    Complexity: linear in the shares of these lines, and logarithmic in them for each choice.
    """
    chosen: list[Choice] = []
    reached: list[Line] = []
    for priority in Priority:
        if len(chosen) >= limit:
            break
        of_class = lines(priority)
        reached += of_class
        fronts = [_Front(line, tasks) for line in of_class]
        while len(chosen) < limit:
            heads = [(head.place, number) for number, front in enumerate(fronts) if (head := front.head()) is not None]
            if not heads:
                break
            chosen.append(fronts[min(heads)[1]].pop())
    return chosen, reached


class _Front:
    """The order of one line: a heap of its shares by start tag, then by how long their first task waits."""

    def __init__(self, line: Line, tasks: Tasks) -> None:
        self._line = line
        self._tasks = tasks
        self._left: dict[str, Iterator[Waiting]] = {}
        self._head: Waiting | None = None
        self._heap = [(_start(line.shares, share), place, share) for share, place in line.firsts.items()]
        heapify(self._heap)

    def head(self) -> Waiting | None:
        """Return the task that is next, None if there is none; nothing is read before it is asked for."""
        while self._head is None and self._heap:
            share = self._heap[0][2]
            left = self._left.get(share)
            if left is None:
                left = self._left[share] = self._tasks(self._line, share)
            self._head = next(left, None)
            if self._head is None:
                heappop(self._heap)
        return self._head

    def pop(self) -> Choice:
        """Choose the head, which is there."""
        task, self._head = self._head, None
        assert task is not None
        tag, _, share = self._heap[0]
        heapreplace(self._heap, (tag + task.cost, task.place, share))
        return Choice(self._line, share, task)


def _start(shares: Shares, share: str) -> float:
    tag = shares.tags.get(share)
    return shares.clock if tag is None else tag.had


def charge(line: Line, taken: Iterable[Choice], *, now: Timestamp) -> Shares:
    """Return what is to be stored of a line of which these were taken: nothing, where there is but one share."""
    tags, clock = dict(line.shares.tags), line.shares.clock
    shares = line.shares
    for choice in taken:
        start = _start(shares, choice.share)
        clock = max(clock, start)
        tags[choice.share] = Tag(start + choice.task.cost, now)
        shares = Shares(tags, clock)
    tags = {share: tag for share, tag in tags.items() if share in line.firsts or _is_owed(tag, clock, now=now)}
    return Shares(tags, clock) if len(tags.keys() | line.firsts.keys()) > 1 else Shares()


def _is_owed(tag: Tag, clock: float, *, now: Timestamp) -> bool:
    """Whether a share that is idle has had more than others, and more lately than it would be forgiven."""
    return (tag.had - clock) * MICROSECONDS_PER_SECOND > max(now - tag.at, 0)


def left_behind(shares: Shares, taken: Iterable[Choice]) -> set[str]:
    """Return whose tag the clock has passed, of those of whom these were taken, once they are charged. Who of them has
    no task left that waits is idle: with its tag it would save what others have had since it had none."""
    served = {choice.share for choice in taken}
    return {share for share, tag in shares.tags.items() if share in served and tag.had < shares.clock}


def without(shares: Shares, idle: Collection[str]) -> Shares:
    """Return what is to be stored of those that wait yet, or owe something, once these are known to be idle."""
    return Shares({share: tag for share, tag in shares.tags.items() if share not in idle}, shares.clock)


def corrected(line: Line, cost: TaskCost, *, now: Timestamp) -> Shares:
    """Return what is to be stored of a line once a charge was corrected. Whoever has no tag any more has begun anew,
    and owes what is added alone; nobody owes anything where nobody else waits, or did."""
    shares = line.shares
    tag = shares.tags.get(cost.share)
    is_shared = bool(shares.tags) or bool(line.firsts.keys() - {cost.share})
    if tag is None and (cost.seconds <= 0 or not is_shared):
        return shares
    had = shares.clock if tag is None else tag.had
    return Shares({**shares.tags, cost.share: Tag(had + cost.seconds, now)}, shares.clock)


def sound_cost(stored: object) -> float:
    """Return a cost as a row has it; one that none has, as of a damaged row, is a second."""
    return stored if isinstance(stored, float) and LEAST_SECONDS <= stored <= MOST_SECONDS else 1.0


def is_sound_tag(had: object, clock: object, at: object) -> bool:
    """Whether a row of shares is one that was written, as far as can be told."""
    return isinstance(at, int) and all(
        isinstance(one, float) and math.isfinite(one) and abs(one) < _FURTHEST for one in (had, clock)
    )


_FURTHEST: Final = 1e15
