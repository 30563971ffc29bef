"""The command for what is in task queues."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from perdure.cli.arguments import HERE, DatabaseArguments, Json

__all__ = ["tasks"]


def tasks(
    *,
    queue: Annotated[str | None, Parameter(help="Only those of this queue.")] = None,
    run: Annotated[str | None, Parameter(help="Only those of the run of this id.")] = None,
    limit: Annotated[int, Parameter(help="At most so many.")] = 100,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Show which attempts of activities wait in task queues, and which a worker has, in the order of their turns."""
    from perdure.cli.queueing import list_tasks

    return asyncio.run(list_tasks(database.place(), queue=queue, run_id=run, limit=limit, as_json=json))
