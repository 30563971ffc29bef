"""Starts by a key on every store, also through codecs: a program that only asks, and a worker beside it."""

import asyncio
from datetime import timedelta

from perdure import Context, Debounce, Deduplicate, Singleton, SyncEngine, workflow
from perdure.stores.memory import MemoryStore
from tests.journeys.conftest import MakeEngine

SHORT = timedelta(milliseconds=50)
LONG_TEXT = "so long that a codec compresses it, and a second time " * 3


@workflow
async def repeat_a_text(ctx: Context, text: str) -> str:
    async with ctx.stage("repeat_a_text"):
        await asyncio.sleep(0.01)
    return text


async def test_who_asked_for_a_debounced_run_gets_its_result_from_a_worker(make_engine: MakeEngine) -> None:
    async with make_engine(works=False, name="client") as client, make_engine():
        runs = [await client.start(repeat_a_text, text, debounce=Debounce("k", SHORT)) for text in ("early", LONG_TEXT)]
        assert [await run.result() for run in runs] == [LONG_TEXT] * 2
        assert await client.count_runs() == 1


async def test_who_lined_up_for_a_singleton_gets_its_result_from_a_worker(make_engine: MakeEngine) -> None:
    async with make_engine(works=False, name="client") as client, make_engine():
        texts = ["first", LONG_TEXT, "third"]
        runs = [await client.start(repeat_a_text, text, singleton=Singleton("k", "wait")) for text in texts]
        assert [await run.result() for run in runs] == texts


async def test_deduplicated_starts_give_one_run(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        rule = Deduplicate("k", timedelta(hours=1))
        runs = await asyncio.gather(*(engine.start(repeat_a_text, LONG_TEXT, deduplicate=rule) for _ in range(20)))
        assert {await run.result() for run in runs} == {LONG_TEXT}
        assert await engine.count_runs() == 1


def test_the_synchronous_engine_starts_by_a_key() -> None:
    with SyncEngine(MemoryStore()) as engine:
        run = engine.start(repeat_a_text, "a", debounce=Debounce("k", SHORT))
        assert [waiting.id for waiting in engine.waiting_runs()] == [run.id]
        assert run.result() == "a"
        assert list(engine.waiting_runs()) == []
