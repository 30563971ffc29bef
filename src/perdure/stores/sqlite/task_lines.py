"""The lines of tasks in SQLite, as a claim reads and changes them: who shares which class of a queue, and how far
(`perdure.stores.task_shares`). Functions of a connection, within the writer's transaction.

All is read by the index of claims alone, so that a claim comes to no row but those that it takes: what lies on a
damaged page can be passed over. The tags have a table of their own; if that cannot be read, or not be written, who
claims does without it: then the longest queued is first, whose ever it is.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from heapq import merge
from operator import attrgetter
from typing import Any, Final

import apsw
import msgspec

from perdure.errors import StoreCorruptError
from perdure.kernel.identity import WorkerId
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.logs import logger_named
from perdure.ports.tasks import SKEW_MICROSECONDS, ServedTasks, TaskCost, has_labels
from perdure.stores.sql import tasks as statements
from perdure.stores.sql.passing import PASSING
from perdure.stores.sqlite.faults import is_damage
from perdure.stores.task_shares import (
    Choice,
    Line,
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
    sound_cost,
)

__all__ = ["TaskLines", "UnsoundSharesError"]


# Any in this file: a row holds what SQLite found.


class UnsoundSharesError(StoreCorruptError):
    """What is stored of shares cannot be read, or not be written."""


class TaskLines:
    """The lines that one claim may take tasks of."""

    def __init__(
        self,
        connection: apsw.Connection,
        turns: TaskTurns,
        served: ServedTasks,
        *,
        owner: WorkerId,
        now: Timestamp,
        passed: Collection[int] = (),
        is_fair: bool = True,
    ) -> None:
        """Look at none of the `passed` positions. Unless it `is_fair`, tags are neither read nor written."""
        self._connection: Final = connection
        self._is_fair: Final = is_fair
        self._must_sweep: Final = turns.is_sweep_due(now=now)
        self._labels: Final = {
            queue: [labels for (labels,) in connection.execute(statements.LABELS_OF_TASKS, (queue,))]
            for queue in sorted(served.queues)
        }
        self._served: Final = served
        passing = f" AND position NOT IN ({', '.join(map(str, passed))})" if passed else ""
        self._claimable: Final = statements.CLAIMABLE_TASKS.replace(PASSING, passing)
        activities = msgspec.json.encode(sorted(served.activities)).decode()
        self._asked: Final = (activities, owner, now, now + SKEW_MICROSECONDS)
        self._now: Final = now
        self._lines: dict[_LineKey, Line] = {}
        self._stored: dict[_LineKey, dict[str, Tag]] = {}
        self._passed: dict[Share, None] = {}
        self._forgiven: dict[Share, None] = {}
        self._open: list[apsw.Cursor] = []

    def correct(self, costs: Iterable[TaskCost]) -> None:
        """Correct what was charged before. Raises UnsoundSharesError."""
        for cost in costs if self._is_fair else ():
            line = self._line(cost.queue, cost.priority, most=_FEW)
            self._add(line, statements.SHARE, (cost.queue, cost.priority, _encoded(cost.share)))
            line = self._lines[cost.queue, cost.priority]
            self._keep(line, corrected(line, cost, now=self._now))

    def choose(self, *, limit: int) -> list[Choice]:
        """Return which tasks to take, by their positions. Raises UnsoundSharesError."""
        if self._must_sweep:
            self._sweep()
        most = limit + _FEW
        while True:
            try:
                chosen, lines, passed = choose(
                    partial(self._of_class, most=most), partial(self._tasks, limit=limit), limit=limit
                )
            except UnreadSharesError as unread:
                most *= 2
                self._read(unread.line.queue, unread.line.priority, most=most)
            else:
                if len(chosen) == limit or not [*filter(self._has_found_more, lines)]:
                    self._passed.update(dict.fromkeys(passed))
                    return chosen
            finally:
                for cursor in self._open:
                    cursor.close()

    def charge(self, taken: Sequence[Choice]) -> dict[int, float]:
        """Charge what was taken; return how much for each position for which anything was."""
        charged: dict[int, float] = {}
        for line in [*self._lines.values()]:
            of_line = [choice for choice in taken if choice.line is line]
            shares = charge(line, of_line, now=self._now)
            self._keep(line, shares)
            charged.update({one.task.row: one.task.cost for one in of_line if shares.tags[one.share].had is not None})
        return charged if self._is_fair else {}

    def save(self) -> None:
        """Store what has changed of who shares, and forget those of whom nothing waits. Raises UnsoundSharesError."""
        looked_at = {**self._passed, **self._forgiven} if self._is_fair else {}
        idle = [share for share in looked_at if not self._waits(share)]
        for key, line in self._lines.items() if self._is_fair else ():
            shares = charge(line, (), now=self._now, idle=[share for *of, share in idle if (*of,) == key])
            before = self._stored.get(key, {})
            if shares.tags == before:
                continue
            with _demanding_sound():
                for share in (removed := before.keys() - shares.tags.keys()):
                    self._connection.execute(statements.DELETE_SHARE, (*key, _encoded(share)))
                for number, (share, tag) in enumerate(sorted(shares.tags.items())):
                    if tag != before.get(share) or (number == 0 and removed):  # with which the latest clock may go
                        row = (*key, _encoded(share), tag.had, shares.clock, tag.since, tag.at)
                        self._connection.execute(statements.PUT_SHARE, row)

    def _waits(self, share: Share) -> bool:
        queue, priority, who = share
        return any(
            self._connection.execute(statements.SHARE_WAITS, (queue, labels, priority, _encoded(who))).get
            for labels in self._labels[queue]
        )

    # --- who shares --------------------------------------------------------------------------------------------------

    def _of_class(self, priority: Priority, *, most: int) -> list[Line]:
        return [self._line(queue, priority, most=most) for queue in self._labels]

    def _line(self, queue: str, priority: Priority, *, most: int) -> Line:
        if (queue, priority) not in self._lines:
            self._lines[queue, priority] = Line(queue, priority, Shares())
            self._read(queue, priority, most=most)
        return self._lines[queue, priority]

    def _sweep(self) -> None:
        """Look at all who share the queues that are served."""
        for queue in self._labels:
            for priority in Priority:
                self._line(queue, priority, most=_ALL)
                self._has_found_more(self._lines[queue, priority])
                forgiven = self._lines[queue, priority].shares.forgiven(now=self._now)
                self._forgiven.update(((queue, priority, who), None) for who in sorted(forgiven))

    def _read(self, queue: str, priority: Priority, *, most: int) -> None:
        """Read the first rows of a line: `most` of those with a tag, and of those without one."""
        if not self._is_fair:
            return
        line = self._lines[queue, priority]
        rows = self._add(line, statements.SHARES_IN_ORDER, (queue, priority, most))
        line = self._lines[queue, priority]
        clock = max([line.shares.clock, *(latest for *_, latest in rows[:1])])
        served, comers = [
            [(had, since, _decoded(share)) for share, had, since, *_ in rows if (had is None) is is_new]
            for is_new in (False, True)
        ]
        self._lines[queue, priority] = line._replace(
            shares=Shares(line.shares.tags, clock),
            read_to=served[-1] if len(served) == most else None,
            read_to_comer=comers[-1][1:] if len(comers) == most else None,
        )

    def _add(self, line: Line, statement: str, asked: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Read rows, and add those that were not read before to their line; where one is damaged, the turns of all
        begin anew."""
        key = (line.queue, line.priority)
        stored, tags = self._stored.setdefault(key, {}), dict(line.shares.tags)
        with _demanding_sound():
            rows: list[tuple[Any, ...]] = self._connection.execute(statement, asked).fetchall()
            if not all(
                is_sound_tag(had, clock, since, at) and all(map(is_sound_number, more))
                for _, had, since, at, clock, *more in rows
            ):
                _LOGGER.error(
                    "who shares the queue %r is not known: a row is damaged; its turns begin anew", line.queue
                )
                self._connection.execute(statements.DELETE_SHARES, key)
                stored.clear()
                self._lines[key] = Line(*key, Shares())
                self._has_found_more(self._lines[key])
                return []
            for share, had, since, at, *_ in rows:
                if (name := _decoded(share)) not in stored:
                    tags[name] = stored[name] = Tag(had, Timestamp(since), Timestamp(at))
        self._keep(line, Shares(tags, line.shares.clock))
        return rows

    def _keep(self, line: Line, shares: Shares) -> None:
        self._lines[line.queue, line.priority] = line._replace(shares=shares)

    def _has_found_more(self, line: Line) -> bool:
        """Whether a look at all that wait has found any who have no row."""
        tags = dict(line.shares.tags)
        for labels in self._labels.get(line.queue, ()):
            for share, since in self._connection.execute(
                statements.WAITING_SHARES, (line.queue, labels, line.priority)
            ):
                tags.setdefault(_decoded(share), Tag(None, Timestamp(since), Timestamp(since)))
        self._keep(line, Shares(tags, line.shares.clock))
        return len(tags) > len(line.shares.tags)

    # --- tasks -------------------------------------------------------------------------------------------------------

    def _tasks(self, line: Line, share: str, *, limit: int) -> Iterator[Waiting]:
        found = [
            self._tasks_of(line, share, labels, limit=limit)
            for labels in self._labels[line.queue]
            if has_labels(labels.decode(errors="replace"), self._served)
        ]
        return merge(*found, key=attrgetter("place"))

    def _tasks_of(self, line: Line, share: str, labels: bytes, *, limit: int) -> Iterator[Waiting]:
        asked = (line.queue, labels, line.priority, _encoded(share), *self._asked, limit)
        cursor = self._connection.cursor()
        self._open.append(cursor)
        cursor.execute(self._claimable, asked)
        return (Waiting(Place(*place), sound_cost(cost), position) for position, cost, *place in cursor)


def _decoded(share: bytes) -> str:
    return share.decode(errors="surrogateescape")


def _encoded(share: str) -> bytes:
    return share.encode(errors="surrogateescape")


@contextmanager
def _demanding_sound() -> Iterator[None]:
    try:
        yield
    except (apsw.Error, UnicodeDecodeError) as error:
        if is_damage(error):
            raise UnsoundSharesError(f"the turns of those who share a queue cannot be kept: {error}") from error
        raise


_LineKey = tuple[str, Priority]

_FEW: Final = 3
"""So many more shares are read than tasks are wanted: some may be idle."""

_ALL: Final = 2**31

_LOGGER: Final = logger_named("perdure.store")
