"""Parking: what becomes of a run whose code cannot go on from its history.

**Promise.** Nothing is written into the history of such a run, so that the right code can go on from it. Its row says
why it is parked, for everybody who asks. It is tried once by each code that could have what it needs: by every worker
that opens the store, again by one whose definitions change, and by any worker when a client resumes the run; a resume
that comes while it is tried has it tried once more. A run that only waits for code is nobody's, costs nothing and never
goes round in a circle.

Messages stay in its inbox. Only what needs no code takes effect (`perdure.execution.codeless`): a termination, its
deadline, the end of a grace.

**States.** claimed -> parked (`Park`) -> claimed by other code -> goes on, or is parked again. A process that dies
while it tries leaves a run that is due for anybody, as any other.

Rejected: to compare fingerprints of code. What a workflow does depends on more than its own module, and an attempt
costs no more than one replay.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from perdure.errors import NonDeterminismError, PerdureError, StoreError
from perdure.execution.clock import not_ahead
from perdure.execution.codeless import end_without_code
from perdure.execution.differences import difference_lines
from perdure.execution.refusals import PERHAPS_DAMAGE
from perdure.execution.remains import look_again_at, read_remains
from perdure.kernel.failure import Failure
from perdure.kernel.identity import RunKey
from perdure.kernel.transition import Applied, Outcome, Park, Parking, Release
from perdure.logs import logger_named
from perdure.redaction import recorded_failure

if TYPE_CHECKING:
    from perdure.execution.worker import Worker
    from perdure.ports.store import RunSummary

__all__ = ["look_at_parked", "park", "tell_of_parked"]

_logger = logger_named("perdure.worker")


async def park(
    worker: "Worker",
    run_key: RunKey,
    error: PerdureError,
    *,
    code: str,
    before: Parking | None,
    position: int,
    recovered: bool = False,
    ends: bool = True,
) -> None:
    """Give a run back that cannot go on here, with the reason; end it instead if that is due.

    `code` names the code that could not, which may have been replaced since; `before` says how the run was parked
    when it was claimed, `position` up to which message of its inbox the code had it, and `recovered` whether its owner
    had died. `ends` False: nothing can be committed for the run now, not even its end; where that is for damage,
    and all of its rows can be read, it is given back some times before (`perdure.execution.damaged_commits`).
    """
    try:
        summary = await worker.store.find(run_key)
        if summary is None or summary.owner != worker.worker_id:
            return  # it was lost to another worker
        remains = await read_remains(worker, summary)
        if ends and end_without_code(worker, summary, remains, code=code, position=position):
            return
        if (
            not ends
            and isinstance(error, PERHAPS_DAMAGE)
            and remains.is_whole
            and _is_given_back(worker, summary, recovered=recovered)
        ):
            return
        parking = before or Parking(reason=_reason(error), since=worker.clock.now(), tried=())
        parking = parking.tried_also_by(code, _reason(error))
        now = worker.clock.now()
        write = Park(
            run_key=run_key,
            fencing_token=summary.fencing_token,
            expected_sequence=summary.sequence,
            parking=parking,
            tried_position=position,
            now=now,
            end_at=remains.end_at(now) if ends else look_again_at(now),
            inbox_position=position if ends and remains.is_whole else None,
            recovered=recovered,
        )
        _submit(worker, write, error)
    except Exception as trouble:  # the last resort of a run: whatever it is, else the run stayed here for ever
        _logger.error(  # noqa: TRY400 - an error of Perdure's says all
            "parking run key %s failed and will be tried again: %s",
            run_key,
            trouble,
            exc_info=not isinstance(trouble, PerdureError),
        )
        again = partial(park, worker, run_key, error, code=code, before=before, position=position, recovered=recovered)
        _later(worker, lambda: worker.mail.spawn(again(ends=ends)))


def tell_of_parked(worker: "Worker", run_key: RunKey, error: PerdureError) -> None:
    """Tell those who wait for a parked run, now and later, why it does not go on in this process."""
    worker.endings.park(run_key, error)
    worker.mail.spawn(look_at_parked(worker, run_key))  # others may have gone on with it by now


async def look_at_parked(worker: "Worker", run_key: RunKey) -> None:
    """Forget why a run did not go on here if by now it goes on elsewhere."""
    with suppress(StoreError):  # then it is known the next time
        summary = await worker.store.find(run_key)
        if summary is None or (summary.parked is None and summary.owner != worker.worker_id):
            worker.endings.unpark(run_key)


def _is_given_back(worker: "Worker", summary: "RunSummary", *, recovered: bool) -> bool:
    """Give a run back after a pause, to be tried anew, unless it has been tried often enough; return whether it is."""
    pause = worker.damaged_commits.pause_after(summary.run_key, summary.sequence)
    if pause is None:
        return False

    def give_back() -> None:
        clock = worker.clock
        write = Release(
            run_key=summary.run_key,
            fencing_token=summary.fencing_token,
            expected_sequence=summary.sequence,
            wake_at=not_ahead(summary.updated_at, clock),
            now=clock.now(),
            recovered=recovered,
        )
        worker.claims.give_back(write)

    _later(worker, give_back, seconds=pause)
    return True


def _reason(error: PerdureError) -> Failure:
    failure = recorded_failure(error, with_traceback=False)
    if isinstance(error, NonDeterminismError):
        return msgspec.structs.replace(failure, traceback="\n".join(difference_lines(error)))
    return failure


def _submit(worker: "Worker", write: Park, error: PerdureError) -> None:
    """Park a run; then, and not before its row says so, tell those who wait for it."""

    def answered(outcome: Outcome | PerdureError) -> None:
        if isinstance(outcome, PerdureError):
            _later(worker, partial(_submit, worker, write, error))
        elif worker.code not in write.parking.tried:
            worker.claims.try_parked()  # new code came meanwhile
        else:
            if isinstance(outcome, Applied):
                tell_of_parked(worker, write.run_key, error)
            if write.end_at is not None:
                worker.claims.wake_at(write.end_at)

    worker.committer.submit(write, answered, keep=True)


def _later(worker: "Worker", work: Callable[[], None], *, seconds: float | None = None) -> None:
    def again() -> None:
        if worker.is_claiming:
            work()

    worker.loop.call_later(worker.settings.retry_store_maximum_seconds if seconds is None else seconds, again)
