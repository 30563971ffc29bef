"""Code that holds the event loop is reported while it holds it, with its stack."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator

import pytest

from perdure import Context, Settings, activity, workflow
from perdure.execution.blocking import BlockingWatch
from tests.execution.conftest import MakeEngine

SECONDS = 0.02
LIMIT_SECONDS = 60.0


class Reports(logging.Handler):
    """What was logged, and a sign when it was."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.came = threading.Event()
        self.ended = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        (self.came if record.levelno == logging.WARNING else self.ended).set()

    @property
    def warnings(self) -> list[str]:
        return [record.getMessage() for record in self.records if record.levelno == logging.WARNING]

    @property
    def ends(self) -> list[str]:
        return [record.getMessage() for record in self.records if record.levelno == logging.INFO]


@pytest.fixture
def reports() -> Iterator[Reports]:
    """Listen to the watch."""
    logger = logging.getLogger("perdure.blocking")
    handler = Reports()
    logger.addHandler(handler)
    level, disabled = logger.level, logger.disabled
    logger.setLevel(logging.INFO)
    logger.disabled = False  # another test's tool may have configured logging anew
    yield handler
    logger.setLevel(level)
    logger.disabled = disabled
    logger.removeHandler(handler)


def hold_the_loop(reports: Reports) -> None:
    assert reports.came.wait(LIMIT_SECONDS)


async def test_an_activity_that_blocks_is_named_with_its_stack_once(make_engine: MakeEngine, reports: Reports) -> None:
    @activity
    async def blocks() -> None:
        hold_the_loop(reports)

    @workflow
    async def calls(ctx: Context) -> None:
        await blocks()

    async with make_engine(Settings(blocking_seconds=SECONDS)) as engine:
        run = await engine.start(calls, id="order-7")
        await run.result()
        assert await asyncio.to_thread(reports.ended.wait, LIMIT_SECONDS)
    (warning,) = [warning for warning in reports.warnings if "blocks" in warning]
    assert "by activity 'blocks', attempt 1, of run default/order-7" in warning
    assert "in hold_the_loop" in warning
    assert "asyncio/base_events.py" not in warning
    assert "activity 'blocks', attempt 1, of run default/order-7 held it for" in reports.ends[0]


async def test_workflow_code_that_blocks_is_named(make_engine: MakeEngine, reports: Reports) -> None:
    @workflow
    async def blocks(ctx: Context) -> None:
        hold_the_loop(reports)

    async with make_engine(Settings(blocking_seconds=SECONDS)) as engine:
        await (await engine.start(blocks, id="order-8")).result()
    assert "workflow code of run default/order-8" in reports.warnings[0]
    assert "in hold_the_loop" in reports.warnings[0]
    assert "perdure/kernel" not in reports.warnings[0], "how the engine came to the code is of no use"


async def test_code_outside_of_the_engine_is_told_apart(reports: Reports) -> None:
    watch = BlockingWatch(asyncio.get_running_loop(), seconds=SECONDS, is_busy=lambda: True)
    watch.start()
    hold_the_loop(reports)
    assert await asyncio.to_thread(reports.ended.wait, LIMIT_SECONDS)
    watch.stop()
    assert "by code outside of the engine" in reports.warnings[0]


async def test_a_hold_that_kept_the_interpreter_to_itself_is_reported_afterwards_without_a_stack(
    reports: Reports,
) -> None:
    loop = asyncio.get_running_loop()
    watch = BlockingWatch(loop, seconds=SECONDS, is_busy=lambda: False)
    # As such code looks to the watch: when it gets to look again, the loop has turned, but late.
    watch._turned_at = time.monotonic() + 10 * SECONDS
    watch._turned = _AlwaysSet()
    watch._ask()
    assert "kept the interpreter's lock" in reports.warnings[0]


class _AlwaysSet(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        return True


async def test_it_rests_without_work_and_wakes_with_it(reports: Reports) -> None:
    watch = _Observed(asyncio.get_running_loop(), seconds=SECONDS, is_busy=lambda: False)
    watch.start()
    assert await asyncio.to_thread(watch.rests.acquire, timeout=LIMIT_SECONDS)
    assert watch.asked == 0
    for times in (1, 2):
        watch.work_begins()
        assert await asyncio.to_thread(watch.rests.acquire, timeout=LIMIT_SECONDS)
        assert watch.asked == times
    watch.stop()
    assert not watch._thread.is_alive()


class _Observed(BlockingWatch):
    asked = 0

    def start(self) -> None:
        self.rests = threading.Semaphore(0)
        super().start()

    def _rest(self) -> None:
        self.rests.release()
        super()._rest()

    def _ask(self) -> None:
        self.asked += 1
        super()._ask()


async def test_it_stops_in_the_middle_of_an_incident(reports: Reports) -> None:
    watch = BlockingWatch(asyncio.get_running_loop(), seconds=SECONDS, is_busy=lambda: True)
    watch.start()
    hold_the_loop(reports)
    watch.stop()
    assert not watch._thread.is_alive()
    assert reports.ends == []


async def test_no_limit_means_no_watch(make_engine: MakeEngine) -> None:
    async with make_engine(Settings(blocking_seconds=0.0)) as engine:
        assert not engine.worker._blocking._thread.is_alive()


async def test_the_watch_ends_with_the_engine(make_engine: MakeEngine) -> None:
    async with make_engine() as engine:
        thread = engine.worker._blocking._thread
        assert thread.is_alive()
    assert not thread.is_alive()
