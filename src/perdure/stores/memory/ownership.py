"""Who owns a run in memory: given back, parked, or taken from its owner."""

from perdure.kernel.identity import FencingToken
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Applied, Outcome, Park, Release, Seizure, Stale
from perdure.stores.memory.tables import MemoryDatabase, News, Run, Session, wake

__all__ = ["park", "release", "seize"]


def release(database: MemoryDatabase, session: Session, write: Release, news: News) -> Outcome:
    """Give a run back."""
    run = _owned(database, session, write)
    if run is None:
        return Stale(write.run_key)
    run.owner, run.is_recovered = None, write.recovered
    database.waiting[run.run_key] = run
    if write.inbox_position is not None:
        run.end_at = _end_at(database, run, write.end_at, after=write.inbox_position)
    elif run.end_at is not None and write.wake_at is not None:
        run.end_at = max(run.end_at, write.wake_at)
    if write.wake_at is not None:
        wake(database, run, write.wake_at, news)
    if database.inboxes.get(run.run_key):
        wake(database, run, write.now, news)
    return Applied(run.run_key)


def park(database: MemoryDatabase, session: Session, write: Park, news: News) -> Outcome:
    """Give a run back that cannot go on with its owner's code."""
    run = _owned(database, session, write)
    if run is None:
        return Stale(write.run_key)
    run.owner, run.parked, run.is_recovered = None, write.parking, write.recovered
    run.end_at = _end_at(database, run, write.end_at, after=write.inbox_position)
    database.waiting[run.run_key] = run
    if any(position > write.inbox_position for position in database.inboxes.get(run.run_key, ())):
        wake(database, run, write.now, news)
    news.run_keys.add(run.run_key)
    news.is_ready = news.is_parked = True
    return Applied(run.run_key)


def _end_at(database: MemoryDatabase, run: Run, known: Timestamp | None, *, after: int) -> Timestamp | None:
    """Return when a run is to be ended, as its owner knows it; what came after that may say that it is sooner."""
    if any(position > after for position in database.inboxes.get(run.run_key, ())):
        return min((moment for moment in (run.end_at, known) if moment is not None), default=None)
    return known


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
