"""The lines of tasks in SQLite, as a claim reads and changes them: who shares which class of a queue, and how far
(`perdure.stores.task_shares`). Functions of a connection, within the writer's transaction.

All is read by the index of claims alone, so that a claim comes to no row but those that it takes: what lies on a
damaged page can be passed over. The tags have a table of their own; if that cannot be read, or not be written, who
claims does without it: then the longest queued is first, whose ever it is.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
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

__all__ = ["TaskLines", "UnsoundSharesError"]


# Any in this file: a row holds what SQLite found.


class UnsoundSharesError(StoreCorruptError):
    """What is stored of shares cannot be read, or not be written."""


class TaskLines:
    """The lines that one claim may take tasks of."""

    def __init__(
        self,
        connection: apsw.Connection,
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
        self._labels: Final = {
            queue: [
                labels
                for (labels,) in connection.execute(statements.LABELS_OF_TASKS, (queue,))
                if has_labels(labels.decode(errors="replace"), served)
            ]
            for queue in sorted(served.queues)
        }
        passing = f" AND position NOT IN ({', '.join(map(str, passed))})" if passed else ""
        self._claimable: Final = statements.CLAIMABLE_TASKS.replace(PASSING, passing)
        activities = msgspec.json.encode(sorted(served.activities)).decode()
        self._asked: Final = (activities, owner, now, now + SKEW_MICROSECONDS)
        self._now: Final = now
        self._lines: dict[tuple[str, Priority], Line] = {}
        self._stored: dict[tuple[str, Priority], Shares] = {}
        self._open: list[apsw.Cursor] = []

    def correct(self, costs: Iterable[TaskCost]) -> None:
        """Correct what was charged before. Raises UnsoundSharesError."""
        for cost in costs:
            line = self._line(cost.queue, cost.priority)
            self._lines[cost.queue, cost.priority] = line._replace(shares=corrected(line, cost, now=self._now))

    def choose(self, *, limit: int) -> tuple[list[Choice], list[Line]]:
        """Return which tasks to take, by their positions, and the lines that were looked at. Raises
        UnsoundSharesError."""

        def tasks(line: Line, share: str) -> Iterator[Waiting]:
            return merge(*self._tasks(line, share, limit=limit), key=attrgetter("place"))

        try:
            return choose(self._of_class, tasks, limit=limit)
        finally:
            for cursor in self._open:
                cursor.close()

    def charge(self, lines: Iterable[Line], taken: Sequence[Choice]) -> dict[int, float]:
        """Charge what was taken of these lines, and is its owner's by now; return how much for each position for which
        anything was."""
        charged: dict[int, float] = {}
        for line in lines:
            of_line = [choice for choice in taken if choice.line is line]
            shares = charge(line, of_line, now=self._now)
            idle = [share for share in left_behind(shares, of_line) if not self._waits(line, share)]
            self._lines[line.queue, line.priority] = line._replace(shares=without(shares, idle))
            charged.update({one.task.row: one.task.cost for one in of_line if one.share in shares.tags})
        return charged

    def save(self) -> None:
        """Store what has changed of who shares. Raises UnsoundSharesError."""
        for (queue, priority), before in self._stored.items() if self._is_fair else ():
            shares = self._lines[queue, priority].shares
            if shares == before:
                continue
            with _demanding_sound():
                for share in before.tags.keys() - shares.tags.keys():
                    self._connection.execute(statements.DELETE_SHARE, (queue, priority, _encoded(share)))
                for number, (share, tag) in enumerate(sorted(shares.tags.items())):
                    if number == 0 or tag != before.tags.get(share):  # the first has the latest clock in any case
                        row = (queue, priority, _encoded(share), tag.had, shares.clock, tag.at)
                        self._connection.execute(statements.PUT_SHARE, row)

    def _of_class(self, priority: Priority) -> list[Line]:
        lines = [self._line(queue, priority) for queue in self._labels]
        return [line for line in lines if line.firsts]

    def _line(self, queue: str, priority: Priority) -> Line:
        key = (queue, priority)
        if key not in self._lines:
            self._stored[key] = self._shares(queue, priority)
            self._lines[key] = Line(queue, priority, self._firsts(queue, priority), self._stored[key])
        return self._lines[key]

    def _firsts(self, queue: str, priority: Priority) -> dict[str, Place]:
        firsts: dict[str, Place] = {}
        for labels in self._labels.get(queue, ()):
            statement, share = statements.FIRST_SHARE, b""
            while found := self._connection.execute(statement, (queue, labels, priority, share)).fetchone():
                share, *place = found
                name = share.decode(errors="surrogateescape")
                firsts[name] = min(firsts.get(name, Place(*place)), Place(*place))
                statement = statements.NEXT_SHARE
        return firsts

    def _tasks(self, line: Line, share: str, *, limit: int) -> Iterator[Iterator[Waiting]]:
        for labels in self._labels[line.queue]:
            asked = (line.queue, labels, line.priority, _encoded(share), *self._asked, limit)
            cursor = self._connection.cursor()
            self._open.append(cursor)
            cursor.execute(self._claimable, asked)
            yield (Waiting(Place(*place), sound_cost(cost), position) for position, cost, *place in cursor)

    def _waits(self, line: Line, share: str) -> bool:
        asked = [(line.queue, labels, line.priority, _encoded(share)) for labels in self._labels[line.queue]]
        return any(self._connection.execute(statements.SHARE_WAITS, one).get is not None for one in asked)

    def _shares(self, queue: str, priority: Priority) -> Shares:
        if not self._is_fair:
            return Shares()
        with _demanding_sound():
            rows: list[tuple[Any, ...]] = self._connection.execute(statements.SHARES, (queue, priority)).fetchall()
            if not all(is_sound_tag(*numbers) for _, *numbers in rows):
                _LOGGER.error("who shares the queue %r is not known: a row is damaged; its turns begin anew", queue)
                self._connection.execute(statements.DELETE_SHARES, (queue, priority))
                return Shares()
            tags = {share.decode(errors="surrogateescape"): Tag(had, Timestamp(at)) for share, had, _, at in rows}
        return Shares(tags, max((clock for _, _, clock, _ in rows), default=0.0))


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


_LOGGER: Final = logger_named("perdure.store")
