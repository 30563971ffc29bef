"""Whether a copy in which something is damaged may replace an older one: not if that may be whole there.

What is said of damage does not tell: of a history it is where the first damaged event is, and what comes after that may
be whole in one copy and not in another. So the rows of damaged runs are compared.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from perdure.errors import StoreCorruptError, StoreError
from perdure.kernel.identity import RunKey
from perdure.stores.sqlite.contents import digest_of_contents
from perdure.stores.sqlite.copies.soundness import Damage, damage_in, damage_of_tables, summary
from perdure.stores.sqlite.copies.whole import demand_integrity, said_of_lost_pages, unshared

__all__ = ["demand_no_loss"]


def demand_no_loss(newer: Path, older: Path, database: Path, damage: Damage) -> None:
    """Raise StoreCorruptError if `newer`, a copy of `database` with `damage`, is to replace `older`, in which something
    may be whole that is not in it."""
    with unshared(newer) as new:
        try:
            with unshared(older) as old:
                before = damage_in(old, database, lost_pages=demand_integrity(old, older))
                lost = list(_lost(new, old, database, damage, before))
        except (apsw.Error, StoreError):  # it may be mended
            lost = list(damage.told)
    if lost:
        raise StoreCorruptError(
            f"{database} is damaged: {summary(lost)}. {older} was not replaced, since that may be whole in it, and the "
            f"new copy was not kept: name another file for that. See `perdure verify`."
        )


def _lost(new: apsw.Connection, old: apsw.Connection, database: Path, damage: Damage, before: Damage) -> Iterator[str]:
    """Yield what is damaged in a new copy, and may be whole in an older one. Raises apsw's errors."""
    if damage.lost_pages > before.lost_pages:
        yield from said_of_lost_pages(damage.lost_pages)
    for run_key, what in damage.of_runs:
        if not _rows_of(run_key, old) <= _rows_of(run_key, new):
            yield what
    # Where the tables themselves are damaged, nothing is known of their rows.
    is_known = not damage_of_tables(new, database) or digest_of_contents(old) == digest_of_contents(new)
    yield from (what for what in damage.of_none if not (is_known and what in before.of_none))


def _rows_of(run_key: RunKey, connection: apsw.Connection) -> set[tuple[Any, ...]]:
    """Return what is recorded of a run, and that it is there."""
    return set(connection.execute(_ROWS, (run_key,)))


_ROWS: Final = """
SELECT 'runs', generation, CAST(namespace AS BLOB), CAST(id AS BLOB), created_at, NULL, NULL
FROM runs NOT INDEXED WHERE run_key = ?1
UNION ALL
SELECT 'history', sequence, CAST(type AS BLOB), CAST(data AS BLOB), at, version, digest FROM history WHERE run_key = ?1
UNION ALL
SELECT 'inbox', position, CAST(message_id AS BLOB), CAST(data AS BLOB), at, NULL, digest FROM inbox WHERE run_key = ?1
"""
