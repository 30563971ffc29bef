"""`perdure signal`, `cancel`, `terminate`, `suspend`, `resume` and `bulk`: all their arguments, nothing of what they
do.
"""

import asyncio
from typing import Annotated, Literal

from cyclopts import Parameter

from perdure.cli.arguments import ALL, HERE, AppModules, DatabaseArguments, Json, Reason, RequestId, RunFilter, RunId
from perdure.cli.repair_commands import NOWHERE, PointArguments

__all__ = ["bulk", "cancel", "resume", "signal", "suspend", "terminate"]


def signal(
    id: RunId,
    name: Annotated[str, Parameter(help="Name of the signal.")],
    body: Annotated[str, Parameter(help="Its body, in JSON.")] = "null",
    /,
    *,
    request_id: RequestId = None,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Send a signal to a run; return when it is durable."""
    from perdure.cli.steering import send_signal

    return asyncio.run(send_signal(database.place(), id, name, body, request_id=request_id, as_json=json))


def cancel(
    id: RunId,
    /,
    *,
    reason: Reason = "",
    grace: Annotated[
        str | None,
        Parameter(help="Terminate the run if its clean-up takes longer, for example 30s; no limit otherwise."),
    ] = None,
    request_id: RequestId = None,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Ask a run to end, with clean-up and compensation; return when the request is durable."""
    from perdure.cli.steering import Steering, steer

    wish = Steering(verb="cancel", reason=reason, grace=grace, request_id=request_id)
    return asyncio.run(steer(database.place(), id, wish, as_json=json))


def terminate(
    id: RunId,
    /,
    *,
    reason: Reason = "",
    request_id: RequestId = None,
    database: DatabaseArguments = HERE,
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
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Hold a run still; return when the request is durable."""
    from perdure.cli.steering import Steering, steer

    wish = Steering(verb="suspend", reason=reason, request_id=request_id)
    return asyncio.run(steer(database.place(), id, wish, as_json=json))


def resume(
    id: RunId, /, *, request_id: RequestId = None, database: DatabaseArguments = HERE, json: Json = False
) -> int:
    """Let a suspended run go on; return when the request is durable."""
    from perdure.cli.steering import Steering, steer

    return asyncio.run(steer(database.place(), id, Steering(verb="resume", request_id=request_id), as_json=json))


def bulk(
    operation: Annotated[
        Literal["cancel", "terminate", "suspend", "resume", "retry", "reset"],
        Parameter(name="OPERATION", help="What the runs are asked."),
    ],
    /,
    *,
    chosen: RunFilter = ALL,
    reason: Reason = "",
    grace: Annotated[
        str | None, Parameter(help="With cancel: terminate a run if its clean-up takes longer, for example 30s.")
    ] = None,
    point: PointArguments = NOWHERE,
    version: Annotated[
        str | None, Parameter(help="With retry and reset: version of the workflow that goes on; the same otherwise.")
    ] = None,
    app: AppModules = None,
    dry_run: Annotated[
        bool,
        Parameter(negative="", help="Count the runs, and ask none; with retry and reset list those that cannot be."),
    ] = False,
    yes: Annotated[bool, Parameter(negative="", help="Ask the runs without asking back.")] = False,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Cancel, terminate, suspend, resume, retry or reset all runs that match; list those that could not be asked.

    Exit code 1 if there are such. The point from where runs go on belongs to reset.
    """
    from perdure.cli.bulk import BulkOrder, ask_many

    order = BulkOrder(
        operation=operation,
        reason=reason,
        grace=grace,
        point=point,
        version=version,
        apps=tuple(app or ()),
        is_dry=dry_run,
        is_confirmed=yes,
        as_json=json,
    )
    return ask_many(database.place(), chosen, order)
