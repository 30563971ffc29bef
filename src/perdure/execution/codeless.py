"""Ending runs without their code: what needs none takes effect in every process that works, whoever has the code.

**Promise.** A termination, a deadline and the end of a grace (`perdure.kernel.codeless`) take effect at their time
while any process works on the database, although none has the run's workflow, or its version, or code that fits its
history. A run that goes on somewhere is left alone: it is its owner's.

**How.** A run's row says from when on it may have to be ended (`Release.end_at`), and claims take it then, be its code
here or not. What the row says is never too late, but may be too early: somebody may have asked whom the run does not
obey. Then it is given back as it was, and its row says what its history and its inbox say. What comes after the claim
counts as not seen: at worst the run is looked at once more.

Of what cannot be read here, since a key is missing or a row is damaged, nobody forgets that it is to be ended: it is
looked at again after a while, by whoever works then.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from perdure.errors import HistoryError, StoreError
from perdure.execution.active_run import ActiveRun
from perdure.execution.mail import whole_inbox
from perdure.execution.no_code import NoCode
from perdure.kernel import inputs as i
from perdure.kernel.codeless import End, first_end
from perdure.kernel.identity import RunKey
from perdure.kernel.program import Feed
from perdure.kernel.state import RunState
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.kernel.transition import Park, Release
from perdure.logs import logger_named

if TYPE_CHECKING:
    from perdure.execution.worker import Worker
    from perdure.ports.store import ClaimedRun, RunSummary

__all__ = ["Remains", "end_without_code", "giving_back", "look_for_end", "read_remains"]

_logger = logger_named("perdure.worker")


class Remains(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a run without its code: its state, the first end that needs none as far as can be read, and
    whether all could be read."""

    state: RunState
    end: End | None
    is_whole: bool = True

    def end_at(self, now: Timestamp) -> Timestamp | None:
        """When the run is to be ended without its code; if that cannot be read, when to look again."""
        at = None if self.end is None else self.end.at
        if self.is_whole:
            return at
        again_at = Timestamp(now + _PAUSE_SECONDS * MICROSECONDS_PER_SECOND)
        return again_at if at is None else min(at, again_at)


async def look_for_end(worker: "Worker", claimed: "ClaimedRun", *, code: str) -> None:
    """End a claimed run whose code is missing here if it is due to be ended, else give it back as it was.

    Raises a StoreError.
    """
    remains = await read_remains(worker, claimed.summary.run_key)
    if not end_without_code(worker, claimed.summary, remains, code=code, position=claimed.inbox_position):
        now = worker.clock.now()
        position = claimed.inbox_position if remains.is_whole else None
        write = giving_back(
            claimed, now=now, wake_at=claimed.due_at, end_at=remains.end_at(now), inbox_position=position
        )
        worker.claims.give_back(write)


async def read_remains(worker: "Worker", run_key: RunKey) -> Remains:
    """Read what there is of a run without its code, as far as it can be read here. Raises a StoreError."""
    state = RunState()
    try:
        state = await _fold(worker, run_key)
        inbox = await whole_inbox(worker.store, run_key)
    except HistoryError as error:
        _logger.error("run key %s cannot be read, and may have to be ended: %s", run_key, error)  # noqa: TRY400
        return Remains(state=state, end=first_end(state), is_whole=False)
    arrived = [i.MessageArrived(message=one.message, message_id=one.message_id, position=one.position) for one in inbox]
    return Remains(state=state, end=first_end(state, arrived))


def end_without_code(worker: "Worker", summary: "RunSummary", remains: Remains, *, code: str, position: int) -> bool:
    """End a run of this process, claimed at a position of its inbox, without its code if that is due; return whether it
    is."""
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
    run.inbox_position = position
    worker.adopt(run)
    run.receive(remains.end.given)
    return True


def giving_back(
    claimed: "ClaimedRun",
    *,
    now: Timestamp,
    wake_at: Timestamp | None,
    end_at: Timestamp | None,
    inbox_position: int | None = None,
) -> Release | Park:
    """Return the write that leaves a claimed run as it was found, parked or not; for the times see `Release`."""
    summary = claimed.summary
    release = Release(
        run_key=summary.run_key,
        fencing_token=summary.fencing_token,
        expected_sequence=summary.sequence,
        wake_at=wake_at,
        now=now,
        end_at=end_at,
        inbox_position=inbox_position,
        recovered=claimed.recovered,
    )
    if claimed.parked is None:
        return release
    return Park(**msgspec.structs.asdict(release), parking=claimed.parked, tried_position=claimed.inbox_position)


_PAUSE_SECONDS: Final = 60


async def _fold(worker: "Worker", run_key: RunKey) -> RunState:
    state, page_size = RunState(), worker.settings.history_page
    try:
        while True:
            page = await worker.store.read_history(run_key, after=state.sequence, limit=page_size)
            for recorded in page:
                state.record(recorded.event, recorded.at)
            if len(page) < page_size:
                return state
    except StoreError:
        raise
    except Exception as error:  # what no kernel wrote may break the fold anywhere
        message = f"the history of run key {run_key} is damaged at event {state.sequence + 1}: {error!r}"
        raise HistoryError(message) from error
