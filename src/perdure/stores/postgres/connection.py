"""Connections to a server, or to a pooler before it, as the store wants them.

Only here is the driver imported, by who uses such a store.
"""

from contextlib import nullcontext, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from perdure.errors import UsageError
from perdure.stores.postgres.names import escaped, unescaped
from perdure.stores.postgres.pooled import Pooled
from perdure.stores.postgres.settings import PostgresSettings

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.transaction import Transaction
else:
    Connection = Record = Transaction = object

__all__ = [
    "BY_INDEX",
    "Connection",
    "Record",
    "Transaction",
    "connect",
    "connect_for_session",
    "connect_plainly",
    "connect_to_write",
    "demand_driver",
    "driver_errors",
    "driver_version",
    "end",
    "milliseconds",
]


@cache
def driver_errors() -> tuple[type[Exception], ...]:
    """Return what a call to a server raises. Raises UsageError without the driver."""
    try:
        from asyncpg import InterfaceError, InternalClientError, PostgresError  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        raise UsageError("a PostgreSQL store needs asyncpg: pip install 'perdure[postgres]'") from error
    # The second is what a call on a connection that has ended amid something may raise.
    return (PostgresError, InternalClientError, InterfaceError, OSError, TimeoutError)


def demand_driver() -> None:
    """Raise UsageError without the driver."""
    driver_errors()


def driver_version() -> str:
    """Return the driver's version. Raises UsageError without it."""
    demand_driver()
    from asyncpg import __version__  # noqa: PLC0415 - see above

    return __version__


async def connect(url: str, settings: PostgresSettings, **server_settings: str) -> Connection:
    """Connect. Whoever is silent for `answer_seconds` has the call raise TimeoutError.

    Raises UsageError without the driver, and `driver_errors`; ValueErrors for a URL that the driver cannot use.
    """
    connection = await connect_plainly(
        url,
        settings,
        search_path=f'"{settings.schema}"',
        jit="off",
        default_transaction_isolation=_ISOLATION,
        **server_settings,
        idle_in_transaction_session_timeout=milliseconds(settings.idle_seconds),
    )
    if isinstance(connection, Pooled):  # within a transaction the default says nothing any more
        connection.begin = f"BEGIN ISOLATION LEVEL {_ISOLATION}"
    try:
        async with connection.transaction() if settings.session_url else nullcontext():  # it asks in several messages
            await connection.set_type_codec("varchar", schema="pg_catalog", encoder=escaped, decoder=unescaped)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def connect_for_session(url: str, settings: PostgresSettings) -> Connection:
    """Connect as `connect` does, but to the server itself, where others go through a pooler."""
    return await connect(settings.session_url or url, msgspec.structs.replace(settings, session_url=""))


async def connect_plainly(url: str, settings: PostgresSettings, **server_settings: str) -> Connection:
    """Connect as `connect` does, without what only the store's own statements need: the search path and the types are
    those that the role and the database have."""
    demand_driver()
    from asyncpg import connect as connect_by_driver  # noqa: PLC0415 - see above

    of_session = {
        "statement_timeout": milliseconds(settings.statement_seconds),
        "idle_in_transaction_session_timeout": milliseconds(settings.statement_seconds),
        "lock_timeout": milliseconds(settings.lock_seconds),
        **server_settings,
    }
    usual: dict[str, Any] = {"timeout": settings.connect_seconds, "command_timeout": settings.answer_seconds}
    name = {"application_name": settings.application_name}
    if settings.session_url:
        pooled = await connect_by_driver(
            url, **usual, statement_cache_size=0, connection_class=_pooled_class(), server_settings=name
        )
        pooled.set_locally = "; ".join(
            f"SET LOCAL {setting} = {_quoted(value)}" for setting, value in of_session.items()
        )
        return pooled
    connection: Connection = await connect_by_driver(
        url, **usual, max_cacheable_statement_size=0, server_settings={**name, **of_session}
    )
    return connection


@cache
def _pooled_class() -> type["Pooled"]:
    from asyncpg import Connection as DriversConnection  # noqa: PLC0415 - see above

    class PooledConnection(Pooled, DriversConnection):
        pass

    return PooledConnection


async def connect_to_write(url: str, settings: PostgresSettings) -> Connection:
    """Connect as `connect` does, for transactions that may take `transaction_seconds`, and no longer, and find rows
    `BY_INDEX`."""
    connection = await connect(url, settings, **BY_INDEX)
    try:
        await _limit_transactions(connection, settings.transaction_seconds)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _limit_transactions(connection: Connection, seconds: float) -> None:
    """Let the server end whatever transaction of a connection takes longer, also for a client that stands still amid a
    message: from PostgreSQL 17 on, those before cannot. Raises `driver_errors`."""
    if connection.get_server_version().major < _FIRST_WITH_TRANSACTION_TIMEOUT:
        return
    setting = f"transaction_timeout = {milliseconds(seconds)}"
    if isinstance(connection, Pooled):
        connection.set_locally += f"; SET LOCAL {setting}"
    else:
        await connection.execute(f"SET {setting}")


def _quoted(value: str) -> str:
    """Return the value of a setting as a statement has it: a search path is a list of names, and has its quotes."""
    return value if value.startswith('"') else f"'{value}'"


async def end(connection: Connection) -> None:
    """End a connection, in good order if the server answers within a second."""
    with suppress(*driver_errors()):
        await connection.close(timeout=_CLOSING_SECONDS)


_ISOLATION: Final = "read committed"
"""What the store's statements rely on, whatever the database has by default: they see what they have waited for."""
_FIRST_WITH_TRANSACTION_TIMEOUT: Final = 17
_CLOSING_SECONDS: Final = 1.0

BY_INDEX: Final = {
    "enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "random_page_cost": "1.1"
}  # fmt: skip
"""Rows that are written are found one by one, by an index, from the first moment of a database on. What the server
would choose by its statistics, of a moment at which tables were small, it keeps until it has looked at them again."""
_MILLISECONDS: Final = 1_000


def milliseconds(seconds: float) -> str:
    """Return a time as a server's setting takes it.

    >>> milliseconds(2.5)
    '2500'
    """
    return str(round(seconds * _MILLISECONDS))
