"""`perdure backup`, `replicate` and `restore`: all their arguments, nothing of what they do."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from perdure.cli.arguments import Json
from perdure.cli.database import DEFAULT_URL
from perdure.errors import UsageError

__all__ = ["backup", "replicate", "restore"]

Database = Annotated[str, Parameter(help="URL of the database.", env_var="PERDURE_URL")]
Force = Annotated[bool, Parameter(negative="", help="Replace what is there, unless it is open.")]


def backup(
    *,
    to: Annotated[Path, Parameter(help="The file to make.")],
    force: Force = False,
    db: Database = DEFAULT_URL,
    json: Json = False,
) -> int:
    """Copy the database into a file while workers run, and check the copy."""
    from perdure.cli import copying

    return copying.back_up(db, to, is_forced=force, as_json=json)


def replicate(
    *,
    to: Annotated[Path, Parameter(help="The folder of the copy, made if need be; on another disk, best.")],
    every: Annotated[str, Parameter(help="How often what is new is added: so much can be lost with a disk.")] = "1s",
    keep: Annotated[str, Parameter(help="How far back points in time reach, at least.")] = "7d",
    standby: Annotated[
        bool,
        Parameter(negative="", help="Where another process keeps the copy, wait until it ends, and go on with it."),
    ] = False,
    db: Database = DEFAULT_URL,
    json: Json = False,
) -> int:
    """Keep a copy of the database in a folder, until stopped by SIGINT or SIGTERM.

    With --json a line is printed whenever something was added to it.
    """
    from perdure.cli import copying

    return copying.replicate_until_stopped(db, to, every=every, keep=keep, waits=standby, as_json=json)


def restore(
    *,
    source: Annotated[Path, Parameter(name="--from", help="A file of `backup`, or a folder of `replicate`.")],
    to: Annotated[Path | None, Parameter(help="The database file to make.")] = None,
    at: Annotated[
        str | None,
        Parameter(help="As it was then: 2h (ago), or a date and time in ISO 8601; the newest point otherwise."),
    ] = None,
    force: Force = False,
    accept_damaged: Annotated[
        bool,
        Parameter(negative="", help="Restore also what was damaged already when it was copied."),
    ] = False,
    list_: Annotated[
        bool,
        Parameter(name="--list", negative="", help="Show the points in time that the folder has; restore nothing."),
    ] = False,
    json: Json = False,
) -> int:
    """Make a database of a copy, checked before it gets its name."""
    from perdure.cli import copying

    if list_:
        return copying.list_points(source, as_json=json)
    if to is None:
        raise UsageError("name the database to make: perdure restore --from COPY --to PATH; or say --list")
    return copying.restore(source, to, at=at, is_forced=force, accepts_damaged=accept_damaged, as_json=json)
