"""How runs failed, for lists of them and for programs: the row of a run does not say it, its last event does."""

from collections.abc import Iterable

import msgspec

from perdure.errors import HistoryError
from perdure.kernel import events as e
from perdure.kernel.failure import Failure
from perdure.kernel.identity import RunKey
from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunStore, RunSummary

__all__ = ["failure_for_programs", "read_failures"]


async def read_failures(store: RunStore, runs: Iterable[RunSummary]) -> dict[RunKey, Failure]:
    """Return the failures of those runs that failed. Raises StoreErrors. Complexity: one event per failed run."""
    failures: dict[RunKey, Failure] = {}
    for run in runs:
        if run.status is RunStatus.FAILED:
            failure = await _read_failure(store, run)
            if failure is not None:
                failures[run.run_key] = failure
    return failures


async def _read_failure(store: RunStore, run: RunSummary) -> Failure | None:
    try:
        page = await store.read_history(run.run_key, after=run.sequence - 1, limit=1)
    except HistoryError as error:  # one damaged history must not hide the other runs
        return Failure(type="HistoryError", message=str(error))
    return next((recorded.event.failure for recorded in page if isinstance(recorded.event, e.RunFailed)), None)


def failure_for_programs(failure: Failure | None) -> dict[str, object] | None:
    """Return a failure whole, with what it says as one sentence and its place in the code."""
    if failure is None:
        return None
    recorded: dict[str, object] = msgspec.json.decode(msgspec.json.encode(failure))
    return {**recorded, "sentence": failure.sentence, "place": failure.place}
