"""What `perdure doctor` finds out about the open runs: every row is read, so many of the oldest runs are replayed."""

from collections import Counter
from contextlib import aclosing

import msgspec

from perdure.authoring.registry import default_registry
from perdure.cli.printing import progress_shown
from perdure.engine import Engine
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import OPEN_STATUSES
from perdure.ports.store import RunOrder, RunQuery, RunSummary

__all__ = ["OpenRuns", "read_open_runs"]


class OpenRuns(msgspec.Struct, kw_only=True):
    """The open runs of a namespace: whose rows are `damaged`, how many are due that nobody runs, and by workflow and
    version how many are parked, and how many have no code in this process. `oldest`, in the order of their creation,
    are those that have it, up to the number that was asked for: `has_more` says that there are more. Of `left` open
    runs the rows were not read."""

    count: int = 0
    damaged: list[str] = []
    due: int = 0
    parked: Counter[str] = msgspec.field(default_factory=Counter)
    missing: Counter[str] = msgspec.field(default_factory=Counter)
    oldest: list[RunSummary] = []
    has_more: bool = False
    left: int = 0

    def add(self, run: RunSummary, *, now: Timestamp, most: int | None) -> None:
        """Count a run, and keep it if it has code and fewer than `most` are kept (None: whatever there are)."""
        name = f"{run.workflow} version {run.definition_version}"
        self.count += 1
        if run.damage:
            self.damaged.append(f"run {run.ref.id}: {run.damage}")
        self.due += run.wake_at is not None and run.wake_at <= now
        if run.parked is not None:
            self.parked[name] += 1
        if default_registry.find(run.workflow, run.definition_version) is None:
            self.missing[name] += 1
        elif most is None or len(self.oldest) < most:
            self.oldest.append(run)
        else:
            self.has_more = True


async def read_open_runs(engine: Engine, *, most: int | None, rows: int | None = None) -> OpenRuns:
    """Read the rows of all open runs, or of so many, oldest first; keep at most `most` of those that have code here."""
    query = RunQuery(namespace=engine.namespace, statuses=OPEN_STATUSES, order=RunOrder.OLDEST_FIRST, limit=_PAGE_RUNS)
    found, now = OpenRuns(), engine.worker.clock.now()
    total = await engine.count_runs(query)
    wanted = total if rows is None else min(total, rows)
    with progress_shown("reading open runs", wanted) as tell:
        async with aclosing(engine.all_runs(query)) as runs:
            async for run in runs:
                if rows is not None and found.count == rows:
                    found.left, found.has_more = max(total - rows, 1), True
                    break
                found.add(run, now=now, most=most)
                tell(found.count)
    return found


_PAGE_RUNS = 500
