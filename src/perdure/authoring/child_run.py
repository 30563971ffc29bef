"""Child runs, as the workflow that started them sees them."""

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple, cast

from perdure.authoring.arguments import require_choice, require_text, require_texts
from perdure.authoring.declared_errors import class_of_failure
from perdure.authoring.definitions import require_kind
from perdure.authoring.stages import deadline_around
from perdure.errors import ChildRunError, InvalidArgumentError
from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.journal import ChildWait, Journal
from perdure.kernel.payload import Payload
from perdure.kernel.priority import Priority

if TYPE_CHECKING:
    from perdure.authoring.registry import Registry
    from perdure.authoring.workflow import Workflow

__all__ = ["ChildRun", "find_inherited", "request_child"]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
Ts = TypeVarTuple("Ts")


def request_child(
    journal: Journal,
    registry: "Registry",
    workflow: "Workflow[*Ts, R]",
    args: tuple[*Ts],
    *,
    id: str | None,
    policy: e.ParentClosePolicy,
    priority: Priority | None,
    labels: dict[str, str] | None,
    version: str | None,
    inherits_deadline: bool | None,
) -> "ChildRun[R]":
    """Ask for a child run; see `Context.start_child`."""
    from perdure.authoring.workflow import require_workflow  # noqa: PLC0415 - workflow.py imports this module

    require_workflow(workflow, "a child run")
    workflow = registry.at_version(workflow, version)
    given = workflow.signature.encode_arguments(args, {})
    chosen_labels = require_texts(labels or {}, "labels")
    chosen_priority = None if priority is None else require_choice(priority, Priority, "priority")
    if id is not None:
        require_text(id, "the id of a child run")
    require_kind(inherits_deadline, bool, "a child run: inherits_deadline", wanted="True or False")
    chosen_policy = require_choice(policy, e.ParentClosePolicy, "policy")
    is_detached = chosen_policy is e.ParentClosePolicy.ABANDON
    operation = journal.next_operation()
    child = RunRef(namespace=journal.created.ref.namespace, id=id or _child_id(journal.created.ref, operation))
    journal.give(
        c.RequestChild(
            operation=operation,
            workflow=workflow.name,
            definition_version=workflow.version,
            child=child,
            input=given,
            policy=chosen_policy,
            priority=chosen_priority,
            labels=chosen_labels,
            stages=workflow.stages,
            execution_timeout_microseconds=workflow.execution_timeout_microseconds,
            inherits_deadline=not is_detached if inherits_deadline is None else inherits_deadline,
            within=deadline_around(),
            location=journal.location(),
        )
    )
    return ChildRun(journal, workflow, child, journal.wait_for_child(operation))


def find_inherited(journal: Journal, workflow: "Workflow[*tuple[Any, ...], R]", id: str) -> "ChildRun[R]":
    """Return a child run that the generation before left open; see `Context.inherited_child`."""
    from perdure.authoring.workflow import require_workflow  # noqa: PLC0415 - workflow.py imports this module

    require_workflow(workflow, "ctx.inherited_child")
    found = journal.inherited.get(id)
    if found is None:
        left = ", ".join(journal.inherited) or "none"
        message = (
            f"ctx.inherited_child: {id!r:.60} is no child run that the generation before left open; it left {left}"
        )
        raise InvalidArgumentError(message)
    child, wait = found
    if child.workflow != workflow.name:
        message = f"ctx.inherited_child: child run {id!r:.60} is one of {child.workflow}, not of {workflow.name}"
        raise InvalidArgumentError(message)
    return ChildRun(journal, workflow, child.ref, wait)


class ChildRun(Generic[R_co]):
    """A child run that was started. `id` is its business key."""

    __slots__ = ("_journal", "_wait", "_workflow", "ref")

    def __init__(
        self,
        journal: Journal,
        workflow: "Workflow[*tuple[Any, ...], R_co]",
        ref: RunRef,
        wait: ChildWait,
    ) -> None:
        """Build from parts; use `Context.start_child`."""
        self.ref = ref
        self._journal = journal
        self._workflow = workflow
        self._wait = wait

    @property
    def id(self) -> str:
        """The child's business key."""
        return self.ref.id

    async def result(self) -> R_co:
        """Return the child's result. Raises ChildRunError if it ended without one. Cancelling the wait cancels the
        child, unless others wait too."""
        journal, wait = self._journal, self._wait
        wait.waiting += 1
        try:
            # Shielded: cancelling one who waits must not cancel the future that others wait for.
            outcome = await asyncio.shield(wait.outcome)
        except asyncio.CancelledError:
            if wait.waiting == 1 and journal.forget(wait.operation):
                journal.give(c.CancelChild(operation=wait.operation, location=journal.location()))
                wait.outcome.cancel()
            raise
        finally:
            wait.waiting -= 1
        if not isinstance(outcome, Payload):
            raise _child_error(self.ref, self._workflow, outcome)
        return cast("R_co", self._workflow.signature.decode_result(outcome))


def _child_id(parent: RunRef, operation: Operation) -> str:
    generation = f"{parent.generation}." if parent.generation > 1 else ""
    return f"{parent.id}/{generation}{operation}"


def _child_error(ref: RunRef, workflow: "Workflow[*tuple[Any, ...], Any]", outcome: e.ChildFailed) -> ChildRunError:
    failure = outcome.failure
    error = class_of_failure(failure, workflow.raises, ChildRunError)(
        f"child run {ref} {outcome.outcome}: {failure.sentence}",
        run_id=ref.id,
        outcome=outcome.outcome,
        failure_type=failure.type,
        failure_message=failure.message,
    )
    if failure.traceback is not None:  # of another run, maybe of another process and day
        error.add_note(f"\nIn the child run:\n{failure.traceback.rstrip()}")
    return error
