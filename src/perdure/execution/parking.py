"""Parking: what becomes of a run whose code cannot go on from its history.

**Promise.** Nothing is written into the history of such a run, so that the right code can go on from it. Its row says
why it is parked, for everybody who asks. It is tried once by each code that could have what it needs: by every worker
that opens the store, again by one whose definitions change, and by any worker when a client resumes the run. A run that
only waits for code is nobody's, costs nothing and never goes round in a circle.

Messages stay in its inbox. Only a termination takes effect, since it needs no code: the state is folded from the
history, and the run ends. Where history or inbox cannot be read (a key is missing), that is left to whoever can.

**States.** claimed -> parked (`Park`) -> claimed by other code -> goes on, or is parked again. A process that dies
while it tries leaves a run that is due for anybody, as any other.

Rejected: to compare fingerprints of code. What a workflow does depends on more than its own module, and an attempt
costs no more than one replay.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from perdure.errors import HistoryError, NonDeterminismError, PerdureError, StoreError
from perdure.execution.active_run import ActiveRun
from perdure.execution.differences import difference_lines
from perdure.execution.mail import INBOX_PAGE
from perdure.execution.no_code import NoCode
from perdure.kernel import inputs as i
from perdure.kernel.failure import Failure, failure_from_exception
from perdure.kernel.identity import RunKey
from perdure.kernel.messages import TerminateMessage
from perdure.kernel.program import Feed
from perdure.kernel.state import RunState
from perdure.kernel.transition import Outcome, Park, Parking

if TYPE_CHECKING:
    from perdure.execution.worker import Worker
    from perdure.ports.store import InboxEntry, RunSummary

__all__ = ["look_at_parked", "park"]

_logger = logging.getLogger("perdure.worker")


async def park(worker: "Worker", run_key: RunKey, error: PerdureError, *, code: str, before: Parking | None) -> None:
    """Give a run back that cannot go on here, with the reason; end it if a termination waits in its inbox.

    `code` names the code that could not, which may have been replaced since; `before` says how the run was parked
    when it was claimed.
    """
    if code == worker.code:
        worker.endings.park(run_key, error)
    try:
        summary = await worker.store.find(run_key)
        if summary is None or summary.owner != worker.worker_id:
            return  # it was lost to another worker
        seen = _ALL_POSITIONS
        with suppress(HistoryError):  # what cannot be read here is left to whoever can
            inbox = await _whole_inbox(worker, run_key)
            seen = max((entry.position for entry in inbox), default=0)
            orders = [entry for entry in inbox if isinstance(entry.message, TerminateMessage)]
            if orders and await _end(worker, summary, orders, code=code):
                return
        _submit(worker, _parked(worker, summary, _reason(error), seen=seen, code=code, before=before))
    except PerdureError as trouble:
        _logger.error("parking run key %s failed and will be tried again: %s", run_key, trouble)  # noqa: TRY400
        _later(worker, lambda: worker.mail.spawn(park(worker, run_key, error, code=code, before=before)))


async def look_at_parked(worker: "Worker", run_key: RunKey) -> None:
    """Forget why a run did not go on here if by now it goes on elsewhere."""
    with suppress(StoreError):  # then it is known the next time
        summary = await worker.store.find(run_key)
        if summary is None or (summary.parked is None and summary.owner != worker.worker_id):
            worker.endings.unpark(run_key)


def _parked(
    worker: "Worker", summary: "RunSummary", reason: Failure, *, seen: int, code: str, before: Parking | None
) -> Park:
    now = worker.clock.now()
    return Park(
        run_key=summary.run_key,
        fencing_token=summary.fencing_token,
        expected_sequence=summary.sequence,
        parking=(before or Parking(reason=reason, since=now, tried=())).tried_also_by(code, reason),
        inbox_position=seen,
        now=now,
    )


_ALL_POSITIONS: Final = 2**62
"""Where an inbox cannot be read: only what comes after the parking may wake the run, or it would go in a circle."""


def _reason(error: PerdureError) -> Failure:
    failure = failure_from_exception(error, with_traceback=False)
    if isinstance(error, NonDeterminismError):
        return msgspec.structs.replace(failure, traceback="\n".join(difference_lines(error)))
    return failure


def _submit(worker: "Worker", write: Park) -> None:
    def answered(outcome: Outcome | PerdureError) -> None:
        if isinstance(outcome, PerdureError):
            _later(worker, partial(_submit, worker, write))
        elif worker.code not in write.parking.tried:
            worker.claims.try_parked()  # new code came meanwhile

    worker.committer.submit(write, answered, keep=True)


def _later(worker: "Worker", work: Callable[[], None]) -> None:
    def again() -> None:
        if worker.is_claiming:
            work()

    worker.loop.call_later(worker.settings.retry_store_maximum_seconds, again)


async def _end(worker: "Worker", summary: "RunSummary", orders: "list[InboxEntry]", *, code: str) -> bool:
    """End a run without its code, as it was ordered; return False if no order is meant for it."""
    run_key = summary.run_key
    state = await _fold(worker, run_key)
    ordered = next((entry for entry in orders if _obeys(state, entry.message)), None)
    if ordered is None:
        return False
    run = ActiveRun(
        worker,
        run_key=run_key,
        ref=summary.ref,
        fencing_token=summary.fencing_token,
        state=state,
        feed=Feed(NoCode()),
        code=code,
    )
    worker.adopt(run)
    run.receive(i.MessageArrived(message=ordered.message, message_id=ordered.message_id, position=ordered.position))
    return True


async def _whole_inbox(worker: "Worker", run_key: RunKey) -> "list[InboxEntry]":
    """Read all of an inbox, since a termination may stand behind any number of messages for code."""
    limit = INBOX_PAGE
    while len(inbox := await worker.store.read_inbox(run_key, limit=limit)) == limit:
        limit *= 2
    return inbox


async def _fold(worker: "Worker", run_key: RunKey) -> RunState:
    state, page_size = RunState(), worker.settings.history_page
    while True:
        page = await worker.store.read_history(run_key, after=state.sequence, limit=page_size)
        for recorded in page:
            state.record(recorded.event, recorded.at)
        if len(page) < page_size:
            return state


def _obeys(state: RunState, message: object) -> bool:
    """Whether the run will end: a parent names its child by id, which may have become another run's."""
    if not isinstance(message, TerminateMessage) or state.created is None or state.closed_at is not None:
        return False
    parent = state.created.parent
    return message.parent_key == 0 or (parent is not None and parent.run_key == message.parent_key)
