"""What runs are told of their tasks by the store itself, in the transaction of a claim."""

from perdure.kernel.failure import Failure
from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.messages import QUEUED_ATTEMPT, FailActivityMessage, StartActivityMessage, outcome_id
from perdure.kernel.tasks import start_id
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Delivery
from perdure.ports.tasks import ClaimedTask

__all__ = ["damage_told", "start_told"]


def start_told(claimed: ClaimedTask, worker: str, *, now: Timestamp) -> Delivery:
    """Return how a run learns that a worker has claimed its task."""
    task = claimed.task
    generation = task.ref.generation
    message = StartActivityMessage(
        operation=task.operation,
        attempt=task.attempt,
        generation=generation,
        worker=worker,
        at_most_once=bool(task.options.at_most_once),
    )
    message_id = start_id(generation, task.operation, task.attempt)
    return Delivery(target=claimed.claim.run_key, message=message, message_id=message_id, at=now)


def damage_told(
    run_key: RunKey, generation: int, operation: Operation, *, now: Timestamp, attempt: int = QUEUED_ATTEMPT
) -> Delivery:
    """Return how a run learns that the row of its task is not what was written: the attempt has failed, and another one
    is made as its retries say. What the row says of the attempt is not asked: that may be what is damaged."""
    failure = Failure(
        type="TaskDamagedError",
        types=("TaskDamagedError", "StoreError"),
        message="the row of the task was damaged, and is out of its queue",
    )
    message = FailActivityMessage(operation=operation, attempt=attempt, generation=generation, failure=failure)
    return Delivery(target=run_key, message=message, message_id=outcome_id(generation, operation, attempt), at=now)
