"""The files of a database, by their names: nothing else may be written there.

    orders.db                                           the database
    orders.db-wal   orders.db-shm   orders.db-journal   what SQLite keeps beside it; it finds them by these names
    orders.db.perdure/                                  the lock files of those who have it open

Whoever writes to a place that a user has named asks here first. The names alone are looked at: if a database were
opened to see what it is, SQLite's connections of the process would lose their locks on it. A second name of a database
(a hard link) may be replaced; that leaves it alone.
"""

import os
from pathlib import Path
from typing import Final

from perdure.errors import UsageError

__all__ = ["demand_no_database", "demand_no_part"]


def demand_no_part(path: Path) -> None:
    """Raise UsageError if a file or folder at `path` would be taken for a part of a database, or is in one."""
    place = Path(os.path.realpath(path))
    if suffix := next((suffix for suffix in _PARTS if place.name.casefold().endswith(suffix)), ""):
        raise UsageError(
            f"{path} is the name of a part of the database {place.name[: -len(suffix)]}. Nothing was changed; choose "
            f"a name that does not end with {suffix}."
        )
    for folder in (place, place.parent):
        if folder.name.casefold().endswith(_LOCKS) and (folder / _PRESENCE).exists():
            raise UsageError(f"{folder} holds the lock files of a database. Nothing was changed; choose another place.")


def demand_no_database(path: Path) -> None:
    """Raise UsageError if a file at `path` would be taken for a part of a database, or there is one in use or one that
    Perdure has opened."""
    demand_no_part(path)
    place = Path(os.path.realpath(path))
    if any(place.with_name(f"{place.name}{suffix}").exists() for suffix in (*_PARTS, _LOCKS)):
        raise UsageError(f"{path} is a database. Nothing was changed; choose another name.")


_PARTS: Final = ("-wal", "-shm", "-journal")
_LOCKS: Final = ".perdure"
_PRESENCE: Final = "presence.lock"
