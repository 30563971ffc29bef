"""An engine that keeps a copy of its database, and what of its runs is there when that is restored."""

import asyncio
import logging
from pathlib import Path

import pytest

from perdure import Context, Engine, Settings, Signal, UsageError, activity, copies, current_attempt, workflow
from perdure.stores.memory import MemoryStore

GO = Signal("copies.go", str)


@activity(name="copies.step")
async def step(number: int) -> int:
    return number


@workflow(name="copies.steps")
async def steps(ctx: Context, count: int) -> str:
    for number in range(count):
        await step(number)
    return await ctx.wait_for(GO)


def settings(folder: Path) -> Settings:
    return Settings(replicate_to=str(folder), replicate_every_seconds=0.01)


async def restored_runs(folder: Path, database: Path) -> list[str]:
    await copies.restore(folder, database)
    async with Engine(f"sqlite:///{database}", works=False) as engine:
        return sorted([run.id async for run in engine.all_runs()])


async def test_what_an_engine_did_until_its_end_is_in_its_copy(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path}/data.db", settings=settings(tmp_path / "copy")) as engine:
        for number in range(5):
            await engine.start(steps, 3, id=f"run-{number}")
    assert await restored_runs(tmp_path / "copy", tmp_path / "restored.db") == [f"run-{number}" for number in range(5)]


async def test_a_restored_run_goes_on_where_the_copy_has_it(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path}/data.db", settings=settings(tmp_path / "copy")) as engine:
        run = await engine.start(steps, 3, id="run")
        async for recorded in run.watch():
            if recorded.sequence == 8:  # created, started, and two for each step
                break
    await copies.restore(tmp_path / "copy", tmp_path / "restored.db")
    async with Engine(f"sqlite:///{tmp_path}/restored.db") as engine:
        run = await engine.get_run("run", steps)
        await run.signal(GO, "done")
        assert await run.result() == "done"


@activity(name="copies.tell_key")
async def tell_key() -> str:
    return current_attempt().idempotency_key


@workflow(name="copies.child")
async def telling_child(_ctx: Context) -> str:
    return await tell_key()


@workflow(name="copies.parent")
async def telling_parent(ctx: Context, keys: list[str]) -> list[str]:
    if not keys:
        await ctx.wait_for(GO)
        ctx.continue_as_new([await tell_key(), await ctx.run_child(telling_child, id="child")])
    return [*keys, await tell_key()]


async def test_what_comes_after_the_point_has_the_idempotency_keys_of_the_first_time(tmp_path: Path) -> None:
    original, restored = tmp_path / "data.db", tmp_path / "restored.db"
    async with Engine(f"sqlite:///{original}") as engine:
        run = await engine.start(telling_parent, [], id="run")
        await copies.backup(f"sqlite:///{original}", tmp_path / "copy.db")
        await run.signal(GO, "go")
        keys = await run.result()
    await copies.restore(tmp_path / "copy.db", restored)
    async with Engine(f"sqlite:///{restored}") as engine:
        run = await engine.get_run("run", telling_parent)
        await run.signal(GO, "go")
        assert await run.result() == keys
    assert len(set(keys)) == 3


async def test_of_two_engines_one_keeps_the_copy_and_the_other_goes_on_with_it(tmp_path: Path) -> None:
    url, chosen = f"sqlite:///{tmp_path}/data.db", settings(tmp_path / "copy")
    async with Engine(url, settings=chosen) as first:
        await first.start(steps, 1, id="first")
        second = Engine(url, settings=chosen)
        await second.__aenter__()
    await second.start(steps, 1, id="second")
    await second.__aexit__(None, None, None)
    assert await restored_runs(tmp_path / "copy", tmp_path / "restored.db") == ["first", "second"]


async def test_an_engine_goes_on_without_a_copy_that_cannot_be_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "copy").write_text("no folder")
    ended = asyncio.Event()

    class Ear(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            ended.set()

    ear = Ear()
    logging.getLogger("perdure.copies").addHandler(ear)
    try:
        async with Engine(f"sqlite:///{tmp_path}/data.db", settings=settings(tmp_path / "copy")) as engine:
            await ended.wait()
            await engine.start(steps, 1, id="run")
    finally:
        logging.getLogger("perdure.copies").removeHandler(ear)
    assert "is kept in" in caplog.text
    assert "yet: " in caplog.text


@pytest.mark.parametrize("store", ["memory:", MemoryStore()])
def test_only_a_file_can_be_copied(tmp_path: Path, store: str | MemoryStore) -> None:
    with pytest.raises(UsageError, match="names no database file"):
        Engine(store, settings=settings(tmp_path / "copy"))
