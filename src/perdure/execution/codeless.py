"""Ending runs without their code: what needs none takes effect in every process that works, whoever has the code.

**Promise.** A termination, a deadline and the end of a grace (`perdure.kernel.codeless`) take effect at their time
while any process works on the database, although none has the run's workflow, or its version, or code that fits its
history. A run that goes on somewhere is left alone: it is its owner's.

**How.** A run's row says from when on it may have to be ended (`Release.end_at`), and claims take it then, be its code
here or not. What the row says is never too late, but may be too early: somebody may have asked whom the run does not
obey. Then it is given back as it was, and its row says what its history and its inbox say. What comes after the claim
counts as not seen: at worst the run is looked at once more.

A run whose history is damaged is ended by what its rows say (`perdure.execution.rows_of_damaged`), but for a deadline
whose event is damaged, which is lost; messages that are damaged hide no others. Of what cannot be read here, since a
key is missing, or the row itself is damaged, nobody forgets that it is to be ended: it is looked at again after a
while, by whoever works then.
"""

from typing import TYPE_CHECKING

import msgspec

from perdure.execution.active_run import ActiveRun
from perdure.execution.no_code import NoCode
from perdure.execution.remains import Remains, read_remains
from perdure.kernel.program import Feed
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Park, Release

if TYPE_CHECKING:
    from perdure.execution.worker import Worker
    from perdure.ports.store import ClaimedRun, RunSummary

__all__ = ["end_without_code", "giving_back", "look_for_end"]


async def look_for_end(worker: "Worker", claimed: "ClaimedRun", *, code: str) -> None:
    """End a claimed run whose code is missing here if it is due to be ended, else give it back as it was.

    Raises a StoreError.
    """
    remains = await read_remains(worker, claimed.summary)
    if not end_without_code(worker, claimed.summary, remains, code=code, position=claimed.inbox_position):
        now = worker.clock.now()
        position = claimed.inbox_position if remains.is_whole else None
        write = giving_back(
            claimed, now=now, wake_at=claimed.due_at, end_at=remains.end_at(now), inbox_position=position
        )
        worker.claims.give_back(write)


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
    run.is_unlinked = remains.is_unlinked
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
