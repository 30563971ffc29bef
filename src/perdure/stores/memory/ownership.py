"""Who owns a run in memory: given back, parked, or taken from its owner."""

import msgspec

from perdure.kernel.identity import FencingToken
from perdure.kernel.messages import decode_message, wakes_parked
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Applied, Outcome, Park, Release, Seizure, Stale
from perdure.stores.memory.tables import Entry, MemoryDatabase, News, Run, Session, wake

__all__ = ["park", "release", "seize"]


def release(database: MemoryDatabase, session: Session, write: Release, news: News) -> Outcome:
    """Give a run back."""
    run = _owned(database, session, write)
    if run is None:
        return Stale(write.run_key)
    _give_back(database, run, write, news)
    if database.inboxes.get(run.run_key):
        wake(database, run, write.now, news)
    return Applied(run.run_key)


def park(database: MemoryDatabase, session: Session, write: Park, news: News) -> Outcome:
    """Give a run back that cannot go on with its owner's code."""
    run = _owned(database, session, write)
    if run is None:
        return Stale(write.run_key)
    run.parked = write.parking
    _give_back(database, run, write, news)
    inbox = database.inboxes.get(run.run_key, {})
    if any(position > write.tried_position and _wakes_parked(entry) for position, entry in inbox.items()):
        wake(database, run, write.now, news)
    news.run_keys.add(run.run_key)
    news.is_ready = news.is_parked = True
    return Applied(run.run_key)


def _give_back(database: MemoryDatabase, run: Run, write: Release | Park, news: News) -> None:
    run.owner, run.is_recovered = None, write.recovered
    run.end_at = _end_at(database, run, write)
    database.waiting[run.run_key] = run
    if write.wake_at is not None:
        wake(database, run, write.wake_at, news)


def _wakes_parked(entry: Entry) -> bool:
    try:
        return wakes_parked(decode_message(entry.data))
    except msgspec.DecodeError:
        return False


def _end_at(database: MemoryDatabase, run: Run, write: Release | Park) -> Timestamp | None:
    """Return when a run is to be ended, as its owner knows it; what came after that may say that it is sooner."""
    moments = [moment for moment in (run.end_at, write.end_at) if moment is not None]
    if write.inbox_position is None:
        return None if run.end_at is None else max(moments)
    if any(position > write.inbox_position for position in database.inboxes.get(run.run_key, ())):
        return min(moments, default=None)
    return write.end_at


def seize(database: MemoryDatabase, session: Session, write: Seizure, news: News) -> Outcome:
    """Take a run from whoever owns it."""
    run = database.runs.get(write.run_key)
    if run is None or run.status.is_closed or run.fencing_token != write.fencing_token:
        return Stale(write.run_key)
    run.owner, run.fencing_token, run.wake_at = session.worker, FencingToken(write.fencing_token + 1), None
    run.parked, run.is_recovered = None, False
    database.waiting.pop(run.run_key, None)
    news.run_keys.add(run.run_key)
    return Applied(run.run_key, run.owner)


def _owned(database: MemoryDatabase, session: Session, write: Release | Park) -> Run | None:
    """Return the run that a session gives back, None if it is not (any more) as the session knows it."""
    run = database.runs.get(write.run_key)
    if (
        run is None
        or run.fencing_token != write.fencing_token
        or run.sequence != write.expected_sequence
        or run.owner != session.worker
    ):
        return None
    return run
