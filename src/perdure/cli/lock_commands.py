"""The command for the locks that runs share."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from perdure.cli.arguments import HERE, DatabaseArguments, Json

__all__ = ["locks"]


def locks(
    *,
    key: Annotated[str | None, Parameter(help="Only those of this key.")] = None,
    run: Annotated[str | None, Parameter(help="Only those of the run of this id.")] = None,
    limit: Annotated[int, Parameter(help="At most so many.")] = 100,
    after: Annotated[int, Parameter(help="Go on after an earlier page, which ended with this token.")] = 0,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Show which runs hold locks and which wait for them, in the order in which they asked."""
    from perdure.cli.locking import list_locks

    return asyncio.run(list_locks(database.place(), key=key, run_id=run, limit=limit, after=after, as_json=json))
