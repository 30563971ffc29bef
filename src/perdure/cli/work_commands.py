"""`perdure worker`: its arguments, and nothing of what it does."""

from typing import Annotated, Literal

from cyclopts import Parameter

from perdure.cli.arguments import HERE, DatabaseArguments, Json

__all__ = ["worker"]


def worker(
    app: Annotated[
        str,
        Parameter(
            name="MODULE",
            help="The module that defines the workflows; or MODULE:NAME, of an Engine or a function that makes one.",
        ),
    ],
    /,
    *,
    also: Annotated[
        list[str] | None, Parameter(help="A further module that defines workflows; may be repeated.", negative="")
    ] = None,
    name: Annotated[str | None, Parameter(help="How the worker is called; host and process unless told.")] = None,
    grace: Annotated[
        str | None, Parameter(help="How long running activities have to end when it is stopped, e.g. 30s.")
    ] = None,
    log: Annotated[Literal["debug", "info", "warning", "error"], Parameter(help="What is logged, and worse.")] = "info",
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Run the workflows of a module, as one worker of the database, until stopped by SIGINT or SIGTERM.

    The first signal lets running activities end and gives the runs back, the second ends the process at once.
    """
    from perdure.cli.working import WorkOrder, work

    order = WorkOrder(app=app, also=tuple(also or ()), name=name, grace=grace, as_json=json)
    return work(database.place(), order, log=log)
