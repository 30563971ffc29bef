"""`perdure row-security`: all its arguments, nothing of what it does."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from perdure.cli.arguments import Json
from perdure.cli.database import DEFAULT_URL
from perdure.errors import UsageError

__all__ = ["row_security"]


def row_security(
    role: Annotated[
        str | None, Parameter(help="A role of the server, that is there; none: only secure the rows.")
    ] = None,
    namespaces: Annotated[
        tuple[str, ...],
        Parameter(name="NAMESPACE", help="What it sees from now on, and nothing else; may be repeated."),
    ] = (),
    /,
    *,
    revoke: Annotated[bool, Parameter(negative="", help="Let the role see nothing of this database any more.")] = False,
    forced: Annotated[
        bool | None,
        Parameter(help="Bind the owner of the tables, too, who is not otherwise; without either it stays as it is."),
    ] = None,
    show: Annotated[bool, Parameter(negative="", help="Change nothing; say how it stands.")] = False,
    sql: Annotated[bool, Parameter(negative="", help="Change nothing; print what would be run, for psql.")] = False,
    db: Annotated[str, Parameter(help="URL of the database, by the owner of its tables.", env_var="PERDURE_URL")] = (
        DEFAULT_URL
    ),
    json: Json = False,
) -> int:
    """Secure the rows of a PostgreSQL database, so that a role sees and writes those of its namespaces only.

    It may be called again, and while engines are at work.
    """
    from perdure.cli.row_securing import Order, secure

    if role is None and (namespaces or revoke):
        raise UsageError("name the role first: perdure row-security ROLE NAMESPACE...")
    if role is not None and bool(namespaces) == revoke:
        raise UsageError("say which namespaces the role sees, or --revoke: perdure row-security ROLE NAMESPACE...")
    order = Order(role=role, namespaces=namespaces, forced=forced)
    return asyncio.run(secure(db, order, only_shows=show, as_sql=sql, as_json=json))
