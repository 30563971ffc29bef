"""What is broken of starts, for each row of docs/reference/tested.md."""

from tests.proofs.defect import Defect

STARTS: dict[str, tuple[Defect, ...]] = {
    "start.id": (Defect("client.client", "require_id(id) if rule is None", "require_id(None) if rule is None"),),
    "start.id_policy": (
        Defect(
            "client.beginning",
            'return workflow, payload, require_choice(request.id_policy, IdPolicy, "id_policy")',
            "return workflow, payload, IdPolicy.RETURN_EXISTING",
        ),
    ),
    "start.priority": (Defect("client.client", "            priority=priority,\n", "            priority=None,\n"),),
    "start.tenant": (Defect("client.client", "            tenant=tenant,\n", '            tenant="",\n'),),
    "start.labels": (Defect("client.client", "            labels=labels,\n", "            labels=None,\n"),),
    "start.start_at": (Defect("client.client", "            start_at=start_at,\n", "            start_at=None,\n"),),
    "start.start_after": (
        Defect("client.client", "            start_after=start_after,\n", "            start_after=None,\n"),
    ),
    "start.execution_timeout": (
        Defect(
            "client.client",
            "            execution_timeout=execution_timeout,\n",
            "            execution_timeout=None,\n",
        ),
    ),
    "start.request_id": (
        Defect("client.client", "            request_id=request_id,\n", '            request_id="",\n'),
        Defect("client.keyed_starts", "if request_id else None", "if not request_id else None"),
    ),
    "start.debounce": (
        Defect("client.keyed_starts", "Burst(start, first_at)", "Burst(start, now)"),
        Defect("timekeeping.debouncing", "entry=None, creations=(creation,)", "entry=None"),
    ),
    "start.deduplicate": (
        Defect("client.keyed_starts", "entry.due_at is not None and entry.due_at > now", "entry.due_at is None"),
    ),
    "start.singleton": (
        Defect("client.keyed_starts", "if is_open or line.waiting:", "if line.waiting and not is_open:"),
        Defect(
            "timekeeping.singletons",
            "Line(first.run_id, first.run_key, tuple(others))",
            "Line(first.run_id, first.run_key)",
        ),
    ),
    "start.within": (
        Defect("client.client", "        if within is not None:\n", "        if False:\n"),
        Defect("stores.announcing", "            await self._tell(run_key)\n", ""),
        Defect(
            "stores.postgres.within",
            "outcome, existing = await _create",
            'await connection.execute("ROLLBACK")\n        outcome, existing = await _create',
        ),
    ),
    "engine.waiting_runs": (
        Defect(
            "client.waiting_starts",
            "        for start in starts:\n            yield",
            "        for start in starts[1:]:\n            yield",
        ),
    ),
}
