"""Child runs, as the workflow that started them sees them."""

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from perdure.errors import ChildRunError
from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel.coroutine_program import Journal
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.payload import Payload

if TYPE_CHECKING:
    from perdure.authoring.workflow import Workflow

__all__ = ["ChildRun"]

R_co = TypeVar("R_co", covariant=True)


class ChildRun(Generic[R_co]):
    """A child run that was started. `id` is its business key."""

    __slots__ = ("_future", "_journal", "_operation", "_waiting", "_workflow", "ref")

    def __init__(
        self, journal: Journal, workflow: "Workflow[*tuple[Any, ...], R_co]", ref: RunRef, operation: Operation
    ) -> None:
        """Build from parts; use `Context.start_child`."""
        self.ref = ref
        self._journal = journal
        self._workflow = workflow
        self._operation = operation
        self._future = journal.wait(operation)
        self._waiting = 0

    @property
    def id(self) -> str:
        """The child's business key."""
        return self.ref.id

    async def result(self) -> R_co:
        """Return the child's result. Raises ChildRunError if it ended without one. Cancelling the wait cancels the
        child, unless others wait too."""
        self._waiting += 1
        try:
            # Shielded: cancelling one who waits must not cancel the future that others wait for.
            outcome = await asyncio.shield(self._future)
        except asyncio.CancelledError:
            if self._waiting == 1 and self._journal.forget(self._operation):
                self._journal.give(c.CancelChild(operation=self._operation, location=self._journal.location()))
                self._future.cancel()
            raise
        finally:
            self._waiting -= 1
        if not isinstance(outcome, Payload):
            raise _child_error(self.ref, outcome)
        return cast("R_co", self._workflow.signature.decode_result(outcome))


def _child_error(ref: RunRef, outcome: e.ChildFailed) -> ChildRunError:
    failure = outcome.failure
    message = f"child run {ref} {outcome.outcome}: {failure}"
    return ChildRunError(
        message,
        run_id=ref.id,
        outcome=outcome.outcome,
        failure_type=failure.type,
        failure_message=failure.message,
    )
