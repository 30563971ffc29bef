"""Streams: values come out of a run while it goes on, on every store, to whoever reads, from wherever it stopped."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure import (
    Context,
    NonRetryableError,
    Published,
    Retry,
    Run,
    Signal,
    Stream,
    SyncEngine,
    activity,
    current_attempt,
    publish,
    workflow,
)
from perdure.errors import InvalidArgumentError, PayloadError, WrongContextError
from perdure.kernel import events as e
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import QUICK

words = Stream("words", str)
numbers = Stream("numbers", int)
go_on = Signal("go_on")


@workflow
async def speaking(ctx: Context, *spoken: str) -> int:
    """Publish a word after each signal, then one in each further generation."""
    for word in spoken[:2]:
        await ctx.wait_for(go_on)
        ctx.publish(words, word)
        ctx.publish(numbers, len(word))
    if len(spoken) > 2:
        ctx.continue_as_new(*spoken[2:])
    return len(spoken)


@activity(retry=Retry(attempts=2, backoff=QUICK))
async def count_twice(up_to: int) -> None:
    for number in range(up_to):
        publish(numbers, number)
    if current_attempt().attempt == 1:
        raise ConnectionError("once more")


@activity
def count_in_a_thread(up_to: int) -> None:
    for number in range(up_to):
        publish(numbers, number)


@workflow
async def counting_aloud(ctx: Context, up_to: int) -> None:
    ctx.publish(numbers, -1)
    await count_twice(up_to)
    ctx.publish(numbers, -2)


@workflow
async def counting_in_a_thread(ctx: Context, up_to: int) -> None:
    await count_in_a_thread(up_to)


@workflow
async def many(ctx: Context, count: int) -> None:
    for number in range(count):
        ctx.publish(numbers, number)


async def all_of(items: AsyncIterator[Published[Any]]) -> list[Any]:
    return [item.value async for item in items]


async def say(run: Run[Any], count: int) -> None:
    for _ in range(count):
        await run.signal(go_on)


async def test_values_come_while_the_run_goes_on_until_it_has_ended(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(speaking, "one", "two")
        items = run.stream(words)
        await say(run, 1)
        assert (await anext(items)).value == "one"
        await say(run, 1)
        assert await all_of(items) == ["two"]


async def test_a_stream_has_only_its_own_values(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(speaking, "a", "bcd")
        await say(run, 2)
        assert await all_of(run.stream(numbers)) == [1, 3]


async def test_a_reader_goes_on_where_it_stopped_over_restarts_and_generations(make_engine: MakeEngine) -> None:
    spoken = ("one", "two", "three", "four", "five")
    seen: list[str] = []
    position = ""
    async with make_engine() as engine:
        run = await engine.start(speaking, *spoken)
    for word in spoken:
        async with make_engine() as engine:
            run = await engine.get_run(run.id, speaking)
            await say(run, 1)
            async for item in run.stream(words, after=position):
                seen.append(item.value)
                position = item.position
                if item.value == word:
                    break
    assert seen == list(spoken)
    async with make_engine(works=False) as reader:
        run = await reader.get_run(run.id, speaking)
        assert await all_of(run.stream(words)) == list(spoken)
        assert await all_of(run.stream(words, after=position)) == []


async def test_an_engine_that_does_not_work_reads_values_as_they_come(make_engine: MakeEngine) -> None:
    async with make_engine() as engine, make_engine(works=False, name="reader") as reader:
        run = await engine.start(speaking, "one", "two")
        items = (await reader.get_run(run.id)).stream(words)
        for word in ("one", "two"):
            await say(run, 1)
            assert (await anext(items)).value == word


async def test_what_is_there_now_is_read_without_waiting_for_more(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(speaking, "one", "two")
        assert await all_of(run.stream(words, follow=False)) == []
        await say(run, 1)
        position = (await anext(run.stream(words))).position
        assert await all_of(run.stream(words, follow=False)) == ["one"]
        assert await all_of(run.stream(words, after=position, follow=False)) == []
        last = (await anext(run.stream(numbers))).position
        assert await all_of(run.stream(words, after=last, follow=False)) == []


async def test_an_attempt_that_is_made_again_publishes_again_under_its_number(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(counting_aloud, 2)
        items = [(item.value, item.attempt) async for item in run.stream(numbers)]
    assert items == [(-1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (-2, 0)]


async def test_activities_publish_from_threads_before_their_outcome(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(counting_in_a_thread, 5)
        assert await all_of(run.stream(numbers)) == [0, 1, 2, 3, 4]


async def test_a_workflow_publishes_once_however_often_it_is_replayed(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(speaking, "one", "two")
        await say(run, 1)
        assert (await anext(run.stream(words))).value == "one"
    async with make_engine() as engine:
        run = await engine.get_run(run.id, speaking)
        await say(run, 1)
        assert await all_of(run.stream(words)) == ["one", "two"]


async def test_many_values_travel_in_few_commits(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(many, 3_000)
        assert await all_of(run.stream(numbers)) == list(range(3_000))
        moments = {r.at async for r in run.history() if isinstance(r.event, e.ValuePublished)}
        assert len(moments) == 1


async def test_only_values_of_the_streams_type_are_published(make_engine: MakeEngine) -> None:
    @workflow
    async def mistaken(ctx: Context) -> str:
        try:
            ctx.publish(numbers, "one")  # type: ignore[misc]
        except PayloadError as error:
            return str(error)
        return "published"

    async with make_engine() as engine:
        assert "numbers" in await (await engine.start(mistaken)).result()


async def test_a_position_of_another_run_or_none_at_all_is_refused(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        run = await engine.start(speaking, "one")
        for wrong in ("x", "1", "1.", ".1", "9.1", "1.999", "1.-1", f"1.{'9' * 5_000}", f"{'9' * 30}.1"):
            with pytest.raises(InvalidArgumentError, match="no position"):
                await all_of(run.stream(words, after=wrong))
        with pytest.raises(InvalidArgumentError, match="no stream"):
            await all_of(run.stream("words"))  # type: ignore[arg-type]


async def test_a_run_of_the_same_id_that_came_before_is_not_read(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        for word in ("first", "second"):
            started = await engine.start(speaking, word, id="again", id_policy="restart_closed")
            await say(started, 1)
            await started.result()
        run = await engine.get_run("again")
        assert await all_of(run.stream(words)) == ["second"]


def test_a_stream_needs_a_name_and_publish_an_activity() -> None:
    with pytest.raises(InvalidArgumentError, match="needs a name"):
        Stream("")
    with pytest.raises(WrongContextError, match=r"ctx\.publish"):
        publish(words, "alone")


async def test_what_an_activity_publishes_after_it_was_given_up_is_dropped(make_engine: MakeEngine) -> None:
    may_end = asyncio.Event()

    @activity
    async def stubborn() -> None:
        publish(words, "before")
        try:
            await asyncio.sleep(1_000)
        finally:
            publish(words, "after")
            may_end.set()

    @workflow
    async def impatient(ctx: Context) -> None:
        call = asyncio.ensure_future(stubborn())
        await ctx.wait_for(go_on)
        call.cancel()
        await asyncio.wait({call})

    async with make_engine() as engine:
        run = await engine.start(impatient)
        items = run.stream(words)
        assert (await anext(items)).value == "before"
        await run.signal(go_on)
        assert await all_of(items) == []
        await may_end.wait()


async def test_a_failed_run_keeps_what_it_published(make_engine: MakeEngine) -> None:
    @workflow
    async def failing(ctx: Context) -> None:
        ctx.publish(words, "last words")
        raise NonRetryableError("enough")

    async with make_engine() as engine:
        assert await all_of((await engine.start(failing)).stream(words)) == ["last words"]


def test_synchronous_programs_read_streams(tmp_path: object) -> None:
    with SyncEngine(f"sqlite:///{tmp_path}/runs.db") as engine:
        run = engine.start(counting_aloud, 1)
        assert [item.value for item in run.stream(numbers)] == [-1, 0, 0, -2]
        assert [item.value for item in run.stream(numbers, follow=False)] == [-1, 0, 0, -2]
