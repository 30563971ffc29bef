"""`perdure start`; workflows by name, and their arguments, as a command line gives them."""

from typing import Any

import msgspec

from perdure.authoring.registry import default_registry
from perdure.authoring.workflow import Workflow
from perdure.cli.code import import_module
from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.json_values import read_json
from perdure.cli.listing import labels_of, starting_text, summary_for_programs
from perdure.cli.printing import print_json, printable
from perdure.cli.times import parse_duration, read_moment
from perdure.errors import InvalidArgumentError, PayloadDecodeError, UsageError
from perdure.kernel.payload import Payload

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


async def start_run(place: Place, new: NewRun, *, as_json: bool) -> int:
    """Start a run. Raises NoDatabaseError, StoreErrors, UsageError, RunExistsError for an id of another workflow."""
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
        )
        summary, now = await run.describe(), engine.worker.clock.now()
    if as_json:
        print_json(summary_for_programs(summary))
    else:
        begins = starting_text(summary, now=now) or summary.status
        print(f"Run {printable(run.id)} of {printable(summary.workflow)}: {begins}.")
    return ExitCode.OK


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
