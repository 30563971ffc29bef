"""Databases as an engine leaves them: runs that have ended, that wait for messages or for who serves a queue and takes
turns with others there, that hold locks, and messages yet unread."""

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

from perdure import Context, Engine, Every, Retry, Signal, activity, fixed, workflow
from perdure.authoring.registry import Registry
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey
from perdure.ports.tasks import ServedTasks
from perdure.stores.sqlite.looking import SqliteLook
from perdure.torture.corruption.contents import Contents, contents_of
from perdure.torture.disks.folders import fast_folder

__all__ = ["DATABASE", "QUEUE", "Original", "Plan", "code", "more", "original", "sums"]

DATABASE: Final = "perdure.db"
QUEUE: Final = "far"
more: Final = Signal("more", int)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A run: what it adds, itself and by activities of a queue (`far`), how many signals it waits for, and the lock in
    which it waits for another ("": in none).

    `sent` are the signals that it got, or that wait in its inbox.
    """

    id: str
    numbers: tuple[int, ...]
    far: tuple[int, ...]
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


@activity(name="corrupt.add_far", queue=QUEUE, retry=Retry(attempts=9, backoff=fixed(timedelta(0))))
async def add_far(one: int, other: int) -> int:
    """Add two numbers, where somebody serves the queue."""
    return one + other


@workflow(name="corrupt.sum")
async def sums(ctx: Context, numbers: list[int], signals: int, key: str, far: list[int]) -> int:
    """Add numbers, here and in a task queue, then those that come by signals, the last one within a lock."""
    ctx.set_labels(size=str(len(numbers)))
    total = 0
    async with ctx.stage("adding"):
        for number in numbers:
            total = await add(total, number)
    total += sum(await asyncio.gather(*(add_far(number, 0) for number in far)))
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
    registry.add_activity(add_far)
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
        far=tuple(chance.randrange(1_000) for _ in range(chance.choice((0, 0, 0, 1, 2)))),
        signals=signals,
        key=key,
        sent=tuple(chance.randrange(1_000) for _ in range(chance.randrange(wanted + 1))),
    )


async def _live(path: Path, plans: list[Plan], chance: random.Random, *, is_first: bool) -> None:
    """Begin the runs and let them go on as far as they do; some signals come when nobody works any more."""
    late: list[tuple[str, int]] = []
    async with Engine(f"sqlite:///{path}", registry=code()) as engine:
        if is_first:
            await engine.schedules.create("nightly", sums, [1], 0, "", [], when=Every(timedelta(days=1000)))
        for plan in plans:
            given = ([*plan.numbers], plan.signals, plan.key, [*plan.far])
            run = await engine.start(sums, *given, id=plan.id, tenant=plan.key)
            for place, number in enumerate(plan.sent):
                if (late and late[-1][0] == plan.id) or chance.random() < _LATE_SHARE:
                    late.append((plan.id, number))
                else:
                    await run.signal(more, number, request_id=f"{plan.id}-{place}")
        for plan in plans:
            if _ends(plan, late):
                await (await engine.get_run(plan.id)).result()
            while len(await engine.tasks(run_id=plan.id)) < len(plan.far):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(_PAUSE_SECONDS)
    async with Engine(f"sqlite:///{path}", works=False) as client:
        for name, number in late:
            await (await client.get_run(name)).signal(more, number)
        await _take_turns(client)


async def _take_turns(client: Engine) -> None:
    """Claim some tasks, and give them back, so that something is stored of those who have had a turn."""
    store = client.worker.store
    served = ServedTasks(queues=frozenset({QUEUE}), activities=frozenset({add_far.name}))
    claimed = await store.claim_tasks(now=store.clock.now(), limit=_TURNS, served=served)
    await store.return_tasks([one.claim for one in claimed], begun=False)


def _ends(plan: Plan, late: list[tuple[str, int]]) -> bool:
    """Whether a run has all that it needs, and waits for no lock that another one may keep."""
    return not (plan.key or plan.far) and len(plan.sent) == plan.wanted and all(name != plan.id for name, _ in late)


def _file(path: Path) -> bytes:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


_RUNS: Final = 10
_LATE_SHARE: Final = 0.3
_TURNS: Final = 2
_PAUSE_SECONDS: Final = 0.001
