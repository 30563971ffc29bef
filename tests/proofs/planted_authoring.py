"""The breakages of what authors write with: conditions, declared errors; see `tests.proofs.planted`."""

from typing import Final

from tests.proofs.defect import Defect

__all__ = ["AUTHORING"]

AUTHORING: Final[dict[str, tuple[Defect, ...]]] = {
    "ctx.wait_until": (
        Defect("kernel.loop", "if not ready and (self.at_rest is None or not self.at_rest()):", "if not ready:"),
    ),
    "ctx.wait_until.timeout": (
        Defect(
            "authoring.conditions",
            "        async with asyncio.timeout(timeout.total_seconds()):\n",
            "        if True:\n",
        ),
    ),
    "activity.raises": (
        Defect(
            "authoring.activity",
            "raises=declared, transaction",
            "raises=NONE_DECLARED, transaction",
        ),
        Defect("kernel.failure", "type=getattr(type(error), RECORDED_AS, type(error)).", "type=type(error)."),
    ),
    "activity.transaction": (
        Defect(
            "execution.transaction_executor",
            "            self._worker.mail.read_inbox_of(run)\n",
            "            pass\n",
        ),
        Defect(
            "execution.claims",
            "may_hold_outcomes = _has_transactions(state, worker.registry)",
            "may_hold_outcomes = False",
        ),
        Defect("execution.attempts", "running.overdue = timed_out", "self._report(call, timed_out)"),
    ),
    "current_connection": (
        Defect("stores.sqlite.transactions", "if not isinstance(outcome, Applied):", "if False:"),
        Defect(
            "stores.postgres.transactions",
            "fencing_token = $2::bigint AND owner = $3::bigint",
            "$2::bigint > 0 AND $3::bigint > 0",
        ),
        Defect("stores.sqlite.transactions", "fencing_token = ? AND owner = ?", "? >= 0 AND ? >= 0"),
        Defect(
            "stores.postgres.transactions",
            "            await transaction.roll_back()\n            return error\n",
            "            await transaction.commit()\n            return error\n",
        ),
    ),
    "Workflow.continue_as_new": (
        Defect(
            "authoring.continuing", "args, told=workflow, following=workflow)", "(), told=workflow, following=workflow)"
        ),
        Defect("authoring.continuing", "if journal.created.workflow != workflow.name:", "if False:"),
    ),
    "ctx.continue_as_new.arguments": (
        Defect("authoring.continuing", "if following is not told and not journal.is_continued:", "if False:"),
        Defect("kernel.journal", "            self.is_continued = True\n", "            pass\n"),
    ),
    "value_of": (Defect("events", "decode_value(payload, type, subject=", "decode_value(payload, subject="),),
    "run.suspend.before_begin": (
        Defect("kernel.message_rules", "status is not RunStatus.SUSPENDED:", "status is RunStatus.RUNNING:"),
    ),
    "RunFailedError": (
        Defect("kernel.failure", '"{}:{} in {}".format(*own[-1]) if own', '"{}:{} in {}".format(*lines[0]) if lines'),
        Defect("kernel.failure", "if not line[0].startswith(_PERDURE)]", "if line]"),
    ),
    "workflow.raises": (
        Defect("authoring.child_run", "class_of_failure(failure, workflow.raises, ChildRunError)", "ChildRunError"),
    ),
}
