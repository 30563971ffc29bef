"""The lines of tasks on a PostgreSQL server, as a claim reads and changes them: who shares which class of a queue, and
how far (`perdure.stores.task_shares`). Functions of a connection, within the transaction of a claim.

**Turns.** Claims of a queue take turns, by an advisory lock for each queue, always in the same order: whoever has the
turn sees all that was claimed before, and decides alone. Who serves other queues waits for nobody.

**What a claim reads.** The first rows of those who share, as many as it may take tasks, and the first tasks of these, a
few of each where there are many. Where a decision comes to what was not read, it is made again once that is.

**Rows of who shares** are made by the transactions that queue tasks (`STAND`), and removed by claims. A claim does not
see the task of a transaction under way, which found the row in its place: so both lock the share, who queues with
others that do, and a claim only where nobody is in the way. It waits for nobody, and who queues for one claim at most.
"""

import math
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from heapq import nsmallest
from typing import Any, Final

from perdure.kernel.identity import Operation, RunKey, WorkerId
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import SEPARATOR
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.ports.tasks import SKEW_MICROSECONDS, ServedTasks, TaskCost
from perdure.stores.postgres.connection import Connection, Record
from perdure.stores.postgres.rows import TASK_COLUMNS
from perdure.stores.postgres.standing import LOCK_OF_SHARE, SETS, STAND
from perdure.stores.task_shares import (
    Choice,
    Line,
    Order,
    Place,
    Share,
    Shares,
    Tag,
    TaskTurns,
    UnreadSharesError,
    Waiting,
    charge,
    choose,
    corrected,
    is_sound_number,
    is_sound_tag,
    order,
    sound_cost,
)

__all__ = ["Key", "TaskLines", "take_turn"]

Key = tuple[RunKey, Operation]
"""Names a task."""

_LineKey = tuple[str, Priority]


async def take_turn(connection: Connection, served: ServedTasks, costs: Sequence[TaskCost]) -> None:
    """Wait until no other claims tasks of these queues, or corrects what was charged in them, till the end of the
    transaction."""
    await connection.execute(_TAKE_TURN, sorted(served.queues.union(cost.queue for cost in costs)))


class _UnreadTasksError(Exception):
    """A decision needs tasks that were not read."""

    def __init__(self, share: Share) -> None:
        super().__init__(share)
        self.share: Final = share


