"""The breakages of messages: updates, and what starts a run with a message; see `tests.proofs.planted`."""

from typing import Final

from tests.proofs.defect import Defect

__all__ = ["MESSAGES"]

MESSAGES: Final[dict[str, tuple[Defect, ...]]] = {
    "ctx.on_update": (
        Defect("kernel.update_tasks", "        self._handlers = {**(self._handlers or {}), name: handler}\n", ""),
    ),
    "ctx.on_update.validator": (Defect("authoring.updates", "            validator(value)\n", "            pass\n"),),
    "ctx.updates_finished": (
        Defect("authoring.context", "            await asyncio.wait(tasks)\n", "            break\n"),
    ),
    "engine.signal_with_start": (
        Defect("client.starting", "carried_signals=signals", "carried_signals=()"),
        Defect("stores.memory.writes", "if first is None and write.ref.generation > 1:", "if False:"),
    ),
    "engine.update_with_start": (Defect("client.starting", "carried_updates=updates", "carried_updates=()"),),
    "defer": (
        Defect(
            "execution.active_run",
            "if activity.operation in self.state.deferrals or",
            "if",
        ),
        Defect("kernel.advance", "        if state.deferrals:\n", "        if False:\n"),
    ),
    "engine.complete": (
        Defect("kernel.deferral_rules", "                result=message.result,\n", "                result=m.NULL,\n"),
        Defect("client.completing", "await self._settled_by_now() or waiting", "self.settled or outcome"),
    ),
    "engine.complete.request_id": (
        Defect("client.completing", "settled.request_id == outcome.request_id or settled.result", "settled.result"),
    ),
    "engine.fail": (
        Defect("kernel.deferral_rules", "if deferral is None else deferral.retry", "if deferral is None else NO_RETRY"),
    ),
    "engine.heartbeat": (
        Defect("kernel.effects", "        activity.heartbeat = event.details\n", "        pass\n"),
        Defect(
            "client.completing",
            "            raise await self._stale(settled)\n\n    async def _settle(",
            "            return\n\n    async def _settle(",
        ),
    ),
    "run.cancel.request_id": (
        Defect(
            "client.handle",
            'request = require_text(request_id, "request_id") if request_id else ""',
            'request = ""',
        ),
    ),
    "ctx.publish": (
        Defect("authoring.streams", "stream=stream.name, value=encoded", "stream=stream.name + '?', value=encoded"),
    ),
    "publish": (
        Defect("kernel.input_rules", "value=given.value, attempt=given.attempt", "value=given.value, attempt=0"),
        Defect(
            "execution.thread_executor",
            "        _hop(self._loop, self._running.publish, stream, value)\n",
            "        pass\n",
        ),
    ),
    "run.stream": (
        Defect("client.streaming", " and event.stream == stream.name", ""),
        Defect(
            "client.streaming",
            "        async for part, recorded in events:\n",
            "        async for part, recorded in events:\n            break\n",
        ),
    ),
    "run.stream.after": (Defect("client.streaming", "    if not after:\n", "    if True:\n"),),
    "run.stream.follow": (
        Defect(
            "client.streaming", "    if not follows and (begin.ref.generation, sequence) >= last:\n        return\n", ""
        ),
    ),
    "run.update": (Defect("client.updating", "                return result\n", "                return NULL\n"),),
    "run.update.wait": (
        Defect("client.handle", 'until_completed=wait == "completed", timeout', "until_completed=True, timeout"),
    ),
    "run.update.request_id": (
        Defect(
            "client.handle",
            'update_id = require_text(request_id, "request_id") if request_id else new_name()',
            "update_id = new_name()",
        ),
    ),
    "run.update.timeout": (
        Defect("client.updating", "async with asyncio.timeout(seconds)", "async with asyncio.timeout(None)"),
    ),
}
