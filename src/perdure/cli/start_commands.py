"""`perdure start` and `perdure waiting`: their arguments, and nothing of what they do."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import Parameter

from perdure.cli.arguments import HERE, AppModules, DatabaseArguments, Json, Labels
from perdure.client.start_rules import WhenOpen

__all__ = ["RuleArguments", "start", "waiting"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RuleArguments:
    """What becomes of several starts by one key: one of three rules, in place of an id."""

    debounce: Annotated[
        str | None, Parameter(help="Key: one run for a burst of starts, with what the last of them says.")
    ] = None
    wait: Annotated[str | None, Parameter(help="With --debounce: begin when no start has come for so long.")] = None
    max_wait: Annotated[
        str | None, Parameter(help="With --debounce: but no later than so long after the first; no limit otherwise.")
    ] = None
    deduplicate: Annotated[
        str | None, Parameter(help="Key: further starts give the run of the first for some time.")
    ] = None
    window: Annotated[str | None, Parameter(help="With --deduplicate: for so long after the first.")] = None
    singleton: Annotated[str | None, Parameter(help="Key: at most one open run.")] = None
    when_open: Annotated[
        WhenOpen | None,
        Parameter(help="With --singleton: what happens while one is open; reject unless told otherwise."),
    ] = None


_NO_RULE: Final = RuleArguments()


def start(
    workflow: Annotated[str, Parameter(name="WORKFLOW", help="Name of the workflow.")],
    arguments: Annotated[
        tuple[str, ...], Parameter(name="ARGUMENT", help="An argument, in JSON; may be repeated.")
    ] = (),
    /,
    *,
    app: AppModules = None,
    id: Annotated[str | None, Parameter(help="Id of the run; the run that has it, if there is one.")] = None,
    at: Annotated[str | None, Parameter(help="Begin not before this date and time in ISO 8601.")] = None,
    after: Annotated[str | None, Parameter(help="Begin so much later than now, for example 90s or 2h.")] = None,
    label: Labels = None,
    tenant: Annotated[str, Parameter(help="Tenant of the run.")] = "",
    request_id: Annotated[str, Parameter(help="Makes a repetition of this call give the run of the first.")] = "",
    rule: RuleArguments = _NO_RULE,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Start a run, now or later; return when it is durable. A worker that has the workflow runs it."""
    from perdure.cli.starting import NewRun, start_run

    new = NewRun(
        workflow=workflow,
        arguments=arguments,
        apps=tuple(app or ()),
        id=id,
        start_at=at,
        start_after=after,
        labels=tuple(label or ()),
        tenant=tenant,
        request_id=request_id,
        rule=rule,
    )
    return asyncio.run(start_run(database.place(), new, as_json=json))


def waiting(*, database: DatabaseArguments = HERE, json: Json = False) -> int:
    """List the runs that were asked for and do not exist yet: debounced ones, and those in line for a singleton."""
    from perdure.cli.waiting import list_waiting

    return asyncio.run(list_waiting(database.place(), as_json=json))
