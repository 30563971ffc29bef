"""`perdure worker`, `perdure workers` and `perdure dev`: their arguments, and nothing of what they do."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from perdure.cli.arguments import HERE, DatabaseArguments, Json

__all__ = ["dev", "worker", "workers"]


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
    queue: Annotated[
        list[str] | None,
        Parameter(help="A task queue whose activities it makes; may be repeated.", negative=""),
    ] = None,
    label: Annotated[
        list[str] | None,
        Parameter(help="What activities of the queues may demand of it, as NAME=VALUE; may be repeated.", negative=""),
    ] = None,
    only_queues: Annotated[
        bool, Parameter(negative="", help="Make the activities of the queues, and run no workflows.")
    ] = False,
    standby: Annotated[
        bool,
        Parameter(
            negative="",
            help="Keep warm copies of the runs that other workers own, to go on with these sooner when they die.",
        ),
    ] = False,
    log: Annotated[Literal["debug", "info", "warning", "error"], Parameter(help="What is logged, and worse.")] = "info",
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Run the workflows of a module, as one worker of the database, until stopped by SIGINT or SIGTERM.

    The first signal lets running activities end and gives the runs back, the second ends the process at once.
    """
    from perdure.cli.working import WorkOrder, work

    order = WorkOrder(
        app=app,
        also=tuple(also or ()),
        name=name,
        grace=grace,
        queues=tuple(queue or ()),
        labels=tuple(label or ()),
        only_queues=only_queues,
        standby=standby,
        as_json=json,
    )
    return work(database.place(), order, log=log)


def dev(
    app: Annotated[
        str, Parameter(name="MODULE", help="The module that defines workflows, for a worker of it; none: no worker.")
    ] = "",
    /,
    *,
    postgres: Annotated[
        bool, Parameter(negative="", help="Start a PostgreSQL server of your own; without it the database is a file.")
    ] = False,
    directory: Annotated[
        Path | None,
        Parameter(help="Where the database is kept; .perdure/postgres for a server, this folder for a file."),
    ] = None,
    tcp: Annotated[
        bool, Parameter(negative="", help="Let the server listen at 127.0.0.1, too, with a password, for other tools.")
    ] = False,
    log: Annotated[Literal["debug", "info", "warning", "error"], Parameter(help="What is logged, and worse.")] = "info",
    json: Json = False,
) -> int:
    """Keep a database for development, and a worker on it, until stopped by SIGINT or SIGTERM.

    The server is real, needs neither root nor an installation but `perdure[postgres,local-postgres]`, and ends with
    this command; what is in its folder is there the next time.
    """
    from perdure.cli.developing import DevelopmentOrder, develop

    order = DevelopmentOrder(app=app, on_postgres=postgres, folder=directory, has_tcp=tcp, as_json=json)
    return develop(order, log=log)


def workers(*, database: DatabaseArguments = HERE, json: Json = False) -> int:
    """Show what workers have announced: the name of their code, which those that share runs have in common, and what
    they serve."""
    from perdure.cli.announced import list_workers

    return asyncio.run(list_workers(database.place(), as_json=json))
