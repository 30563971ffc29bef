"""The checker alone: each class of anomaly by a history made by hand, and against brute force on small histories."""

import random
from collections.abc import Iterator
from itertools import chain, combinations, permutations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.torture.checking import cycles
from perdure.torture.checking.checker import check
from perdure.torture.checking.cycles import components
from perdure.torture.checking.transactions import Append, Happened, Order, Read, Saw, Step, Transaction


def tx(
    *steps: Step, at: tuple[int | None, int | None] = (None, None), session: str = "", **how: Happened
) -> Transaction:
    return Transaction(words=str(steps), steps=steps, invoked=at[0], completed=at[1], session=session, **how)


def kinds(*transactions: Transaction, known: tuple[Order, ...] = ()) -> list[str]:
    return [anomaly.kind for anomaly in check(transactions, known)]


CHANCES = st.builds(random.Random, st.integers(0, 2**32))
"""Each from a seed: to draw every single choice takes hypothesis longer than all that is tested by them."""

X1, X2, X3, Y1, Y2 = Append("x", 1), Append("x", 2), Append("x", 3), Append("y", 1), Append("y", 2)


def x(*values: int) -> Read:
    return Read("x", values)


def y(*values: int) -> Read:
    return Read("y", values)


HISTORIES: dict[str, tuple[list[str], list[Transaction]]] = {
    "a serial history": ([], [tx(X1), tx(x(1)), tx(X2), tx(x(1, 2))]),
    "an aborted read": (["G1a (aborted read)"], [tx(X1, happened=Happened.NO), tx(x(1))]),
    "an intermediate read": (["G1b (intermediate read)", "G-single"], [tx(X1, X2), tx(x(1)), tx(x(1, 2))]),
    "reads that fit no order": (["incompatible order"], [tx(X1), tx(X2), tx(x(1, 2)), tx(x(2))]),
    "an element twice": (["duplicate element"], [tx(X1), tx(x(1, 1))]),
    "an element that nobody appended": (["phantom element"], [tx(x(1))]),
    "a transaction that does not see its own append": (["internal"], [tx(X1, x())]),
    "a transaction that reads a list twice, in two ways": (["internal", "G-single"], [tx(X1), tx(x(), x(1))]),
    "dirty writes": (["G0"], [tx(X1, Y1), tx(X2, Y2), tx(x(1, 2)), tx(y(2, 1))]),
    "a circle of information": (["G1c"], [tx(X1, y(1)), tx(Y1, x(1))]),
    "what was seen is appended later": (["G1c"], [tx(X1, Saw("y", 1)), tx(Y1, Saw("x", 1))]),
    "a read skew": (["G-single"], [tx(X1, Y1), tx(x(1), y())]),
    "a lost update": (["G-single"], [tx(x(), X1), tx(x(), X2), tx(x(1, 2))]),
    "a write skew": (["G2"], [tx(x(), Y1), tx(y(), X1), tx(x(1), y(1))]),
    "a long fork": (["G2"], [tx(X1), tx(Y1), tx(x(1), y()), tx(x(), y(1))]),
    "a client that does not see what it wrote": (
        ["G-single-process"],
        [tx(X1, at=(1, 2), session="a"), tx(x(), at=(3, 4), session="a")],
    ),
    "a client whose reads go back": (
        ["G-single-process"],
        [tx(X1, at=(0, None)), tx(x(1), at=(1, 2), session="a"), tx(x(), at=(3, 4), session="a")],
    ),
    "a stale read": (["G-single-realtime"], [tx(X1, at=(1, 2)), tx(x(), at=(3, 4))]),
    "a write before one that had ended": (
        ["G0-realtime"],
        [tx(X1, at=(3, 4)), tx(X2, at=(1, 2)), tx(x(1, 2))],
    ),
    "a read of the future": (["G1c-realtime"], [tx(x(1), at=(1, 2)), tx(X1, at=(3, 4))]),
    "a glimpse of an element that nobody appended": (["phantom element"], [tx(Saw("x", 1))]),
    "a glimpse of what failed": (["G1a (aborted read)"], [tx(X1, happened=Happened.NO), tx(Saw("x", 1))]),
    "a glimpse of an unknown outcome, which is gone": (
        ["G-single-realtime"],
        [tx(X1, at=(1, None), happened=Happened.UNKNOWN), tx(Saw("x", 1), at=(2, 3)), tx(x(), at=(4, 5))],
    ),
    "a glimpse of a glimpse of an unknown outcome": (
        ["G-single-realtime"],
        [
            tx(X1, at=(1, None), happened=Happened.UNKNOWN),
            tx(Saw("x", 1), Y1, at=(2, None), happened=Happened.UNKNOWN),
            tx(Saw("y", 1), at=(2, 3)),
            tx(x(), at=(4, 5)),
        ],
    ),
    "calls at one time": ([], [tx(X1, at=(1, 3)), tx(x(), at=(2, 4)), tx(x(1), at=(2, 4))]),
    "an end at the time of a beginning": ([], [tx(X1, at=(1, 2)), tx(x(), at=(2, 3))]),
    "an unknown outcome that was one": ([], [tx(X1, at=(1, None), happened=Happened.UNKNOWN), tx(x(1), at=(8, 9))]),
    "an unknown outcome that was none": ([], [tx(X1, at=(1, None), happened=Happened.UNKNOWN), tx(x(), at=(8, 9))]),
    "an unknown outcome that was one and is not one any more": (
        ["G-single-realtime"],
        [tx(X1, at=(1, None), happened=Happened.UNKNOWN), tx(x(1), at=(2, 3)), tx(x(), at=(4, 5))],
    ),
    "an unknown call and the next one of its client": (
        [],
        [
            tx(X1, at=(1, None), session="a", happened=Happened.UNKNOWN),
            tx(x(), at=(3, 4), session="a"),
            tx(x(1), at=(5, 6)),
        ],
    ),
}


