"""Databases as an engine leaves them: runs that have ended, that wait, that hold locks, and messages yet unread."""

import asyncio
import random
import tempfile
from contextlib import closing
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

import apsw
import msgspec

from perdure import Context, Engine, Every, Signal, activity, workflow
from perdure.authoring.registry import Registry
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey
from perdure.stores.sqlite.looking import SqliteLook
from perdure.torture.corruption.contents import Contents, contents_of
from perdure.torture.disks.folders import fast_folder

__all__ = ["DATABASE", "Original", "Plan", "code", "more", "original", "sums"]

DATABASE: Final = "perdure.db"
more: Final = Signal("more", int)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A run: what it adds, how many signals it waits for, and the lock in which it waits for another ("": in none).

    `sent` are the signals that it got, or that wait in its inbox.
    """

    id: str
    numbers: tuple[int, ...]
    signals: int
    key: str
    sent: tuple[int, ...]

    @property
    def wanted(self) -> int:
        """How many signals it needs to end."""
        return self.signals + bool(self.key)


class Original(msgspec.Struct, frozen=True, kw_only=True):
    """A database: its file, the same at an earlier time, what it holds, and what its runs are to come to."""

    earlier: bytes
    latest: bytes
    contents: Contents
    histories: dict[RunKey, list[RecordedEvent]]
    plans: dict[RunKey, Plan]


@activity(name="corrupt.add")
async def add(one: int, other: int) -> int:
    """Add two numbers."""
    return one + other


@workflow(name="corrupt.sum")
async def sums(ctx: Context, numbers: list[int], signals: int, key: str) -> int:
    """Add numbers, then those that come by signals, the last one within a lock."""
    ctx.set_labels(size=str(len(numbers)))
    total = 0
    async with ctx.stage("adding"):
        for number in numbers:
            total = await add(total, number)
    for _ in range(signals):
        total += await ctx.wait_for(more)
    if key:
        async with ctx.lock(key):
            total += await ctx.wait_for(more)
    return total


def code() -> Registry:
    """Return what a process has that runs these."""
    registry = Registry()
    registry.add_workflow(sums)
    registry.add_activity(add)
    return registry


@lru_cache(maxsize=4)
def original(seed: int) -> Original:
    """Make a database; the same seed makes the same runs."""
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        return asyncio.run(_made(Path(folder) / DATABASE, random.Random(seed)))


async def _made(path: Path, chance: random.Random) -> Original:
    plans = [_plan(number, chance) for number in range(_RUNS)]
    half = len(plans) // 2
    await _live(path, plans[:half], chance, is_first=True)
    earlier = _file(path)
    await _live(path, plans[half:], chance, is_first=False)
    latest = _file(path)
    async with SqliteLook(path) as look:
        keys = contents_of(path).keys
        histories = {key: await look.read_history(key) for key in keys.values()}
    return Original(
        earlier=earlier,
        latest=latest,
        contents=contents_of(path),
        histories=histories,
        plans={keys[plan.id]: plan for plan in plans},
    )


def _plan(number: int, chance: random.Random) -> Plan:
    signals, key = chance.choice((0, 0, 1, 2, 3)), chance.choice(("", "", "shelf", "door"))
    wanted = signals + bool(key)
    return Plan(
        id=f"run-{number}",
        numbers=tuple(chance.randrange(1_000) for _ in range(chance.randrange(1, 9))),
        signals=signals,
        key=key,
        sent=tuple(chance.randrange(1_000) for _ in range(chance.randrange(wanted + 1))),
    )


async def _live(path: Path, plans: list[Plan], chance: random.Random, *, is_first: bool) -> None:
    """Begin the runs and let them go on as far as they do; some signals come when nobody works any more."""
    late: list[tuple[str, int]] = []
    async with Engine(f"sqlite:///{path}", registry=code()) as engine:
        if is_first:
            await engine.schedules.create("nightly", sums, [1], 0, "", when=Every(timedelta(days=1000)))
        for plan in plans:
            run = await engine.start(sums, [*plan.numbers], plan.signals, plan.key, id=plan.id, tenant=plan.key)
            for place, number in enumerate(plan.sent):
                if (late and late[-1][0] == plan.id) or chance.random() < _LATE_SHARE:
                    late.append((plan.id, number))
                else:
                    await run.signal(more, number, request_id=f"{plan.id}-{place}")
        for plan in plans:
            if _ends(plan, late):
                await (await engine.get_run(plan.id)).result()
    async with Engine(f"sqlite:///{path}", works=False) as client:
        for name, number in late:
            await (await client.get_run(name)).signal(more, number)


def _ends(plan: Plan, late: list[tuple[str, int]]) -> bool:
    """Whether a run has all that it needs, and waits for no lock that another one may keep."""
    return not plan.key and len(plan.sent) == plan.wanted and all(name != plan.id for name, _ in late)


def _file(path: Path) -> bytes:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


_RUNS: Final = 10
_LATE_SHARE: Final = 0.3
