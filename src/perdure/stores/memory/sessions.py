"""Sessions in memory, and claims: whose lease lasts how long, who takes what is due, whose runs are freed."""

from typing import assert_never

from perdure.kernel.identity import FencingToken, WorkerId, WorkflowVersion
from perdure.kernel.time import Timestamp
from perdure.ports.store import ClaimedRun
from perdure.stores.clock import Step, heed
from perdure.stores.memory.tables import MemoryDatabase, News, Run, Session, end_by, give_back, publish, summarise, wake
from perdure.stores.memory.tasks import free_tasks

__all__ = ["claim", "free_expired", "next_wake_at", "renew"]


def claim(
    database: MemoryDatabase,
    session: Session,
    *,
    now: Timestamp,
    limit: int,
    workflows: frozenset[WorkflowVersion],
    code: str | None,
) -> list[ClaimedRun]:
    """Take due runs, and parked ones. Complexity: linear in the runs that nobody owns."""
    _heed_clock(database, session, now=now, known_time=None)
    _begin_leases(database, now)
    fitting = [run for run in database.waiting.values() if _needs(run) in workflows]
    due = [run for run in fitting if run.wake_at is not None and run.wake_at <= now]
    due.sort(key=_claim_order)
    ending = [run for run in database.waiting.values() if run.end_at is not None and run.end_at <= now]
    ending.sort(key=lambda run: (run.end_at, run.run_key))
    untried = [run for run in fitting if _is_untried(run, code)]
    untried.sort(key=lambda run: (run.priority, run.run_key))
    limit = max(limit, 0)
    chosen = {run.run_key: run for run in [*ending[: (limit + 1) // 2], *due, *ending, *untried]}
    return [_claim(database, run, session.worker) for run in [*chosen.values()][:limit]]


def next_wake_at(database: MemoryDatabase, workflows: frozenset[WorkflowVersion]) -> Timestamp | None:
    """Return the earliest time at which a run that nobody owns comes due."""
    waiting = database.waiting.values()
    times = [run.wake_at for run in waiting if run.wake_at is not None and _needs(run) in workflows]
    times += [run.end_at for run in waiting if run.end_at is not None]
    return min(times, default=None)


def renew(database: MemoryDatabase, session: Session, *, now: Timestamp) -> bool:
    """Extend the lease. If it had passed, give back what the session still owned, begin a new one, return False."""
    _heed_clock(database, session, now=now, known_time=session.known_time)
    session.known_time = database.latest_time = max(database.latest_time, now)
    held = session.lease_until is None or session.lease_until > now
    session.lease_until = Timestamp(now + session.lease_microseconds)
    if not held:
        _free(database, session, {session.worker}, now)
    return held


def free_expired(database: MemoryDatabase, session: Session, *, now: Timestamp) -> int:
    """Give back the runs of sessions that were killed or whose lease has passed, and forget the killed ones."""
    _begin_leases(database, now)
    sessions = database.sessions
    gone = {worker for worker, other in sessions.items() if other.is_dead or _has_passed(other, now)}
    if not gone:
        return 0
    for worker in gone:
        if sessions[worker].is_dead:
            del sessions[worker]
    return _free(database, session, gone, now)


def _claim(database: MemoryDatabase, run: Run, worker: WorkerId) -> ClaimedRun:
    is_recovered, run.is_recovered = run.is_recovered, False
    parked, run.parked = run.parked, None
    run.owner = worker
    run.fencing_token = FencingToken(run.fencing_token + 1)
    due_at, run.wake_at = run.wake_at, None
    del database.waiting[run.run_key]
    return ClaimedRun(
        summary=summarise(run),
        recovered=is_recovered,
        parked=parked,
        due_at=due_at,
        inbox_position=max(database.inboxes.get(run.run_key, ()), default=0),
    )


def _is_untried(run: Run, code: str | None) -> bool:
    return code is not None and run.parked is not None and code not in run.parked.tried


def _needs(run: Run) -> WorkflowVersion:
    return WorkflowVersion(run.workflow, run.definition_version)


def _claim_order(run: Run) -> tuple[int, int, int]:
    return (run.priority, run.wake_at or 0, run.run_key)


def _heed_clock(database: MemoryDatabase, session: Session, *, now: Timestamp, known_time: Timestamp | None) -> None:
    """Do what is to be done if the clock was set back: see `perdure.stores.clock`."""
    latest_time, lease = database.latest_time or now, session.lease_microseconds
    for step in heed(
        now=now,
        latest_time=latest_time,
        set_back_at=database.set_back_at,
        known_time=known_time,
        lease_microseconds=lease,
    ):
        match step:
            case Step.HASTEN:
                _hasten(database, session, now=now, until=latest_time + lease)
            case Step.CUT_LEASES:
                for other in database.sessions.values():
                    if other.lease_until is not None:
                        other.lease_until = min(other.lease_until, Timestamp(now + other.lease_microseconds))
            case Step.NOTE_SETTING_BACK:
                database.set_back_at = now
            case Step.FORGET_SETTING_BACK:
                database.set_back_at = None
            case Step.NOTE_TIME | Step.SET_TIME_BACK:
                database.latest_time = now
            case _:
                assert_never(step)


def _hasten(database: MemoryDatabase, session: Session, *, now: Timestamp, until: int) -> None:
    news = News()
    for run in list(database.waiting.values()):
        if run.wake_at is not None and now < run.wake_at <= until and _is_due_anyway(database, run):
            wake(database, run, now, news)
        if run.end_at is not None and now < run.end_at <= until and database.inboxes.get(run.run_key):
            end_by(run, now, news)
    publish(database, session, news)


def _is_due_anyway(database: MemoryDatabase, run: Run) -> bool:
    """Whether a run waits for no time of its own."""
    is_written_later = run.wake_at is not None and run.wake_at <= run.updated_at
    return is_written_later or run.is_recovered or bool(database.inboxes.get(run.run_key))


def _begin_leases(database: MemoryDatabase, now: Timestamp) -> None:
    for session in database.sessions.values():
        if session.lease_until is None:
            session.lease_until = Timestamp(now + session.lease_microseconds)
            database.latest_time = max(database.latest_time, now)


def _has_passed(session: Session, now: Timestamp) -> bool:
    return session.lease_until is not None and session.lease_until <= now


def _free(database: MemoryDatabase, session: Session, workers: set[WorkerId], now: Timestamp) -> int:
    news = News()
    freed = [run for run in database.runs.values() if run.owner in workers]
    for run in freed:
        run.is_recovered = True
        give_back(database, run, now, news)
    free_tasks(database, workers, news)
    publish(database, session, news)
    return len(freed)
