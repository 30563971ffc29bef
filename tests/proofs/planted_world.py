"""What is broken of the log and of the synchronous world, for each row of docs/reference/tested.md."""

from tests.proofs.defect import Defect

WORLD: dict[str, tuple[Defect, ...]] = {
    "SyncEngine.threads": (
        Defect(
            "client.loop_thread",
            "        if not self.is_here:\n",
            "        if threading.main_thread() is not threading.current_thread():\n",
        ),
    ),
    "SyncEngine.refused": (Defect("client.loop_thread", "            self._require_usable()\n", "            pass\n"),),
    "start.trace_context": (
        Defect("client.client", "            trace_context=trace_context,\n", "            trace_context=None,\n"),
    ),
    "run.describe.times": (
        Defect("ports.store", "started_at=_moment(self.started_at)", "started_at=_moment(self.wake_at)"),
    ),
    "run.history.moment": (
        Defect("kernel.history", "timestamp_to_datetime(self.at)", "timestamp_to_datetime(self.at + 1)"),
    ),
    "log.activities": (
        Defect("execution.active_run", "        if result.failed:\n", "        if not result.events:\n"),
    ),
    "register_secret": (
        Defect(
            "redaction",
            "        return self._indexed().hide(text) if self._texts and len(text) >= _SHORTEST_SECRET else text\n",
            "        return text\n",
        ),
    ),
    "log.lines": (Defect("logs", "        logger.addFilter(_HARMLESS)\n", "        pass\n"),),
    "log.runs": (
        Defect(
            "execution.worker",
            "            log_failed_run(run.ref, run.state.closing)\n",
            "            pass\n",
        ),
    ),
}
