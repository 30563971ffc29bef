"""Streams of runs that were repaired: what a generation has copied was read in the one before."""

from collections.abc import AsyncGenerator
from typing import Any, Final

import pytest

from perdure import Context, Published, Run, RunFailedError, Signal, Stream, workflow
from perdure.kernel import events as e
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import kinds

words = Stream("words", str)
go = Signal("go", str)
BAD: Final = "bad"


@workflow
async def repeating(ctx: Context) -> None:
    """Publish each word that comes, until one is bad."""
    ctx.publish(words, "begun")
    while (word := await ctx.wait_for(go)) != BAD:
        ctx.publish(words, f"{word} {ctx.info.generation}")
    raise ValueError(BAD)


async def values(items: AsyncGenerator[Published[str]]) -> list[str]:
    return [item.value async for item in items]


async def say(run: Run[Any], *spoken: str) -> None:
    for word in spoken:
        await run.signal(go, word)


async def event_of(run: Run[Any], word: str) -> int:
    """Return the number of the event by which a word was published."""
    events = [r async for r in run.history() if isinstance(r.event, e.ValuePublished)]
    return next(r.sequence for r in events if word.encode() in bytes(r.event.value))  # type: ignore[attr-defined]


async def test_a_reader_that_follows_gets_the_values_of_a_reset_run_once(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(repeating, id="r")
        items = run.stream(words)
        await say(run, "one", "two")
        assert [(await anext(items)).value for _ in range(3)] == ["begun", "one 1", "two 1"]
        again = await run.reset(event=await event_of(run, "one 1"))
        await say(again, "three", BAD)
        with pytest.raises(RunFailedError):
            await again.result()
        assert await values(items) == ["two 2", "three 2"]
        everything = ["begun", "one 1", "two 1", "two 2", "three 2"]
        assert await values(again.stream(words)) == everything
        assert await values(again.stream(words, follow=False)) == everything


async def test_whoever_watches_a_reset_run_gets_each_event_once(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(repeating, id="r")
        watched: list[str] = []
        async for recorded in run.watch():
            watched.append(type(recorded.event).__name__)
            if watched[-1] == "ValuePublished" and len(watched) < 5:
                await run.reset(event=recorded.sequence)
                await say(run, BAD)
        assert watched == [
            "RunCreated",
            "RunStarted",
            "ValuePublished",
            "RunReset",
            "RunForked",
            "SignalReceived",
            "RunFailed",
        ]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_reader_goes_on_where_it_stopped_in_a_run_that_was_retried_since(
    make_engine: MakeEngine, times: int
) -> None:
    async with make_engine() as engine:
        run = await engine.start(repeating, id="r")
        positions, read = [""], []
        await say(run, "one", BAD)
        async for item in run.stream(words):
            positions.append(item.position)
            read.append(item.value)
        for generation in range(2, 2 + times):
            run = await run.reset(event=await event_of(run, f"one {generation - 1}") - 2, reapply_signals=False)
            await say(run, "one", BAD)
            with pytest.raises(RunFailedError):
                await run.result()
            read.append(f"one {generation}")
        for number, position in enumerate(positions):
            assert await values(run.stream(words, after=position)) == read[number:]
            assert await values(run.stream(words, after=position, follow=False)) == read[number:]


async def test_a_position_within_the_copy_is_valid(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(repeating, id="r")
        await say(run, "one", BAD)
        with pytest.raises(RunFailedError):
            await run.result()
        fork = await run.fork(event=await event_of(run, "one 1"), id="beside")
        again = await fork.reset(event=await event_of(fork, "one 1"))
        await say(again, "two", BAD)
        items = [item async for item in again.stream(words)]
        assert [item.value for item in items] == ["begun", "one 1", "two 2"]
        assert [item.position.split(".")[0] for item in items] == ["1", "1", "2"]
        for number, item in enumerate(items):
            assert await values(again.stream(words, after=item.position)) == [i.value for i in items[number + 1 :]]


async def test_a_run_that_only_took_the_id_of_one_that_failed_has_its_own_values(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(repeating, id="r")
        await say(run, "one", BAD)
        last = [item.position async for item in run.stream(words)][-1]
        other = await engine.start(repeating, id="r", id_policy="restart_closed")
        await say(other, "one", BAD)
        with pytest.raises(RunFailedError):
            await other.result()
        assert "run_forked" not in await kinds(other)
        assert await values(other.stream(words)) == ["begun", "one 2"]
        assert await values(other.stream(words, after=last)) == []
