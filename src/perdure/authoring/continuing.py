"""Continue as new: what the code of one generation hands to the next, and that the next takes it.

The next generation has the newest version of its workflow that there is here, or the one that it is told. Its arguments
are recorded as the code that gives them declares them; whether the version that will run takes them is found out by
reading them as it will, at the call: else the run would end in a generation whose code has not begun.

What is the newest changes with what a process has imported, so a replay does not look: a refusal is recorded, as a side
effect whose value is its text, since code may catch it and go on; where none is and the history says that the run
continued, it did.
"""

from typing import TYPE_CHECKING, Any, NoReturn

from perdure.authoring.payloads import decode_value, encode_value
from perdure.errors import InvalidArgumentError, UsageError, WrongContextError
from perdure.kernel import commands as c
from perdure.kernel.journal import Journal, RunContinuing, current_journal
from perdure.kernel.payload import Payload

if TYPE_CHECKING:
    from perdure.authoring.workflow import Workflow

__all__ = ["continue_as", "continue_run"]


def continue_run(
    journal: Journal,
    args: tuple[object, ...],
    *,
    told: "Workflow[*tuple[Any, ...], Any]",
    following: "Workflow[*tuple[Any, ...], Any]",
) -> NoReturn:
    """End this generation; the next is of `following`, with arguments as `told` declares them.

    Raises InvalidArgumentError or PayloadError for arguments that one of them does not take.
    """
    journal.require_running()
    payload = told.signature.encode_arguments(args, {})
    recorded = journal.next_side_effect()
    if recorded is not None:
        _refuse(journal, decode_value(recorded, str, subject="the refusal to continue"))
    if following is not told and not journal.is_continued:
        _require_taken(journal, following, payload)
    moves = following.version != journal.created.definition_version
    raise RunContinuing(
        payload,
        definition_version=following.version if moves else "",
        stages=following.stages if moves else (),
    )


def continue_as(workflow: "Workflow[*tuple[Any, ...], Any]", args: tuple[object, ...]) -> NoReturn:
    """Go on as this very version; see `Workflow.continue_as_new`."""
    journal = current_journal()
    if journal is None:
        message = f"{workflow.name}.continue_as_new was called outside of a workflow; only a run's own code can go on"
        raise WrongContextError(message)
    if journal.created.workflow != workflow.name:
        message = (
            f"{workflow.name}.continue_as_new: run {journal.created.ref} is of workflow {journal.created.workflow} and "
            f"stays so; start one of {workflow.name} by ctx.start_child"
        )
        raise InvalidArgumentError(message)
    continue_run(journal, args, told=workflow, following=workflow)


def _require_taken(journal: Journal, following: "Workflow[*tuple[Any, ...], Any]", payload: Payload) -> None:
    try:
        following.signature.decode_arguments(payload)
    except UsageError as error:
        message = (
            f"ctx.continue_as_new: the next generation has version {following.version!r} of workflow {following.name}, "
            f"the newest here, which does not take these arguments: {error}. Give what it takes, or name a version "
            f"that takes these: version=ctx.info.version, or continue_as_new of the workflow itself"
        )
        _refuse(journal, message)


def _refuse(journal: Journal, message: str) -> NoReturn:
    operation = journal.next_operation()
    journal.recorded_side_effect(operation)
    value = encode_value(message, str, subject="the refusal to continue")
    journal.give(c.RecordSideEffect(operation=operation, value=value, location=journal.location()))
    raise InvalidArgumentError(message)
