"""Children that follow a run into its next generation: who hears of their end, and who ends them."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.errors import ChildRunError, InvalidArgumentError
from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.backoff import fixed
from perdure.kernel.events import ParentClosePolicy
from perdure.kernel.failure import Failure
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.retry import Retry
from tests.kernel.lives import RUN_KEY, Life, json, life_of, program_of, replay


@activity(name="carried.work")
async def work() -> None: ...


@workflow(name="carried.child")
async def child(ctx: Context) -> int:
    return 5


@workflow(name="carried.other")
async def other(ctx: Context) -> int:
    return 6


@workflow(name="carried.rolling")
async def rolling(ctx: Context, generations: int) -> object:
    if ctx.info.generation == 1:
        for policy in ParentClosePolicy:
            ctx.start_child(child, id=policy.value, policy=policy)
        await work()
    if ctx.info.generation < generations:
        ctx.continue_as_new(generations)
    found: list[object] = [ctx.info.inherited_children]
    try:
        found.append(await ctx.inherited_child(child, "cancel").result())
    except ChildRunError as error:
        found.append(error.failure_type)
    await work()
    return found


CARRIED = e.CarriedChild(
    run_key=3,
    generation=4,
    operation=Operation(8),
    workflow="carried.child",
    ref=RunRef(id="c"),
    policy=ParentClosePolicy.CANCEL,
)


def opened(life: Life) -> Life:
    """Return the generation that a run has opened, not begun."""
    creation = life.advanced.creations[-1]
    created = creation.created.event
    assert isinstance(created, e.RunCreated)
    return Life(program_of(rolling.entry(), created), created)


def next_generation(life: Life) -> Life:
    """Return the generation that a run has opened, begun."""
    following = opened(life)
    following.begin()
    return following


def first(generations: int = 2) -> Life:
    life = life_of(rolling, generations)
    life.begin()
    life.succeed(4)
    return life


def second(generations: int = 2) -> Life:
    return next_generation(first(generations))


def completed(operation: int, *, generation: int = 1) -> m.Message:
    return m.ChildCompletedMessage(operation=Operation(operation), generation=generation, result=json(5))


def deliveries(life: Life) -> list[tuple[RunRef, m.Message]]:
    return [(d.target, d.message) for d in life.advanced.deliveries if isinstance(d.target, RunRef)]


def origins(life: Life) -> list[tuple[int, int, int, str]]:
    return [(child.run_key, child.generation, child.operation, child.ref.id) for child in life.created.carried_children]


def test_children_that_end_with_the_run_follow_it_and_detached_ones_are_let_go() -> None:
    life = first()
    assert [event for event in life.events if isinstance(event, e.ChildCancelled)] == [
        e.ChildCancelled(operation=Operation(3), reason="the run has ended")
    ]
    assert life.advanced.deliveries == []
    following = next_generation(life)
    assert origins(following) == [(RUN_KEY, 1, 1, "cancel"), (RUN_KEY, 1, 2, "terminate")]
    assert list(following.state.children) == [-1, -2]


def test_the_result_of_a_child_reaches_the_next_generation() -> None:
    life = second()
    life.message(completed(1))
    (operation,) = life.pending
    life.succeed(operation)
    assert life.result == [["cancel", "terminate"], 5]
    assert replay(rolling.entry(), life.history).state == life.state


def test_a_result_that_comes_before_it_is_asked_for_is_kept() -> None:
    @workflow(name="carried.late")
    async def late(ctx: Context) -> int:
        await work()
        return await ctx.inherited_child(child, "c").result()

    life = life_of(late, carried_children=(CARRIED,))
    life.begin()
    life.message(completed(8, generation=4))
    life.succeed(1)
    assert life.result == 5


def test_the_failure_of_a_child_reaches_the_next_generation() -> None:
    life = second()
    life.message(
        m.ChildFailedMessage(
            operation=Operation(1),
            generation=1,
            outcome=e.ChildOutcome.FAILED,
            failure=Failure(type="KeyError", message="lost"),
        )
    )
    (operation,) = life.pending
    life.succeed(operation)
    assert life.result == [["cancel", "terminate"], "KeyError"]


def test_children_follow_through_several_generations_under_the_name_of_the_one_that_asked() -> None:
    third = next_generation(second(3))
    assert origins(third) == [(RUN_KEY, 1, 1, "cancel"), (RUN_KEY, 1, 2, "terminate")]
    third.message(completed(1))
    assert len(third.pending) == 1


@pytest.mark.parametrize("generation", [1, 2])
def test_a_report_of_another_operation_or_generation_is_no_report_of_theirs(generation: int) -> None:
    life = second()
    assert life.message(completed(9, generation=generation)) == []
    assert life.message(completed(1, generation=2)) == []


def test_a_generation_that_is_ended_before_it_begins_ends_them() -> None:
    life = opened(first())
    life.message(m.TerminateMessage())
    assert life.state.is_closed
    assert [target.id for target, _ in deliveries(life)] == ["cancel", "terminate"]
    assert replay(rolling.entry(), life.history).state == life.state


def test_a_result_that_comes_before_the_generation_begins_is_kept() -> None:
    life = opened(first())
    life.message(completed(1))
    life.begin()
    life.succeed(1)
    assert life.result == [["cancel", "terminate"], 5]
    assert replay(rolling.entry(), life.history).state == life.state


@pytest.mark.parametrize(
    "end",
    [
        lambda life: life.message(m.TerminateMessage()),
        lambda life: (life.message(completed(1)), life.fail(life.pending[0])),
        lambda life: (life.message(completed(1)), life.succeed(life.pending[0])),
    ],
    ids=["terminated", "failed", "completed"],
)
def test_the_end_of_the_last_generation_ends_them_as_the_one_that_asked(end: Callable[[Life], object]) -> None:
    life = second()
    end(life)
    assert life.state.is_closed
    told = {target.id: message for target, message in deliveries(life)}
    assert isinstance(told["terminate"], m.TerminateMessage)
    assert told["terminate"].parent_key == RUN_KEY
    assert "abandon" not in told


def test_giving_up_the_wait_for_an_inherited_child_cancels_it() -> None:
    life = second()
    life.cancel()
    assert [delivery.message for delivery in life.advanced.deliveries] == [
        m.CancelMessage(reason="its parent run gave it up", by="parent", parent_key=RUN_KEY),
        m.TerminateMessage(reason="its parent run gave it up", by="parent", parent_key=RUN_KEY),
    ]


@workflow(name="carried.twice")
async def waiting_twice(ctx: Context) -> list[object]:
    async def briefly() -> object:
        try:
            async with asyncio.timeout(1):
                return await ctx.inherited_child(child, "c").result()
        except TimeoutError:
            return "given up"

    return list(await asyncio.gather(ctx.inherited_child(child, "c").result(), briefly()))


def test_giving_up_one_of_two_waits_for_an_inherited_child_leaves_the_other() -> None:
    life = life_of(waiting_twice, carried_children=(CARRIED,))
    life.begin()
    assert [type(event) for event in life.wait(1)] == [e.TimerFired]
    life.message(completed(8, generation=4))
    assert life.result == [5, "given up"]


@workflow(name="carried.failing", retry=Retry(attempts=2, backoff=fixed(timedelta(0))))
async def failing(ctx: Context) -> None:
    ctx.start_child(child, id="of this attempt")
    await work()


def test_a_run_that_is_tried_again_leaves_the_children_of_its_attempt_behind() -> None:
    life = life_of(failing)
    life.begin()
    life.fail(2)
    (creation,) = life.advanced.creations
    assert isinstance(creation.created.event, e.RunCreated)
    assert creation.created.event.carried_children == ()
    (delivery,) = life.advanced.deliveries
    assert isinstance(delivery.message, m.CancelMessage)


@pytest.mark.parametrize(
    ("asked", "says"), [((child, "unknown"), "left cancel, terminate"), ((other, "cancel"), "one of")]
)
def test_only_what_was_left_open_can_be_taken_over(asked: tuple[object, str], says: str) -> None:
    @workflow(name="carried.asking")
    async def asking(ctx: Context) -> str:
        with pytest.raises(InvalidArgumentError, match=says):
            ctx.inherited_child(*asked)  # type: ignore[arg-type]
        return "refused"

    life = life_of(asking, carried_children=second().created.carried_children)
    life.begin()
    assert life.result == "refused"
