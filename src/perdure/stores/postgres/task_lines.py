"""The lines of tasks on a PostgreSQL server, as a claim reads and changes them: who shares which class of a queue, and
how far (`perdure.stores.task_shares`). Functions of a connection, within the transaction of a claim.

**Turns.** Claims of a queue take turns, by an advisory lock for each queue, always in the same order: whoever has the
turn sees all that was claimed before, and decides alone. Who serves other queues waits for nobody.

**What a claim reads.** Which shares wait, by one step of an index each; the tags, where a queue is shared; then the
first tasks of as many shares as it may need, a few of each where there are many. If those were too few it reads on.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from heapq import nsmallest
from typing import Final

from perdure.kernel.identity import Operation, RunKey, WorkerId
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import SEPARATOR
from perdure.kernel.time import Timestamp
from perdure.ports.tasks import SKEW_MICROSECONDS, ServedTasks, TaskCost
from perdure.stores.postgres.connection import Connection, Record
from perdure.stores.postgres.rows import LABELLED, TASK_COLUMNS
from perdure.stores.task_shares import Choice, Line, Place, Shares, Waiting, charge, choose, corrected, sound_cost

__all__ = ["WITH_MARKED", "Key", "TaskLines", "take_turn"]

Key = tuple[RunKey, Operation]
"""Names a task."""

_LineKey = tuple[str, Priority]
_Share = tuple[str, Priority, str]
"""A share of a line: queue, class, who."""


async def take_turn(connection: Connection, served: ServedTasks) -> None:
    """Wait until no other claims tasks of these queues, till the end of the transaction."""
    await connection.execute(_TAKE_TURN, sorted(served.queues))


class TaskLines:
    """The lines that one claim may take tasks of, whose turn it is."""

    def __init__(self, connection: Connection, served: ServedTasks, *, owner: WorkerId, now: Timestamp) -> None:
        """Prepare; nothing is read yet."""
        self._connection: Final = connection
        self._served: Final = served
        self._asked: Final = (sorted(served.activities), owner, now)
        self._lines: dict[_LineKey, Line] = {}
        self._stored: dict[_LineKey, Shares] = {}
        self._kept_under: dict[_Share, list[tuple[str, str]]] = {}
        self._heads: dict[_Share, list[Waiting]] = {}
        self._cut: set[_Share] = set()
        self._needed: set[_Share] = set()
        self._gone: set[Key] = set()
        self._reached: list[Line] = []
        self._chosen: list[Choice] = []

    async def read(self, costs: Sequence[TaskCost]) -> None:
        """Read who waits, and what is stored of who shares, and correct that by the costs."""
        firsts: dict[_LineKey, dict[str, Place]] = {}
        stored: dict[_LineKey, list[Record]] = {(cost.queue, cost.priority): [] for cost in costs}
        for row in await self._connection.fetch(_LINES, sorted(self._served.queues), sorted(self._served.labels)):
            line = (row["queue"], Priority(row["priority"]))
            if row["tag"] is not None:
                stored.setdefault(line, []).append(row)
                continue
            of_line, share = firsts.setdefault(line, {}), row["share"]
            place = Place(Timestamp(row["queued_at"]), RunKey(row["run_key"]), Operation(row["operation"]))
            of_line[share] = min(of_line.get(share, place), place)
            self._kept_under.setdefault((*line, share), []).append((row["kept_under"], row["labels"]))
        for line in sorted(stored.keys() | firsts.keys()):
            rows = stored.get(line, [])
            tags = {row["share"]: row["tag"] for row in rows}
            shares = self._stored[line] = Shares(tags, max((row["clock"] for row in rows), default=0.0))
            for cost in costs:
                if (cost.queue, cost.priority) == line:
                    shares = corrected(shares, cost)
            self._lines[line] = Line(*line, firsts.get(line, {}), shares)

    async def choose(self, *, limit: int) -> list[Record]:
        """Return the rows of tasks to take, in order."""
        if not self._heads:
            await self._read_first(limit)
        while True:
            self._needed.clear()
            self._chosen, self._reached = choose(self._of_class, self._tasks, limit=limit)
            few = self._too_few(limit)
            if not few:
                return [choice.task.row for choice in self._chosen]
            await self._read_heads(few, most=limit)

    def charge(self, taken: Collection[Key]) -> None:
        """Charge what was taken of what was chosen last; nothing of that is chosen again."""
        self._gone.update(choice.task.place[1:] for choice in self._chosen)
        for line in self._reached:
            of_line = [choice for choice in self._chosen if choice.line is line and choice.task.place[1:] in taken]
            self._lines[line.queue, line.priority] = line._replace(shares=charge(line, of_line))

    async def save(self) -> None:
        """Store what has changed of who shares."""
        gone: list[tuple[str, Priority, str]] = []
        new: list[tuple[str, str, Priority, str, float, float]] = []
        for line, before in self._stored.items():
            shares = self._lines[line].shares
            gone += ((*line, share) for share in before.tags.keys() - shares.tags.keys())
            new += (
                (share.partition(SEPARATOR)[0], *line, share, tag, shares.clock)
                for share, tag in sorted(shares.tags.items())
                if share and tag != before.tags.get(share)  # no older library's tasks, which may be anybody's
            )
        if gone:
            await self._connection.execute(_DELETE_SHARES, *map(list, zip(*gone, strict=True)))
        if new:
            await self._connection.execute(_PUT_SHARES, *map(list, zip(*new, strict=True)))

    def _of_class(self, priority: Priority) -> list[Line]:
        return [line for key, line in self._lines.items() if key[1] == priority and line.firsts]

    def _tasks(self, line: Line, share: str) -> list[Waiting]:
        key = (line.queue, line.priority, share)
        self._needed.add(key)
        return self._left(key)

    def _left(self, share: _Share) -> list[Waiting]:
        return [task for task in self._heads[share] if task.place[1:] not in self._gone]

    def _too_few(self, limit: int) -> set[_Share]:
        """Return the shares of which more may wait than was read, and be chosen, since all of that is."""
        chosen = Counter((choice.line.queue, choice.line.priority, choice.share) for choice in self._chosen)
        return {share for share in self._needed & self._cut if limit > len(self._left(share)) <= chosen[share]}

    async def _read_first(self, limit: int) -> None:
        """Read the first tasks of as many shares as may be needed: those of the best classes with the lowest tags."""
        places = [
            (priority, line.shares.tags.get(share, begin), place, (queue, priority, share))
            for (queue, priority), line in self._lines.items()
            for begin in (line.shares.virtual_time(line.firsts),)
            for share, place in line.firsts.items()
        ]
        self._cut.update(key for *_, key in places)
        self._heads.update((key, []) for *_, key in places)
        first = [key for *_, key in nsmallest(limit, places)]
        await self._read_heads(first, most=limit if len(first) <= _FEW else limit // len(first) + _FEW)

    async def _read_heads(self, shares: Collection[_Share], *, most: int) -> None:
        """Read the first tasks of shares, `most` of each that are not gone."""
        if not shares or most <= 0:
            self._cut.difference_update(shares)
            return
        sets = [
            (kept, labels, priority, share)
            for key in shares
            for kept, labels in self._kept_under[key]
            for _, priority, share in (key,)
        ]
        rows = await self._connection.fetch(
            _HEADS,
            *map(list, zip(*sets, strict=True)),
            *self._asked,
            most,
            [run_key for run_key, _ in self._gone],
            [operation for _, operation in self._gone],
        )
        found: dict[_Share, list[Waiting]] = {key: [] for key in shares}
        for row in rows:
            place = Place(Timestamp(row["queued_at"]), RunKey(row["run_key"]), Operation(row["operation"]))
            key = (row["queue"], Priority(row["priority"]), row["share"])
            found[key].append(Waiting(place, sound_cost(row["cost"]), row))
        for key, heads in found.items():
            self._heads[key] = sorted(heads, key=lambda task: task.place)[:most]
            if len(heads) < most:
                self._cut.discard(key)


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

# queues, labels of the worker; who waits, by one step of the index for each set of labels, of which there are few, and
# each share of a class; and the tags that are stored
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
        ORDER BY priority, share, queued_at, run_key, operation LIMIT 1
    ) AS found
    WHERE string_to_array(sets.labels, '{SEPARATOR}') <@ $2::text[]
    UNION ALL
    SELECT steps.queue, steps.kept_under, steps.labels, found.* FROM steps CROSS JOIN LATERAL (
        SELECT priority, share, queued_at, run_key, operation FROM tasks
        WHERE tasks.queue = steps.kept_under AND tasks.labels = steps.labels AND owner IS NULL
            AND (tasks.priority, tasks.share) > (steps.priority, steps.share)
        ORDER BY priority, share, queued_at, run_key, operation LIMIT 1
    ) AS found
)
SELECT queue, priority, share, kept_under, labels, queued_at, run_key, operation, NULL::float8 AS tag,
    NULL::float8 AS clock
FROM steps
UNION ALL
SELECT queue, priority, share, NULL, NULL, NULL, NULL, NULL, tag, clock
FROM task_shares WHERE queue = ANY ($1::varchar[])
"""  # noqa: S608 - texts of ours

