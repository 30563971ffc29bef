"""Connections that callers bring along, with a transaction that is open on them."""

from inspect import isawaitable
from typing import Any, Final

__all__ = ["driver_connection", "is_of"]


async def driver_connection(given: object) -> Any:  # noqa: ANN401 - of any driver
    """Return the driver's connection beneath a connection, or a session, of SQLAlchemy, whose transaction is begun by
    that, as by any statement; whatever else is given as it is. Raises what SQLAlchemy raises."""
    if not is_of(given, "sqlalchemy"):
        return given
    connection: Any = given
    if hasattr(connection, "get_bind"):  # a session
        connection = connection.connection()
        if isawaitable(connection):
            connection = await connection
    if hasattr(connection, "get_raw_connection"):
        await connection.exec_driver_sql(_NOTHING)
        return (await connection.get_raw_connection()).driver_connection
    connection.exec_driver_sql(_NOTHING)
    return connection.connection.driver_connection


def is_of(given: object, library: str) -> bool:
    """Whether something is of a class of a library, or of one that is derived from such; it need not be installed."""
    return any(kind.__module__.partition(".")[0] == library for kind in type(given).__mro__)


_NOTHING: Final = "SELECT 1"
