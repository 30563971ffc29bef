"""What is broken of deadlines and of the ends of runs, for each row of docs/reference/tested.md."""

from tests.proofs.defect import Defect

LIFECYCLES: dict[str, tuple[Defect, ...]] = {
    "ctx.stage.timeout": (
        Defect(
            "authoring.stages",
            "            async with _limited(name, ends_at):\n                yield",
            "            yield",
        ),
    ),
    "ctx.stage.deadline": (
        Defect("authoring.stages", 'require_moment(deadline, "ctx.stage: deadline")', "journal.loop.now + 1"),
    ),
    "ctx.start_child.inherits_deadline": (
        Defect("authoring.child_run", "not is_detached if inherits_deadline is None else inherits_deadline", "True"),
    ),
    "ctx.inherited_child": (
        Defect(
            "kernel.message_rules",
            "(child.operation for child in children.values()",
            "(child.operation for child in ()",
        ),
    ),
    "ctx.shielded": (Defect("authoring.shielding", "await asyncio.shield(task)\n", "await task\n"),),
    "is_cancelled": (Defect("authoring.activity_context", "    return running.is_cancelled\n", "    return False\n"),),
    "current_attempt.deadline": (Defect("execution.attempts", "[call.around.at]", "[]"),),
}
