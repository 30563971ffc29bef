"""Indexes built anew from their tables, if what could be read by the indexes can be read afterwards.

Where a table and its index contradict each other either may be the damaged one, and SQLite trusts the table. If a bit
of a row's key has changed there, the index is the last that says where the row belongs. So all runs and messages are
counted that are sound before and after, by their digests and histories: this takes as long as two verifications, in one
transaction.
"""

from collections.abc import Iterator
from typing import Final

import apsw

from perdure.kernel.identity import RunKey
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.verification.runs import CheckedRun, try_run
from perdure.stores.sqlite.verification.tables import ROW_CHECKS, defects_by, has_sound_trees

__all__ = ["rebuild_indexes"]


class _LossError(Exception):
    """Something could be read before that cannot be read any more, or nothing is mended."""


def rebuild_indexes(connection: apsw.Connection, table: str, *, now: Timestamp) -> bool:
    """Build the indexes of a table anew; return whether they agree with it then. If not, nothing has changed."""
    before = dict(_worth(connection, now=now))
    strays = _strays(connection)
    try:
        with connection:
            connection.execute(f'REINDEX "{table}"')
            connection.execute(_TOUCH)
            _demand_no_loss(before, dict(_worth(connection, now=now)))
            _demand_order(connection, table, strays)
    except (_LossError, apsw.CorruptError, apsw.ConstraintError):
        return False
    return True


def _demand_no_loss(before: "dict[RunKey, _Worth]", after: "dict[RunKey, _Worth]") -> None:
    if any(_is_less(after.get(key, _NOTHING), worth) for key, worth in before.items()):
        raise _LossError


def _demand_order(connection: apsw.Connection, table: str, strays: set[str]) -> None:
    """Demand that the trees are sound, and that no rows belong to nobody but those that did before."""
    if not (_strays(connection) <= strays and has_sound_trees(connection, table)):
        raise _LossError


_Worth = tuple[int, int, bool]
"""How many events and messages of a run are sound, and whether all of it is, but for its row."""

_NOTHING: Final[_Worth] = (0, 0, False)


def _worth(connection: apsw.Connection, *, now: Timestamp) -> Iterator[tuple[RunKey, _Worth]]:
    for (key,) in list(connection.execute(_KEYS)):
        checked = try_run(connection, RunKey(key), now=now)
        if isinstance(checked, CheckedRun):
            places = [defect.place for defect in checked.defects]
            is_sound = checked.is_sound and set(places) <= {"row"}  # which is repaired by the history
            yield RunKey(key), (checked.state.sequence, checked.messages - places.count("inbox"), is_sound)


def _is_less(after: _Worth, before: _Worth) -> bool:
    return any(left < right for left, right in zip(after, before, strict=True))


def _strays(connection: apsw.Connection) -> set[str]:
    """Return what is found of rows that belong to no run."""
    return {defect.what for check in ROW_CHECKS for defect in defects_by(check, connection)}


_KEYS: Final = "SELECT run_key FROM runs NOT INDEXED"

# A transaction that changes no row is not committed, and an index is none.
_TOUCH: Final = "UPDATE store_meta SET value = value"
