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

**State.** Of each share that waits in a class of a queue one row, made by whoever queues a task of one that has none,
and removed by a claim that finds nothing of it waiting: so a claim reads the first of the rows in their order, as many
as it may take tasks, however many there are. A row has a *tag*, the seconds that its share has had on the clock of that
class, or none yet, and the clock as it was then: the latest start tag that was served (`perdure.scheduling.fair` says
why the rules are as they are; this is the same discipline, on values that a database holds). Whoever has no tag, since
it is new, or was idle until the clock had passed its tag, begins at the clock; of equals who waits longer is first,
counted from when the task was queued with which a share came, or that was its last. Where only one waits it is charged
nothing. A claim charges what the call says its attempt takes (`expected_duration`, a second without); what it has taken
is told with the worker's next claim, and corrects the tag, unclamped: of what was claimed while nobody else waited all
of it, if somebody waits by then. Who was idle for as long as its tag is ahead of the clock is forgiven that, so that
debts end with a rush.

**Sweeps.** Rows that are missing (an engine of a version without them has queued a task; damage) are made, and debts
forgiven, by a look at all shares of a queue, each second of a worker that claims, and where too few were found.

**Limits.** All shares weigh the same. A claim passes over those shares of which its worker can take nothing, by one
look at each. Corrections of a worker that dies are lost, at most the cost of the tasks that it had; one that is closed
tells them. Engines whose roles see some namespaces only (row-level security) decide by what they see. Runs are claimed
by class and time alone: a worker has room for many, and shares its slots among their tenants (`perdure.scheduling`).
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
    "Choice", "Decision", "Line", "Order", "Place", "Share", "Shares", "Tag", "TaskTurns",
    "Tasks", "UnreadSharesError", "Waiting", "charge", "choose", "comers", "corrected", "is_owed",
    "is_sound_number", "is_sound_tag", "order", "sound_cost",
]  # fmt: skip

Share = tuple[str, Priority, str]
"""A share of a line: queue, class, who."""

Order = tuple[float, Timestamp, str]
"""Where a share stands in its line: its start tag, since when, who."""


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
    """What a share has had, in seconds on the clock of its line (None: it begins at the clock); since when it waits, by
    the task with which it came, or its last; and when that was written."""

    had: float | None
    since: Timestamp
    at: Timestamp


class Shares(msgspec.Struct, frozen=True):
    """What is stored of a class of a queue: the tags of those that share it, and the clock, the latest start tag that
    was served."""

    tags: Mapping[str, Tag] = {}
    clock: float = 0.0

    def forgiven(self, *, now: Timestamp) -> Iterator[str]:
        """Yield those that owe nothing more, if they are idle."""
        return (share for share, tag in self.tags.items() if tag.had and not is_owed(tag, self.clock, now=now))


class Line(NamedTuple):
    """A class of a queue, and what was read of it: all shares but those that stand after both `read_to` (of those with
    a tag) and `read_to_comer` (of those without one); None: all of them."""

    queue: str
    priority: Priority
    shares: Shares
    read_to: Order | None = None
    read_to_comer: tuple[Timestamp, str] | None = None

    @property
    def horizon(self) -> Order | None:
        """The place in its order up to which all shares were read; None: to the end."""
        comers = self.read_to_comer and (self.shares.clock, *self.read_to_comer)
        return min((place for place in (self.read_to, comers) if place is not None), default=None)

    def has_others(self, share: str) -> bool:
        """Whether anybody shares it with this one."""
        return self.horizon is not None or bool(self.shares.tags.keys() - {share})


class Choice(NamedTuple):
    """A task that is to be claimed, and whose share of which line it is."""

    line: Line
    share: str
    task: Waiting


class Decision(NamedTuple):
    """Which tasks to claim, in order; by which lines that was decided; and which shares it found nothing of."""

    chosen: list[Choice]
    lines: list[Line]
    passed: list[Share]


class TaskTurns:
    """What a session keeps of the turns that it takes: when it has last looked at all who share its queues."""

    def __init__(self) -> None:
        """Begin with no look."""
        self._swept_at: Timestamp | None = None

    def is_sweep_due(self, *, now: Timestamp) -> bool:
        """Whether it has to look at all again, and does now."""
        if self._swept_at is not None and 0 <= now - self._swept_at < MICROSECONDS_PER_SECOND:
            return False
        self._swept_at = now
        return True


class UnreadSharesError(Exception):
    """A decision needs shares of a line that were not read."""

    def __init__(self, line: Line) -> None:
        """Name the line."""
        super().__init__(line.queue, line.priority)
        self.line: Final = line


Tasks = Callable[[Line, str], Iterator[Waiting]]
"""Gives the tasks of a share that may be claimed, in their order; no more of them are asked for than are needed."""


