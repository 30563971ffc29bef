"""Replacing: an open run is ended, by a transition that makes its successor."""

import pytest

from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.updates import Update
from perdure.authoring.workflow import workflow
from perdure.errors import HistoryError
from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.events import ParentClosePolicy
from perdure.kernel.fork_points import point_at
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import FencingToken, Operation, RunRef, WorkerId
from perdure.kernel.locking import LockRelease
from perdure.kernel.replacing import replace
from perdure.kernel.state import RunState, fold
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus, Transition
from tests.kernel.forks import FORK_KEY, LATER, forked, order
from tests.kernel.lives import RUN_KEY, SECOND, Life, json, life_of, replay

go = Signal("go", int)


@workflow(name="replacing.child")
async def child(ctx: Context) -> int:
    return await ctx.wait_for(go)


@workflow(name="replacing.parent")
async def parent(ctx: Context) -> None:
    ctx.start_child(child, id="kept")
    await ctx.wait_for(go)
    for policy in ParentClosePolicy:
        ctx.start_child(child, id=policy.value, policy=policy)
    await ctx.sleep(60)


@workflow(name="replacing.updated")
async def updated(ctx: Context) -> int:
    async def on_set(number: int) -> int:
        return number + await ctx.wait_for(go)

    ctx.on_update(Update("set", int, int), on_set)
    return await ctx.wait_for(go)


@workflow(name="replacing.cleaning")
async def cleaning(ctx: Context) -> None:
    try:
        await ctx.wait_for(go)
    finally:
        await ctx.sleep(60)


def replaced(run: Life, event: int) -> Transition:
    creation, _ = forked(run.history, point_at(run.history, event), reason="why", by="ann")
    wish = order(run.history, reason="why", by="ann")
    return replace(run.history, creation, wish, fencing_token=FencingToken(4), by=WorkerId(2))


def test_the_end_and_the_successor_are_one_write() -> None:
    run = life_of(parent)
    run.begin()
    write = replaced(run, 2)
    assert (write.run_key, write.fencing_token, write.owner) == (RUN_KEY, 4, 2)
    assert write.expected_sequence == len(run.history)
    assert write.moves_inbox_to == FORK_KEY == write.creations[0].run_key
    assert write.events[-1].event == e.RunReset(next_generation=2, point=2, reason="why", by="ann")
    assert (write.row.status, write.row.closed_at) == (RunStatus.CONTINUED, write.events[-1].at)
    assert fold(RunState(), [*run.history, *write.events]).row() == write.row


def test_what_is_pending_is_given_up_but_for_children_that_go_along() -> None:
    run = life_of(parent)
    run.begin()
    before = len(run.history)
    run.signal("go", 1)
    write = replaced(run, before)
    given_up = [(type(recorded.event), getattr(recorded.event, "operation", 0)) for recorded in write.events]
    assert given_up == [
        (e.TimerCancelled, 5),
        (e.ChildCancelled, 2),
        (e.ChildCancelled, 3),
        (e.ChildCancelled, 4),
        (e.RunReset, 0),
    ]
    assert [(delivery.target, type(delivery.message)) for delivery in write.deliveries] == [
        (RunRef(id="cancel"), m.CancelMessage),
        (RunRef(id="terminate"), m.TerminateMessage),
    ]
    assert {getattr(delivery.message, "parent_key", 0) for delivery in write.deliveries} == {RUN_KEY}
    assert len({delivery.message_id for delivery in write.deliveries}) == 2


def test_an_update_that_the_successor_handles_again_is_left_open_and_a_later_one_is_answered() -> None:
    run = life_of(updated)
    run.begin()
    run.message(m.UpdateMessage(update_id="u1", name="set", body=json(1)))
    before = len(run.history)
    run.message(m.UpdateMessage(update_id="u2", name="set", body=json(2)))
    write = replaced(run, before)
    given_up = [r.event.update_id for r in write.events if isinstance(r.event, e.UpdateCompleted)]
    assert given_up == ["u2"]
    assert replay(updated.entry(), [*run.history, *write.events]).state.is_closed


def test_a_cancellation_that_was_taken_in_after_the_point_is_told_to_the_successor() -> None:
    run = life_of(cleaning)
    run.begin()
    before = len(run.history)
    run.cancel("enough", grace_until=run.now + 20 * SECOND)
    at = run.history[-1].at + LATER
    [told] = replaced(run, before).deliveries
    assert (told.target, told.at) == (FORK_KEY, at)
    grace = 20 * SECOND
    asked = m.CancelMessage(reason="enough", by="ann", grace_until=Timestamp(at + grace), grace_microseconds=grace)
    assert told.message == asked
    assert replaced(run, len(run.history)).deliveries == ()  # it is in the copy


def test_locks_that_are_held_or_awaited_are_given_back() -> None:
    run = life_of(parent)
    run.begin()
    asked = e.LockRequested(operation=Operation(9), key="door", limit=1)
    at = run.history[-1].at
    history = [*run.history, RecordedEvent(len(run.history) + 1, at, asked)]
    creation, _ = forked(history, 2)
    write = replace(history, creation, order(history), fencing_token=FencingToken(4), by=WorkerId(2))
    assert write.locks == (LockRelease(operation=Operation(9)),)
    assert e.LockReleased in {type(recorded.event) for recorded in write.events}


def test_a_run_that_was_copied_already_ends_its_older_children_under_their_parents_key() -> None:
    run = life_of(parent)
    run.begin()
    creation, _ = forked(run.history, len(run.history))
    history: list[RecordedEvent] = [creation.created, *creation.copied]
    next_creation, _ = forked(history, 2, ref=RunRef(id="order-1", generation=3), run_key=9, origin_key=FORK_KEY)
    wish = order(history, ref=RunRef(id="order-1", generation=3), origin=creation.ref, origin_key=FORK_KEY)
    write = replace(history, next_creation, wish, fencing_token=FencingToken(1), by=WorkerId(1))
    [delivery] = write.deliveries
    assert isinstance(delivery.message, m.CancelMessage)
    assert delivery.message.parent_key == RUN_KEY
    with pytest.raises(HistoryError, match="is one of the run default/order-1#2"):
        replace(history, next_creation, order(history), fencing_token=FencingToken(1), by=WorkerId(1))
