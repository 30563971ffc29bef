"""A journey: what a client asks of an engine on a disk that fails, each call until it is answered and then again."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.updates import Update
from perdure.authoring.workflow import workflow
from perdure.client.start_rules import Deduplicate
from perdure.configuration import Settings
from perdure.engine import Engine
from perdure.errors import RunError, StoreError
from perdure.kernel.priority import Priority
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.normal_form import normal_history
from perdure.torture.disks.failing import FailingDisk

__all__ = ["SOUND", "Seen", "journey"]

Answer = TypeVar("Answer")
Seen = dict[str, list[str]]
"""What is there in the end: by run its history in normal form, and by activity how often it had its effect."""

SOUND: Final[Seen] = {
    "answers": ["['begun', 1, 2, 'of a child', 7]"],
    "effects": ["begun 1", "cleaned up 1", "keyed 1", "of a child 1", "one of two 1", "two of two 1"],
}
"""What must be seen, whatever an engine says: the main run returns both notes and what the two updates add up to, and
each activity has one effect."""

note: Final = Signal("unknown_note", int)
close: Final = Signal("unknown_close")
add: Final = Update("unknown_add", int, int)

_effects: Final[Counter[str]] = Counter()


@activity(name="unknown_effect")
async def effect(label: str) -> str:
    """Have an effect."""
    _effects[label] += 1
    await asyncio.sleep(0)
    return label


@workflow(name="unknown_child")
async def child(_ctx: Context, label: str) -> str:
    """Have an effect."""
    return await effect(label)


@workflow(name="unknown_main")
async def main(ctx: Context) -> list[object]:
    """Meet as many kinds of commits as there are."""
    total = 0

    async def added(number: int) -> int:
        nonlocal total
        total += number
        return total

    ctx.on_update(add, added)
    found: list[Any] = [await effect("begun")]
    found += [await ctx.wait_for(note), await ctx.wait_for(note)]
    found.append(await ctx.run_child(child, "of a child", id="child"))
    async with ctx.lock("key"):
        await asyncio.gather(effect("one of two"), effect("two of two"))
    await asyncio.sleep(0.001)
    await ctx.wait_for(close)
    return [*found, total]


@workflow(name="unknown_waiting")
async def waiting(ctx: Context) -> None:
    """Wait, and clean up when cancelled."""
    try:
        await ctx.wait_for(close)
    finally:
        await effect("cleaned up")


async def journey(path: Path, disk: FailingDisk) -> Seen:
    """Let a client ask for everything under request ids, in two lives of an engine; return what is there then."""
    _effects.clear()
    async with _opened(path, disk) as engine:
        await _ask(lambda: engine.start(main, id="main", request_id="start"))
        await _ask(lambda: engine.start(waiting, id="cancelled", request_id="start another"))
        await _ask(lambda: engine.start(child, "keyed", deduplicate=Deduplicate("key", timedelta(hours=1))))
        run = await _ask(lambda: engine.get_run("main"))
        for number in (1, 2):
            await _ask(partial(run.signal, note, number, request_id=f"note {number}"))
        await _ask(lambda: run.update(add, 3, request_id="add"))
        await _ask(lambda: run.set_priority(Priority.HIGH, request_id="priority"))
        await _ask(lambda: run.suspend(request_id="suspend"))
        await _ask(lambda: run.resume(request_id="resume"))
    async with _opened(path, disk) as engine:
        cancelled = await _ask(lambda: engine.get_run("cancelled"))
        await _ask(lambda: cancelled.cancel("asked to", request_id="cancel"))
        run = await _ask(lambda: engine.get_run("main"))
        await _ask(lambda: run.update(add, 4, request_id="add more"))
        await _ask(lambda: run.signal(close, request_id="close"))
        for one in (run, cancelled):
            await _ask(partial(_end_of, one))
    disk.heal()
    async with _opened(path, disk) as engine:
        return await _seen(engine)


@asynccontextmanager
async def _opened(path: Path, disk: FailingDisk) -> AsyncIterator[Engine]:
    """Open an engine, again and again until that succeeds."""
    engine = await _answered(
        lambda: Engine(SqliteStore(path, settings=_STORE, disk=disk), settings=_ENGINE).__aenter__()
    )
    try:
        yield engine
    finally:
        await engine.__aexit__(None, None, None)


async def _ask(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Make a call until it is answered, and once more: that must have no second effect."""
    await _answered(call)
    return await _answered(call)


async def _answered(call: Callable[[], Awaitable[Answer]]) -> Answer:
    for _ in range(_ATTEMPTS):
        try:
            return await call()
        except StoreError:
            await asyncio.sleep(_PAUSE_SECONDS)
    return await call()


async def _end_of(run: Any) -> None:  # noqa: ANN401 - of any workflow
    try:
        await run.result()
    except RunError:
        return


async def _seen(engine: Engine) -> Seen:
    seen: Seen = {"effects": sorted(f"{label} {count}" for label, count in _effects.items())}
    seen["answers"] = [str(await (await engine.get_run("main")).result())]
    names: Counter[str] = Counter()
    async for summary in engine.all_runs():
        run = await engine.get_run(summary.ref.id)
        names[summary.workflow] += 1
        history = [recorded async for recorded in run.history()]
        rows = normal_history(history, in_order=False)
        seen[f"{summary.workflow} {names[summary.workflow]}"] = [_MADE_ID.sub("key", row) for row in rows]
    return seen


_MADE_ID: Final = re.compile("key@[0-9a-f]{32}")
_ATTEMPTS: Final = 100
_PAUSE_SECONDS: Final = 0.002
_STORE: Final = SqliteSettings(checkpoint_pages=40, settling_pause_seconds=0.002)
_ENGINE: Final = Settings(retry_store_seconds=0.002, retry_store_maximum_seconds=0.01, blocking_seconds=0.0)
