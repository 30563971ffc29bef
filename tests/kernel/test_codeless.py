"""Ends that need no code, and that the code accepts when it comes back."""

import asyncio
from typing import Any

import pytest

from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.workflow import workflow
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.codeless import first_end
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.messages import ends_by
from perdure.kernel.state import RunState
from perdure.kernel.time import Timestamp
from tests.kernel.lives import SECOND, START, Life, life_of, replay, signal

go = Signal("go", int)
AT_ONCE = Timestamp(0)
GRACE = Timestamp(START + 60 * SECOND)
DEADLINE = Timestamp(START + 100 * SECOND)


@workflow(name="codeless.waiting")
async def waiting(ctx: Context) -> int:
    try:
        async with asyncio.timeout(50):
            return await ctx.wait_for(go)
    except TimeoutError:
        return await ctx.wait_for(go)


def arrived(message: m.Message, position: int = 1) -> i.MessageArrived:
    return i.MessageArrived(message=message, message_id=f"m{position}", position=position)


def begun(**fields: Any) -> Life:
    life = life_of(waiting, **fields)
    life.begin()
    return life


def ended(life: Life, *inbox: i.MessageArrived) -> list[e.Event]:
    """Let the first end happen."""
    end = first_end(life.state, inbox)
    assert end is not None
    return life.take(end.given)


def test_a_run_without_a_deadline_that_nobody_ends_has_no_end_without_its_code() -> None:
    life = begun()
    assert first_end(life.state) is None
    assert first_end(life.state, [signal("go", 1), arrived(m.CancelMessage()), arrived(m.SuspendMessage())]) is None


def test_a_termination_in_the_inbox_is_due_at_once_and_consumed() -> None:
    life = begun(deadline_at=DEADLINE)
    inbox = [signal("go", 1), arrived(m.TerminateMessage(reason="enough", by="ann"), 3)]
    end = first_end(life.state, inbox)
    assert end is not None
    assert end.at == AT_ONCE
    assert life.take(end.given)[-1] == e.RunTerminated(reason="enough", by="ann")
    assert life.advanced.consumed == [3]


def test_the_first_order_counts() -> None:
    life = life_of(waiting)
    terminated = arrived(m.TerminateMessage(reason="first"), 1)
    cancelled = arrived(m.CancelMessage(reason="second"), 2)
    assert ended(life, terminated, cancelled) == [e.RunTerminated(reason="first")]
    assert ended(life_of(waiting), cancelled, terminated) == [e.RunCancelled(reason="second")]


def test_a_deadline_ends_a_run_at_its_time() -> None:
    life = begun(deadline_at=DEADLINE, execution_timeout_microseconds=100 * SECOND)
    end = first_end(life.state)
    assert end is not None
    assert end.at == DEADLINE
    failed = life.take(end.given)[-1]
    assert isinstance(failed, e.RunFailed)
    assert failed.failure.message == "the run did not end within its execution timeout of 100 s"


def test_a_grace_ends_a_run_whether_its_cancellation_was_taken_in_or_not() -> None:
    message = m.CancelMessage(reason="enough", by="ann", grace_until=GRACE)
    expected = e.RunTerminated(reason="the grace of the cancellation ended (enough)", by="ann")
    unread, taken = begun(deadline_at=DEADLINE), begun(deadline_at=DEADLINE)
    end = first_end(unread.state, [arrived(message, 5)])
    assert end is not None
    assert end.at == GRACE
    assert unread.take(end.given)[-1] == expected
    assert unread.advanced.consumed == [5]
    taken.take(i.MessageArrived(message=m.SuspendMessage()), i.MessageArrived(message=m.ResumeMessage()))
    taken.state.record(e.RunCancelRequested(reason="enough", by="ann", grace_until=GRACE), Timestamp(START))
    later = arrived(m.CancelMessage(grace_until=Timestamp(START)), 6)
    end = first_end(taken.state, [later])
    assert end is not None
    assert (end.at, end.given) == (GRACE, i.EndRun(closing=expected))


@pytest.mark.parametrize("held", [False, True])
def test_a_cancellation_before_the_begin_needs_no_code(held: bool) -> None:
    life = life_of(waiting, start_at=Timestamp(START + SECOND))
    if held:
        life.message(m.SuspendMessage(reason="not yet"))
    assert ended(life, arrived(m.CancelMessage(reason="not any more"), 2)) == [e.RunCancelled(reason="not any more")]
    assert life.advanced.consumed == [2]


def test_only_its_own_parent_ends_a_run() -> None:
    link = e.ParentLink(run_key=RunKey(9), ref=RunRef(id="parent"), operation=Operation(1))
    life = begun(parent=link)
    for stranger in (m.TerminateMessage(parent_key=8), m.CancelMessage(parent_key=8, grace_until=GRACE)):
        assert first_end(life.state, [arrived(stranger)]) is None
    assert first_end(life.state, [arrived(m.TerminateMessage(parent_key=9))]) is not None


def test_what_is_not_there_or_has_ended_does_not_end() -> None:
    order = arrived(m.TerminateMessage())
    assert first_end(RunState(), [order]) is None
    life = begun()
    ended(life, order)
    assert first_end(life.state, [order]) is None


@pytest.mark.parametrize(
    "order",
    [m.TerminateMessage(), m.CancelMessage(grace_until=Timestamp(START + 70 * SECOND)), None],
    ids=["terminated", "out of grace", "out of time"],
)
def test_code_that_comes_back_replays_a_run_that_ended_without_it_though_its_timer_was_due(
    order: m.Message | None,
) -> None:
    life = begun(deadline_at=DEADLINE)
    life.now = START + 200 * SECOND
    inbox = [arrived(m.SignalMessage(name="go"), 1)] + ([] if order is None else [arrived(order, 2)])
    events = ended(life, *inbox)
    assert isinstance(events[0], e.TimerCancelled)
    assert not any(isinstance(event, e.TimerFired | e.SignalReceived | e.RunCancelRequested) for event in events)
    assert replay(waiting.entry(), life.history).state.closing == events[-1]


def test_the_moment_that_a_store_notes_of_a_message_is_that_of_its_end() -> None:
    at = Timestamp(START)
    for has_begun in (True, False):
        assert ends_by(m.TerminateMessage(), at, has_begun=has_begun) == at
        assert ends_by(m.SignalMessage(name="go"), at, has_begun=has_begun) is None
    assert ends_by(m.CancelMessage(grace_until=GRACE), at, has_begun=True) == GRACE
    assert ends_by(m.CancelMessage(), at, has_begun=True) is None
    assert ends_by(m.CancelMessage(grace_until=GRACE), at, has_begun=False) == at


def test_a_cancellation_that_is_taken_in_tells_when_its_grace_ends() -> None:
    life = begun()
    life.cancel(grace_until=GRACE)
    assert life.advanced.end_at == GRACE
    life.signal("go", 1)
    assert life.advanced.end_at is None
