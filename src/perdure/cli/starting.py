"""`perdure start`; workflows by name, and their arguments, as a command line gives them."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from perdure.authoring.registry import default_registry
from perdure.authoring.workflow import Workflow
from perdure.cli.code import import_module
from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.json_values import read_json
from perdure.cli.listing import labels_of, starting_text, summary_for_programs
from perdure.cli.printing import print_json, printable
from perdure.cli.start_rules import rules_of
from perdure.cli.times import parse_duration, read_moment
from perdure.cli.waiting import tell_waiting
from perdure.client.handle import Run
from perdure.client.waiting_starts import WaitingRun
from perdure.engine import Engine
from perdure.errors import InvalidArgumentError, PayloadDecodeError, RunNotFoundError, UsageError
from perdure.kernel.payload import Payload
from perdure.ports.store import RunSummary

if TYPE_CHECKING:
    from perdure.cli.start_commands import RuleArguments

__all__ = ["NewRun", "arguments_of", "find_workflow", "start_run"]


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be started, as the arguments say it."""

    workflow: str
    arguments: tuple[str, ...]
    apps: tuple[str, ...]
    id: str | None
    start_at: str | None
    start_after: str | None
    labels: tuple[str, ...]
    tenant: str
    request_id: str
    rule: "RuleArguments"


async def start_run(place: Place, new: NewRun, *, as_json: bool) -> int:
    """Start a run. Raises NoDatabaseError, StoreErrors, UsageError, RunExistsError for an id or singleton taken."""
    rules = rules_of(new.rule)
    workflow = find_workflow(new.workflow, apps=new.apps)
    arguments = arguments_of(workflow, new.arguments)
    async with as_client(place) as engine:
        run = await engine.start(
            workflow,
            *arguments,
            id=new.id,
            start_at=None if new.start_at is None else read_moment(new.start_at, "--at"),
            start_after=None if new.start_after is None else parse_duration(new.start_after),
            labels=labels_of(new.labels),
            tenant=new.tenant,
            request_id=new.request_id,
            **rules,
        )
        found, now = await _found(engine, run), engine.worker.clock.now()
    if isinstance(found, WaitingRun):
        tell_waiting(found, now=now, as_json=as_json)
    elif as_json:
        print_json(summary_for_programs(found))
    else:
        begins = starting_text(found, now=now) or found.status
        print(f"Run {printable(run.id)} of {printable(found.workflow)}: {begins}.")
    return ExitCode.OK


async def _found(engine: Engine, run: Run[Any]) -> RunSummary | WaitingRun:
    """Return the run, or its start if that waits. Raises RunNotFoundError if it was withdrawn meanwhile."""
    with suppress(RunNotFoundError):
        return await run.describe()
    waiting = [one async for one in engine.waiting_runs() if one.id == run.id]
    return waiting[0] if waiting else await run.describe()


def find_workflow(name: str, *, apps: tuple[str, ...]) -> Workflow[*tuple[Any, ...], Any]:
    """Import modules and return the workflow of this name. Raises UsageError."""
    for app in apps:
        import_module(app, asked_by=f"--app {app}")
    if not apps and default_registry.find_newest(name) is None:
        message = f"--app names the module that defines the workflow {name!r}; for example --app orders.workflows"
        raise UsageError(message)
    return default_registry.workflow(name)


def arguments_of(workflow: Workflow[*tuple[Any, ...], Any], texts: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the arguments of a workflow, given in JSON, as its annotations say. Raises UsageError."""
    values = [read_json(text, "the argument") for text in texts]
    try:
        args, _ = workflow.signature.decode_arguments(Payload(msgspec.json.encode(values)))
    except PayloadDecodeError as error:
        raise InvalidArgumentError(str(error).replace("recorded ", "")) from error
    return args
