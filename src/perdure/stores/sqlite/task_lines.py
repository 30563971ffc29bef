"""The lines of tasks in SQLite, as a claim reads and changes them: who shares which class of a queue, and how far
(`perdure.stores.task_shares`). Functions of a connection, within the writer's transaction.

All is read by the index of claims alone, so that a claim comes to no row but those that it takes: what lies on a
damaged page can be passed over. The tags have a table of their own; if that cannot be read, or not be written, who
claims does without it: then the longest queued is first, whose ever it is.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import apsw
import msgspec

from perdure.errors import StoreCorruptError
from perdure.kernel.identity import WorkerId
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.ports.tasks import SKEW_MICROSECONDS, ServedTasks, TaskCost, has_labels
from perdure.stores.sql import tasks as statements
from perdure.stores.sql.passing import PASSING
from perdure.stores.sqlite.faults import is_damage
from perdure.stores.task_shares import Choice, Line, Place, Shares, Waiting, charge, choose, corrected, sound_cost

__all__ = ["TaskLines", "UnsoundSharesError"]


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

    def choose(self, *, limit: int) -> tuple[list[Choice], list[Line]]:
        """Return which tasks to take, by their positions, and the lines that were looked at. Raises
        UnsoundSharesError."""

        def tasks(line: Line, share: str) -> Sequence[Waiting]:
            return self._tasks(line, share, limit=limit)

        return choose(self._lines, tasks, limit=limit)

    def correct(self, costs: Iterable[TaskCost]) -> None:
        """Correct what was charged before. Raises UnsoundSharesError."""
        for cost in costs:
            shares = self._shares(cost.queue, cost.priority)
            self._save(cost.queue, cost.priority, shares, corrected(shares, cost))

    def charge(self, lines: Iterable[Line], taken: Sequence[Choice]) -> None:
        """Charge what was taken of these lines. Raises UnsoundSharesError."""
        for line in lines:
            charged = charge(line, (choice for choice in taken if choice.line is line))
            self._save(line.queue, line.priority, line.shares, charged)

    def _lines(self, priority: Priority) -> list[Line]:
        return [
            Line(queue, priority, firsts, self._shares(queue, priority))
            for queue in self._labels
            if (firsts := self._firsts(queue, priority))
        ]

    def _firsts(self, queue: str, priority: Priority) -> dict[str, Place]:
        firsts: dict[str, Place] = {}
        for labels in self._labels[queue]:
            statement, share = statements.FIRST_SHARE, b""
            while found := self._connection.execute(statement, (queue, labels, priority, share)).fetchone():
                share, *place = found
                name = share.decode(errors="surrogateescape")
                firsts[name] = min(firsts.get(name, Place(*place)), Place(*place))
                statement = statements.NEXT_SHARE
        return firsts

    def _tasks(self, line: Line, share: str, *, limit: int) -> list[Waiting]:
        name = share.encode(errors="surrogateescape")
        found = [
            Waiting(Place(*place), sound_cost(cost), position)
            for labels in self._labels[line.queue]
            for position, cost, *place in self._connection.execute(
                self._claimable, (line.queue, labels, line.priority, name, *self._asked, limit)
            )
        ]
        return sorted(found, key=lambda task: task.place)[:limit]

    def _shares(self, queue: str, priority: Priority) -> Shares:
        if not self._is_fair:
            return Shares()
        with _demanding_sound():
            rows = self._connection.execute(statements.SHARES, (queue, priority)).fetchall()
        tags = {share.decode(errors="surrogateescape"): tag for share, tag, _ in rows}
        return Shares(tags, max((clock for *_, clock in rows), default=0.0))

    def _save(self, queue: str, priority: Priority, before: Shares, shares: Shares) -> None:
        if not self._is_fair:
            return
        line = (queue, priority)
        with _demanding_sound():
            for share in before.tags.keys() - shares.tags.keys():
                self._connection.execute(statements.DELETE_SHARE, (*line, share.encode(errors="surrogateescape")))
            for share, tag in shares.tags.items():
                if tag != before.tags.get(share):
                    name = share.encode(errors="surrogateescape")
                    self._connection.execute(statements.PUT_SHARE, (*line, name, tag, shares.clock))


@contextmanager
def _demanding_sound() -> Iterator[None]:
    try:
        yield
    except (apsw.Error, UnicodeDecodeError) as error:
        if is_damage(error):
            raise UnsoundSharesError(f"the turns of those who share a queue cannot be kept: {error}") from error
        raise
