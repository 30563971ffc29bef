"""News: what other sessions have changed in the store, and whom of a worker's parts that concerns."""

from typing import TYPE_CHECKING

from perdure.execution.parking import look_at_parked

if TYPE_CHECKING:
    from perdure.execution.worker import Worker
    from perdure.ports.store import Changes

__all__ = ["hear"]


def hear(worker: "Worker", changes: "Changes") -> None:
    """Let a worker's parts look at what has changed."""
    active, loading, parked = worker.active, worker.mail.loading, worker.endings.parked
    for key in [*active, *loading, *parked] if changes.everything else changes.run_keys:
        if key in active or key in loading:
            worker.mail.news_of(key)
        elif key in parked:
            worker.mail.spawn(look_at_parked(worker, key))
    for key in worker.endings.awaited() if changes.everything else changes.run_keys:
        if key not in active:
            worker.endings.look_again(key)
    if worker.standby:
        worker.standby.hear(None if changes.everything else changes.run_keys)
    if changes.parked or changes.everything:
        worker.claims.try_parked()
    elif changes.ready:
        worker.claims.wake()
    if worker.queues:
        worker.queues.hear(None if changes.everything else changes.run_keys)
        if changes.queued or changes.everything:
            worker.queues.wake()
    if changes.agenda or changes.everything:
        worker.keeper.wake()
