"""`perdure verify`: all its arguments, nothing of what it does."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from perdure.cli.arguments import HERE, DatabaseArguments, Json

__all__ = ["verify"]


def verify(
    id: Annotated[str | None, Parameter(help="Only the run of this id, all its generations.")] = None,
    /,
    *,
    repair: Annotated[
        bool, Parameter(negative="", help="Repair what is certain, such as a row by the run's history.")
    ] = False,
    accept_older_tables: Annotated[
        bool,
        Parameter(
            negative="",
            help="Repair also indexes that contradict a table of which it is not known whether it is older: what only "
            "the index knows of is given up, what only the table has comes back.",
        ),
    ] = False,
    quarantine: Annotated[
        bool, Parameter(negative="", help="Park damaged runs that nobody has loaded, with what is damaged.")
    ] = False,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Find out whether all is stored as it was written: histories, rows, messages, locks, schedules, the file itself.

    Others may go on working on the database. Without --repair and --quarantine nothing is changed.
    """
    from perdure.cli.verifying import Order, verify_database

    order = Order(
        run_id=id,
        repairs=repair or accept_older_tables,
        accepts_older_tables=accept_older_tables,
        quarantines=quarantine,
    )
    return asyncio.run(verify_database(database.place(), order, as_json=json))