class TaskLines:
    """The lines that one claim may take tasks of, whose turn it is."""

    def __init__(
        self, connection: Connection, turns: TaskTurns, served: ServedTasks, *, owner: WorkerId, now: Timestamp
    ) -> None:
        """Prepare; nothing is read yet."""
        self._connection: Final = connection
        self._turns: Final = turns
        self._served: Final = served
        self._asked: Final = (sorted(served.activities), owner, now)
        self._now: Final = now
        self._lines: dict[_LineKey, Line] = {}
        self._stored: dict[_LineKey, dict[str, Tag]] = {}
        self._heads: dict[Share, list[Waiting]] = {}
        self._whole: set[Share] = set()
        self._gone: set[Key] = set()
        self._passed: dict[Share, None] = {}
        self._forgiven: dict[Share, None] = {}
        self._namespaces: dict[str, str] = {}

    async def read(self, costs: Sequence[TaskCost] = (), *, limit: int) -> None:
        """Read who is first in each class, and correct what was charged before."""
        queues = sorted(self._served.queues)
        if queues and self._turns.is_sweep_due(now=self._now):
            await self._sweep(queues)
        keys = {(queue, priority) for queue in queues for priority in Priority}
        await self._read_lines(keys | {(cost.queue, cost.priority) for cost in costs}, most=limit + _MORE)
        if costs:
            asked = [(cost.queue, cost.priority, cost.share) for cost in costs]
            self._add(await self._connection.fetch(_ROWS_OF, *_columns(asked)))
        for cost in costs:
            line = self._lines[cost.queue, cost.priority]
            self._keep(line, corrected(line, cost, now=self._now))

    async def _read_lines(self, keys: Collection[_LineKey], *, most: int) -> None:
        """Read the first rows of lines: `most` of those with a tag, and of those without one."""
        found: dict[_LineKey, list[Record]] = {key: [] for key in sorted(keys)}
        for row in await self._connection.fetch(_ROWS, *_columns(found), most):
            found[row["queue"], Priority(row["priority"])].append(row)
        for key, rows in found.items():
            served, comers = [[row for row in rows if (row["tag"] == _NONE) is is_new] for is_new in (False, True)]
            shares = self._lines[key].shares if key in self._lines else Shares()
            clock = max([shares.clock, *(row["latest"] for row in rows[:1] if is_sound_number(row["latest"]))])
            self._lines[key] = Line(
                *key,
                Shares(shares.tags, clock),
                read_to=_order(served[-1]) if len(served) == most else None,
                read_to_comer=_order(comers[-1])[1:] if len(comers) == most else None,
            )
            self._add(rows)

    def _add(self, rows: Iterable[Record]) -> None:
        """Add rows that were not read before to their lines."""
        for row in rows:
            key, share = (row["queue"], Priority(row["priority"])), row["share"]
            line, stored = self._lines[key], self._stored.setdefault(key, {})
            if share not in stored and is_sound_tag(_had(row), row["clock"], row["since"], row["at"]):
                stored[share] = Tag(_had(row), Timestamp(row["since"]), Timestamp(row["at"]))
                self._namespaces[share] = row["namespace"]
                self._keep(line, Shares({**line.shares.tags, share: stored[share]}, line.shares.clock))

    def _keep(self, line: Line, shares: Shares) -> None:
        self._lines[line.queue, line.priority] = line._replace(shares=shares)

    async def choose(self, *, limit: int) -> tuple[list[Choice], list[Line]]:
        """Return which tasks to take, in order, with their rows, and the lines that were looked at."""
        most = limit + _MORE
        while True:
            try:
                chosen, lines, passed = choose(self._of_class, self._tasks, limit=limit)
            except _UnreadTasksError as unread:
                await self._read_tasks(unread.share, limit=limit)
            except UnreadSharesError as unread:
                most *= 2
                await self._read_lines([(unread.line.queue, unread.line.priority)], most=most)
            else:
                if len(chosen) == limit or not await self._has_found_more(limit=limit):
                    self._passed.update(dict.fromkeys(passed))
                    return chosen, lines

    async def _has_found_more(self, *, limit: int) -> bool:
        """Whether a look at all that wait has found any of whom too few tasks were found for want of a row."""
        if not await self._stand(sorted(self._served.queues)):
            return False
        await self._read_lines([*self._lines], most=limit + _MORE)
        return True

    def charge(self, lines: Sequence[Line], chosen: Sequence[Choice], taken: Collection[Key]) -> dict[Key, float]:
        """Charge what was taken of what was chosen, none of which is chosen again; return how much of each."""
        self._gone.update(choice.task.place[1:] for choice in chosen)
        charged: dict[Key, float] = {}
        for line in lines:
            of_line = [choice for choice in chosen if choice.line is line and choice.task.place[1:] in taken]
            shares = charge(line, of_line, now=self._now)
            self._keep(line, shares)
            for choice in of_line:
                if shares.tags[choice.share].had is not None:
                    charged[choice.task.place[1:]] = choice.task.cost
        return charged

    async def save(self) -> None:
        """Store what has changed of who shares, and forget those of whom nothing waits."""
        idle = await self._idle()
        gone: list[Share] = []
        new: list[tuple[str, str, Priority, str, float, float, Timestamp, Timestamp]] = []
        for key, line in self._lines.items():
            before = self._stored.get(key, {})
            shares = charge(line, [], now=self._now, idle=[who for *of_line, who in idle if (*of_line,) == key])
            gone += (removed := [(*key, share) for share in before.keys() - shares.tags.keys()])
            for number, (share, tag) in enumerate(sorted(shares.tags.items())):
                if tag != before.get(share) or (number == 0 and removed):  # with which the latest clock may go
                    namespace = self._namespaces.get(share, share.partition(SEPARATOR)[0])
                    had = _NONE if tag.had is None else tag.had
                    new.append((namespace, *key, share, had, shares.clock, tag.since, tag.at))
        if gone:
            await self._connection.execute(_DELETE_SHARES, *_columns(gone))
        if new:
            await self._connection.execute(_PUT_SHARES, *_columns(new))

    async def _idle(self) -> list[Share]:
        """Return those of whom nothing waits, nor will by a transaction under way, of those of whom nothing was
        found."""
        looked_at = [share for share in {**self._passed, **self._forgiven} if not self._is_last(share)]
        if not looked_at:
            return []
        locked = {_share_of(row) for row in await self._connection.fetch(_LOCK_SHARES, *_columns(looked_at))}
        asked = [share for share in looked_at if share in locked]
        idle = {_share_of(row) for row in await self._connection.fetch(_IDLE, *_columns(asked))} if asked else ()
        return [share for share in asked if share in idle]

    def _is_last(self, share: Share) -> bool:
        line = self._lines[share[:2]]
        return line.horizon is None and len(line.shares.tags) == 1

    # --- looks at all ------------------------------------------------------------------------------------------------

    async def _sweep(self, queues: Sequence[str]) -> None:
        """Have rows that no Perdure wrote made anew, those made that are missing, and debts forgiven."""
        await self._connection.execute(_DELETE_UNSOUND, queues)
        await self._stand(queues)
        for row in await self._connection.fetch(_FORGIVEN, queues, self._now):
            self._lines.setdefault((row["queue"], Priority(row["priority"])), Line(*_share_of(row)[:2], Shares()))
            self._add([row])
            self._forgiven[_share_of(row)] = None

    async def _stand(self, queues: Sequence[str]) -> bool:
        """Make rows for those of whom something waits, and who have none; return whether any were."""
        missing = [
            (row["namespace"], *_share_of(row), row["since"])
            for row in await self._connection.fetch(_MISSING, queues, *await self._ranges())
        ]
        return bool(missing) and bool(await self._connection.fetch(_STAND_MISSING, *_columns(missing)))

    async def _ranges(self) -> tuple[list[str], list[str]]:
        """Return the least texts of shares of this role's namespaces, and what is after the greatest."""
        if not await self._connection.fetchval(_IS_BOUND):
            return [""], [_AFTER_ALL]
        bound = [row["namespace"] for row in await self._connection.fetch(_NAMESPACES)]
        return ["", *(name + SEPARATOR for name in bound)], [chr(1), *(name + _AFTER_SEPARATOR for name in bound)]

    # --- tasks -------------------------------------------------------------------------------------------------------

    def _of_class(self, priority: Priority) -> list[Line]:
        return [line for (queue, of), line in self._lines.items() if of == priority and queue in self._served.queues]

    def _tasks(self, line: Line, share: str) -> Iterator[Waiting]:
        """Yield the tasks of a share, as far as they were read. Raises _UnreadTasksError for more."""
        key = (line.queue, line.priority, share)
        yield from (task for task in self._heads.get(key, ()) if task.place[1:] not in self._gone)
        if key not in self._whole:
            raise _UnreadTasksError(key)

    async def _read_tasks(self, share: Share, *, limit: int) -> None:
        """Read the first tasks of a share, and of those that will be asked for after it: the best classes, the lowest
        tags. Of one of which some were read all are that one claim can take."""
        if share in self._heads:
            await self._read_heads([share], most=limit + 1)
            return
        places = [
            (priority, *order(who, tag, clock=line.shares.clock), key)
            for (queue, priority), line in self._lines.items()
            for who, tag in line.shares.tags.items()
            if (key := (queue, priority, who)) not in self._heads and key != share and queue in self._served.queues
        ]
        first = [share, *(key for *_, key in nsmallest(limit - 1, places))]
        await self._read_heads(first, most=limit if len(first) <= _FEW else limit // len(first) + 1)

    async def _read_heads(self, shares: Collection[Share], *, most: int) -> None:
        """Read the first tasks of shares, `most` of each that are not gone."""
        found: dict[Share, list[Waiting]] = {share: [] for share in shares}
        gone = _columns(self._gone) or [[], []]
        queues = sorted({queue for queue, *_ in shares})
        asked = (queues, sorted(self._served.labels), *_columns(shares), *self._asked, most, *gone)
        for row in await self._connection.fetch(_HEADS, *asked):
            found[_share_of(row)].append(Waiting(_place(row), sound_cost(row["cost"]), row))
        for share, heads in found.items():
            self._heads[share] = sorted(heads, key=lambda task: task.place)[:most]
            if len(heads) < most:
                self._whole.add(share)


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _share_of(row: Record) -> Share:
    return (row["queue"], Priority(row["priority"]), row["share"])


def _place(row: Record) -> Place:
    return Place(Timestamp(row["queued_at"]), RunKey(row["run_key"]), Operation(row["operation"]))


def _had(row: Record) -> float | None:
    return None if row["tag"] == _NONE else row["tag"]


def _order(row: Record) -> Order:
    return (row["tag"], Timestamp(row["since"]), row["share"])


_NONE: Final = -math.inf
"""The tag of who has none."""

_MORE: Final = 3
"""So many more shares are read than tasks are wanted: some may be idle."""

_FEW: Final = 2
_AFTER_SEPARATOR: Final = chr(ord(SEPARATOR) + 1)
_AFTER_ALL: Final = chr(sys.maxunicode) * 8

# queues
_TAKE_TURN: Final = """
SELECT pg_advisory_xact_lock(turn) FROM (
    SELECT DISTINCT hashtextextended('perdure tasks ' || queue, 0) AS turn FROM unnest($1::varchar[]) AS queue
    ORDER BY turn
) AS turns
"""

_SHARE: Final = "task_shares.queue, task_shares.priority, task_shares.share"
_ROW: Final = f"{_SHARE}, tag, clock, since, at, namespace"
_OF_LINE: Final = "task_shares.queue = n.queue AND task_shares.priority = n.priority"

# queues, classes, how many of each kind
_ROWS: Final = f"""
SELECT found.*, n.latest FROM (
    SELECT n.*, (SELECT max(clock) FROM task_shares WHERE {_OF_LINE}) AS latest
    FROM unnest($1::varchar[], $2::smallint[]) AS n (queue, priority) OFFSET 0
) AS n CROSS JOIN LATERAL (
    (SELECT {_ROW} FROM task_shares WHERE {_OF_LINE} AND tag = '-infinity' ORDER BY since, share LIMIT $3)
    UNION ALL
    (SELECT {_ROW} FROM task_shares WHERE {_OF_LINE} AND tag > '-infinity' ORDER BY tag, since, share LIMIT $3)
) AS found
"""  # noqa: S608 - texts above

# queues, classes, shares
_ROWS_OF: Final = f"""
SELECT {_ROW} FROM unnest($1::varchar[], $2::smallint[], $3::varchar[]) AS n (queue, priority, share)
JOIN task_shares ON {_OF_LINE} AND task_shares.share = n.share
"""  # noqa: S608 - texts above

# queues, classes, shares; those that nobody else has locked, who queues a task
_LOCK_SHARES: Final = f"""
SELECT queue, priority, share FROM unnest($1::varchar[], $2::smallint[], $3::varchar[]) AS n (queue, priority, share)
WHERE pg_try_advisory_xact_lock({LOCK_OF_SHARE})
"""  # noqa: S608 - texts of ours

_WAITS: Final = """
SELECT FROM sets JOIN tasks ON tasks.queue = sets.kept_under AND tasks.labels = sets.labels
    AND tasks.priority = n.priority AND tasks.share = n.share AND tasks.owner IS NULL
WHERE sets.queue = n.queue
"""

# queues, classes, shares
_IDLE: Final = f"""
WITH RECURSIVE {SETS}
SELECT queue, priority, share FROM unnest($1::varchar[], $2::smallint[], $3::varchar[]) AS n (queue, priority, share)
WHERE NOT EXISTS ({_WAITS})
"""  # noqa: S608 - texts above

# queues, now
_FORGIVEN: Final = f"""
WITH RECURSIVE {SETS}
SELECT n.queue, n.priority, n.share, tag, n.clock, since, at, namespace, latest.clock AS latest
FROM task_shares AS n CROSS JOIN LATERAL (SELECT max(clock) AS clock FROM task_shares WHERE {_OF_LINE}) AS latest
WHERE n.queue = ANY ($1) AND tag > '-infinity' AND tag <> 0
    AND (tag - latest.clock) * {MICROSECONDS_PER_SECOND} <= greatest($2::bigint - at, 0) AND NOT EXISTS ({_WAITS})
ORDER BY n.queue, n.priority, n.share
"""  # noqa: S608 - texts above

# queues
_DELETE_UNSOUND: Final = """
DELETE FROM task_shares WHERE queue = ANY ($1::varchar[])
    AND (tag NOT BETWEEN -1e15 AND 1e15 AND tag <> '-infinity' OR clock NOT BETWEEN -1e15 AND 1e15)
"""

# queues, the least texts of shares that are looked for, and what is after the greatest; by one step of the index for
# each share of a class
_MISSING: Final = f"""
WITH RECURSIVE {SETS}, steps AS (
    SELECT sets.*, ranges.*, priorities.*, found.*
    FROM sets CROSS JOIN unnest($2::varchar[], $3::varchar[]) AS ranges (first, after_last)
    CROSS JOIN generate_series(0, 4) AS priorities (priority) CROSS JOIN LATERAL (
        SELECT share, queued_at, namespace FROM tasks
        WHERE tasks.queue = sets.kept_under AND tasks.labels = sets.labels AND owner IS NULL
            AND tasks.priority = priorities.priority
            AND tasks.share >= ranges.first AND tasks.share < ranges.after_last
        ORDER BY share, queued_at, run_key, operation LIMIT 1
    ) AS found
    UNION ALL
    SELECT steps.queue, steps.kept_under, steps.labels, steps.first, steps.after_last, steps.priority, found.*
    FROM steps CROSS JOIN LATERAL (
        SELECT share, queued_at, namespace FROM tasks
        WHERE tasks.queue = steps.kept_under AND tasks.labels = steps.labels AND owner IS NULL
            AND tasks.priority = steps.priority AND tasks.share > steps.share AND tasks.share < steps.after_last
        ORDER BY share, queued_at, run_key, operation LIMIT 1
    ) AS found
)
SELECT queue, priority, share, min(queued_at) AS since, min(namespace) AS namespace FROM steps
WHERE NOT EXISTS (
    SELECT FROM task_shares
    WHERE task_shares.queue = steps.queue AND task_shares.priority = steps.priority AND task_shares.share = steps.share
)
GROUP BY queue, priority, share ORDER BY queue, priority, share
"""  # noqa: S608 - texts of ours

# namespaces, queues, classes, shares, since when; not of those that somebody who queues a task has locked, and makes
_STAND_MISSING: Final = f"""
WITH n AS (
    SELECT * FROM unnest($1::varchar[], $2::varchar[], $3::smallint[], $4::varchar[], $5::bigint[])
        AS n (namespace, queue, priority, share, queued_at)
    WHERE pg_try_advisory_xact_lock({LOCK_OF_SHARE})
)
{STAND} RETURNING true
"""  # noqa: S608 - texts of ours

# whether policies keep rows from this role
_IS_BOUND: Final = "SELECT row_security_active('tasks')"
_NAMESPACES: Final = "SELECT namespace FROM role_namespaces WHERE role = current_user ORDER BY 1"

# queues, labels of the worker, queues, classes and shares of what may be taken, activities, the session, now, how many
# of each, run keys and operations of those that are gone; the labels by one step of the index for each set of them
_HEADS: Final = f"""
WITH RECURSIVE {SETS}
SELECT {TASK_COLUMNS}
FROM unnest($3::varchar[], $4::smallint[], $5::varchar[]) AS n (queue, priority, share)
JOIN sets ON sets.queue = n.queue AND string_to_array(sets.labels, '{SEPARATOR}') <@ $2::text[]
CROSS JOIN LATERAL (
    SELECT run_key, operation FROM tasks
    WHERE tasks.queue = sets.kept_under AND tasks.labels = sets.labels AND tasks.priority = n.priority
        AND tasks.share = n.share
        AND owner IS NULL AND activity = ANY ($6::varchar[])
        AND (sticky_to IS NULL OR sticky_to = $7::bigint OR coalesce(sticky_until, 0) <= $8::bigint
            OR queued_at > $8 + {SKEW_MICROSECONDS}
            OR NOT EXISTS (SELECT FROM sessions WHERE worker_id = sticky_to))
        AND (run_key, operation) NOT IN (SELECT * FROM unnest($10::bigint[], $11::integer[]))
    ORDER BY queued_at, run_key, operation LIMIT $9
) AS first JOIN tasks USING (run_key, operation)
"""  # noqa: S608 - texts of ours

# queues, classes, shares
_DELETE_SHARES: Final = """
DELETE FROM task_shares USING unnest($1::varchar[], $2::smallint[], $3::varchar[]) AS n (queue, priority, share)
WHERE task_shares.queue = n.queue AND task_shares.priority = n.priority AND task_shares.share = n.share
"""

# namespaces, queues, classes, shares, tags, clocks, since when, times
_PUT_SHARES: Final = """
INSERT INTO task_shares (namespace, queue, priority, share, tag, clock, since, at)
SELECT * FROM unnest(
    $1::varchar[], $2::varchar[], $3::smallint[], $4::varchar[], $5::float8[], $6::float8[], $7::bigint[], $8::bigint[]
)
ON CONFLICT (queue, priority, share) DO UPDATE
SET tag = excluded.tag, clock = excluded.clock, since = excluded.since, at = excluded.at
"""
