"""What is broken of the operations on many runs, for each row of docs/reference/tested.md."""

from tests.proofs.defect import Defect
from tests.proofs.planted_repairs import REPAIRS

BULK: dict[str, tuple[Defect, ...]] = {
    "engine.all_runs": (
        Defect(
            "client.client",
            "            if not page.next_cursor:\n                return\n            query",
            "            return\n            query",
        ),
    ),
    "engine.count_runs": (
        Defect("client.client", "count_runs(self._own(query), most=most)", "count_runs(self._own(None))"),
    ),
    "engine.bulk": (
        Defect(
            "client.bulk",
            "except RunClosedError as error:\n        return error",
            "except RunClosedError:\n        return None",
        ),
        Defect("client.bulk", "limit=concurrency", "workflows=frozenset(), limit=concurrency"),
        Defect("client.bulk", "return BulkFailure(found.ref.id, error)", "raise"),
    ),
    "bulk.concurrency": (Defect("client.bulk", "limit=concurrency", "limit=50"),),
    "bulk.dry_run": (Defect("client.bulk", "while looks or not self._is_dry:", "while True:"),),
    "bulk.on_progress": (Defect("client.bulk", "self._on_progress(report)", "pass"),),
    "bulk.cancel": (Defect("client.bulk", "run.cancel(reason, grace=grace, by=by)", "run.terminate(reason, by=by)"),),
    "bulk.terminate": (
        Defect("client.bulk", "run.terminate(reason, by=by)", "run.cancel(reason, by=by)"),
        Defect(
            "client.bulk",
            "self._ask(OPEN_STATUSES, lambda run: run.terminate(",
            "self._ask(frozenset(RunStatus), lambda run: run.terminate(",
        ),
    ),
    "bulk.suspend": (Defect("client.bulk", "run.suspend(reason, by=by)", "run.suspend()"),),
    "bulk.resume": (Defect("client.bulk", "frozenset({RunStatus.SUSPENDED})", "OPEN_STATUSES"),),
    "bulk.signal": (Defect("client.bulk", "body, request_id=request_id)", "body)"),),
    **REPAIRS,
}
