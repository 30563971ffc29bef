"""What the store is told of an advance of a run: everything that it changes, as one write."""

from typing import TYPE_CHECKING

from msgspec import structs

from perdure.kernel.advance import Advance
from perdure.kernel.identity import WorkerId
from perdure.kernel.messages import outcome_id
from perdure.kernel.transition import Creation, Transition

if TYPE_CHECKING:
    from perdure.execution.active_run import ActiveRun

__all__ = ["transition_of"]


def transition_of(
    run: "ActiveRun", result: Advance, expected_sequence: int, *, owner: WorkerId, creation: Creation | None
) -> Transition:
    """Return the transition of a run that has just advanced, from where its history ended before.

    `creation` is that of a run whose row does not exist yet.
    """
    transition = Transition(
        run_key=run.run_key,
        fencing_token=run.fencing_token,
        expected_sequence=expected_sequence,
        owner=owner,
        events=tuple(result.events),
        row=run.state.row(),
        creation=creation,
        consumed=tuple(result.consumed),
        deliveries=tuple(result.deliveries),
        creations=tuple(result.creations),
        labels=result.labels or None,
        moves_inbox_to=result.moves_inbox_to,
        end_at=result.end_at,
        locks=result.locks,
        # A page of the inbox is taken before anything fails; who has more than that goes on in its order.
        must_not_overtake=() if run.inbox_has_more else tuple(result.must_not_overtake),
    )
    if result.queued or result.withdrawn:
        transition = structs.replace(transition, queued=result.queued, withdrawn=result.withdrawn)
    if result.to_stop and (committed := _outcomes_of_transactions(run, result.to_stop)):
        # Refused for one, the run is loaded again, with the whole of its inbox.
        transition = structs.replace(transition, must_not_overtake=(*transition.must_not_overtake, *committed))
    # In a call of its own: one with more than 15 keywords packs them into a dict first.
    return structs.replace(transition, is_unlinked=True) if run.is_unlinked else transition


def _outcomes_of_transactions(run: "ActiveRun", operations: list[int]) -> list[str]:
    """Return the ids of the outcomes that attempts which are to stop may be committing."""
    calls = (run.calls.get(operation) for operation in operations)
    return [
        outcome_id(run.ref.generation, call.operation, call.attempt)
        for call in calls
        if call is not None and call.definition.transaction is not None
    ]
