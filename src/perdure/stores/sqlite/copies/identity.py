"""Whose copies a folder holds: a database goes on with its own only."""

from typing import Final

from perdure.errors import UsageError
from perdure.stores.sqlite.copies.folder import CopyFolder
from perdure.stores.sqlite.copies.visit import Visit

__all__ = ["demand_own", "identity_of"]


def identity_of(visit: Visit) -> int:
    """Return when the database was restored, or else made, which tells it from others, and not from its own copies."""
    found: int | None = visit.database.connection().execute(_MADE_AT).get
    return found or 0


def demand_own(folder: CopyFolder, visit: Visit) -> None:
    """Raise UsageError if the folder holds copies of another database, as far as any part can be read."""
    newest = folder.newest()
    if newest is not None and newest.store != identity_of(visit):
        raise UsageError(f"{folder.path} holds copies of another database than {visit.path}. Choose another folder.")


_MADE_AT: Final = """
SELECT coalesce(
    (SELECT value FROM store_meta WHERE name = 'restored_at'),
    (SELECT applied_at FROM schema_migrations WHERE number = 1)
)
"""
