"""Dependencies: which transaction must have come before which, and why; as a graph of numbers.

- *write-write*: one appended to a list directly before the other did;
- *write-read*: the other saw what the one appended, last of all in a list that it read;
- *read-write*: the one read a list without what the other appended next;
- *process*: one session did the one, and then the other;
- *real time*: the one had ended before the other began.

The real-time order of n transactions may have n² pairs. Here it goes over *moments*: each transaction leads to the
first moment after its end, each moment to the next one, and to the transactions that began then: at most 4n edges,
whose paths are exactly the pairs (Elle's transitive reduction of the interval order, with a node for each level).
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final

from perdure.torture.checking.transactions import Append, Read, Saw, Transaction
from perdure.torture.checking.versions import Versions

__all__ = ["Dependencies", "Edge", "Kinds"]


class Edge(IntEnum):
    """Why one comes before the other."""

    WRITE_WRITE = 0
    WRITE_READ = 1
    READ_WRITE = 2
    PROCESS = 3
    REAL_TIME = 4


Kinds = frozenset[Edge]


class Dependencies:
    """The graph. Transactions have their numbers as nodes; nodes from `moments` on are moments."""

    def __init__(self, transactions: Sequence[Transaction], versions: Versions) -> None:
        """Find all dependencies, in time that grows with what was read and with n log n of the times."""
        self.moments: Final = len(transactions)
        self._transactions: Final = transactions
        self._versions: Final = versions
        self._next: Final[list[list[int]]] = [[] for _ in transactions]
        self._add_orders()
        self._add_reads()
        self._add_sessions()
        self._add_times()

    def __len__(self) -> int:
        """Return how many nodes there are."""
        return len(self._next)

    def after(self, node: int) -> Iterator[tuple[int, Edge]]:
        """Yield what comes after a node, and why."""
        for edge in self._next[node]:
            yield edge >> _BITS, _EDGES[edge & _MASK]

    def nodes_after(self, node: int) -> list[int]:
        """Return what comes after a node."""
        return [edge >> _BITS for edge in self._next[node]]

    def _add(self, before: int, after: int, why: Edge) -> None:
        if before != after:
            self._next[before].append(after << _BITS | why)

    def _add_orders(self) -> None:
        """Write-write: along each list, and from its last to those whose appends nobody has seen."""
        versions = self._versions
        for key, values in versions.orders.items():
            writers = versions.writers.get(key, {})
            last = None
            for value in values:
                writer = writers.get(value)
                if writer is not None:
                    if last is not None:
                        self._add(last, writer, Edge.WRITE_WRITE)
                    last = writer
            if last is not None:
                for unseen in versions.unseen.get(key, ()):
                    self._add(last, unseen, Edge.WRITE_WRITE)

    def _add_reads(self) -> None:
        versions = self._versions
        for number, transaction in enumerate(self._transactions):
            if not versions.happened[number]:
                continue
            for step in transaction.steps:
                if isinstance(step, Saw):
                    writer = versions.writers.get(step.key, {}).get(step.value)
                    if writer is not None:
                        self._add(writer, number, Edge.WRITE_READ)
                elif isinstance(step, Read):
                    self._add_read(number, step)

    def _add_read(self, reader: int, read: Read) -> None:
        """Write-read and read-write of one that read a list, its own appends left out."""
        versions, values = self._versions, read.values
        writers, order = versions.writers.get(read.key, {}), versions.orders.get(read.key, ())
        if order[: len(values)] != values:
            return  # no version: it is reported as such
        until = len(values)
        while until and writers.get(values[until - 1]) == reader:
            until -= 1
        if until and (last := writers.get(values[until - 1])) is not None:
            self._add(last, reader, Edge.WRITE_READ)
        if len(values) < len(order):
            if (following := writers.get(order[len(values)])) is not None:
                self._add(reader, following, Edge.READ_WRITE)
        else:
            for unseen in versions.unseen.get(read.key, ()):
                self._add(reader, unseen, Edge.READ_WRITE)

    def _add_sessions(self) -> None:
        """Process: each to the next one of its session that has happened."""
        last: dict[str, int] = {}
        timed = [number for number in self._in_time() if self._transactions[number].session]
        for number in sorted(timed, key=lambda each: self._transactions[each].invoked or 0):
            transaction = self._transactions[number]
            before = last.get(transaction.session)
            if before is not None and (self._transactions[before].completed or 0) <= (transaction.invoked or 0):
                self._add(before, number, Edge.PROCESS)
            if transaction.completed is not None:  # else it may have had its effect later than the next call
                last[transaction.session] = number

    def _add_times(self) -> None:
        """Real time. What ends and begins at one time is taken for concurrent: beginnings come first."""
        times = []
        for number in self._in_time():
            transaction = self._transactions[number]
            if transaction.invoked is not None:
                times.append((transaction.invoked, 0, number))
            if transaction.completed is not None:
                times.append((transaction.completed, 1, number))
        times.sort()
        moment, is_left = -1, True  # the moment at which those end that have ended last, and whether any began after it
        for _, is_end, number in times:
            if not is_end:
                if moment >= 0:
                    self._add(moment, number, Edge.REAL_TIME)
                is_left = True
                continue
            if is_left:
                self._next.append([])
                if moment >= 0:
                    self._add(moment, len(self._next) - 1, Edge.REAL_TIME)
                moment, is_left = len(self._next) - 1, False
            self._add(number, moment, Edge.REAL_TIME)

    def _in_time(self) -> Iterator[int]:
        """Yield the transactions that have happened."""
        return (number for number, happened in enumerate(self._versions.happened) if happened)

    # --- words ---------------------------------------------------------------------------------------------------

    def explain(self, before: int, after: int, why: Edge) -> str:
        """Say why one transaction comes before another."""
        first, second = self._transactions[before], self._transactions[after]
        match why:
            case Edge.WRITE_WRITE:
                return self._explain_writes(before, after)
            case Edge.WRITE_READ:
                return f"saw what {first.words} had appended"
            case Edge.READ_WRITE:
                keys = sorted({step.key for step in first.steps if isinstance(step, Read)} & _appended(second))
                return f"appended to {' and '.join(keys)} what the one before had not seen"
            case Edge.PROCESS:
                return "was the next call of the same client"
            case Edge.REAL_TIME:
                gap = (second.invoked or 0) - (first.completed or 0)
                return f"began {gap / _NANOSECONDS_PER_MILLISECOND:.3f} ms after the one before had ended"

    def _explain_writes(self, before: int, after: int) -> str:
        keys = sorted(_appended(self._transactions[before]) & _appended(self._transactions[after]))
        return f"appended to {' and '.join(keys)} after the one before"


def _appended(transaction: Transaction) -> set[str]:
    return {step.key for step in transaction.steps if isinstance(step, Append)}


_BITS: Final = 3
_MASK: Final = 2**_BITS - 1
_EDGES: Final = tuple(Edge)
_NANOSECONDS_PER_MILLISECOND: Final = 1_000_000
