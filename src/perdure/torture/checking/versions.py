"""Versions: in which order the values of each list were appended, and what of the reads fits no order at all.

A list that is read tells the order of all that was appended to it before: of the reads of a key the longest gives the
order, and every other must be a prefix of it (Kingsbury & Alvaro 2020, section 4.2, "traceability"). Linear in what was
read.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from perdure.torture.checking.anomaly import Anomaly, Kind
from perdure.torture.checking.transactions import Append, Happened, Order, Read, Saw, Transaction

__all__ = ["Versions", "infer_versions"]

Values = tuple[Hashable, ...]


class Versions(msgspec.Struct):
    """`orders`: of each key. `writers`: of each key and value the number of the transaction that appended it.

    `unseen`: of each key the numbers of those that have happened and appended to it what nobody has seen.
    `happened`: the numbers of the transactions that have happened for certain.
    """

    orders: dict[str, Values]
    writers: dict[str, dict[Hashable, int]]
    unseen: dict[str, list[int]]
    happened: list[bool]


def infer_versions(transactions: Sequence[Transaction], known: Sequence[Order]) -> tuple[Versions, list[Anomaly]]:
    """Return the order of each list and what contradicts it."""
    writers: dict[str, dict[Hashable, int]] = defaultdict(dict)
    orders: dict[str, Values] = {}
    for order in known:
        orders[order.key] = max(orders.get(order.key, ()), order.values, key=len)
    for number, transaction in enumerate(transactions):
        for step in transaction.steps:
            if isinstance(step, Append):
                writers[step.key][step.value] = number
            elif isinstance(step, Read) and len(step.values) > len(orders.get(step.key, ())):
                orders[step.key] = step.values
    happened = _happened(transactions, orders, writers)
    versions = Versions(orders, writers, _unseen(transactions, orders, happened), happened)
    return versions, [
        *_of_orders(transactions, versions),
        *_of_glimpses(transactions, versions),
        *_of_reads(transactions, versions),
        *_of_known(transactions, versions, known),
        *(wrong for each in transactions if len(each.steps) > 1 for wrong in _internal(each)),
    ]


def _happened(
    transactions: Sequence[Transaction], orders: dict[str, Values], writers: dict[str, dict[Hashable, int]]
) -> list[bool]:
    """Whether each has happened: it was answered, or something of it was seen by one that has."""
    found = [transaction.happened is Happened.YES for transaction in transactions]
    waiting = [number for number, has_happened in enumerate(found) if has_happened]
    waiting += _written(writers, ((key, value) for key, values in orders.items() for value in values))
    while waiting:
        number = waiting.pop()
        found[number] = True
        seen = ((step.key, step.value) for step in transactions[number].steps if isinstance(step, Saw))
        waiting += [writer for writer in _written(writers, seen) if not found[writer]]
    return found


def _written(writers: dict[str, dict[Hashable, int]], elements: Iterable[tuple[str, Hashable]]) -> Iterator[int]:
    """Yield who has appended the elements, as far as anybody has."""
    for key, value in elements:
        writer = writers.get(key, {}).get(value)
        if writer is not None:
            yield writer


def _unseen(
    transactions: Sequence[Transaction], orders: dict[str, Values], happened: list[bool]
) -> dict[str, list[int]]:
    seen = {key: frozenset(values) for key, values in orders.items()}
    found: dict[str, list[int]] = defaultdict(list)
    for number, transaction in enumerate(transactions):
        if happened[number]:
            for step in transaction.steps:
                if isinstance(step, Append) and step.value not in seen.get(step.key, ()):
                    found[step.key].append(number)
    return found


def _of_orders(transactions: Sequence[Transaction], versions: Versions) -> Iterator[Anomaly]:
    """Yield what is wrong with the elements of each list."""
    for key, values in versions.orders.items():
        for value in values:
            yield from _of_element(key, value, transactions, versions)
        if len(set(values)) < len(values):
            for value, count in Counter(values).items():
                if count > 1:
                    yield Anomaly(kind=Kind.DUPLICATE, why=f"{key} has the element {value!r} {count} times")


def _of_element(
    key: str, value: Hashable, transactions: Sequence[Transaction], versions: Versions
) -> Iterator[Anomaly]:
    """Yield what is wrong with an element that was seen in a list."""
    writer = versions.writers.get(key, {}).get(value)
    if writer is None:
        yield Anomaly(kind=Kind.PHANTOM, why=f"{key} has the element {value!r}, which nobody has appended")
    elif transactions[writer].happened is Happened.NO:
        why = f"{key} has the element {value!r}, though this failed: {transactions[writer].words}"
        yield Anomaly(kind=Kind.ABORTED, why=why)


def _of_glimpses(transactions: Sequence[Transaction], versions: Versions) -> Iterator[Anomaly]:
    """Yield what is wrong with elements that were seen to be in a list, and in no list that was read whole."""
    glimpses = {
        (step.key, step.value)
        for number, transaction in enumerate(transactions)
        if versions.happened[number]
        for step in transaction.steps
        if isinstance(step, Saw)
    }
    read = {key: frozenset(values) for key, values in versions.orders.items()}
    for key, value in sorted(glimpses, key=str):
        if value not in read.get(key, ()):
            yield from _of_element(key, value, transactions, versions)


def _of_reads(transactions: Sequence[Transaction], versions: Versions) -> Iterator[Anomaly]:
    """Yield the reads that are no version: no prefix of the order, or what a transaction left in between."""
    between = _intermediate(transactions)
    for number, transaction in enumerate(transactions):
        for step in transaction.steps:
            if not isinstance(step, Read) or not step.values:
                continue
            order, last = versions.orders[step.key], step.values[-1]
            if order[: len(step.values)] != step.values:
                yield Anomaly(
                    kind=Kind.INCOMPATIBLE,
                    why=f"{transaction.words} saw {step.key} as {_shown(step.values)}, another read it as "
                    f"{_shown(order)}: neither is a prefix of the other",
                )
            elif between.get((step.key, last), number) != number:
                yield Anomaly(
                    kind=Kind.INTERMEDIATE,
                    why=f"{transaction.words} saw {step.key} end with {last!r}, amid "
                    f"{transactions[between[step.key, last]].words}",
                )


def _intermediate(transactions: Sequence[Transaction]) -> dict[tuple[str, Hashable], int]:
    """Return what transactions appended to a list that they appended more to, with their numbers."""
    found: dict[tuple[str, Hashable], int] = {}
    for number, transaction in enumerate(transactions):
        appended: dict[str, Hashable] = {}
        for step in transaction.steps:
            if isinstance(step, Append):
                if step.key in appended:
                    found[step.key, appended[step.key]] = number
                appended[step.key] = step.value
    return found


def _of_known(transactions: Sequence[Transaction], versions: Versions, known: Sequence[Order]) -> Iterator[Anomaly]:
    """Yield what contradicts the orders that are known, and what is missing in those that are final."""
    for order in known:
        longest = versions.orders[order.key]
        if longest[: len(order.values)] != order.values or (order.is_final and longest != order.values):
            why = f"{order.key} is {_shown(order.values)} in the end, and was read as {_shown(longest)}"
            yield Anomaly(kind=Kind.INCOMPATIBLE, why=why)
        if order.is_final:
            for number in versions.unseen.get(order.key, ()):
                why = f"{order.key} has not in the end what this appended: {transactions[number].words}"
                yield Anomaly(kind=Kind.LOST, why=why)


def _internal(transaction: Transaction) -> Iterator[Anomaly]:
    """Yield the reads of a transaction that contradict what it read or appended before."""
    seen: dict[str, Values] = {}
    appended: dict[str, Values] = {}
    for step in transaction.steps:
        if isinstance(step, Append):
            appended[step.key] = (*appended.get(step.key, ()), step.value)
        elif isinstance(step, Read):
            own = appended.get(step.key, ())
            expected = None if step.key not in seen else (*seen[step.key], *own)
            if (expected is not None and step.values != expected) or step.values[len(step.values) - len(own) :] != own:
                why = f"{transaction.words} saw {step.key} as {_shown(step.values)} after it had appended {_shown(own)}"
                yield Anomaly(kind=Kind.INTERNAL, why=why)
            seen[step.key], appended[step.key] = step.values, ()


def _shown(values: Values) -> str:
    shown = ", ".join(str(value) for value in values[-_MOST_SHOWN:])
    return f"[{'..., ' if len(values) > _MOST_SHOWN else ''}{shown}] ({len(values)})"


_MOST_SHOWN: Final = 6
