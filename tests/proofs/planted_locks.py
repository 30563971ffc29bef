"""What is broken of the locks that runs share, for each row of docs/reference/tested.md."""

from tests.proofs.defect import Defect

LOCKS: dict[str, tuple[Defect, ...]] = {
    "ctx.lock": (Defect("stores.locking", "            _let_in(lines, left, told, at=at)", "            del left"),),
    "ctx.lock.order": (
        Defect(
            "stores.locking",
            "        if not may_hold(first.limit, holders=holders, least=least):\n            break\n",
            "        if not may_hold(first.limit, holders=holders, least=least):\n            del holders\n",
        ),
    ),
    "ctx.lock.shared": (Defect("authoring.locks", "limit=None if shared else 1", "limit=1"),),
    "ctx.lock.timeout": (
        Defect("authoring.locks", "asyncio.timeout(self._timeout)", "asyncio.timeout(None)"),
        Defect(
            "kernel.advance", "            if operation not in state.locks:", "            if operation in state.locks:"
        ),
    ),
    "ctx.lock.try": (
        Defect("stores.locking", "    if not request.waits:\n", "    if not request.waits and request.waits:\n"),
    ),
    "ctx.lock.end": (Defect("kernel.expansion", "    if state.locks:\n", "    if state.locks and not state.locks:\n"),),
    "ctx.lock.deadlock": (
        Defect("kernel.deadlocks", "if waits.has(asked) else ()", "if not waits.has(asked) else ()"),
    ),
    "ctx.lock.token": (Defect("kernel.message_rules", "fencing_token=message.token", "fencing_token=1"),),
    "ctx.lock.memory": (
        Defect(
            "execution.mail",
            "        for run_key in run_keys:\n            self.news_of(run_key)",
            "        del run_keys",
        ),
    ),
    "ctx.semaphore": (
        Defect(
            "authoring.locks",
            'limit=limit, timeout=timeout, call="ctx.semaphore")',
            'limit=1, timeout=timeout, call="ctx.semaphore")',
        ),
    ),
    "engine.locks": (
        Defect("client.locking", "None if run_id is None else await key_of", "None if run_id else await key_of"),
    ),
    "engine.tasks": (
        Defect("client.queues", "None if run_id is None else await key_of", "None if run_id else await key_of"),
        Defect("stores.memory.tasks", "and query.queue in (None, row.queue)", "and query.queue != row.queue"),
    ),
}
