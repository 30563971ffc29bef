"""The rule of locks and the search for deadlocks, on entries of lines; random cases against a search of all courses."""

from collections.abc import Iterable
from random import Random

import pytest
from msgspec.structs import replace

from perdure.kernel.deadlocks import find_deadlock
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.locking import LockEntry, LockWait, may_hold
from perdure.kernel.time import Timestamp

AT = Timestamp(1)


def entry(
    position: int, run: str, key: str, *, limit: int | None = 1, holding: Iterable[int] = (), held: bool = False
) -> LockEntry:
    """Return an entry whose operation is its position."""
    return LockEntry(
        position=position,
        key=key,
        run_key=RunKey(ord(run)),
        run=RunRef(id=run),
        operation=Operation(position),
        limit=limit,
        holding=tuple(Operation(operation) for operation in holding),
        requested_at=AT,
        granted_at=AT if held else None,
    )


def circle(*waits: tuple[str, str]) -> tuple[LockWait, ...]:
    return tuple(LockWait(run=RunRef(id=run), key=key) for run, key in waits)


@pytest.mark.parametrize(
    ("limit", "holders", "least", "fits"),
    [
        (1, 0, None, True),
        (1, 1, 1, False),
        (1, 1, None, False),
        (None, 1, 1, False),
        (None, 5, None, True),
        (3, 2, 3, True),
        (3, 3, 3, False),
        (3, 2, 2, False),
        (None, 2, 3, True),
        (None, 3, 3, False),
    ],
)
def test_nobody_holds_a_key_beyond_the_limit_of_anybody(
    limit: int | None, holders: int, least: int | None, fits: bool
) -> None:
    assert may_hold(limit, holders=holders, least=least) is fits


def test_two_runs_that_take_two_locks_in_opposite_order_are_a_deadlock() -> None:
    asked = entry(4, "b", "x", holding=[2])
    others = [entry(1, "a", "x", held=True), entry(2, "b", "y", held=True), entry(3, "a", "y", holding=[1])]
    assert find_deadlock(asked, [*others, asked]) == circle(("b", "x"), ("a", "y"))


def test_a_run_that_asks_for_what_it_holds_is_a_deadlock_of_its_own() -> None:
    asked = entry(2, "a", "x", holding=[1])
    assert find_deadlock(asked, [entry(1, "a", "x", held=True), asked]) == circle(("a", "x"))


def test_a_lock_that_another_task_of_the_run_holds_is_none() -> None:
    asked = entry(3, "a", "x", holding=[2])
    assert find_deadlock(asked, [entry(1, "a", "x", held=True), entry(2, "a", "y", held=True), asked]) == ()


def test_waits_in_independent_tasks_are_no_deadlock() -> None:
    asked = entry(4, "b", "x")
    others = [entry(1, "a", "x", held=True), entry(2, "b", "y", held=True), entry(3, "a", "y")]
    assert find_deadlock(asked, [*others, asked]) == ()


def test_a_shared_lock_behind_a_waiting_exclusive_one_is_a_deadlock_within_a_shared_one() -> None:
    asked = entry(3, "a", "x", limit=None, holding=[1])
    others = [entry(1, "a", "x", limit=None, held=True), entry(2, "b", "x")]
    assert find_deadlock(asked, [*others, asked]) == circle(("a", "x"), ("b", "x"))


def test_a_shared_lock_cannot_be_made_exclusive_within_its_block() -> None:
    asked = entry(3, "a", "x", holding=[1])
    others = [entry(1, "a", "x", limit=None, held=True), entry(2, "b", "x", limit=None, held=True)]
    assert find_deadlock(asked, [*others, asked]) == circle(("a", "x"))


def test_a_circle_through_a_semaphore_is_no_deadlock_while_another_holder_can_go_on() -> None:
    asked = entry(5, "a", "x", holding=[1])
    others = [
        entry(1, "a", "s", limit=2, held=True),
        entry(2, "c", "s", limit=2, held=True),
        entry(3, "b", "x", held=True),
        entry(4, "b", "s", limit=2, holding=[3]),
    ]
    assert find_deadlock(asked, [*others, asked]) == ()
    stuck = replace(others[1], run_key=RunKey(ord("a")), run=RunRef(id="a"))
    asked = replace(asked, holding=(Operation(1), Operation(2)))
    assert find_deadlock(asked, [others[0], stuck, *others[2:], asked]) == circle(("a", "x"), ("b", "s"))


