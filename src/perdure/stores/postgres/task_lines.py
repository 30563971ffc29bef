"""The lines of tasks on a PostgreSQL server, as a claim reads and changes them: who shares which class of a queue, and
how far (`perdure.stores.task_shares`). Functions of a connection, within the transaction of a claim.

**Turns.** Claims of a queue take turns, by an advisory lock for each queue, always in the same order: whoever has the
turn sees all that was claimed before, and decides alone. Who serves other queues waits for nobody.

**What a claim reads.** Which shares wait, by one step of an index each; the tags, where a queue is shared; then the
first tasks of as many shares as it may need, a few of each where there are many. Where a decision comes to what was not
read, it is made again once that is. In the end it looks who of those that it has left behind has a task yet: of what
was put into the queue since it read, and could have been chosen, nothing counts.
"""

from collections.abc import Collection, Iterator, Sequence
from heapq import nsmallest
from typing import Final

from perdure.kernel.identity import Operation, RunKey, WorkerId
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import SEPARATOR
from perdure.kernel.time import Timestamp
from perdure.ports.tasks import SKEW_MICROSECONDS, ServedTasks, TaskCost
from perdure.stores.postgres.connection import Connection, Record
from perdure.stores.postgres.rows import LABELLED, TASK_COLUMNS
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

__all__ = ["WITH_MARKED", "Key", "TaskLines", "take_turn"]

Key = tuple[RunKey, Operation]
"""Names a task."""

_LineKey = tuple[str, Priority]
_Share = tuple[str, Priority, str]
"""A share of a line: queue, class, who."""


async def take_turn(connection: Connection, served: ServedTasks, costs: Sequence[TaskCost]) -> None:
    """Wait until no other claims tasks of these queues, or corrects what was charged in them, till the end of the
    transaction."""
    await connection.execute(_TAKE_TURN, _queues(served, costs))


def _queues(served: ServedTasks, costs: Sequence[TaskCost]) -> list[str]:
    return sorted(served.queues.union(cost.queue for cost in costs))


class _UnreadError(Exception):
    """A decision needs tasks that were not read."""

    def __init__(self, share: _Share) -> None:
        super().__init__(share)
        self.share: Final = share


