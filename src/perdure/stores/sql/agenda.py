"""The named statements of the agenda."""

from typing import Final

from perdure.ports.agenda import AgendaQuery

__all__ = ["AGENDA_VERSION", "DELETE_AGENDA", "FIND_AGENDA", "NEXT_AGENDA", "PUT_AGENDA", "listing_agenda"]

_COLUMNS: Final = "namespace, kind, id, version, due_at, waits, data, inputs, digest"

# As bytes: a text that is damaged may be none, and would keep the whole page from being read.
_AS_FOUND: Final = "namespace, kind, id, version, due_at, waits, CAST(data AS BLOB), CAST(inputs AS BLOB), digest"

# namespace, kind, id
AGENDA_VERSION: Final = "SELECT version FROM agenda WHERE namespace = ? AND kind = ? AND id = ?"

# namespace, kind, id
FIND_AGENDA: Final = f"SELECT {_AS_FOUND} FROM agenda WHERE namespace = ? AND kind = ? AND id = ?"  # noqa: S608

# namespace, kind, id, version, due_at, waits, data, inputs, digest
PUT_AGENDA: Final = f"INSERT OR REPLACE INTO agenda ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608

# namespace, kind, id
DELETE_AGENDA: Final = "DELETE FROM agenda WHERE namespace = ? AND kind = ? AND id = ?"

# after
NEXT_AGENDA: Final = "SELECT min(due_at) FROM agenda WHERE due_at IS NOT NULL AND due_at > ?"


def listing_agenda(query: AgendaQuery) -> tuple[str, list[int | str]]:
    """Return the statement for one page, and its parameters."""
    conditions: list[str] = []
    parameters: list[int | str] = []
    if query.kind is not None:
        conditions.append("kind = ?")
        parameters.append(query.kind)
    if query.namespace is not None:
        conditions.append("namespace = ?")
        parameters.append(query.namespace)
    if query.due_by is not None:
        conditions.append("due_at IS NOT NULL AND due_at <= ?")
        parameters.append(query.due_by)
    if query.waits:
        conditions.append("waits = 1")
    if query.after is not None:
        conditions.append("(namespace, kind, id) > (?, ?, ?)")
        parameters += [query.after.namespace, query.after.kind, query.after.id]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    text = f"SELECT {_AS_FOUND} FROM agenda INDEXED BY {_index(query)} {where} ORDER BY namespace, kind, id LIMIT ?"  # noqa: S608 - texts above and below
    return text, [*parameters, max(query.limit, 0)]


def _index(query: AgendaQuery) -> str:
    """Return the index that finds the entries of a query among many that wait for later."""
    if query.due_by is not None:
        return "agenda_by_time"
    return "agenda_that_waits" if query.waits else "sqlite_autoindex_agenda_1"