@pytest.mark.parametrize(("expected", "history"), HISTORIES.values(), ids=HISTORIES)
def test_a_history_is_judged_by_its_class(expected: list[str], history: list[Transaction]) -> None:
    assert kinds(*history) == expected
    assert kinds(*reversed(history)) == expected


def test_what_is_missing_in_a_final_order_is_lost_and_in_another_comes_later() -> None:
    lost = [tx(X1), tx(X2)]
    assert kinds(*lost, known=(Order(key="x", values=(1,), is_final=True),)) == ["lost element"]
    assert kinds(*lost, known=(Order(key="x", values=(1,)),)) == []
    late = [tx(X1, at=(3, 4)), tx(X2, at=(1, 2))]
    assert kinds(*late, known=(Order(key="x", values=(1,)),)) == ["G0-realtime"]


def test_a_final_order_contradicts_what_was_read_beyond_it() -> None:
    history = [tx(X1), tx(X2), tx(x(1, 2))]
    assert kinds(*history, known=(Order(key="x", values=(1,), is_final=True),)) == ["incompatible order"]


def test_the_shortest_cycle_is_told_with_its_calls_and_reasons() -> None:
    history = [tx(X1, at=(1_000_000, 2_000_000)), tx(x(), at=(3_500_000, 4_000_000)), tx(X2), tx(X3), tx(x(1, 2, 3))]
    [anomaly] = check(history)
    assert "a cycle of 2" in anomaly.why
    assert f"(1) {history[1].words}" in anomaly.why
    assert "appended to x what the one before had not seen" in anomaly.why
    assert "began 1.500 ms after the one before had ended" in anomaly.why


def test_a_knot_that_has_no_cycle_of_any_class_is_accused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cycles, "_classes", lambda: iter(()))
    [anomaly] = check([tx(X1, y(1)), tx(Y1, x(1))])
    assert anomaly.kind == "cycle"
    assert all(str(step) in anomaly.why for step in (X1, Y1))


def test_one_knot_is_one_anomaly_and_two_are_two() -> None:
    stale = [tx(X1, at=(1, 2)), tx(x(), at=(3, 4)), tx(x(), at=(3, 4))]
    later = [tx(Y1, at=(11, 12)), tx(y(), at=(13, 14))]
    assert kinds(*stale, *later) == ["G-single-realtime"] * 2


@settings(max_examples=30)
@given(CHANCES)
def test_components_are_those_of_mutual_reach(chance: random.Random) -> None:
    size = chance.randint(1, 8)
    after = {node: [other for other in range(size) if other != node and chance.random() < 0.25] for node in range(size)}
    reach = {node: _reached(node, after) for node in range(size)}
    mutual = {frozenset(other for other in reach[node] if node in reach[other]) | {node} for node in range(size)}
    found = {frozenset(part) for part in components(range(size), after.__getitem__)}
    assert found == {part for part in mutual if len(part) > 1}


def _reached(node: int, after: dict[int, list[int]]) -> set[int]:
    found, waiting = set[int](), [node]
    while waiting:
        for target in after[waiting.pop()]:
            if target not in found:
                found.add(target)
                waiting.append(target)
    return found


@settings(max_examples=30)
@given(CHANCES)
def test_a_serial_execution_is_never_accused(chance: random.Random) -> None:
    history, orders = _executed(chance, size=15)
    assert check(history, orders) == []


