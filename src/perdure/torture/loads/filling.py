"""Filling: very many runs are put into a database, through the store's port, in large batches."""

import asyncio
import random
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Final

import msgspec

from perdure.kernel.identity import RunKey, RunRef, WorkerId
from perdure.kernel.priority import Priority
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.kernel.transition import Applied, Write
from perdure.ports.store import RunStore
from perdure.stores.sqlite.store import SqliteStore
from perdure.torture.loads.patterns import Name, Pattern, record_patterns
from perdure.torture.loads.workflows import approval, failing, quick, reminder

__all__ = ["AGAIN", "AGAIN_PARENT", "COUNTRIES", "LIFE_MICROSECONDS", "Contents", "fill", "fill_store"]


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs a file shall have: `waiting` for a timer or a signal, `closed`, and `due`: their timer has come.

    `generations` of one more id have ended, one after the other. `now` is when the file is to be opened.
    """

    waiting: int
    closed: int
    due: int
    now: Timestamp
    generations: int = 0


async def fill(path: Path, contents: Contents, *, seed: int, on_progress: Callable[[int], None]) -> None:
    """Make the file. `on_progress` hears how many runs are there."""
    store = SqliteStore(path)
    owner = await store.open(session_name="filling", lease_seconds=_LEASE_SECONDS, on_changes=lambda _changes: None)
    try:
        await fill_store(store, contents, owner=owner, seed=seed, on_progress=on_progress)
    finally:
        await store.close()


async def fill_store(
    store: RunStore, contents: Contents, *, owner: WorkerId, seed: int, on_progress: Callable[[int], None]
) -> None:
    """Put the runs into a store that is open as `owner`, by as many commits at once as it can use.

    Generations follow each other, so with these there is one at a time.
    """
    batches = _batches(_runs(contents, await record_patterns(), store.new_run_key, random.Random(seed)))
    done = 0

    async def put() -> None:
        nonlocal done
        for batch in batches:
            await _commit(store, [pattern.transition(name, owner=owner) for pattern, name in batch])
            await _commit(store, [pattern.release(name) for pattern, name in batch if pattern.row.closed_at is None])
            done += len(batch)
            on_progress(done)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for _ in range(1 if contents.generations else store.commits_at_once):
            group.create_task(put())


async def _commit(store: RunStore, writes: list[Write]) -> None:
    outcomes = await store.commit(writes)
    assert all(isinstance(outcome, Applied) for outcome in outcomes)


_Run = tuple[Pattern, Name]


def _batches(runs: Iterator[_Run]) -> Iterator[list[_Run]]:
    batch: list[_Run] = []
    for run in runs:
        batch.append(run)
        if len(batch) == _BATCH_RUNS:
            yield batch
            batch = []
    if batch:
        yield batch


def _runs(
    contents: Contents, patterns: dict[str, Pattern], new_key: Callable[[], RunKey], chance: random.Random
) -> Iterator[_Run]:
    """Yield the runs in the order of their creation: open and closed ones mixed, as they are after a long life."""
    kinds = ["waiting"] * contents.waiting + ["closed"] * contents.closed + ["due"] * contents.due
    kinds += ["generation"] * contents.generations
    chance.shuffle(kinds)
    spacing = LIFE_MICROSECONDS // len(kinds)
    generations = count(1)
    parent: RunKey | None = None
    for number, kind in enumerate(kinds):
        key = new_key()
        age = LIFE_MICROSECONDS - number * spacing + (_SLEEP_MICROSECONDS if kind == "due" else 0)
        at = Timestamp(contents.now - age)
        if kind == "generation":
            yield patterns[quick.name], _generation(next(generations), key, at)
            continue
        yield patterns[_workflow(kind, chance)], _named(number, key, at, chance, parent)
        if number % _CHILDREN == 0:
            parent = key


def _workflow(kind: str, chance: random.Random) -> str:
    match kind:
        case "due":
            return reminder.name
        case "waiting":
            return chance.choice((reminder.name, approval.name))
        case _:
            return failing.name if chance.random() < _FAILED_SHARE else quick.name


def _named(number: int, key: RunKey, at: Timestamp, chance: random.Random, parent: RunKey | None) -> Name:
    priorities = [Priority.HIGH, Priority.LOW, Priority.CRITICAL]
    return Name(
        run_key=key,
        ref=RunRef(id=f"load-{number:08}"),
        at=at,
        priority=chance.choice(priorities) if chance.random() < _UNUSUAL_SHARE else Priority.NORMAL,
        tenant=f"tenant-{min(int(chance.expovariate(0.3)), _TENANTS - 1)}",
        labels={"country": chance.choice(COUNTRIES), "order": str(number)},
        parent_key=parent if chance.random() < _UNUSUAL_SHARE else None,
    )


def _generation(number: int, key: RunKey, at: Timestamp) -> Name:
    ref = RunRef(id="load-again-and-again", generation=number)
    return Name(run_key=key, ref=ref, at=at, labels=dict(AGAIN), parent_key=AGAIN_PARENT)


AGAIN: Final = {"again": "and again"}
"""The label of all generations of one id."""
AGAIN_PARENT: Final = RunKey(1)
"""Their parent, which is not there any more."""
COUNTRIES: Final = ("ch", "de", "fr", "no", "pt", "se")
_FAILED_SHARE: Final = 0.01
_TENANTS: Final = 40
_UNUSUAL_SHARE: Final = 0.02
"""So many runs have another priority than most, and so many are children."""

_SLEEP_MICROSECONDS: Final = 24 * 3600 * MICROSECONDS_PER_SECOND
LIFE_MICROSECONDS: Final = _SLEEP_MICROSECONDS // 2
"""The runs that wait were created within this time, and so are due that much later at the earliest."""
_CHILDREN: Final = 10_000
"""One of so many runs is the parent of the children that follow."""
_BATCH_RUNS: Final = 2_000
_LEASE_SECONDS: Final = 3_600.0