# kept under, labels, classes and shares of what may be taken, activities, the session, now, how many of each, run keys
# and operations of those that are gone
_HEADS: Final = f"""
SELECT {TASK_COLUMNS}
FROM unnest($1::text[], $2::varchar[], $3::smallint[], $4::varchar[]) AS n (kept_under, labels, priority, share)
CROSS JOIN LATERAL (
    SELECT run_key, operation FROM tasks
    WHERE tasks.queue = n.kept_under AND tasks.labels = n.labels AND tasks.priority = n.priority
        AND tasks.share = n.share
        AND owner IS NULL AND activity = ANY ($5::varchar[])
        AND (sticky_to IS NULL OR sticky_to = $6::bigint OR coalesce(sticky_until, 0) <= $7::bigint
            OR queued_at > $7 + {SKEW_MICROSECONDS}
            OR NOT EXISTS (SELECT FROM sessions WHERE worker_id = sticky_to))
        AND (run_key, operation) NOT IN (SELECT * FROM unnest($9::bigint[], $10::integer[]))
    ORDER BY queued_at, run_key, operation LIMIT $8
) AS first JOIN tasks USING (run_key, operation)
"""  # noqa: S608 - texts of ours

# queues, classes, shares
_DELETE_SHARES: Final = """
DELETE FROM task_shares USING unnest($1::varchar[], $2::smallint[], $3::varchar[]) AS n (queue, priority, share)
WHERE task_shares.queue = n.queue AND task_shares.priority = n.priority AND task_shares.share = n.share
"""

# namespaces, queues, classes, shares, tags, clocks
_PUT_SHARES: Final = """
INSERT INTO task_shares (namespace, queue, priority, share, tag, clock)
SELECT * FROM unnest($1::varchar[], $2::varchar[], $3::smallint[], $4::varchar[], $5::float8[], $6::float8[])
ON CONFLICT (queue, priority, share) DO UPDATE SET tag = excluded.tag, clock = excluded.clock
"""
