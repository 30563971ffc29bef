"""`perdure retry`, `reset` and `fork`: all their arguments, nothing of what they do."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import Parameter

from perdure.cli.arguments import HERE, AppModules, DatabaseArguments, Json, Reason, RequestId, RunId
from perdure.kernel.fork_facts import ForkCause

__all__ = ["NOWHERE", "PLAINLY", "PointArguments", "RepairArguments", "fork", "reset", "retry"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PointArguments:
    """From where a run is to go on."""

    event: Annotated[int | None, Parameter(help="Go on after this event of the history.")] = None
    stage: Annotated[str | None, Parameter(help="Go on before the run entered this stage the last time.")] = None
    activity: Annotated[str | None, Parameter(help="Go on before the run called this activity the last time.")] = None
    before: Annotated[
        str | None,
        Parameter(help="Go on from what was recorded before: 2h or 7d (ago), or a date and time in ISO 8601."),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RepairArguments:
    """Why a run is to go on, with which code, and by which request."""

    reason: Reason = ""
    version: Annotated[str | None, Parameter(help="Version of the workflow that goes on; the same otherwise.")] = None
    app: AppModules = None
    request_id: RequestId = None


NOWHERE: Final = PointArguments()
PLAINLY: Final = RepairArguments()


def retry(
    id: RunId, /, *, how: RepairArguments = PLAINLY, database: DatabaseArguments = HERE, json: Json = False
) -> int:
    """Go on with a run that failed, was cancelled or terminated; the step that failed it is done again.

    It is the next generation of the run; the old one stays as it is.
    """
    from perdure.cli.repairing import Repair, repair

    return asyncio.run(repair(database.place(), id, Repair(ForkCause.RETRY, how), as_json=json))


def reset(
    id: RunId,
    /,
    *,
    point: PointArguments = NOWHERE,
    how: RepairArguments = PLAINLY,
    drop_signals: Annotated[
        bool, Parameter(negative="", help="Do not receive the signals again that came after that point.")
    ] = False,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Go on with a run from a point of its history, whether it has ended or not.

    Without a point: before the step that failed it, else where it stands. An open run is ended by that; it goes on as
    the next generation.
    """
    from perdure.cli.repairing import Repair, repair

    wish = Repair(ForkCause.RESET, how, point, drops_signals=drop_signals)
    return asyncio.run(repair(database.place(), id, wish, as_json=json))


def fork(
    id: RunId,
    /,
    *,
    new_id: Annotated[str | None, Parameter(help="Id of the new run; random otherwise.")] = None,
    point: PointArguments = NOWHERE,
    how: RepairArguments = PLAINLY,
    with_signals: Annotated[
        bool, Parameter(negative="", help="Receive the signals, too, that came after that point.")
    ] = False,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Start a run beside another, with its history up to a point; the other learns nothing of it."""
    from perdure.cli.repairing import Repair, repair

    wish = Repair(ForkCause.FORK, how, point, new_id=new_id, drops_signals=not with_signals)
    return asyncio.run(repair(database.place(), id, wish, as_json=json))
