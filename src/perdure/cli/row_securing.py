"""What `perdure row-security` does and prints."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from perdure.cli.exits import ExitCode
from perdure.cli.printing import print_json, printable
from perdure.errors import UsageError
from perdure.kernel.time import Timestamp
from perdure.redaction import redacted
from perdure.stores.opening import is_on_a_server

if TYPE_CHECKING:
    from perdure.stores.postgres.row_security import RowSecurity

__all__ = ["Order", "secure"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Which role (None: none) sees which namespaces from now on; `forced`: see the command."""

    role: str | None
    namespaces: tuple[str, ...]
    forced: bool | None


async def secure(url: str, order: Order, *, only_shows: bool, as_sql: bool, as_json: bool) -> int:
    """Secure rows, or say how it stands. Raises UsageError and StoreErrors."""
    if not is_on_a_server(url):
        raise UsageError(
            f"{redacted(url)!r} is no database of a PostgreSQL server: whoever can read a file can read all of it. "
            f"Give each namespace a file of its own, or name postgresql://host/database"
        )
    from perdure.stores.postgres import securing
    from perdure.stores.postgres.row_security import Binding

    binding = None if order.role is None else Binding(role=order.role, namespaces=order.namespaces)
    if as_sql:
        print(securing.securing_script(url, binding=binding, forced=order.forced))
        return ExitCode.OK
    stands: RowSecurity
    if only_shows:
        stands = await securing.look_at_rows(url)
    else:
        now = Timestamp(time.time_ns() // 1_000)
        stands = await securing.secure_rows(url, binding=binding, forced=order.forced, now=now)
    if as_json:
        print_json(msgspec.to_builtins(stands))
    else:
        print("\n".join(_lines(stands)))
    return ExitCode.OK


def _lines(stands: "RowSecurity") -> Iterator[str]:
    if not stands.is_on:
        yield "The rows are not secured: each role that may use the tables sees all namespaces."
        return
    owner = "the owner of the tables, too" if stands.is_forced else "the owner of the tables sees all"
    yield f"The rows are secured ({owner})."
    for role, namespaces in stands.roles.items():
        names, reason = ", ".join(map(printable, namespaces)), stands.unbound.get(role)
        held = "sees" if reason is None else f"is not bound, for {printable(reason)}; its namespaces would be"
        yield f"{printable(role)} {held} {names}"
    for role in stands.forgotten:
        yield f"{printable(role)} is forgotten: it was made anew since, or its rights were taken from it; bind it again"
