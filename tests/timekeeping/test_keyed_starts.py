"""Starts by a key, with engines, several processes and a virtual clock: debounced, deduplicated, one at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from perdure import (
    Context,
    Debounce,
    Deduplicate,
    Engine,
    Priority,
    RunCancelledError,
    RunExistsError,
    RunNotFoundError,
    RunStatus,
    Singleton,
    workflow,
)
from perdure.client.handle import Run
from perdure.errors import InvalidArgumentError
from perdure.kernel.events import RunCreated
from tests.timekeeping.virtual import Stage, at

SECOND = timedelta(seconds=1)
Part = Callable[[Engine], Awaitable[None]]


@workflow
async def of_a_key(_ctx: Context, name: str) -> str:
    """Take ten seconds."""
    await asyncio.sleep(10)
    return name


@workflow
async def of_another_key(_ctx: Context, name: str) -> str:
    """Do it at once."""
    return name


def play(*parts: Part, works: tuple[bool, ...] = (True, True, True)) -> Stage:
    """Play the parts at the same time, each in a process with an engine of its own."""
    stage = Stage()

    def in_process(part: Part, *, works: bool) -> Callable[[Stage], Awaitable[None]]:
        async def process(stage: Stage) -> None:
            async with stage.engine(works=works) as engine:
                await part(engine)

        return process

    stage.play(*(in_process(part, works=works[number]) for number, part in enumerate(parts)))
    return stage


def began(stage: Stage) -> list[float]:
    """Return the seconds after which each run was created, in their order."""
    runs = sorted(stage.database.runs.values(), key=lambda run: run.created_at)
    return [run.created_at / 1e6 - at(0).timestamp() for run in runs]


# --- debounce --------------------------------------------------------------------------------------------------------


def test_a_burst_gives_one_run_after_silence_with_the_last_input() -> None:
    async def part(engine: Engine) -> None:
        runs: list[Run[str]] = []
        for number in range(4):
            runs.append(await engine.start(of_a_key, f"v{number}", debounce=Debounce("doc", wait=5 * SECOND)))
            await asyncio.sleep(3)
        assert len({run.id for run in runs}) == 1
        assert [await run.result() for run in runs] == ["v3"] * 4
        await engine.start(of_a_key, "later", debounce=Debounce("doc", wait=5 * SECOND))
        await asyncio.sleep(20)

    stage = play(part)
    assert began(stage) == pytest.approx([14, 29], abs=0.1)
    assert len(set(stage.run_ids("completed"))) == 2


def test_a_burst_that_does_not_end_begins_after_its_longest_wait() -> None:
    async def part(engine: Engine) -> None:
        for number in range(12):
            await engine.start(of_a_key, f"v{number}", debounce=Debounce("doc", wait=5 * SECOND, max_wait=8 * SECOND))
            await asyncio.sleep(2)
        await asyncio.sleep(30)

    # The first start after a burst began the next at 10 and at 20; the last of all came at 22.
    assert began(play(part)) == pytest.approx([8, 18, 27], abs=0.1)


def test_keys_and_workflows_do_not_meet() -> None:
    async def part(engine: Engine) -> None:
        rule = Debounce("doc", wait=SECOND)
        runs = [
            await engine.start(of_a_key, "a", debounce=rule),
            await engine.start(of_another_key, "b", debounce=rule),
            await engine.start(of_a_key, "c", debounce=Debounce("other", wait=SECOND)),
        ]
        assert [await run.result() for run in runs] == ["a", "b", "c"]

    assert len(play(part).run_ids()) == 3


def test_several_processes_add_to_one_burst_and_each_gets_the_result() -> None:
    async def part(engine: Engine) -> None:
        run = await engine.start(of_a_key, "same", debounce=Debounce("doc", wait=5 * SECOND), labels={"a": "b"})
        assert await run.result() == "same"
        assert (await run.describe()).labels == {"a": "b"}

    stage = play(part, part, part, works=(True, False, True))
    assert len(stage.run_ids("completed")) == 1


def test_a_burst_survives_its_processes() -> None:
    stage = Stage()
    found: list[str] = []

    async def in_turn(stage: Stage) -> None:
        async with stage.engine(works=False) as engine:
            found.append((await engine.start(of_a_key, "kept", debounce=Debounce("doc", wait=5 * SECOND))).id)
            (waiting,) = [one async for one in engine.waiting_runs()]
            assert (waiting.id, waiting.workflow, waiting.rule, waiting.key) == (
                found[0],
                "of_a_key",
                "debounce",
                "doc",
            )
            assert (waiting.asked_at, waiting.begins_at) == (at(0), at(5))
        await asyncio.sleep(60)
        async with stage.engine() as engine:
            await asyncio.sleep(1)
            assert await (await engine.get_run(found[0], of_a_key)).result() == "kept"
            assert [one async for one in engine.waiting_runs()] == []

    stage.play(in_turn)
    assert stage.run_ids("completed") == found


def test_a_debounced_start_can_be_withdrawn_and_whoever_waits_for_it_is_told() -> None:
    async def part(engine: Engine) -> None:
        run = await engine.start(of_a_key, "a", debounce=Debounce("doc", wait=50 * SECOND))
        with pytest.raises(RunNotFoundError):
            await run.describe()
        waits = asyncio.ensure_future(run.result())
        await asyncio.sleep(1)
        await run.cancel()
        with pytest.raises(RunNotFoundError, match="never began: its start was withdrawn"):
            await waits
        with pytest.raises(RunNotFoundError):
            await run.cancel()

    assert play(part).run_ids() == []


def test_a_debounced_run_that_has_begun_is_cancelled_by_its_handle() -> None:
    async def part(engine: Engine) -> None:
        run = await engine.start(of_a_key, "a", debounce=Debounce("doc", wait=SECOND))
        await asyncio.sleep(3)
        await run.cancel("enough")
        with pytest.raises(RunCancelledError, match="enough"):
            await run.result()

    play(part)


def test_a_run_that_has_waited_has_all_that_its_start_said() -> None:
    async def part(engine: Engine) -> None:
        run = await engine.start(
            of_a_key,
            "a",
            debounce=Debounce("doc", wait=SECOND),
            priority=Priority.HIGH,
            tenant="acme",
            trace_context={"traceparent": "00-1"},
        )
        await run.result()
        created, *_ = [recorded.event async for recorded in run.history()]
        assert isinstance(created, RunCreated)
        assert (created.priority, created.tenant) == (Priority.HIGH, "acme")
        assert created.trace_context == {"traceparent": "00-1"}

    play(part)


def test_limits_of_time_count_from_when_a_run_begins() -> None:
    async def part(engine: Engine) -> None:
        run = await engine.start(
            of_a_key, "in time", debounce=Debounce("doc", wait=60 * SECOND), execution_timeout=15 * SECOND
        )
        assert await run.result() == "in time"

    play(part)


# --- deduplicate -----------------------------------------------------------------------------------------------------


def test_within_the_window_a_key_gives_the_run_of_the_first_start_open_or_closed() -> None:
    async def part(engine: Engine) -> None:
        rule = Deduplicate("invoice", window=30 * SECOND)
        first = await engine.start(of_a_key, "first", deduplicate=rule)
        again = await engine.start(of_a_key, "second", deduplicate=rule)
        assert [await first.result(), await again.result()] == ["first", "first"]
        await asyncio.sleep(10)
        assert (await engine.start(of_a_key, "third", deduplicate=rule)).id == first.id
        await asyncio.sleep(15)
        assert await (await engine.start(of_a_key, "fourth", deduplicate=rule)).result() == "fourth"

    stage = play(part)
    assert len(stage.run_ids()) == 2
    assert stage.database.agenda.dump() != []


def test_a_key_whose_window_is_over_is_forgotten() -> None:
    async def part(engine: Engine) -> None:
        await engine.start(of_a_key, "first", deduplicate=Deduplicate("invoice", window=30 * SECOND))
        await asyncio.sleep(31)

    assert play(part).database.agenda.dump() == []


def test_many_starts_of_one_key_at_the_same_moment_give_one_run() -> None:
    async def part(engine: Engine) -> None:
        rule = Deduplicate("invoice", window=30 * SECOND)
        runs = await asyncio.gather(*(engine.start(of_a_key, f"{n}", deduplicate=rule) for n in range(10)))
        assert len({await run.result() for run in runs}) == 1

    assert len(play(part, part, works=(True, False)).run_ids()) == 1


# --- singleton -------------------------------------------------------------------------------------------------------


def test_a_second_run_of_a_singleton_is_rejected_while_the_first_is_open() -> None:
    async def part(engine: Engine) -> None:
        first = await engine.start(of_a_key, "first", singleton="import")
        with pytest.raises(RunExistsError, match=r"the singleton 'import' is taken by the run default/import@"):
            await engine.start(of_a_key, "second", singleton="import")
        same = await engine.start(of_a_key, "third", singleton=Singleton("import", when_open="return_existing"))
        assert same.id == first.id
        assert await first.result() == "first"
        assert await (await engine.start(of_a_key, "fourth", singleton="import")).result() == "fourth"

    assert len(play(part).run_ids("completed")) == 2


def test_runs_of_a_singleton_that_wait_begin_in_their_order_one_at_a_time() -> None:
    async def part(engine: Engine) -> None:
        rule = Singleton("import", when_open="wait")
        runs = [await engine.start(of_a_key, f"{n}", singleton=rule) for n in range(4)]
        waiting = [(one.id, one.rule, one.begins_at) async for one in engine.waiting_runs()]
        assert waiting == [(run.id, "singleton", None) for run in runs[1:]]
        assert [await run.result() for run in runs] == ["0", "1", "2", "3"]

    stage = play(part)
    assert began(stage) == pytest.approx([0, 10, 20, 30], abs=0.1)


def test_processes_that_start_a_singleton_at_once_never_have_two_open_runs() -> None:
    async def part(engine: Engine) -> None:
        rule = Singleton("import", when_open="wait")
        runs = await asyncio.gather(*(engine.start(of_a_key, f"{n}", singleton=rule) for n in range(3)))
        for run in runs:
            await run.result()
        await asyncio.sleep(100)  # until the other process has all its results, too

    stage = play(part, part, works=(True, False))
    runs = sorted(stage.database.runs.values(), key=lambda run: run.created_at)
    assert len(runs) == 6
    for before, after in pairwise(runs):
        assert before.closed_at is not None
        assert before.closed_at <= after.created_at


def test_a_start_that_replaces_cancels_the_open_run_and_begins_in_place_of_those_that_wait() -> None:
    async def part(engine: Engine) -> None:
        first = await engine.start(of_a_key, "first", singleton="import")
        second = await engine.start(of_a_key, "second", singleton=Singleton("import", when_open="wait"))
        waits = asyncio.ensure_future(second.result())
        await asyncio.sleep(1)
        third = await engine.start(of_a_key, "third", singleton=Singleton("import", when_open="replace"))
        with pytest.raises(RunCancelledError, match="replaced by another start of the singleton 'import'"):
            await first.result()
        with pytest.raises(RunNotFoundError, match="replaced by a later one"):
            await waits
        assert await third.result() == "third"

    stage = play(part)
    assert began(stage) == pytest.approx([0, 1], abs=0.1)


def test_a_start_in_the_line_can_be_withdrawn() -> None:
    async def part(engine: Engine) -> None:
        rule = Singleton("import", when_open="wait")
        first, second, third = [await engine.start(of_a_key, f"{n}", singleton=rule) for n in range(3)]
        await second.terminate()
        assert [await first.result(), await third.result()] == ["0", "2"]
        with pytest.raises(RunNotFoundError, match="never began"):
            await second.result()

    play(part)


def test_a_singleton_survives_its_processes_and_its_line_goes_on() -> None:
    stage = Stage()

    async def in_turn(stage: Stage) -> None:
        rule = Singleton("import", when_open="wait")
        async with stage.engine() as engine:
            runs = [await engine.start(of_a_key, f"{n}", singleton=rule) for n in range(2)]
            await asyncio.sleep(4)
        await asyncio.sleep(60)
        async with stage.engine() as engine:
            second = runs[1].id
            await asyncio.sleep(20)
            assert await (await engine.get_run(second, of_a_key)).result() == "1"

    stage.play(in_turn)
    assert len(stage.run_ids("completed")) == 2


def test_a_singleton_that_nobody_asks_for_any_more_is_forgotten() -> None:
    async def part(engine: Engine) -> None:
        await engine.start(of_a_key, "first", singleton="import")
        await asyncio.sleep(3_700)

    assert play(part).database.agenda.dump() == []


def test_a_run_that_is_retried_or_reset_holds_its_key_again_unless_another_has_it() -> None:
    async def part(engine: Engine) -> None:
        one = await engine.start(of_a_key, "one", singleton="doc")
        one = await one.reset()
        with pytest.raises(RunExistsError, match="taken"):
            await engine.start(of_a_key, "two", singleton="doc")
        await one.terminate()
        await (await one.retry()).reset()
        with pytest.raises(RunExistsError, match="taken"):
            await engine.start(of_a_key, "two", singleton="doc")
        await one.terminate()
        two = await engine.start(of_a_key, "two", singleton="doc")
        await one.retry()
        assert (await two.describe()).status is RunStatus.RUNNING
        assert [await one.result(), await two.result()] == ["one", "two"]

    play(part)


def test_a_singleton_started_for_later_holds_its_key_from_now() -> None:
    async def part(engine: Engine) -> None:
        first = await engine.start(of_a_key, "first", singleton="import", start_after=60 * SECOND)
        assert (await first.describe()).status is RunStatus.CREATED
        with pytest.raises(RunExistsError):
            await engine.start(of_a_key, "second", singleton="import")

    play(part)


# --- misuse ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (lambda: {"debounce": Debounce("k", wait=SECOND), "singleton": "k"}, "debounce and singleton exclude"),
        (lambda: {"singleton": "k", "id": "one"}, "id cannot be given with debounce, deduplicate or singleton"),
        (lambda: {"singleton": "k", "id_policy": "fail"}, "id_policy cannot be given"),
        (lambda: {"singleton": "k", "request_id": 7}, "request_id is 7"),
        (lambda: {"debounce": "k"}, "debounce is 'k'; it must be a Debounce"),
        (lambda: {"debounce": Debounce("", wait=SECOND)}, "Debounce: key is ''"),
        (lambda: {"debounce": Debounce("k", wait=timedelta(0))}, "Debounce: wait"),
        (lambda: {"debounce": Debounce("k", wait=2 * SECOND, max_wait=SECOND)}, "max_wait is 0:00:01"),
        (lambda: {"deduplicate": Deduplicate("k", window=5)}, "Deduplicate: window is 5"),  # type: ignore[arg-type]
        (lambda: {"singleton": Singleton("k", when_open="queue")}, "Singleton: when_open is 'queue'"),
        (lambda: {"singleton": "k" * 401}, "1 to 400 characters"),
    ],
)
def test_rules_that_mean_nothing_are_refused(options: Callable[[], dict[str, Any]], complaint: str) -> None:
    async def part(engine: Engine) -> None:
        with pytest.raises(InvalidArgumentError, match=complaint):
            await engine.start(of_a_key, "a", **options())

    assert play(part).run_ids() == []
