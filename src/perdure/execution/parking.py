"""Parking: what becomes of a run whose code cannot go on from its history.

**Promise.** Nothing is written into the history of such a run, so that the right code can go on from it. Its row says
why it is parked, for everybody who asks. It is tried once by each code that could have what it needs: by every worker
that opens the store, again by one whose definitions change, and by any worker when a client resumes the run; a resume
that comes while it is tried has it tried once more. A run that only waits for code is nobody's, costs nothing and never
goes round in a circle. One whose commits fail while others succeed, as on a bad sector, is parked after some tries, and
is then tried again by itself, after pauses that double up to an hour: the cause may be gone, and what its activities do
is done again with each try.

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
from typing import TYPE_CHECKING, Final

import msgspec

from perdure.errors import NonDeterminismError, PerdureError, StoreError, StoreUnavailableError
from perdure.execution.clock import not_ahead
from perdure.execution.codeless import end_without_code
from perdure.execution.differences import difference_lines
from perdure.execution.refusals import PERHAPS_DAMAGE
from perdure.execution.remains import look_again_at, read_remains
from perdure.execution.setbacks import doubled, pause_after
from perdure.kernel.failure import Failure
from perdure.kernel.identity import RunKey
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.kernel.transition import Applied, Outcome, Park, Parking, Release
from perdure.redaction import recorded_failure

if TYPE_CHECKING:
    from perdure.execution.active_run import ActiveRun
    from perdure.execution.worker import Worker
    from perdure.ports.store import ClaimedRun, RunSummary

__all__ = ["Hindrance", "look_at_parked", "park", "tell_if_stranded", "tell_of_parked"]


class Hindrance(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a run from going on here: an error.

    `code` names the code that could not, which may have been replaced since; `before` says how the run was parked
    when it was claimed, `position` up to which message of its inbox the code had it, and `recovered` whether its owner
    had died. `ends` False: nothing can be committed for the run now, not even its end; if all of its rows can be read
    it is given back some times before it is parked (`perdure.execution.setbacks`), and it does not stay parked.
    """

    run_key: RunKey
    error: PerdureError
    code: str
    before: Parking | None
    position: int
    recovered: bool = False
    ends: bool = True

    @classmethod
    def of_active(cls, run: "ActiveRun", error: PerdureError, *, ends: bool) -> "Hindrance":
        """Return what keeps a run from going on that was in memory."""
        before, position = (None, 0) if run.claimed is None else (run.claimed.parked, run.claimed.inbox_position)
        position = max(position, run.inbox_position)
        return cls(
            run_key=run.run_key,
            error=error,
            code=run.code,
            before=before,
            position=position,
            recovered=run.claimed is not None and run.claimed.recovered,
            ends=ends,
        )

    @classmethod
    def of_claimed(cls, claimed: "ClaimedRun", error: PerdureError, *, code: str) -> "Hindrance":
        """Return what keeps a run from going on that has just been claimed."""
        return cls(
            run_key=claimed.summary.run_key,
            error=error,
            code=code,
            before=claimed.parked,
            position=claimed.inbox_position,
            recovered=claimed.recovered,
        )


async def park(worker: "Worker", hindrance: Hindrance, *, failed: int = 0) -> None:
    """Give a run back that cannot go on here, with the reason; end it instead if that is due.

    `failed`: so often in a row that has failed for the run.
    """
    try:
        await _park(worker, hindrance)
    except Exception as trouble:  # noqa: BLE001 - the last resort of a run, which else stayed here for ever
        worker.recurring.error(
            "parking run key %s failed and will be tried again: %s",
            hindrance.run_key,
            trouble,
            cause=trouble,
            with_lines=not isinstance(trouble, PerdureError),
        )
        again = partial(park, worker, hindrance, failed=failed + 1)
        _later(worker, lambda: worker.mail.spawn(again()), pause_after(failed + 1, worker.settings))


