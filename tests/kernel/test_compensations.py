"""Compensations: what one that fails, or cannot even be called, does to the others."""

import pytest

from perdure.authoring.activity import activity
from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.kernel import events as e
from tests.kernel.lives import life_of


@activity(name="compensations.refund")
async def refund(amount: int) -> None: ...


@activity(name="compensations.measure")
async def measure() -> int:
    return 1


@pytest.mark.parametrize("too_many", [(), (1, 2)], ids=["result that does not fit", "arguments that do not fit"])
def test_a_compensation_that_cannot_be_called_or_read_does_not_stop_the_others(too_many: tuple[int, ...]) -> None:
    @workflow
    async def undoing(ctx: Context) -> None:
        ctx.add_compensation(refund, 5)
        ctx.add_compensation(measure, *too_many)
        raise ValueError("broken")

    run = life_of(undoing)
    run.begin()
    if not too_many:
        run.succeed(run.pending[0], "no number")
    assert [pending.activity for pending in run.state.activities.values()] == ["compensations.refund"]
    run.succeed(run.pending[0])
    finished = [event for event in run.events if isinstance(event, e.CompensationFinished)]
    assert [event.failed for event in finished] == [1]
    assert isinstance(run.result, e.RunFailed)
    assert run.result.failure.message == "broken"


@activity(name="compensations.refund_by_card", fallback=refund)
async def refund_by_card(amount: int) -> None: ...


def test_a_compensation_that_fails_for_good_has_its_fallback() -> None:
    @workflow
    async def undoing(ctx: Context) -> None:
        ctx.add_compensation(refund_by_card, 5)
        raise ValueError

    run = life_of(undoing)
    run.begin()
    run.fail(run.pending[0])
    (falling_back,) = run.state.activities.values()
    assert (falling_back.activity, falling_back.compensates) == ("compensations.refund", 1)
    run.succeed(falling_back.operation)
    assert [event.failed for event in run.events if isinstance(event, e.CompensationFinished)] == [0]
