"""Time travel: a run as it stood after any of its events."""

import pytest

from perdure.errors import InvalidArgumentError
from perdure.kernel.events import RunCreated
from perdure.testing import Moment, TestEnvironment, moment_of
from tests.testing.subjects import invoice, pay, raise_price


async def paid_invoice(env: TestEnvironment) -> list[Moment]:
    """Return every moment of an invoice whose price was raised by 5 and by 6 before it was paid."""
    run = await env.start(invoice)
    await run.update(raise_price, 5)
    await run.update(raise_price, 6)
    await run.signal(pay, 9)
    await run.result()
    first = await env.at(run, event=1)
    moments = [first]
    while not moments[-1].is_last:
        moments.append(moments[-1].forward())
    return moments


async def test_each_event_is_a_moment() -> None:
    async with TestEnvironment() as env:
        moments = await paid_invoice(env)
        assert [moment.number for moment in moments] == list(range(1, len(moments) + 1))
        assert isinstance(moments[0].event, RunCreated)
        assert repr(moments[0]) == f"<event 1 of {len(moments)}: RunCreated>"
        assert moments[-1].state.status == "completed"
        assert moments[-2].state.status == "running"
        assert moments[-1].back(2).number == len(moments) - 2


async def test_the_state_is_that_of_the_moment() -> None:
    async with TestEnvironment() as env:
        moments = await paid_invoice(env)
        kept = [moment.number for moment in moments if moment.keys == {"paid": 9}]
        changed = next(moment.number for moment in moments if moment.recorded.type == "state_key_set")
        assert kept == list(range(changed, len(moments) + 1))


async def test_a_query_is_answered_as_the_run_stood() -> None:
    async with TestEnvironment() as env:
        moments = await paid_invoice(env)
        prices = {moment.recorded.type: moment.query("price") for moment in moments[1:]}
        assert [moment.query("price") for moment in moments[2:]] == sorted(
            moment.query("price") for moment in moments[2:]
        )
        assert prices["run_completed"] == 111
        raised = [moment.query("price") for moment in moments if moment.recorded.type == "update_completed"]
        assert raised == [105, 111]


async def test_a_query_that_the_code_had_not_registered_yet_is_refused() -> None:
    async with TestEnvironment() as env:
        moments = await paid_invoice(env)
        with pytest.raises(InvalidArgumentError, match="answers no query 'colour'; it answers: price"):
            moments[2].query("colour")


@pytest.mark.parametrize("number", [0, 99])
async def test_there_is_nothing_before_the_beginning_and_behind_the_end(number: int) -> None:
    async with TestEnvironment() as env:
        run = await env.start(invoice)
        with pytest.raises(InvalidArgumentError, match=f"there is no event {number} in this history; it has"):
            await env.at(run, event=number)


async def test_a_saved_history_can_be_travelled_too() -> None:
    async with TestEnvironment() as env:
        run = await env.start(invoice)
        history = await env.history(run)
    assert moment_of(history, len(history)).is_last
