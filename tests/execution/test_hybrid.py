"""The choice between thread and process: by rule, and by what was measured."""

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import Context, Settings, activity, workflow
from perdure.execution.hybrid import Hybrid, choose_hybrid, moving_average
from perdure.kernel.options import Executor
from tests.execution import process_activities as a
from tests.execution.conftest import MakeEngine

LIMIT = 0.05
seconds = st.floats(min_value=0.0, max_value=1e6)
places = st.sampled_from([Executor.THREAD, Executor.PROCESS])


def choose(*, expected: float | None = None, measured: float | None = None, before: Executor = Executor.THREAD) -> str:
    return choose_hybrid(
        expected_seconds=expected, measured_seconds=measured, before=before, process_seconds=LIMIT
    ).value


@pytest.mark.parametrize(
    ("expected", "measured", "before", "chosen"),
    [
        (None, None, Executor.THREAD, "thread"),
        (0.05, None, Executor.THREAD, "thread"),
        (0.06, None, Executor.THREAD, "process"),
        (None, 0.06, Executor.THREAD, "process"),
        (None, 0.04, Executor.THREAD, "thread"),
        (None, 0.04, Executor.PROCESS, "process"),
        (None, 0.02, Executor.PROCESS, "thread"),
        (10.0, 0.02, Executor.PROCESS, "thread"),
        (0.001, 0.06, Executor.THREAD, "process"),
    ],
)
def test_the_choice(expected: float | None, measured: float | None, before: Executor, chosen: str) -> None:
    assert choose(expected=expected, measured=measured, before=before) == chosen


@given(expected=st.none() | seconds, measured=seconds, before=places)
def test_once_measured_the_declaration_does_not_matter(
    expected: float | None, measured: float, before: Executor
) -> None:
    assert choose(expected=expected, measured=measured, before=before) == choose(measured=measured, before=before)


@given(measured=seconds, before=places)
def test_the_same_measurement_never_moves_an_activity_twice(measured: float, before: Executor) -> None:
    once = Executor(choose(measured=measured, before=before))
    assert choose(measured=measured, before=once) == once


@given(average=seconds, latest=seconds)
def test_the_average_lies_between_what_it_averages(average: float, latest: float) -> None:
    following = moving_average(average, latest)
    assert min(average, latest) <= following <= max(average, latest) or following == pytest.approx(average)


def test_one_short_attempt_does_not_bring_a_heavy_activity_back_and_many_do() -> None:
    hybrid = Hybrid(process_seconds=LIMIT)
    assert hybrid.choose("resize", None) is Executor.THREAD
    hybrid.note("resize", 1.0)
    assert hybrid.choose("resize", None) is Executor.PROCESS
    hybrid.note("resize", 0.0)
    assert hybrid.choose("resize", None) is Executor.PROCESS
    for _ in range(20):
        hybrid.note("resize", 0.0)
    assert hybrid.choose("resize", None) is Executor.THREAD


def test_activities_are_measured_apart() -> None:
    hybrid = Hybrid(process_seconds=LIMIT)
    hybrid.note("resize", 1.0)
    assert hybrid.choose("fetch", None) is Executor.THREAD


async def test_an_activity_that_burns_more_than_the_limit_moves_into_a_process(make_engine: MakeEngine) -> None:
    @workflow
    async def thrice(ctx: Context) -> list[int]:
        return [await a.tell_hybrid_process() for _ in range(3)]

    async with make_engine(Settings(hybrid_process_seconds=0.0)) as engine:
        first, *others = await (await engine.start(thrice)).result()
        assert first == os.getpid()
        assert os.getpid() not in others


async def test_a_declared_long_duration_goes_into_a_process_until_it_is_measured(make_engine: MakeEngine) -> None:
    @workflow
    async def twice(ctx: Context) -> list[int]:
        return [await a.tell_declared_process(), await a.tell_declared_process()]

    async with make_engine(Settings(hybrid_process_seconds=60.0)) as engine:
        first, second = await (await engine.start(twice)).result()
        assert first != os.getpid()
        assert second == os.getpid()


async def test_a_function_out_of_reach_of_processes_stays_in_threads(make_engine: MakeEngine) -> None:
    @activity(executor="hybrid")
    def hidden() -> int:
        return os.getpid()

    @workflow
    async def thrice(ctx: Context) -> list[int]:
        return [*await asyncio.gather(hidden(), hidden()), await hidden()]

    async with make_engine(Settings(hybrid_process_seconds=0.0)) as engine:
        assert set(await (await engine.start(thrice)).result()) == {os.getpid()}


@pytest.mark.parametrize(("empty", "stays"), [("process_slots", True), ("thread_slots", False)])
async def test_an_executor_without_slots_is_never_chosen(make_engine: MakeEngine, empty: str, stays: bool) -> None:
    @workflow
    async def twice(ctx: Context) -> list[int]:
        return [await a.tell_hybrid_process(), await a.tell_hybrid_process()]

    settings = {"hybrid_process_seconds": 0.0 if stays else 60.0, empty: 0}
    async with make_engine(Settings(**settings)) as engine:  # type: ignore[arg-type]  # one is a float, one an int
        processes = await (await engine.start(twice)).result()
        assert [process == os.getpid() for process in processes] == [stays, stays]
