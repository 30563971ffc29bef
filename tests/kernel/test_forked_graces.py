"""Graces of cancellations in a fork: they begin anew with it."""

import asyncio

from msgspec import structs

from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.workflow import workflow
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.codeless import first_end
from perdure.kernel.fork_points import point_of_last_failure
from perdure.kernel.time import Timestamp
from tests.kernel.forks import LATER, forked, go_on, loaded
from tests.kernel.lives import SECOND, START, code_life, entry_of, life_of

go = Signal("go", int)
GRACE = Timestamp(START + 100 * SECOND)


@workflow(name="graces.waiting")
async def waiting(ctx: Context) -> int:
    return await ctx.wait_for(go)


def test_the_grace_of_a_cancellation_that_was_copied_begins_anew() -> None:
    async def code() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(2 * LATER / SECOND)

    run = code_life(code)
    run.wait(10)
    run.cancel(grace_until=run.now + 20 * SECOND)
    run.wait(30)
    assert type(run.history[-1].event) is e.RunTerminated
    creation, event = forked(run.history, point_of_last_failure(run.history))
    again = go_on(entry_of(code), creation)
    assert not again.state.is_closed
    assert again.state.cancel is not None
    assert again.state.cancel.grace_until == event.grace_until == creation.end_at == creation.begun_at + 20 * SECOND
    again.wait(21)
    assert type(again.history[-1].event) is e.RunTerminated


def test_a_fork_that_was_recorded_before_forks_said_when_the_grace_ends_keeps_the_moment_of_its_copy() -> None:
    run = life_of(waiting)
    run.begin()
    run.state.record(e.RunCancelRequested(grace_until=GRACE), Timestamp(run.now))
    _, now = forked(run.history, 2)
    run.state.record(structs.replace(now, grace_until=None), Timestamp(run.now))
    end = first_end(run.state)
    assert end is not None
    assert end.at == GRACE


def test_the_grace_of_a_cancellation_that_nobody_had_read_begins_anew_with_or_without_the_code() -> None:
    run = life_of(waiting)
    run.begin()
    creation, _ = forked(run.history, 2)

    def grace_until(message: m.CancelMessage) -> Timestamp | None:
        end = first_end(loaded(waiting.entry(), creation).state, [i.MessageArrived(message=message)])
        asked = go_on(waiting.entry(), creation).message(message)[0]
        assert isinstance(asked, e.RunCancelRequested)
        assert (end and end.at) == asked.grace_until
        return asked.grace_until

    grace = 20 * SECOND
    before, after = Timestamp(run.now + grace), Timestamp(creation.begun_at + 2 * SECOND + grace)
    assert grace_until(m.CancelMessage(grace_until=before, grace_microseconds=grace)) == creation.begun_at + grace
    assert grace_until(m.CancelMessage(grace_until=after, grace_microseconds=grace)) == after
    assert grace_until(m.CancelMessage(grace_until=before)) == before  # from before its length was told
    assert grace_until(m.CancelMessage()) is None
