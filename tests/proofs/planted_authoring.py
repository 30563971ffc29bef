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
            'raises=declare_errors(raises, ActivityFailedError, f"activity {chosen}"),',
            "raises=NONE_DECLARED,",
        ),
    ),
    "RunFailedError": (
        Defect("kernel.failure", '"{}:{} in {}".format(*own[-1]) if own', '"{}:{} in {}".format(*lines[0]) if lines'),
        Defect("kernel.failure", "if not line[0].startswith(_PERDURE)]", "if line]"),
    ),
    "workflow.raises": (
        Defect("authoring.child_run", "class_of_failure(failure, workflow.raises, ChildRunError)", "ChildRunError"),
    ),
}
