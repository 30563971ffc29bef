"""`perdure terminate`, `suspend`, `resume` and `bulk` with all their arguments, and nothing of what they do."""

import asyncio
from typing import Annotated, Literal

from cyclopts import Parameter

from perdure.cli.application import DatabaseArguments, Json, RequestId, RunId
from perdure.kernel.transition import RunStatus

__all__ = ["bulk", "resume", "suspend", "terminate"]

Reason = Annotated[str, Parameter(help="Why; recorded in the history.")]
_HERE = DatabaseArguments()


def terminate(
    id: RunId,
    /,
    *,
    reason: Reason = "",
    request_id: RequestId = None,
    database: DatabaseArguments = _HERE,
    json: Json = False,
) -> int:
    """Stop a run, without clean-up; return when the request is durable."""
    from perdure.cli.steering import Steering, steer

    wish = Steering(verb="terminate", reason=reason, request_id=request_id)
    return asyncio.run(steer(database.place(), id, wish, as_json=json))


def suspend(
    id: RunId,
    /,
    *,
    reason: Reason = "",
    request_id: RequestId = None,
    database: DatabaseArguments = _HERE,
    json: Json = False,
) -> int:
    """Hold a run still; return when the request is durable."""
    from perdure.cli.steering import Steering, steer

    wish = Steering(verb="suspend", reason=reason, request_id=request_id)
    return asyncio.run(steer(database.place(), id, wish, as_json=json))


def resume(
    id: RunId, /, *, request_id: RequestId = None, database: DatabaseArguments = _HERE, json: Json = False
) -> int:
    """Let a suspended run go on; return when the request is durable."""
    from perdure.cli.steering import Steering, steer

    return asyncio.run(steer(database.place(), id, Steering(verb="resume", request_id=request_id), as_json=json))


def bulk(
    operation: Annotated[
        Literal["cancel", "terminate", "suspend", "resume"],
        Parameter(name="OPERATION", help="What the runs are asked."),
    ],
    /,
    *,
    status: Annotated[
        list[RunStatus] | None, Parameter(help="Only runs in this status; may be repeated.", negative="")
    ] = None,
    workflow: Annotated[
        list[str] | None, Parameter(help="Only runs of this workflow; may be repeated.", negative="")
    ] = None,
    label: Annotated[
        list[str] | None, Parameter(help="Only runs with this label, as NAME=VALUE; may be repeated.", negative="")
    ] = None,
    tenant: Annotated[str | None, Parameter(help="Only runs of this tenant.")] = None,
    id_prefix: Annotated[str, Parameter(help="Only runs whose id begins so.")] = "",
    since: Annotated[
        str | None, Parameter(help="Only runs created since then: 2h or 7d (ago), or a date and time in ISO 8601.")
    ] = None,
    reason: Reason = "",
    grace: Annotated[
        str | None, Parameter(help="With cancel: terminate a run if its clean-up takes longer, for example 30s.")
    ] = None,
    dry_run: Annotated[bool, Parameter(negative="", help="Count the runs, and ask none.")] = False,
    yes: Annotated[bool, Parameter(negative="", help="Ask the runs without asking back.")] = False,
    database: DatabaseArguments = _HERE,
    json: Json = False,
) -> int:
    """Cancel, terminate, suspend or resume all runs that match; list those that could not be asked.

    Exit code 1 if there are such.
    """
    from perdure.cli.bulk import BulkOrder, ask_many
    from perdure.cli.listing import LARGEST_PAGE, RunFilter

    chosen = RunFilter(
        statuses=frozenset(status or ()),
        only_parked=False,
        workflows=frozenset(workflow or ()),
        labels=tuple(label or ()),
        tenant=tenant,
        id_prefix=id_prefix,
        since=since,
        limit=LARGEST_PAGE,
        cursor="",
    )
    order = BulkOrder(operation=operation, reason=reason, grace=grace, is_dry=dry_run, is_confirmed=yes, as_json=json)
    return ask_many(database.place(), chosen, order)
