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
had on the clock of that class, and the clock itself, the start tag served last (`perdure.scheduling.fair` says why each
rule is as it is; this is the same discipline, on values that a database holds). Whoever has no tag, since it is new, or
was idle until the clock had passed its tag, begins at the virtual time. A claim charges what the call says its attempt
takes (`expected_duration`, a second without); what it has taken is told with the worker's next claim, and corrects the
tag, unclamped.

**Limits.** All shares weigh the same. A share counts as idle if no task of it waits that the claiming worker could
take. Corrections of a worker that dies are lost, at most the cost of the tasks that it had. Runs are claimed by class
and time alone: a worker has room for many, and shares its slots among their tenants (`perdure.scheduling`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Any, Final, NamedTuple

import msgspec

from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.ports.tasks import TaskCost

__all__ = [
    "Choice",
    "Line",
    "Place",
    "Shares",
    "Waiting",
    "charge",
    "choose",
    "corrected",
    "sound_cost",
]


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


class Shares(msgspec.Struct, frozen=True):
    """What is stored of a class of a queue: the tags of those that have one, and the clock, the start tag that was
    served last."""

    tags: dict[str, float] = {}
    clock: float = 0.0

    def virtual_time(self, waiting: Iterable[str]) -> float:
        """Return where a share without a tag begins: the clock, or before it where a correction has set one back that
        waits."""
        return min([self.clock, *(self.tags[share] for share in waiting if share in self.tags)])


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


Tasks = Callable[[Line, str], Sequence[Waiting]]
"""Gives the first tasks of a share that may be claimed, in their order: as many as are asked for in all, or all."""


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
            heads = [(front.head.place, number) for number, front in enumerate(fronts) if front.head is not None]
            if not heads:
                break
            chosen.append(fronts[min(heads)[1]].pop())
    return chosen, reached


class _Front:
    """The order of one line: a heap of its shares by start tag, then by how long their first task waits."""

    def __init__(self, line: Line, tasks: Tasks) -> None:
        self._line = line
        self._tasks = tasks
        self._left: dict[str, list[Waiting]] = {}  # in reverse
        begin = line.shares.virtual_time(line.firsts)
        self._heap = [(line.shares.tags.get(share, begin), place, share) for share, place in line.firsts.items()]
        heapify(self._heap)
        self.head = self._next()

    def pop(self) -> Choice:
        """Choose the head."""
        tag, _, share = self._heap[0]
        task = self._left[share].pop()
        heapreplace(self._heap, (tag + task.cost, task.place, share))
        self.head = self._next()
        return Choice(self._line, share, task)

    def _next(self) -> Waiting | None:
        while self._heap:
            share = self._heap[0][2]
            if share not in self._left:
                self._left[share] = [*reversed(self._tasks(self._line, share))]
            if self._left[share]:
                return self._left[share][-1]
            heappop(self._heap)
        return None


def charge(line: Line, taken: Iterable[Choice]) -> Shares:
    """Return what is to be stored of a line of which these were taken."""
    tags, clock = dict(line.shares.tags), line.shares.clock
    begin = line.shares.virtual_time(line.firsts)
    for choice in taken:
        clock = tags.get(choice.share, begin)
        tags[choice.share] = clock + choice.task.cost
    # Who is idle, and has had no more than others, begins anew with them.
    tags = {share: tag for share, tag in tags.items() if share in line.firsts or tag > clock}
    return Shares(tags, clock) if len(tags.keys() | line.firsts.keys()) > 1 else Shares()


def corrected(shares: Shares, cost: TaskCost) -> Shares:
    """Return what is to be stored of a line once a charge was corrected. Whoever has no tag any more has begun anew,
    and owes what is added alone."""
    tags = dict(shares.tags)
    if cost.share in tags:
        tags[cost.share] += cost.seconds
    elif tags and cost.seconds > 0:
        tags[cost.share] = shares.clock + cost.seconds
    return Shares(tags, shares.clock)


def sound_cost(stored: object) -> float:
    """Return a cost as a row has it; one that none has, as of a damaged row, is a second."""
    return stored if isinstance(stored, float) and _LEAST <= stored <= _MOST else 1.0


_LEAST: Final = 1e-6
_MOST: Final = 1e9