def choose(lines: Callable[[Priority], Sequence[Line]], tasks: Tasks, *, limit: int) -> Decision:
    """Return which tasks to claim, from lines of the best classes. Raises UnreadSharesError.

    Complexity: linear in the shares of these lines that were read, and logarithmic in them for each choice.
    """
    decision = Decision([], [], [])
    chosen = decision.chosen
    for priority in Priority:
        if len(chosen) >= limit:
            break
        of_class = lines(priority)
        decision.lines.extend(of_class)
        fronts = [_Front(line, tasks, decision.passed) for line in of_class]
        while len(chosen) < limit:
            heads = [(head.place, number) for number, front in enumerate(fronts) if (head := front.head()) is not None]
            if not heads:
                break
            chosen.append(fronts[min(heads)[1]].pop())
    return decision


class _Front:
    """The order of one line: a heap of its shares by start tag, then by how long they wait."""

    def __init__(self, line: Line, tasks: Tasks, passed: list[Share]) -> None:
        self._line = line
        self._tasks = tasks
        self._passed = passed
        self._left: dict[str, Iterator[Waiting]] = {}
        self._head: Waiting | None = None
        self._horizon = line.horizon
        self._heap = [order(share, tag, clock=line.shares.clock) for share, tag in line.shares.tags.items()]
        heapify(self._heap)

    def head(self) -> Waiting | None:
        """Return the task that is next, None if there is none; nothing is read before it is asked for."""
        while self._head is None:
            if self._horizon is not None and not (self._heap and self._heap[0] <= self._horizon):
                raise UnreadSharesError(self._line)
            if not self._heap:
                break
            share = self._heap[0][2]
            is_first = share not in self._left
            if is_first:
                self._left[share] = self._tasks(self._line, share)
            self._head = next(self._left[share], None)
            if self._head is None:
                heappop(self._heap)
                if is_first:
                    self._passed.append((self._line.queue, self._line.priority, share))
        return self._head

    def pop(self) -> Choice:
        """Choose the head, which is there."""
        task, self._head = self._head, None
        assert task is not None
        start, _, share = self._heap[0]
        heapreplace(self._heap, (start + task.cost, task.place.queued_at, share))
        return Choice(self._line, share, task)


def order(share: str, tag: Tag, *, clock: float) -> Order:
    """Return where a share stands in its line."""
    return (_start(tag, clock), tag.since, share)


def _start(tag: Tag | None, clock: float) -> float:
    return clock if tag is None or tag.had is None else tag.had


def comers(queued: Iterable[tuple[Share, Timestamp]]) -> dict[Share, Tag]:
    """Return the rows of those whose tasks are queued, for those that have none, in the order of their names."""
    since: dict[Share, Timestamp] = {}
    for share, queued_at in queued:
        since[share] = min(queued_at, since.get(share, queued_at))
    return {share: Tag(None, since[share], since[share]) for share in sorted(since)}


def charge(line: Line, taken: Iterable[Choice], *, now: Timestamp, idle: Collection[str] = ()) -> Shares:
    """Return what is to be stored of a line of which these were taken, and nothing waits of those that are `idle`: the
    last of its shares is charged nothing, and stays."""
    tags, clock = dict(line.shares.tags), line.shares.clock
    for choice in taken:
        share, queued_at = choice.share, choice.task.place.queued_at
        start = _start(tags[share], clock)
        if line.has_others(share):
            clock = max(clock, start)
            tags[share] = Tag(start + choice.task.cost, queued_at, now)
        elif tags[share].had is not None:
            tags[share] = Tag(None, queued_at, now)
    for share in idle:
        is_last = line.horizon is None and len(tags) == 1
        if not is_last and share in tags and not is_owed(tags[share], clock, now=now):
            del tags[share]
    return Shares(tags, clock)


def is_owed(tag: Tag, clock: float, *, now: Timestamp) -> bool:
    """Whether a share that is idle has had more than others, and more lately than it would be forgiven."""
    return (_start(tag, clock) - clock) * MICROSECONDS_PER_SECOND > max(now - tag.at, 0)


def corrected(line: Line, cost: TaskCost, *, now: Timestamp) -> Shares:
    """Return what is to be stored of a line once a charge was corrected. Whoever has no tag any more has begun anew,
    and owes what is added alone; nobody owes anything where nobody else waits, or did."""
    shares = line.shares
    tag = shares.tags.get(cost.share)
    has_none = tag is None or tag.had is None
    if has_none and (cost.seconds <= 0 or not line.has_others(cost.share)):
        return shares
    since = now if tag is None else tag.since
    return Shares({**shares.tags, cost.share: Tag(_start(tag, shares.clock) + cost.seconds, since, now)}, shares.clock)


def sound_cost(stored: object) -> float:
    """Return a cost as a row has it; one that none has, as of a damaged row, is a second."""
    return stored if isinstance(stored, float) and LEAST_SECONDS <= stored <= MOST_SECONDS else 1.0


def is_sound_tag(had: object, clock: object, since: object, at: object) -> bool:
    """Whether a row of shares is one that was written, as far as can be told."""
    return (
        isinstance(at, int)
        and isinstance(since, int)
        and (had is None or is_sound_number(had))
        and is_sound_number(clock)
    )


def is_sound_number(found: object) -> bool:
    """Whether this may be a tag or a clock."""
    return isinstance(found, float) and math.isfinite(found) and abs(found) < _FURTHEST


_FURTHEST: Final = 1e15
