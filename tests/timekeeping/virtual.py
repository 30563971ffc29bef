"""Engines on a virtual clock: what a schedule does in weeks is seen in milliseconds."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from perdure import Engine, Settings
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.torture.simulation.plans import Plan
from perdure.torture.simulation.world import World

BEGIN = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
"""When a simulated world begins."""
LONGEST = timedelta(hours=2)
QUIET = Settings(blocking_seconds=0.0, lease_seconds=100_000.0)


class Stage:
    """One database, one virtual clock, and processes on them."""

    def __init__(self) -> None:
        self.world = World(Plan(workload="none", seed=1), longest_seconds=LONGEST.total_seconds())
        self.database = MemoryDatabase()
        self.outcomes: list[BaseException | None] = []

    def engine(self, *, works: bool = True) -> Engine:
        return Engine(MemoryStore(self.database), settings=QUIET, works=works, clock=self.world)

    def play(self, *parts: Callable[["Stage"], Awaitable[None]]) -> None:
        """Run each part in a process of its own until all have ended."""
        processes = [self.world.add(f"process {number}", is_client=False) for number, _ in enumerate(parts)]
        tasks = [process.start(self._part(part)) for process, part in zip(processes, parts, strict=True)]
        for task in tasks:
            task.add_done_callback(self._look)
        try:
            finished = self.world.run(lambda: all(task.done() for task in tasks))
            assert finished, f"not all parts have ended; findings: {self.world.findings}"
            for task in tasks:
                task.result()
        finally:
            for process in processes:
                process.dispose()
        assert self.world.findings == []

    async def _part(self, part: Callable[["Stage"], Awaitable[None]]) -> None:
        await part(self)

    def _look(self, _task: object) -> None:
        self.world.has_changed = True

    def run_ids(self, status: str | None = None) -> list[str]:
        """Return the ids of all runs (in a status), in the order in which they were created."""
        runs = sorted(self.database.runs.values(), key=lambda run: (run.created_at, run.run_key))
        return [run.ref.id for run in runs if status is None or run.status == status]


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)
