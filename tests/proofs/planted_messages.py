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
    "engine.signal_with_start": (Defect("client.starting", "carried_signals=signals", "carried_signals=()"),),
    "engine.update_with_start": (Defect("client.starting", "carried_updates=updates", "carried_updates=()"),),
    "run.update": (Defect("client.updating", "                return result\n", "                return NULL\n"),),
    "run.update.wait": (
        Defect("client.handle", 'until_completed=wait == "completed", timeout', "until_completed=True, timeout"),
    ),
    "run.update.request_id": (
        Defect(
            "client.handle",
            'update_id = require_text(request_id, "request_id") if request_id else _new_id()',
            "update_id = _new_id()",
        ),
    ),
    "run.update.timeout": (
        Defect("client.updating", "async with asyncio.timeout(seconds)", "async with asyncio.timeout(None)"),
    ),
}