def test_a_wait_behind_a_deadlock_of_others_is_not_refused_for_it() -> None:
    others = [
        entry(1, "a", "x", held=True),
        entry(2, "b", "y", held=True),
        entry(3, "a", "y", holding=[1]),
        entry(4, "b", "x", holding=[2]),
    ]
    asked = entry(5, "c", "x")
    assert find_deadlock(asked, [*others, asked]) == ()


def test_the_shortest_circle_is_named() -> None:
    asked = entry(9, "a", "x", holding=[1])
    others = [
        entry(1, "a", "y", held=True),
        entry(2, "b", "x", limit=None, held=True),
        entry(3, "c", "x", limit=None, held=True),
        entry(4, "d", "z", held=True),
        entry(5, "b", "z", holding=[2]),
        entry(6, "d", "y", holding=[4]),
        entry(7, "c", "y", holding=[3]),
    ]
    assert find_deadlock(asked, [*others, asked]) == circle(("a", "x"), ("c", "y"))


@pytest.mark.parametrize("seeds", [range(at, at + 30) for at in range(0, 300, 30)], ids=str)
def test_a_deadlock_is_found_exactly_where_no_course_of_things_ends_the_wait(seeds: range) -> None:
    for seed in seeds:
        _judge_deadlocks(seed)


def _judge_deadlocks(seed: int) -> None:
    chance = Random(seed)
    entries: list[LockEntry] = []
    for position in range(1, 10):
        new = _some_entry(chance, position, entries)
        found = () if new.is_held else find_deadlock(new, [*entries, new])
        assert bool(found) is not _can_be_granted(new, [*entries, new]), (seed, new)
        if found:
            assert found[0] == LockWait(run=new.run, key=new.key)
        else:
            entries.append(new)


def test_the_random_cases_hold_deadlocks_and_waits_that_are_none() -> None:
    found: list[bool] = []
    for seed in range(300):
        chance = Random(seed)
        entries: list[LockEntry] = []
        for position in range(1, 10):
            new = _some_entry(chance, position, entries)
            is_deadlock = not new.is_held and bool(find_deadlock(new, [*entries, new]))
            if new.holding and not new.is_held:
                found.append(is_deadlock)
            if not is_deadlock:
                entries.append(new)
    assert found.count(True) > 50
    assert found.count(False) > 50


def _some_entry(chance: Random, position: int, entries: list[LockEntry]) -> LockEntry:
    """Return the next request of one of a few runs, within some of what its run holds."""
    run, key = chance.choice("abcd"), chance.choice("xyz")
    own = [one.position for one in entries if one.is_held and one.run_key == ord(run)]
    within = [operation for operation in own if chance.random() < 0.8]
    new = entry(position, run, key, limit=chance.choice((1, 1, 2, None)), holding=within)
    line = [one for one in entries if one.key == key]
    return new if _must_wait(new, line) else replace(new, granted_at=AT)


def _must_wait(new: LockEntry, line: list[LockEntry]) -> bool:
    holders = [one for one in line if one.is_held]
    bounds = [one.limit for one in [*holders, new] if one.limit is not None]
    return len(holders) < len(line) or any(len(holders) >= bound for bound in bounds)


def _can_be_granted(asked: LockEntry, entries: list[LockEntry]) -> bool:
    """Try every course: any holder whose code waits for nothing gives back, any first one that fits is let in."""
    seen: set[frozenset[LockEntry]] = set()
    left = [frozenset(entries)]
    while left:
        state = left.pop()
        if state in seen:
            continue
        seen.add(state)
        if any(one.position == asked.position and one.is_held for one in state):
            return True
        left += _next_states(state)
    return False


def _next_states(state: frozenset[LockEntry]) -> list[frozenset[LockEntry]]:
    following = []
    for one in state:
        line = [other for other in state if other.key == one.key and other.position < one.position]
        if one.is_held:
            waits = [other for other in state if not other.is_held and other.run_key == one.run_key]
            if not any(one.operation in other.holding for other in waits):
                following.append(state - {one})
        elif not any(not other.is_held for other in line) and not _must_wait(
            one, [other for other in state if other.key == one.key and other.is_held]
        ):
            following.append(state - {one} | {replace(one, granted_at=AT)})
    return following
