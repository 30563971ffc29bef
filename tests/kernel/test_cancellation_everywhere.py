"""Cancellation at every event of many shapes of code: it ends what it should, cleans up once, leaves nothing behind.

Each shape is lived to its end, event by event, in an order that a seed draws; then again with a cancellation at each
of its moments. Its clean-up is shielded, as the how-to advises, so that it is done exactly once whenever the request
comes.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.workflow import Workflow, workflow
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.identity import Operation
from perdure.kernel.transition import RunStatus
from tests.kernel.lives import Life, LostExceptions, failed, json, life_of, replay, signal, success

AnyWorkflow = Workflow[*tuple[Any, ...], Any]
MOST_STEPS = 60

answer = Signal("answer", int)


@activity(name="cancel.work")
async def work(number: int) -> int:
    return number


@activity(name="cancel.clean_up")
async def clean_up() -> None: ...


@activity(name="cancel.undo")
async def undo(number: int) -> None: ...


@activity(name="cancel.book", compensate=undo)
async def book(number: int) -> int:
    return number


@workflow(name="cancel.child")
async def child(ctx: Context) -> int:
    return await work(1)


@workflow(name="cancel.gather")
async def gathering(ctx: Context) -> None:
    try:
        await asyncio.gather(work(1), ctx.sleep(3), work(2))
    finally:
        await ctx.shielded(clean_up())


@workflow(name="cancel.task_group")
async def grouping(ctx: Context) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(work(number))
            await ctx.sleep(1)
    finally:
        await ctx.shielded(clean_up())


@workflow(name="cancel.timeout")
async def timing(ctx: Context) -> None:
    try:
        for number in range(2):
            try:
                async with asyncio.timeout(2):
                    await asyncio.gather(work(number), ctx.sleep(number * 5))
            except TimeoutError:
                await work(9)
    finally:
        await ctx.shielded(clean_up())


@workflow(name="cancel.shield")
async def shielding(ctx: Context) -> None:
    step = asyncio.ensure_future(work(1))
    try:
        await asyncio.shield(step)
        await work(2)
    finally:
        await ctx.shielded(step)
        await ctx.shielded(clean_up())


@workflow(name="cancel.stage")
async def staging(ctx: Context) -> None:
    try:
        async with ctx.stage("outer"):
            await work(1)
            try:
                async with ctx.stage("inner", timeout=timedelta(seconds=2)):
                    await asyncio.gather(work(2), ctx.sleep(5))
            except TimeoutError:
                await work(3)
    finally:
        await ctx.shielded(clean_up())


@workflow(name="cancel.children")
async def parenting(ctx: Context) -> None:
    first = ctx.start_child(child, id="first")
    try:
        await asyncio.gather(first.result(), first.result(), ctx.run_child(child, id="second"))
    finally:
        await ctx.shielded(clean_up())


@workflow(name="cancel.signal")
async def waiting(ctx: Context) -> None:
    try:
        await ctx.wait_for(answer)
        try:
            await ctx.wait_for(answer, timeout=timedelta(seconds=2))
        except TimeoutError:
            await work(1)
    finally:
        await ctx.shielded(clean_up())


@workflow(name="cancel.lock")
async def locking(ctx: Context) -> None:
    lock = asyncio.Lock()

    async def use(number: int) -> None:
        async with lock:
            await work(number)

    try:
        await asyncio.gather(use(1), use(2), use(3))
    finally:
        assert not lock.locked() or ctx.cancel_requested
        await ctx.shielded(clean_up())


@workflow(name="cancel.queue")
async def queueing(ctx: Context) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)

    async def produce() -> None:
        for number in (1, 2, 0):
            await queue.put(number)

    async def consume() -> None:
        while number := await queue.get():
            await work(number)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            group.create_task(consume())
    finally:
        await ctx.shielded(clean_up())


@workflow(name="cancel.map")
async def mapping(ctx: Context) -> None:
    try:
        await ctx.map(work, range(5), limit=2)
    finally:
        await ctx.shielded(clean_up())


@workflow(name="cancel.compensation")
async def compensating(ctx: Context) -> None:
    try:
        await book(1)
        await asyncio.gather(book(2), book(3))
        await work(1)
    finally:
        await ctx.shielded(clean_up())


SHAPES: list[AnyWorkflow] = [
    gathering,
    grouping,
    timing,
    shielding,
    staging,
    parenting,
    waiting,
    locking,
    queueing,
    mapping,
    compensating,
]


class Course:
    """One life of a shape in a world whose order a seed draws."""

    def __init__(self, shape: AnyWorkflow, seed: int) -> None:
        self.shape = shape
        self.random = random.Random(seed)
        self.lost = LostExceptions()
        self.life = life_of(shape, lost=self.lost)
        self.told: list[m.Message] = []

    def take(self, *inputs: i.Input, after: float = 0) -> None:
        self.life.take(*inputs, after=after)
        self.told += [delivery.message for delivery in self.life.advanced.deliveries]

    def next_input(self) -> i.Input | None:
        """Draw what happens next; None: time passes."""
        state = self.life.state
        if state.started_at is None:
            return i.Begin(worker="w")
        pending = state.activities.items()
        inputs: list[i.Input] = [success(o, _result(a.activity), attempt=a.attempt) for o, a in pending]
        inputs += [
            i.MessageArrived(message=m.ChildCompletedMessage(operation=Operation(o), result=json(1)))
            for o in state.children
        ]
        if state.timers and (not inputs or self.random.random() < 0.3):
            return None
        return self.random.choice(inputs) if inputs else signal("answer", 1)

    def step(self, *beside: i.Input) -> None:
        """Let the next thing happen, and `beside` it, in the same step, a cancellation."""
        given = self.next_input()
        self.take(*([] if given is None else [given]), *beside, after=2 if given is None else 0)

    def live(self, steps: int = MOST_STEPS) -> int:
        """Live on to the end, or for some steps; return how many there were."""
        for taken in range(steps):
            if self.life.state.is_closed:
                return taken
            self.step()
        return steps

    def cancel(self) -> i.MessageArrived:
        return i.MessageArrived(message=m.CancelMessage(reason="enough", by="ann"))


def _result(name: str) -> object:
    return None if name in ("cancel.clean_up", "cancel.undo") else 1


def undisturbed(shape: AnyWorkflow, seed: int) -> int:
    course = Course(shape, seed)
    length = course.live()
    assert course.life.state.status is RunStatus.COMPLETED
    check(course, cancelled=False)
    return length


def check(course: Course, *, cancelled: bool) -> None:
    """Check what must hold of every end."""
    life = course.life
    assert life.state.is_closed
    assert course.lost == []
    if cancelled:
        assert life.state.status is RunStatus.CANCELLED
    _check_clean_up(life)
    _check_outcomes(life)
    state = life.state
    assert (state.activities, state.timers, state.children, state.stages) == ({}, {}, {}, {})
    given_up = sum(1 for event in life.events if isinstance(event, e.ChildCancelled))
    assert sum(1 for message in course.told if isinstance(message, m.CancelMessage)) == given_up
    assert sum(1 for event in life.events if isinstance(event, e.RunCancelRequested)) <= 1
    assert replay(course.shape.entry(), life.history, lost=LostExceptions()).state == state


def _check_clean_up(life: Life) -> None:
    """Once and to its end if the code began; and what was booked is undone, once each, where the run was cancelled."""
    began = any(isinstance(event, e.RunStarted) for event in life.events)
    scheduled = [event for event in life.events if isinstance(event, e.ActivityScheduled)]
    completed = {event.operation for event in life.events if isinstance(event, e.ActivityCompleted)}
    cleaning = [event.operation in completed for event in scheduled if event.activity == "cancel.clean_up"]
    assert cleaning == ([True] if began else [])
    booked = [
        event.operation for event in scheduled if event.activity == "cancel.book" and event.operation in completed
    ]
    undone = [event.compensates for event in scheduled if event.activity == "cancel.undo"]
    assert sorted(undone) == (sorted(booked) if life.state.status is RunStatus.CANCELLED else [])
    assert all(event.operation in completed for event in scheduled if event.activity == "cancel.undo")


def _check_outcomes(life: Life) -> None:
    begun = Counter(
        event.operation
        for event in life.events
        if isinstance(event, e.ActivityScheduled | e.TimerStarted | e.ChildRequested)
    )
    ends = (e.ActivityCompleted, e.ActivityFailed, e.ActivityCancelled, e.TimerFired, e.TimerCancelled)
    ended = Counter(
        event.operation
        for event in life.events
        if isinstance(event, (*ends, e.ChildCompleted, e.ChildFailed, e.ChildCancelled))
    )
    assert begun == ended


def each_moment(shape: AnyWorkflow, seed: int) -> range:
    return range(undisturbed(shape, seed))


def strike(shape: AnyWorkflow, seed: int, moment: int, how: Callable[[Course], None]) -> Course:
    course = Course(shape, seed)
    course.live(moment)
    how(course)
    course.live()
    return course


def once(course: Course) -> None:
    course.take(course.cancel())


def twice_at_once(course: Course) -> None:
    course.take(course.cancel(), course.cancel())


def twice(course: Course) -> None:
    course.take(course.cancel())
    course.step(course.cancel())


def with_the_next_outcome(course: Course) -> None:
    course.step(course.cancel())


def before_the_next_outcome(course: Course) -> None:
    given = course.next_input()
    course.take(course.cancel(), *([] if given is None else [given]), after=2 if given is None else 0)


def while_it_is_suspended(course: Course) -> None:
    course.take(i.MessageArrived(message=m.SuspendMessage()))
    course.take(course.cancel())


HOWS = [once, twice_at_once, twice, with_the_next_outcome, before_the_next_outcome, while_it_is_suspended]


@pytest.mark.parametrize("how", HOWS, ids=lambda how: how.__name__)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_cancellation_at_any_moment_ends_the_run_cleanly(shape: AnyWorkflow, how: Callable[[Course], None]) -> None:
    for seed in range(3):
        for moment in each_moment(shape, seed):
            course = strike(shape, seed, moment, how)
            # Together with the last outcome it comes too late, and the run has completed.
            may_complete = course.life.state.status is RunStatus.COMPLETED and course.life.state.cancel is None
            check(course, cancelled=not may_complete)


@given(seed=st.integers(0, 2**32), moment=st.integers(0, MOST_STEPS), shape=st.sampled_from(SHAPES))
@settings(max_examples=150, deadline=None)
def test_whatever_the_order_of_outcomes_a_cancellation_ends_the_run_cleanly(
    seed: int, moment: int, shape: AnyWorkflow
) -> None:
    length = undisturbed(shape, seed)
    check(strike(shape, seed, moment % length, once), cancelled=True)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_termination_at_any_moment_leaves_nothing_pending(shape: AnyWorkflow) -> None:
    for moment in each_moment(shape, 0):
        course = Course(shape, 0)
        course.live(moment)
        course.take(i.MessageArrived(message=m.TerminateMessage()))
        assert course.life.state.status is RunStatus.TERMINATED
        _check_outcomes(course.life)
        assert replay(shape.entry(), course.life.history, lost=LostExceptions()).state == course.life.state


@workflow(name="cancel.obstinate")
async def obstinate(ctx: Context) -> str:
    try:
        await work(1)
    except asyncio.CancelledError:
        await work(2)
    return "as it likes"


def test_code_that_catches_its_cancellation_ends_as_it_says() -> None:
    course = Course(obstinate, 0)
    course.live(1)
    once(course)
    course.live()
    assert course.life.result == "as it likes"


@workflow(name="cancel.failing")
async def failing_to_clean_up(ctx: Context) -> None:
    try:
        await work(1)
    finally:
        await work(2)


def test_clean_up_that_fails_fails_the_run() -> None:
    course = Course(failing_to_clean_up, 0)
    course.live(1)
    once(course)
    (operation,) = course.life.pending
    course.take(failed(operation))
    assert isinstance(course.life.result, e.RunFailed)


def test_a_cancellation_of_a_run_that_has_ended_is_refused() -> None:
    course = Course(gathering, 0)
    course.live()
    before = len(course.life.history)
    given = course.cancel()
    course.take(given)
    assert (len(course.life.history), course.life.advanced.refused) == (before, [given])
