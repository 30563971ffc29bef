"""The agenda: an entry is changed if it has the version that the change was decided from."""

from typing import Final

from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey
from perdure.stores.postgres.connection import Connection
from perdure.stores.postgres.rows import agenda_row

__all__ = ["change_entry"]


async def change_entry(connection: Connection, change: AgendaChange) -> bool:
    """Put an entry as a change says, within a transaction; False, and nothing is changed, if its version differs."""
    key = change.key
    await connection.execute(_TAKE_TURN, key.namespace, key.kind, key.id)
    if await _version(connection, key) != change.expected:
        return False
    if change.beside is not None:
        if await _version(connection, change.beside.key) is not None:
            return False
        await _put(connection, change.beside)
    if change.entry is None:
        await connection.execute(_DELETE, key.namespace, key.kind, key.id)
    else:
        await _put(connection, change.entry)
    return True


async def _version(connection: Connection, key: AgendaKey) -> object:
    return await connection.fetchval(_VERSION, key.namespace, key.kind, key.id)


async def _put(connection: Connection, entry: AgendaEntry) -> None:
    await connection.execute(_PUT, *agenda_row(entry))


# namespace, kind, id; also of an entry that is not there yet
_TAKE_TURN: Final = """
SELECT pg_advisory_xact_lock(
    hashtextextended(format('perdure agenda %L %L %L', $1::varchar, $2::varchar, $3::varchar), 0)
)
"""

# namespace, kind, id
_VERSION: Final = "SELECT version FROM agenda WHERE namespace = $1::varchar AND kind = $2::varchar AND id = $3::varchar"
_DELETE: Final = "DELETE FROM agenda WHERE namespace = $1::varchar AND kind = $2::varchar AND id = $3::varchar"

# namespace, kind, id, version, due_at, waits, data, inputs, digest
_PUT: Final = """
INSERT INTO agenda (namespace, kind, id, version, due_at, waits, data, inputs, digest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (namespace, kind, id) DO UPDATE SET version = excluded.version, due_at = excluded.due_at,
    waits = excluded.waits, data = excluded.data, inputs = excluded.inputs, digest = excluded.digest
"""
