"""Long lives: an engine that has run very many runs holds nothing of them. Containers are counted, not memory."""

import asyncio
import gc
import traceback
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType

import pytest

from perdure import Context, Deduplicate, Engine, Priority, Retry, RunError, Settings, Signal, activity, workflow
from perdure.errors import ActivityFailedError, HistoryError
from perdure.execution import endings
from perdure.execution.endings import Endings
from perdure.kernel.identity import RunKey
from perdure.ports.store import RunQuery
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import StoreSession

NOT_ENTERED = (ModuleType, FunctionType, BuiltinFunctionType, CodeType, FrameType, type, AbstractEventLoop)
Container = dict[object, object] | list[object] | set[object] | deque[object]


def containers(root: object) -> Iterator[Container]:
    """Yield what is reachable from an object and can grow."""
    seen: set[int] = set()
    queue = [root]
    while queue:
        found = queue.pop()
        if id(found) in seen or isinstance(found, NOT_ENTERED):
            continue
        seen.add(id(found))
        if isinstance(found, dict | list | set | deque):
            yield found
        queue += gc.get_referents(found)


answer = Signal("long_lives_answer", int)


@activity(name="long_lives_step", retry=Retry(attempts=1))
async def step(number: int) -> int:
    if number % 3 == 0:
        raise ValueError(number)
    return number


@workflow(name="long_lives_child")
async def child(_ctx: Context, number: int) -> int:
    return number


@workflow(name="long_lives_order")
async def order(ctx: Context, number: int) -> int:
    async with ctx.lock(f"{ctx.info.id} is mine"):
        ctx.set_labels(number=str(number))
        try:
            await step(number)
        except ActivityFailedError:
            await ctx.run_child(child, number, id=f"child of {ctx.info.id}")
    await ctx.sleep(timedelta(milliseconds=1))
    return await ctx.wait_for(answer)


async def live(engine: Engine, url: str, lot: str) -> None:
    """Run runs with names of their own everywhere, most to their ends, some not; let other sessions come and go."""

    async def one(number: int) -> None:
        name = f"{lot} {number}"
        run = await engine.start(order, number, id=name, tenant=name, priority=Priority.HIGH, labels={"name": name})
        await run.signal(answer, number, request_id=name)
        assert await run.result() == number
        other = await engine.start(order, number, id=f"{name} ends early", tenant=name)
        await (other.cancel() if number % 2 else other.terminate())
        with pytest.raises(RunError):
            await other.result()
        again = await engine.start(child, number, deduplicate=Deduplicate(name, window=timedelta(milliseconds=1)))
        assert await again.result() == number
        await engine.start(order, number, id=f"{name} waits")

    for first in range(0, RUNS, 10):
        await asyncio.gather(*(one(number) for number in range(first, first + 10)))
    for _ in range(SESSIONS):
        async with Engine(url, works=False) as other:
            await other.count_runs()
    while engine.worker.active:  # until those that wait have left memory  # noqa: ASYNC110
        await asyncio.sleep(0.01)


RUNS = 40
SESSIONS = 20
GROWTH = 10


async def test_nothing_in_memory_grows_with_the_runs_and_sessions_that_there_ever_were(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'perdure.db'}"
    settings = Settings(idle_seconds=0.02, safety_check_seconds=0.01)
    async with Engine(url, settings=settings) as engine:
        await live(engine, url, "first")  # fills what is filled once
        before = [(found, len(found)) for found in containers(engine.worker)]
        assert len(before) > 100
        await live(engine, url, "second")
        reachable = {id(found) for found in containers(engine.worker)}
        grown = [
            f"{len(found) - size} more: {found!r:.200}"
            for found, size in before
            if len(found) - size >= GROWTH and id(found) in reachable
        ]
    assert grown == []


async def test_a_writer_remembers_so_many_runs_though_others_have_taken_them(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "perdure.db", settings=SqliteSettings(known_runs=5))
    session = StoreSession(store)
    await session.open(name="worker", lease_seconds=30.0)
    for number in range(30):
        held = await session.hold(f"run {number}")
        await session.advance(held)
    keys = {run.run_key for run in (await store.list_runs(RunQuery())).runs}
    held_on = [found for found in containers(store) if len(keys.intersection(keys_in(found))) > 6]
    assert held_on == []
    await store.close()


def keys_in(found: Container) -> list[object]:
    return [one for one in found if isinstance(one, int)]


async def test_who_waits_for_a_parked_run_is_told_why_and_the_reason_does_not_grow() -> None:
    found = Endings(asyncio.get_running_loop())
    found.park(RunKey(1), caught())
    lengths: set[int] = set()
    for _ in range(5):
        with pytest.raises(HistoryError, match="event 5 is missing") as raised:
            await found.wait(RunKey(1))
        lengths.add(len(traceback.extract_tb(raised.value.__traceback__)))
    assert len(lengths) == 1


def caught() -> HistoryError:
    with pytest.raises(HistoryError) as raised:
        fail()
    return raised.value


def fail() -> None:
    raise HistoryError("event 5 is missing")


async def test_reasons_of_parked_runs_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "REMEMBERED_REASONS", 3)
    found = Endings(asyncio.get_running_loop())
    for key in range(5):
        found.park(RunKey(key), caught())
    found.park(RunKey(2), caught())
    assert [*found.parked] == [2, 3, 4]
    assert found.parked[RunKey(4)].__traceback__ is None
    oldest = found.wait(RunKey(0))
    assert not oldest.done()
    found.stop_waiting(RunKey(0), oldest)