class TaskLines:
    """The lines that one claim may take tasks of, whose turn it is."""

    def __init__(self, connection: Connection, served: ServedTasks, *, owner: WorkerId, now: Timestamp) -> None:
        """Prepare; nothing is read yet."""
        self._connection: Final = connection
        self._served: Final = served
        self._asked: Final = (sorted(served.activities), owner, now)
        self._now: Final = now
        self._lines: dict[_LineKey, Line] = {}
        self._stored: dict[_LineKey, Shares] = {}
        self._kept_under: dict[_Share, list[tuple[str, str]]] = {}
        self._heads: dict[_Share, list[Waiting]] = {}
        self._whole: set[_Share] = set()
        self._gone: set[Key] = set()
        self._taken: dict[_LineKey, list[Choice]] = {}
        self._missed: set[_Share] = set()
        self._namespaces: dict[str, str] = {}

    async def read(self, costs: Sequence[TaskCost]) -> None:
        """Read who waits, and what is stored of who shares, and correct that by the costs."""
        firsts: dict[_LineKey, dict[str, Place]] = {}
        stored: dict[_LineKey, list[Record]] = {(cost.queue, cost.priority): [] for cost in costs}
        asked = (sorted(self._served.queues), sorted(self._served.labels), _queues(self._served, costs))
        for row in await self._connection.fetch(_LINES, *asked):
            line = (row["queue"], Priority(row["priority"]))
            if row["tag"] is not None:
                stored.setdefault(line, []).append(row)
                continue
            of_line, share = firsts.setdefault(line, {}), row["share"]
            of_line[share] = min(of_line.get(share, _place(row)), _place(row))
            self._kept_under.setdefault((*line, share), []).append((row["kept_under"], row["labels"]))
        for key in sorted(stored.keys() | firsts.keys()):
            self._stored[key] = self._shares(stored.get(key, []))
            corrections = [cost for cost in costs if (cost.queue, cost.priority) == key]
            line_of_key = Line(*key, firsts.get(key, {}), self._stored[key])
            for cost in corrections:
                line_of_key = line_of_key._replace(shares=corrected(line_of_key, cost, now=self._now))
            self._lines[key] = line_of_key

    def _shares(self, rows: Sequence[Record]) -> Shares:
        tags: dict[str, Tag] = {}
        for row in rows:
            if is_sound_tag(row["tag"], row["clock"], row["at"]):
                tags[row["share"]] = Tag(row["tag"], Timestamp(row["at"]))
                self._namespaces[row["share"]] = row["namespace"]
        return Shares(tags, max((row["clock"] for row in rows if row["share"] in tags), default=0.0))

    async def choose(self, *, limit: int) -> tuple[list[Choice], list[Line]]:
        """Return which tasks to take, in order, with their rows, and the lines that were looked at."""
        while True:
            try:
                return choose(self._of_class, self._tasks, limit=limit)
            except _UnreadError as unread:
                await self._read_on(unread.share, limit=limit)

    def charge(self, lines: Sequence[Line], chosen: Sequence[Choice], taken: Collection[Key]) -> dict[Key, float]:
        """Charge what was taken of what was chosen, none of which is chosen again; return how much of each."""
        self._gone.update(choice.task.place[1:] for choice in chosen)
        missed = [choice for choice in chosen if choice.task.place[1:] not in taken]
        self._missed.update((choice.line.queue, choice.line.priority, choice.share) for choice in missed)
        charged: dict[Key, float] = {}
        for line in lines:
            of_line = [choice for choice in chosen if choice.line is line and choice.task.place[1:] in taken]
            shares = charge(line, of_line, now=self._now)
            key = (line.queue, line.priority)
            self._lines[key] = line._replace(shares=shares)
            self._taken.setdefault(key, []).extend(of_line)
            for choice in of_line:
                self._namespaces[choice.share] = choice.task.row["namespace"]
                if choice.share in shares.tags:
                    charged[choice.task.place[1:]] = choice.task.cost
        return charged

    async def forget_idle(self) -> None:
        """Forget whom this claim has left behind without a task; who has one that somebody has locked still waits."""
        behind = [
            key
            for line, taken in self._taken.items()
            for share in sorted(left_behind(self._lines[line].shares, taken))
            if (key := (*line, share)) not in self._missed and not self._left(key)
        ]
        waiting = await self._waiting(behind) if behind else set[_Share]()
        for queue, priority, share in behind:
            if (queue, priority, share) not in waiting:
                line_of_share = self._lines[queue, priority]
                shares = without(line_of_share.shares, {share})
                self._lines[queue, priority] = line_of_share._replace(shares=shares)

    async def save(self) -> None:
        """Store what has changed of who shares."""
        gone: list[_Share] = []
        new: list[tuple[str, str, Priority, str, float, float, Timestamp]] = []
        for key, before in self._stored.items():
            shares = self._lines[key].shares
            if shares == before:
                continue
            gone += ((*key, share) for share in before.tags.keys() - shares.tags.keys())
            for number, (share, tag) in enumerate(sorted(shares.tags.items())):
                if number == 0 or tag != before.tags.get(share):  # the first has the latest clock in any case
                    namespace = self._namespaces.get(share, share.partition(SEPARATOR)[0])
                    new.append((namespace, *key, share, tag.had, shares.clock, tag.at))
        if gone:
            await self._connection.execute(_DELETE_SHARES, *map(list, zip(*gone, strict=True)))
        if new:
            await self._connection.execute(_PUT_SHARES, *map(list, zip(*new, strict=True)))

    def _of_class(self, priority: Priority) -> list[Line]:
        return [line for key, line in self._lines.items() if key[1] == priority and line.firsts]

    def _tasks(self, line: Line, share: str) -> Iterator[Waiting]:
        """Yield the tasks of a share, as far as they were read. Raises _UnreadError for more."""
        key = (line.queue, line.priority, share)
        yield from self._left(key)
        if key not in self._whole:
            raise _UnreadError(key)

    def _left(self, share: _Share) -> list[Waiting]:
        """Return the tasks that were read of a share and not chosen yet."""
        return [task for task in self._heads.get(share, ()) if task.place[1:] not in self._gone]

    async def _waiting(self, shares: Sequence[_Share]) -> set[_Share]:
        """Return of whom something waits. Of whom all was read that this claim may take that is only what it may not:
        the rest has come since."""
        sets = [
            (share, (kept_under, labels, share[1], share[2], share in self._whole))
            for share in shares
            for kept_under, labels in self._kept_under[share]
        ]
        *asked, is_read = map(list, zip(*(row for _, row in sets), strict=True))
        found = await self._connection.fetch(_WAITING, *asked, *self._asked, is_read)
        return {sets[row["number"] - 1][0] for row in found}

    async def _read_on(self, share: _Share, *, limit: int) -> None:
        """Read the first tasks of a share, and of those that will be asked for after it: the best classes, the lowest
        tags. Of one of which some were read all are that one claim can take."""
        if share in self._heads:
            await self._read_heads([share], most=limit + 1)
            return
        places = [
            (priority, line.shares.tags[who].had if who in line.shares.tags else line.shares.clock, place, key)
            for (queue, priority), line in self._lines.items()
            for who, place in line.firsts.items()
            if (key := (queue, priority, who)) not in self._heads and key != share
        ]
        first = [share, *(key for *_, key in nsmallest(limit - 1, places))]
        await self._read_heads(first, most=limit if len(first) <= _FEW else limit // len(first) + 1)

    async def _read_heads(self, shares: Collection[_Share], *, most: int) -> None:
        """Read the first tasks of shares, `most` of each that are not gone."""
        sets = [
            (kept_under, labels, priority, share)
            for queue, priority, share in shares
            for kept_under, labels in self._kept_under[queue, priority, share]
        ]
        gone = [list(column) for column in zip(*self._gone, strict=True)] or [[], []]
        found: dict[_Share, list[Waiting]] = {share: [] for share in shares}
        for row in await self._connection.fetch(_HEADS, *map(list, zip(*sets, strict=True)), *self._asked, most, *gone):
            key = (row["queue"], Priority(row["priority"]), row["share"])
            found[key].append(Waiting(_place(row), sound_cost(row["cost"]), row))
        for share, heads in found.items():
            self._heads[share] = sorted(heads, key=lambda task: task.place)[:most]
            if len(heads) < most:
                self._whole.add(share)


def _place(row: Record) -> Place:
    return Place(Timestamp(row["queued_at"]), RunKey(row["run_key"]), Operation(row["operation"]))


_FEW: Final = 2

# queues
_TAKE_TURN: Final = """
SELECT pg_advisory_xact_lock(turn) FROM (
    SELECT DISTINCT hashtextextended('perdure tasks ' || queue, 0) AS turn FROM unnest($1::varchar[]) AS queue
    ORDER BY turn
) AS turns
"""

WITH_MARKED: Final = f"""
SELECT queue, queue || mark AS kept_under
FROM unnest($1::varchar[]) AS queue CROSS JOIN (VALUES (''), ({LABELLED})) AS marks (mark)
"""  # noqa: S608 - texts of ours
"""The queues of the first parameter, each with what its tasks are kept under: another text for those that demand
labels. That is a text as the server has it, which nobody unescapes."""

# queues, labels of the worker, queues whose tags are needed; who waits, by one step of the index for each set of
# labels, of which there are few, and each share of a class; and the tags that are stored
_LINES: Final = f"""
WITH RECURSIVE sets (queue, kept_under, labels) AS (
    SELECT queues.queue, queues.kept_under, found.labels FROM ({WITH_MARKED}) AS queues CROSS JOIN LATERAL (
        SELECT labels FROM tasks WHERE tasks.queue = queues.kept_under AND owner IS NULL ORDER BY labels LIMIT 1
    ) AS found
    UNION ALL
    SELECT sets.queue, sets.kept_under, found.labels FROM sets CROSS JOIN LATERAL (
        SELECT labels FROM tasks
        WHERE tasks.queue = sets.kept_under AND tasks.labels > sets.labels AND owner IS NULL ORDER BY labels LIMIT 1
    ) AS found
), steps AS (
    SELECT sets.*, found.* FROM sets CROSS JOIN LATERAL (
        SELECT priority, share, queued_at, run_key, operation FROM tasks
        WHERE tasks.queue = sets.kept_under AND tasks.labels = sets.labels AND owner IS NULL
            AND tasks.priority BETWEEN 0 AND 4
        ORDER BY priority, share, queued_at, run_key, operation LIMIT 1
    ) AS found
    WHERE string_to_array(sets.labels, '{SEPARATOR}') <@ $2::text[]
    UNION ALL
    SELECT steps.queue, steps.kept_under, steps.labels, found.* FROM steps CROSS JOIN LATERAL (
        SELECT priority, share, queued_at, run_key, operation FROM tasks
        WHERE tasks.queue = steps.kept_under AND tasks.labels = steps.labels AND owner IS NULL
            AND (tasks.priority, tasks.share) > (steps.priority, steps.share) AND tasks.priority <= 4
        ORDER BY priority, share, queued_at, run_key, operation LIMIT 1
    ) AS found
)
SELECT queue, priority, share, kept_under, labels, queued_at, run_key, operation, NULL::float8 AS tag,
    NULL::float8 AS clock, NULL::bigint AS at, NULL::varchar AS namespace
FROM steps
UNION ALL
SELECT queue, priority, share, NULL, NULL, NULL, NULL, NULL, tag, clock, at, namespace
FROM task_shares WHERE queue = ANY ($3::varchar[])
"""  # noqa: S608 - texts of ours

# activities, the session, now
_MAY_BE_TAKEN: Final = f"""
activity = ANY ($5::varchar[])
    AND (sticky_to IS NULL OR sticky_to = $6::bigint OR coalesce(sticky_until, 0) <= $7::bigint
        OR queued_at > $7 + {SKEW_MICROSECONDS}
        OR NOT EXISTS (SELECT FROM sessions WHERE worker_id = sticky_to))
"""

# kept under, labels, classes and shares of what may be taken, activities, the session, now, how many of each, run keys
# and operations of those that are gone
_HEADS: Final = f"""
SELECT {TASK_COLUMNS}
FROM unnest($1::text[], $2::varchar[], $3::smallint[], $4::varchar[]) AS n (kept_under, labels, priority, share)
CROSS JOIN LATERAL (
    SELECT run_key, operation FROM tasks
    WHERE tasks.queue = n.kept_under AND tasks.labels = n.labels AND tasks.priority = n.priority
        AND tasks.share = n.share
        AND owner IS NULL AND {_MAY_BE_TAKEN}
        AND (run_key, operation) NOT IN (SELECT * FROM unnest($9::bigint[], $10::integer[]))
    ORDER BY queued_at, run_key, operation LIMIT $8
) AS first JOIN tasks USING (run_key, operation)
"""  # noqa: S608 - texts of ours

# kept under, labels, classes and shares, activities, the session, now, whether only what may not be taken counts
_WAITING: Final = f"""
SELECT number
FROM unnest($1::text[], $2::varchar[], $3::smallint[], $4::varchar[], $8::boolean[])
    WITH ORDINALITY AS n (kept_under, labels, priority, share, is_read, number)
CROSS JOIN LATERAL (
    SELECT FROM tasks
    WHERE tasks.queue = n.kept_under AND tasks.labels = n.labels AND tasks.priority = n.priority
        AND tasks.share = n.share
        AND owner IS NULL AND NOT (n.is_read AND {_MAY_BE_TAKEN})
    ORDER BY queued_at, run_key, operation LIMIT 1
) AS first
"""  # noqa: S608 - a text of ours

# queues, classes, shares
_DELETE_SHARES: Final = """
DELETE FROM task_shares USING unnest($1::varchar[], $2::smallint[], $3::varchar[]) AS n (queue, priority, share)
WHERE task_shares.queue = n.queue AND task_shares.priority = n.priority AND task_shares.share = n.share
"""

# namespaces, queues, classes, shares, tags, clocks, times
_PUT_SHARES: Final = """
INSERT INTO task_shares (namespace, queue, priority, share, tag, clock, at)
SELECT * FROM unnest(
    $1::varchar[], $2::varchar[], $3::smallint[], $4::varchar[], $5::float8[], $6::float8[], $7::bigint[]
)
ON CONFLICT (queue, priority, share) DO UPDATE SET tag = excluded.tag, clock = excluded.clock, at = excluded.at
"""
