"""Ending runs without their code: what needs none takes effect in every process that works, whoever has the code.

**Promise.** A termination, a deadline and the end of a grace (`perdure.kernel.codeless`) take effect at their time
while any process works on the database, although none has the run's workflow, or its version, or code that fits its
history. A run that goes on somewhere is left alone: it is its owner's.

**How.** A run's row says from when on it may have to be ended (`Release.end_at`), and claims take it then, be its code
here or not. What the row says is never too late, but may be too early: somebody may have asked whom the run does not
obey. Then it is given back as it was, and its row says what its history and its inbox say.

What cannot be read here, since a key is missing or a row is damaged, is left to a process that has the code.
"""

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from perdure.errors import HistoryError, IllegalTransitionError
from perdure.execution.active_run import ActiveRun
from perdure.execution.mail import INBOX_PAGE
from perdure.execution.no_code import NoCode
from perdure.kernel import inputs as i
from perdure.kernel.codeless import End, first_end
from perdure.kernel.identity import RunKey
from perdure.kernel.program import Feed
from perdure.kernel.state import RunState
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Park, Release

if TYPE_CHECKING:
    from perdure.execution.worker import Worker
    from perdure.ports.store import ClaimedRun, InboxEntry, RunSummary

__all__ = ["Remains", "end_without_code", "look_for_end", "read_remains"]

_logger = logging.getLogger("perdure.worker")


class Remains(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a run without its code: its state, the first end that needs none, and the position up to which
    its inbox was looked at for that."""

    state: RunState
    end: End | None
    seen: int

    @property
    def end_at(self) -> Timestamp | None:
        """When the run is to be ended without its code."""
        return None if self.end is None else self.end.at


async def look_for_end(worker: "Worker", claimed: "ClaimedRun", *, code: str) -> None:
    """End a claimed run whose code is missing here if it is due to be ended, else give it back as it was.

    Raises a StoreError.
    """
    remains = await read_remains(worker, claimed.summary.run_key)
    if not end_without_code(worker, claimed.summary, remains, code=code):
        worker.claims.give_back(_giving_back(claimed, remains, now=worker.clock.now()))


async def read_remains(worker: "Worker", run_key: RunKey) -> Remains:
    """Read what there is of a run without its code; of one that cannot be read here nothing. Raises a StoreError."""
    try:
        state = await _fold(worker, run_key)
        inbox = await _whole_inbox(worker, run_key)
    except HistoryError as error:
        _logger.error("run key %s cannot be ended without its code: %s", run_key, error)  # noqa: TRY400
        return Remains(state=RunState(), end=None, seen=_ALL_POSITIONS)
    arrived = [i.MessageArrived(message=one.message, message_id=one.message_id, position=one.position) for one in inbox]
    return Remains(state=state, end=first_end(state, arrived), seen=max((one.position for one in inbox), default=0))


def end_without_code(worker: "Worker", summary: "RunSummary", remains: Remains, *, code: str) -> bool:
    """End a run of this process without its code if that is due; return whether it is."""
    if remains.end is None or remains.end.at > worker.clock.now():
        return False
    run = ActiveRun(
        worker,
        run_key=summary.run_key,
        ref=summary.ref,
        fencing_token=summary.fencing_token,
        state=remains.state,
        feed=Feed(NoCode()),
        code=code,
    )
    worker.adopt(run)
    run.receive(remains.end.given)
    return True


_ALL_POSITIONS: Final = 2**62
"""Where a run cannot be read: only what comes later may lead to another try, or the run would go in a circle."""


def _giving_back(claimed: "ClaimedRun", remains: Remains, *, now: Timestamp) -> Release | Park:
    """Return the write that leaves a run as it was found: due for whoever has its code, or parked."""
    summary = claimed.summary
    if claimed.parked is not None:
        return Park(
            run_key=summary.run_key,
            fencing_token=summary.fencing_token,
            expected_sequence=summary.sequence,
            parking=claimed.parked,
            inbox_position=remains.seen,
            now=now,
            end_at=remains.end_at,
            recovered=claimed.recovered,
        )
    return Release(
        run_key=summary.run_key,
        fencing_token=summary.fencing_token,
        expected_sequence=summary.sequence,
        wake_at=now,
        now=now,
        end_at=remains.end_at,
        inbox_position=remains.seen,
        recovered=claimed.recovered,
    )


async def _fold(worker: "Worker", run_key: RunKey) -> RunState:
    state, page_size = RunState(), worker.settings.history_page
    try:
        while True:
            page = await worker.store.read_history(run_key, after=state.sequence, limit=page_size)
            for recorded in page:
                state.record(recorded.event, recorded.at)
            if len(page) < page_size:
                return state
    except IllegalTransitionError as error:
        message = f"the history of run key {run_key} is damaged at event {state.sequence + 1}: {error}"
        raise HistoryError(message) from error


async def _whole_inbox(worker: "Worker", run_key: RunKey) -> "list[InboxEntry]":
    """Read all of an inbox, since a termination may stand behind any number of messages for code."""
    limit = INBOX_PAGE
    while len(inbox := await worker.store.read_inbox(run_key, limit=limit)) == limit:
        limit *= 2
    return inbox