@settings(max_examples=30)
@given(CHANCES)
def test_small_histories_are_judged_as_by_trying_every_order(chance: random.Random) -> None:
    history, orders = _executed(chance, size=chance.randint(2, 5))
    if chance.random() < 0.8:
        _falsify(history, chance)
    assert (check(history, orders) == []) == _is_explained(history, orders)


@settings(max_examples=30)
@given(CHANCES)
def test_small_histories_whose_end_nobody_knows_are_judged_as_by_trying_every_order(chance: random.Random) -> None:
    executed, _ = _executed(chance, size=chance.randint(2, 5))
    history = [_without_reads(each) if each.happened is Happened.UNKNOWN else each for each in executed]
    if chance.random() < 0.8:
        _falsify(history, chance)
    assert (check(history) == []) == _is_explained(history, [])


def _without_reads(transaction: Transaction) -> Transaction:
    """Return what is known of a transaction of which nobody was told what it saw."""
    appended = tuple(step for step in transaction.steps if isinstance(step, Append))
    return msgspec.structs.replace(transaction, steps=appended)


def _executed(chance: random.Random, *, size: int) -> tuple[list[Transaction], list[Order]]:
    """Return what clients may see of transactions that are executed one after the other, and the lists in the end."""
    lists: dict[str, tuple[int, ...]] = {"x": (), "y": ()}
    history = []
    for number in range(size):
        steps: list[Step] = []
        for key in chance.sample(sorted(lists), chance.randint(1, 2)):
            if chance.random() < 0.5:
                lists[key] = (*lists[key], number)
                steps.append(Append(key, number))
            elif lists[key] and chance.random() < 0.2:
                steps.append(Saw(key, chance.choice(lists[key])))
            if chance.random() < 0.5:
                steps.append(Read(key, lists[key]))
        is_unknown = chance.random() < 0.2
        invoked, completed = 10 * number - chance.randint(0, 15), 10 * number + 1 + chance.randint(0, 15)
        history.append(
            Transaction(
                words=f"{number}",
                steps=tuple(steps),
                invoked=invoked,
                completed=None if is_unknown else completed,
                happened=Happened.UNKNOWN if is_unknown else Happened.YES,
            )
        )
    return history, [Order(key=key, values=values, is_final=True) for key, values in lists.items()]


def _falsify(history: list[Transaction], chance: random.Random) -> None:
    """Let one have another time, or see another list."""
    place = chance.randrange(len(history))
    it = history[place]
    steps = list(it.steps)
    reads = [number for number, step in enumerate(steps) if isinstance(step, Read)]
    invoked, completed = it.invoked, it.completed
    if reads and chance.random() < 0.6:
        read = steps[chance.choice(reads)]
        assert isinstance(read, Read)
        others = [s.values for t in history for s in t.steps if isinstance(s, Read) and s.key == read.key]
        steps[steps.index(read)] = Read(read.key, chance.choice([*others, read.values[:-1]]))
    elif completed is not None and invoked is not None:
        moved = chance.choice((-30, 30))
        invoked, completed = invoked + moved, completed + moved
    history[place] = Transaction(
        words=it.words, steps=tuple(steps), invoked=invoked, completed=completed, happened=it.happened
    )


def _is_explained(history: list[Transaction], orders: list[Order]) -> bool:
    """Whether there is an order of those that have happened, and of some that may have, which explains all."""
    certain = [transaction for transaction in history if transaction.happened is Happened.YES]
    unknown = [transaction for transaction in history if transaction.happened is Happened.UNKNOWN]
    chosen = chain.from_iterable(combinations(unknown, count) for count in range(len(unknown) + 1))
    return any(_explains(order, orders) for some in chosen for order in permutations([*certain, *some]))


def _explains(order: tuple[Transaction, ...], orders: list[Order]) -> bool:
    return all(not _had_ended(later, earlier) for earlier, later in combinations(order, 2)) and _replays(order, orders)


def _had_ended(one: Transaction, other: Transaction) -> bool:
    return one.completed is not None and other.invoked is not None and one.completed < other.invoked


def _replays(order: tuple[Transaction, ...], orders: list[Order]) -> bool:
    lists: dict[str, tuple[object, ...]] = {"x": (), "y": ()}
    for step in _steps(order):
        match step:
            case Append():
                lists[step.key] = (*lists[step.key], step.value)
            case Read():
                if step.values != lists[step.key]:
                    return False
            case Saw():
                if step.value not in lists[step.key]:
                    return False
    return all(lists[known.key] == known.values for known in orders)


def _steps(order: tuple[Transaction, ...]) -> Iterator[Step]:
    return chain.from_iterable(transaction.steps for transaction in order)
