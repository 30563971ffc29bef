"""Starts by a key that are made again: with a request id, at the edge of a window, after a clock was set back."""

import asyncio
from datetime import timedelta

import pytest

from perdure import (
    Context,
    Debounce,
    Deduplicate,
    Engine,
    RunExistsError,
    RunNotFoundError,
    Singleton,
    UsageError,
    workflow,
)
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.stores.memory import MemoryStore
from tests.timekeeping.test_keyed_starts import SECOND, began, of_a_key, play
from tests.timekeeping.virtual import QUIET, Stage


@workflow
async def of_its_own_time(_ctx: Context, name: str, seconds: int) -> str:
    """Take so long."""
    await asyncio.sleep(seconds)
    return name


class Shifted:
    """The clock of a stage, which an operator sets."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.shift = timedelta(0)

    def now(self) -> Timestamp:
        return Timestamp(self.stage.world.now() + int(self.shift.total_seconds()) * MICROSECONDS_PER_SECOND)


# --- with a request id -----------------------------------------------------------------------------------------------


def test_a_debounced_start_made_again_puts_off_no_burst_and_begins_no_other() -> None:
    async def part(engine: Engine) -> None:
        rule = Debounce("doc", wait=5 * SECOND)
        first = await engine.start(of_a_key, "a", debounce=rule, request_id="r")
        await asyncio.sleep(3)
        again = await engine.start(of_a_key, "a", debounce=rule, request_id="r")
        assert (again.id, await again.result()) == (first.id, "a")
        late = await engine.start(of_a_key, "a", debounce=rule, request_id="r")
        assert (late.id, await late.result()) == (first.id, "a")
        await asyncio.sleep(60)

    assert began(play(part)) == pytest.approx([5], abs=0.1)


def test_a_debounced_start_made_again_does_not_bring_its_arguments_back() -> None:
    async def part(engine: Engine) -> None:
        rule = Debounce("doc", wait=5 * SECOND)
        calls = (("old", "r1"), ("new", "r2"), ("old", "r1"))
        runs = [await engine.start(of_a_key, text, debounce=rule, request_id=request) for text, request in calls]
        assert [await run.result() for run in runs] == ["new"] * 3

    play(part)


def test_a_start_that_waits_in_the_line_waits_there_once_however_often_it_is_made() -> None:
    async def part(engine: Engine) -> None:
        rule = Singleton("import", when_open="wait")
        requests = ("r0", "r1", "r1", "r2", "r1", "r0")
        runs = [await engine.start(of_a_key, name, singleton=rule, request_id=name) for name in requests]
        assert [await run.result() for run in runs] == list(requests)
        assert (await engine.start(of_a_key, "r1", singleton=rule, request_id="r1")).id == runs[1].id

    assert began(play(part)) == pytest.approx([0, 10, 20], abs=0.1)


def test_a_deduplicated_start_made_again_gives_its_run_also_when_the_window_is_over() -> None:
    async def part(engine: Engine) -> None:
        rule = Deduplicate("invoice", window=30 * SECOND)
        first = await engine.start(of_a_key, "first", deduplicate=rule)
        within = await engine.start(of_a_key, "second", deduplicate=rule, request_id="r")
        await asyncio.sleep(60)
        later = await engine.start(of_a_key, "second", deduplicate=rule, request_id="r")
        assert first.id == within.id == later.id
        assert await later.result() == "first"
        assert (await engine.start(of_a_key, "second", deduplicate=rule, request_id="another")).id != first.id

    assert len(play(part).run_ids()) == 2


def test_the_open_run_of_a_singleton_is_given_again_when_it_has_ended() -> None:
    async def part(engine: Engine) -> None:
        rule = Singleton("import", when_open="return_existing")
        first = await engine.start(of_a_key, "first", singleton=rule)
        assert (await engine.start(of_a_key, "second", singleton=rule, request_id="r")).id == first.id
        await first.result()
        assert (await engine.start(of_a_key, "second", singleton=rule, request_id="r")).id == first.id
        assert (await engine.start(of_a_key, "second", singleton=rule)).id != first.id

    play(part)


def test_a_start_that_was_rejected_may_be_made_again() -> None:
    async def part(engine: Engine) -> None:
        await engine.start(of_a_key, "first", singleton="import")
        with pytest.raises(RunExistsError):
            await engine.start(of_a_key, "second", singleton="import", request_id="r")
        await asyncio.sleep(11)
        assert await (await engine.start(of_a_key, "second", singleton="import", request_id="r")).result() == "second"

    play(part)


def test_one_request_made_by_several_processes_at_once_gives_one_run() -> None:
    ids: set[str] = set()

    async def part(engine: Engine) -> None:
        rule = Singleton("import", when_open="wait")
        starts = (engine.start(of_a_key, "a", singleton=rule, request_id="r") for _ in range(4))
        ids.update(run.id for run in await asyncio.gather(*starts))
        await asyncio.sleep(100)

    assert len(play(part, part, works=(True, False)).run_ids()) == len(ids) == 1


def test_the_same_request_id_with_another_key_is_another_request() -> None:
    async def part(engine: Engine) -> None:
        rules = [Debounce("k", wait=SECOND), Debounce("other", wait=SECOND)]
        runs = [await engine.start(of_a_key, "a", debounce=rule, request_id="r") for rule in rules]
        assert len({run.id for run in runs}) == 2
        assert len({await run.result() for run in runs}) == 1

    play(part)


def test_a_request_is_remembered_for_a_week() -> None:
    async def process(stage: Stage) -> None:
        clock = Shifted(stage)
        async with Engine(MemoryStore(stage.database), settings=QUIET, clock=clock) as engine:
            rule = Debounce("doc", wait=SECOND)
            first = await engine.start(of_a_key, "a", debounce=rule, request_id="r")
            await first.result()
            clock.shift = timedelta(days=6)
            assert (await engine.start(of_a_key, "a", debounce=rule, request_id="r")).id == first.id
            clock.shift = timedelta(days=7)
            engine.worker.keeper.wake()
            await asyncio.sleep(1)
            assert stage.database.agenda.entries() == []

    Stage().play(process)


# --- found by its id -------------------------------------------------------------------------------------------------


def test_a_start_that_waits_is_found_by_its_id_awaited_and_withdrawn() -> None:
    async def part(engine: Engine) -> None:
        line = Singleton("k", when_open="wait")
        starts = [
            *[await engine.start(of_a_key, text, singleton=line) for text in ("first", "second", "third")],
            await engine.start(of_a_key, "burst", debounce=Debounce("k", wait=SECOND)),
        ]
        runs = [await engine.get_run(run.id, of_a_key) for run in starts]
        await runs[1].cancel()
        with pytest.raises(RunNotFoundError):
            await engine.get_run(starts[1].id)
        assert [await runs[number].result() for number in (3, 0, 2)] == ["burst", "first", "third"]
        with pytest.raises(RunNotFoundError):
            await engine.get_run("k@nobody")

    play(part)


def test_a_start_that_waits_is_one_of_its_workflow() -> None:
    async def part(engine: Engine) -> None:
        run = await engine.start(of_a_key, "a", debounce=Debounce("k", wait=SECOND))
        with pytest.raises(UsageError, match="is one of the workflow 'of_a_key', not of 'of_its_own_time'"):
            await engine.get_run(run.id, of_its_own_time)

    play(part)


# --- edges, and the clock --------------------------------------------------------------------------------------------


def test_a_window_is_over_at_its_end_and_not_before() -> None:
    async def part(engine: Engine) -> None:
        clock, rule = engine.worker.clock, Deduplicate("k", window=30 * SECOND)
        begins_at = clock.now()
        first = await engine.start(of_a_key, "a", deduplicate=rule)
        await asyncio.sleep(30 - (clock.now() - begins_at) / MICROSECONDS_PER_SECOND - 0.001)
        assert (await engine.start(of_a_key, "b", deduplicate=rule)).id == first.id
        await asyncio.sleep(0.001)
        assert clock.now() - begins_at >= 30 * MICROSECONDS_PER_SECOND
        assert (await engine.start(of_a_key, "c", deduplicate=rule)).id != first.id

    play(part)


def test_a_window_is_no_longer_than_itself_after_the_clock_was_set_back() -> None:
    async def process(stage: Stage) -> None:
        clock = Shifted(stage)
        clock.shift = timedelta(days=365)  # wrong, at first
        async with Engine(MemoryStore(stage.database), settings=QUIET, clock=clock) as engine:
            rule = Deduplicate("k", window=30 * SECOND)
            first = await engine.start(of_a_key, "a", deduplicate=rule)
            clock.shift = timedelta(0)
            assert (await engine.start(of_a_key, "b", deduplicate=rule)).id == first.id
            await asyncio.sleep(31)
            assert (await engine.start(of_a_key, "c", deduplicate=rule)).id != first.id

    Stage().play(process)


def test_a_burst_waits_no_longer_than_it_may_after_the_clock_was_set_back() -> None:
    async def process(stage: Stage) -> None:
        clock = Shifted(stage)
        clock.shift = timedelta(days=365)
        async with Engine(MemoryStore(stage.database), settings=QUIET, clock=clock) as engine:
            rule = Debounce("k", wait=10 * SECOND, max_wait=25 * SECOND)
            run = await engine.start(of_a_key, "0", debounce=rule)
            clock.shift = timedelta(0)
            for number in range(1, 5):
                assert (await engine.start(of_a_key, f"{number}", debounce=rule)).id == run.id
                await asyncio.sleep(8)
            assert (await run.describe()).run_key > 0  # it has begun: 25 seconds are over

    Stage().play(process)


# --- what becomes of the run that holds a singleton ------------------------------------------------------------------


@workflow
async def of_two_generations(ctx: Context, generation: int) -> int:
    """Take ten seconds in each."""
    await asyncio.sleep(10)
    if generation == 1:
        ctx.continue_as_new(2)
    return generation


def test_a_run_that_continues_as_new_holds_its_singleton_until_its_last_generation_has_ended() -> None:
    async def part(engine: Engine) -> None:
        first = await engine.start(of_two_generations, 1, singleton="import")
        second = await engine.start(of_two_generations, 2, singleton=Singleton("import", when_open="wait"))
        await asyncio.sleep(12)
        with pytest.raises(RunExistsError):
            await engine.start(of_two_generations, 2, singleton="import")
        assert [await first.result(), await second.result()] == [2, 2]

    assert began(play(part)) == pytest.approx([0, 10, 20], abs=0.1)


def test_the_next_in_line_begins_when_the_run_before_it_was_terminated() -> None:
    async def part(engine: Engine) -> None:
        first = await engine.start(of_a_key, "first", singleton="import")
        second = await engine.start(of_a_key, "second", singleton=Singleton("import", when_open="wait"))
        await asyncio.sleep(3)
        await first.terminate()
        assert await second.result() == "second"

    assert began(play(part)) == pytest.approx([0, 3], abs=0.1)


def test_between_two_runs_of_a_singleton_the_next_is_the_one_that_holds_it() -> None:
    async def part(engine: Engine) -> None:
        await engine.start(of_its_own_time, "first", 5, singleton="import")
        second = await engine.start(of_its_own_time, "second", 5, singleton=Singleton("import", when_open="wait"))
        engine.worker.keeper.stop()  # as if it had much to do: the first ends, and nobody has begun the next
        await asyncio.sleep(8)
        given = await engine.start(
            of_its_own_time, "third", 5, singleton=Singleton("import", when_open="return_existing")
        )
        assert given.id == second.id
        with pytest.raises(RunExistsError, match=f"is taken by the run default/{second.id};"):
            await engine.start(of_its_own_time, "fourth", 5, singleton="import")
        engine.worker.keeper.wake()
        assert await given.result() == "second"

    play(part)
