"""What was told of a task before it was claimed anew: the details of the last heartbeat."""

from perdure.errors import HistoryError
from perdure.execution.mail import INBOX_PAGE, whole_inbox
from perdure.kernel import events as e
from perdure.kernel.messages import HeartbeatMessage
from perdure.kernel.payload import NULL, Payload
from perdure.ports.store import RunStore
from perdure.ports.tasks import ClaimedTask

__all__ = ["last_details"]


async def last_details(store: RunStore, claimed: ClaimedTask) -> Payload:
    """Return the details of the last heartbeat of a call; those in its task are as old as the attempt.

    What the last maker has told is in the history of the run, or waits in its inbox. Complexity: linear in both, and
    only for a task that somebody had before. A history that cannot be read leaves what the task says.
    """
    task, claim = claimed.task, claimed.claim
    found = task.heartbeat
    if claim.number == 1:
        return found
    try:
        after = 0
        while page := await store.read_history(claim.run_key, after=after, limit=INBOX_PAGE):
            after = page[-1].sequence
            for recorded in page:
                event = recorded.event
                if isinstance(event, e.ActivityHeartbeatRecorded) and event.operation == claim.operation:
                    found = event.details if event.details != NULL else found
        for entry in await whole_inbox(store, claim.run_key):
            message = entry.message
            if isinstance(message, HeartbeatMessage) and (message.operation, message.attempt) == (
                claim.operation,
                claim.attempt,
            ):
                found = message.details if message.details != NULL else found
    except HistoryError:
        return task.heartbeat
    return found
