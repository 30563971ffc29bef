"""What is broken of retries, resets and forks, for each row of docs/reference/tested.md."""

from tests.proofs.defect import Defect

REPAIRS: dict[str, tuple[Defect, ...]] = {
    "run.retry": (
        Defect("kernel.fork_points", "return _point_up_to(history, asked - 1)", "return 1"),
        Defect(
            "kernel.fork_points",
            "point_of_last_failure(history) if cancel is None else _point_up_to(history, cancel - 1)",
            "point_of_last_failure(history)",
        ),
        Defect("kernel.fork_points", "return _point_up_to(history, len(history))", "return 1"),
        Defect("client.forking", "        request_id=request_id,\n    )\n    creation", "    )\n    creation"),
    ),
    "run.reset": (
        Defect("client.forking", "return points.point_at(history, point.event)", "return 1"),
        Defect("kernel.forking", "if order.reapplies_signals else ()", "if not order.reapplies_signals else ()"),
        Defect("client.forking", "wish.cause is not ForkCause.FORK and not origin.status.is_closed", "False"),
        Defect("client.forking", "if (forked.cause, forked.origin.id) != (wish.cause, ref.id):", "if False:"),
        Defect("execution.mail", "if not inbox and await is_taken_over(self._worker, run):", "if False:"),
        Defect("kernel.replacing", "kept = [operation for", "kept = [] and [operation for"),
    ),
    "run.fork": (
        Defect("client.forking", "id=wish.id)", "id=ref.id)"),
        Defect("kernel.fork_points", "return event if is_whole and not has_ended else asked", "return event"),
    ),
    "bulk.retry": (
        Defect("client.bulk", "frozenset({RunStatus.FAILED}), wish", "frozenset(RunStatus), wish"),
        Defect("client.bulk", "_RETRIED = frozenset({RunStatus.FAILED,", "_RETRIED = frozenset({*RunStatus,"),
        Defect("client.bulk", "OPEN_STATUSES | {RunStatus.FAILED}, wish", "_RESET, wish"),
    ),
    "bulk.reset": (
        Defect(
            "client.bulk", 'return f"{len(request_id)}:{request_id}:{found.ref.id}" if request_id else ""', 'return ""'
        ),
        Defect("client.forking", "if listed is not None:\n", "if False:\n"),
        Defect(
            "client.bulk",
            "            if self._is_dry:\n                await consider",
            "            if False:\n                await consider",
        ),
    ),
}