async def _park(worker: "Worker", hindrance: Hindrance) -> None:
    run_key, error, code, position = hindrance.run_key, hindrance.error, hindrance.code, hindrance.position
    summary = await worker.store.find(run_key)
    if summary is None or summary.owner != worker.worker_id:
        return  # it was lost to another worker
    remains = await read_remains(worker, summary)
    if hindrance.ends and end_without_code(worker, summary, remains, code=code, position=position):
        return
    wake_at: Timestamp | None = None
    if not hindrance.ends and isinstance(error, PERHAPS_DAMAGE):
        setbacks = worker.setbacks.count(run_key, summary.sequence)
        if remains.is_whole and setbacks <= _TRIES_BEFORE_PARKING:
            _give_back_later(worker, summary, setbacks, recovered=hindrance.recovered)
            return
        wake_at = _again_at(worker, setbacks)
    now = worker.clock.now()
    parking = hindrance.before or Parking(reason=_reason(error), since=now, tried=())
    write = Park(
        run_key=run_key,
        fencing_token=summary.fencing_token,
        expected_sequence=summary.sequence,
        parking=parking.tried_also_by(code, _reason(error)),
        tried_position=position,
        now=now,
        wake_at=wake_at,
        end_at=remains.end_at(now) if hindrance.ends else look_again_at(now),
        inbox_position=position if hindrance.ends and remains.is_whole else None,
        recovered=hindrance.recovered,
    )
    _submit(worker, write, error)


def tell_of_parked(worker: "Worker", run_key: RunKey, error: PerdureError) -> None:
    """Tell those who wait for a parked run, now and later, why it does not go on in this process."""
    worker.endings.park(run_key, error)
    worker.mail.spawn(look_at_parked(worker, run_key))  # others may have gone on with it by now


def tell_if_stranded(worker: "Worker", write: Release | Park, error: PerdureError) -> None:
    """Tell those who wait for a run if it cannot be given back, because that fails by itself: nobody can have it."""
    if isinstance(error, StoreUnavailableError) and worker.is_claiming:
        worker.endings.park(write.run_key, error)


async def look_at_parked(worker: "Worker", run_key: RunKey) -> None:
    """Forget why a run did not go on here if by now it goes on elsewhere."""
    with suppress(StoreError):  # then it is known the next time
        summary = await worker.store.find(run_key)
        if summary is None or (summary.parked is None and summary.owner != worker.worker_id):
            worker.endings.unpark(run_key)


def _give_back_later(worker: "Worker", summary: "RunSummary", setbacks: int, *, recovered: bool) -> None:
    """Give a run back after a pause, to be tried anew."""

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

    settings = worker.settings
    pause = doubled(settings.retry_store_seconds, setbacks, most=settings.retry_store_maximum_seconds)
    _later(worker, give_back, pause)


def _again_at(worker: "Worker", setbacks: int) -> Timestamp:
    """Return when a run is to be tried again that has had so many setbacks."""
    pause = doubled(worker.settings.retry_store_seconds, setbacks, most=_LONGEST_PAUSE_SECONDS)
    return Timestamp(worker.clock.now() + round(pause * MICROSECONDS_PER_SECOND))


def _reason(error: PerdureError) -> Failure:
    failure = recorded_failure(error, with_traceback=False)
    if isinstance(error, NonDeterminismError):
        return msgspec.structs.replace(failure, traceback="\n".join(difference_lines(error)))
    return failure


def _submit(worker: "Worker", write: Park, error: PerdureError, *, failed: int = 0) -> None:
    """Park a run; then, and not before its row says so or it has shown that it cannot, tell those who wait for it."""

    def answered(outcome: Outcome | PerdureError) -> None:
        if isinstance(outcome, PerdureError):
            tell_if_stranded(worker, write, outcome)
            again = partial(_submit, worker, write, error, failed=failed + 1)
            _later(worker, again, pause_after(failed + 1, worker.settings))
        elif worker.code not in write.parking.tried:
            worker.claims.try_parked()  # new code came meanwhile
        else:
            if isinstance(outcome, Applied):
                tell_of_parked(worker, write.run_key, error)
            for moment in (write.wake_at, write.end_at):
                if moment is not None:
                    worker.claims.wake_at(moment)

    worker.committer.submit(write, answered, keep=True)


def _later(worker: "Worker", work: Callable[[], None], seconds: float) -> None:
    def again() -> None:
        if worker.is_claiming:
            work()

    worker.loop.call_later(seconds, again)


_TRIES_BEFORE_PARKING: Final = 8
_LONGEST_PAUSE_SECONDS: Final = 3600.0
