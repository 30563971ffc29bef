"""What must not stand while the clock is set: runs that have something to do, and leases of those who are gone."""

from collections.abc import Hashable, Iterator

from perdure.authoring.registry import default_registry
from perdure.kernel.events import RunCreated
from perdure.kernel.transition import RunStatus
from perdure.stores.memory import MemoryDatabase
from perdure.stores.memory.tables import Run
from perdure.torture.simulation.tables import Tables
from perdure.torture.simulation.world import World

__all__ = ["Readiness"]


class Readiness:
    """Looks now and then; what stands as it stood for so long that every process has had its turns is a finding."""

    def __init__(self, world: World, database: MemoryDatabase, tables: Tables) -> None:
        """Begin to look at `database` in `world`."""
        self._world = world
        self._database = database
        self._tables = tables
        self._since: dict[Hashable, int] = {}
        self._look()

    def _look(self) -> None:
        now = self._world.true_time()
        standing = dict(self._standing())
        self._since = {key: self._since.get(key, now) for key in standing}
        self._world.findings += [
            what for key, what in standing.items() if now - self._since[key] > _PATIENCE_SECONDS * 1_000_000
        ]
        self._world.later(_PAUSE_SECONDS, self._look)

    def _standing(self) -> Iterator[tuple[Hashable, str]]:
        """Yield what should not stay as it is for long."""
        for run in self._database.waiting.values():
            if self._is_ready(run):
                yield (run.run_key, run.fencing_token, run.sequence), f"run {run.ref} has something to do, and waits"
        for session in self._database.sessions.values():
            longest = self._world.now() + session.lease_microseconds
            if session.lease_until is not None and session.lease_until > longest:
                yield session.worker, f"the lease of session {session.worker} lasts longer than a lease"

    def _is_ready(self, run: Run) -> bool:
        if run.wake_at is None or run.status.is_closed:
            return False
        if default_registry.find(run.workflow, run.definition_version) is None:
            return False  # nobody has its code
        created = self._tables.history(run.run_key)[0].event
        begins = run.status is RunStatus.CREATED and isinstance(created, RunCreated) and created.start_at is None
        return begins or run.wake_at <= run.updated_at or bool(self._database.inboxes.get(run.run_key))


_PAUSE_SECONDS = 20.0
_PATIENCE_SECONDS = 90.0
"""Leases of the dead pass, and sessions that begin note the time, by then."""
