"""What becomes of damaged runs that are terminated: they end by what their rows say, or are parked. None is tried for
ever, and none keeps its locks for ever."""

import asyncio
from collections.abc import Collection
from typing import Final

from perdure import Engine
from perdure.errors import RunClosedError, StoreError
from perdure.kernel.identity import RunKey
from perdure.ports.store import LockQuery
from perdure.ports.verification import DamagedRun, Verification
from perdure.torture.corruption.contents import Contents

__all__ = ["unended"]


async def unended(
    engine: Engine, report: Verification, now: Contents | None, *, known: Collection[RunKey]
) -> list[str]:
    """Terminate those of the known runs whose history or inbox is damaged, and nothing else; return which do not obey.

    Rows that were doubled are not known: two that are the latest of an id get each other's messages.
    """
    hurt = [run for run in _hurt(report) if run.run_key in known]
    wrong = await asyncio.gather(*(_terminate(engine, run, is_certain=_is_certain(run, report, now)) for run in hurt))
    return [line for line in wrong if line]


def _hurt(report: Verification) -> list[DamagedRun]:
    """Return the open runs that are damaged where an end needs nothing; none if what an end needs may be damaged."""
    damaged_tables = {defect.what.partition(":")[0] for defect in report.defects}
    if not damaged_tables <= {"history"}:
        return []
    allowed = {"history"} if damaged_tables else {"history", "inbox", "tasks"}
    return [run for run in report.damaged if run.is_open and {defect.place for defect in run.defects} <= allowed]


def _is_certain(run: DamagedRun, report: Verification, now: Contents | None) -> bool:
    """Whether a run must end: all pages can be read and written, and no event stands where its end belongs."""
    if now is None or any(_PAGE in defect.what for defect in report.defects):
        return False
    events = [at for key, at, *_ in now.rows["history"] if key == run.run_key]
    return all(isinstance(at, int) and at <= run.counted for at in events)


async def _terminate(engine: Engine, damaged: DamagedRun, *, is_certain: bool) -> str:
    """Terminate a run; return what is wrong if it is not ended, nor (unless that is certain) parked."""
    if damaged.ref is None:
        return ""
    run = await engine.get_run(damaged.ref.id)
    try:
        await run.terminate("it is damaged")
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not (row := await run.describe()).status.is_closed:
                if not is_certain and row.parked is not None and row.owner is None:
                    return ""
                await asyncio.sleep(_PAUSE_SECONDS)
        locks = await engine.worker.store.list_locks(LockQuery(run_key=RunKey(damaged.run_key)))
    except TimeoutError:
        return f"run {damaged.ref}, which is damaged, is not ended by a termination, and tried for ever"
    except RunClosedError:
        return ""
    except StoreError as error:
        return f"run {damaged.ref}, which is damaged, cannot be terminated: {error}" if is_certain else ""
    return f"run {damaged.ref}, which is ended, keeps {len(locks)} locks" if locks else ""


_PAGE: Final = " page "
"""So SQLite names a page that it finds malformed: it may be read by a scan, and no row be added to it."""
_PATIENCE_SECONDS: Final = 10
_PAUSE_SECONDS: Final = 0.01
