"""Rules of updates: when a run answers one, and with what.

An update is answered when its handler is there and the run's code is not held: accepted and handled, or rejected by its
validator. Until then it waits, in the memory of the run's owner and in the inbox: only its answer consumes the message,
so an update that waits survives every crash. An update whose id the run has answered before is dropped. The store keeps
calls that are made again from the inboxes of all generations (`Delivery.request_id`), but knows only those with a
request id of their caller's.
"""

from typing import TYPE_CHECKING, Final

from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from perdure.kernel.inputs import MessageArrived
from perdure.kernel.messages import UpdateMessage
from perdure.kernel.program import Answer, Feed
from perdure.kernel.state import RunState
from perdure.kernel.transition import RunStatus

if TYPE_CHECKING:
    from perdure.kernel.advance import Step

__all__ = ["MOST_WAITING_UPDATES", "answer_updates", "let_carried_updates_wait", "take_update"]

MOST_WAITING_UPDATES: Final = 100
"""How many updates may wait for their handlers in one run; further ones are rejected."""


def take_update(step: "Step", given: MessageArrived) -> None:
    """Let an update that has arrived wait, unless too many do; `answer_updates` follows in the same step."""
    feed = step.feed
    if len(feed.updates) < MOST_WAITING_UPDATES:
        feed.updates += (given,)
        return
    message = f"{MOST_WAITING_UPDATES} updates wait already: the run is suspended, or has no handlers for them"
    _reject(step, given, Failure(type="TooManyUpdatesError", message=message))


def let_carried_updates_wait(created: e.RunCreated, state: RunState, feed: Feed) -> None:
    """Let the updates wait that came together with the run's start and are not answered yet."""
    feed.updates += tuple(
        MessageArrived(message=UpdateMessage(update_id=update.update_id, name=update.name, body=update.body))
        for update in created.carried_updates
        if update.update_id not in state.updates
    )


def answer_updates(step: "Step") -> None:
    """Answer the updates that wait, in the order they came, as far as the program can; one answer may allow another.

    Complexity: O(waiting) per answer.
    """
    feed = step.feed
    while step.state.status is RunStatus.RUNNING and not feed.held:
        given = next((given for given in feed.updates if _answer(step, given)), None)
        if given is None:
            return
        feed.updates = tuple(other for other in feed.updates if other is not given)


def _answer(step: "Step", given: MessageArrived) -> bool:
    """Answer an update; return whether it needs to wait no longer."""
    update = given.message
    assert isinstance(update, UpdateMessage)
    if update.update_id in step.state.updates:  # the call was made again
        _consume(step, given)
        return True
    verdict = step.feed.program.consider(update.name, update.body)
    if verdict is Answer.WAITS:
        return False
    if isinstance(verdict, Failure):
        _reject(step, given, verdict)
    else:
        _consume(step, given)
        step.record(e.UpdateAccepted(update_id=update.update_id, name=update.name, body=update.body))
    return True


def _reject(step: "Step", given: MessageArrived, failure: Failure) -> None:
    update = given.message
    assert isinstance(update, UpdateMessage)
    _consume(step, given)
    if update.update_id not in step.state.updates:
        step.record(e.UpdateRejected(update_id=update.update_id, failure=failure))


def _consume(step: "Step", given: MessageArrived) -> None:
    if given.position is not None:
        step.result.consumed.append(given.position)
