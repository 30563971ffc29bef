"""Compensations: how a workflow undoes what it has finished, the newest first, whatever becomes of each."""

from typing import TYPE_CHECKING, Any

from perdure.authoring.shielding import shield
from perdure.errors import InvalidArgumentError
from perdure.kernel import commands as c
from perdure.kernel.journal import Compensation, Journal

if TYPE_CHECKING:
    from perdure.authoring.activity import Activity

__all__ = ["add_compensation", "compensate"]


def add_compensation(journal: Journal, activity: "Activity[..., Any]", args: tuple[object, ...]) -> None:
    """Have an activity called if the run has to be undone; see `Context.add_compensation`."""
    from perdure.authoring.activity import Activity  # noqa: PLC0415 - known only to those who use it

    if not isinstance(activity, Activity):  # pyright: ignore[reportUnnecessaryIsInstance]
        message = f"ctx.add_compensation: {activity!r:.60} is no activity; decorate the function with @activity"
        raise InvalidArgumentError(message)
    operation = journal.next_operation()
    journal.compensations.append(
        Compensation(operation=operation, perform=lambda: activity.call(journal, args, {}, None, compensates=operation))
    )


async def compensate(journal: Journal) -> int:
    """Undo what can be undone, and return how much could not; see `Context.compensate`."""
    steps, journal.compensations = journal.compensations, []
    return await shield(journal, _undo_all(journal, list(reversed(steps)))) if steps else 0


async def _undo_all(journal: Journal, steps: list[Compensation]) -> int:
    operation = journal.next_operation()
    journal.give(c.StartCompensation(operation=operation, steps=len(steps), location=journal.location()))
    failed = 0
    for step in steps:
        failure = None
        try:
            await step.perform()
        except Exception as error:  # noqa: BLE001 - also what does not encode or decode; the others go on
            failure = journal.failure_of(error, with_traceback=False)
            failed += 1
        journal.give(
            c.RecordCompensationStep(
                operation=operation, compensates=step.operation, failure=failure, location=journal.location()
            )
        )
    journal.give(c.FinishCompensation(operation=operation, failed=failed, location=journal.location()))
    return failed
