"""Which runs cannot be read: a look at all that claims and lists read of runs.

A run can be read if its row can, as a whole, with its labels and the end of its inbox, and what is text in it is text:
that is what is asked for here, in the words of those statements, so that nothing can fail them that is not found. A row
that is not where its key belongs in the order of the keys is found by the index, and by nobody who asks for the key.
"""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

import apsw
import msgspec

from perdure.kernel.identity import RunKey, RunRef
from perdure.stores.sql.statements import CLAIMED_COLUMNS
from perdure.stores.sqlite.faults import is_damage
from perdure.stores.sqlite.rows import ref_of

__all__ = ["MOST_FOUND", "NOT_IN_ITS_PLACE", "UnreadableRun", "find_unreadable", "still_unreadable"]

MOST_FOUND: Final = 10_000
"""So many runs at most are passed over."""
NOT_IN_ITS_PLACE: Final = "the row of a run is not in its place"


class UnreadableRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that cannot be read; unless it `is_damaged`, only since some of its text is not UTF-8."""

    run_key: RunKey
    ref: RunRef
    is_damaged: bool


def find_unreadable(connection: apsw.Connection) -> list[UnreadableRun]:
    """Return the runs that cannot be read. Complexity: all runs, read once.

    Raises apsw's errors where the index by id cannot be read, and what keeps runs from being read where that is all of
    them, or too many.
    """
    keys = array("q", (key for (key,) in connection.execute(_ALL_KEYS)))
    found = dict(islice(_unreadable(connection, keys), MOST_FOUND + 1))
    named = _named(connection, found)  # but for those that were removed meanwhile
    if len(named) > MOST_FOUND or 0 < len(named) == len(keys):
        raise found[named[0].run_key]
    return named


def still_unreadable(connection: apsw.Connection, run_keys: Sequence[RunKey]) -> list[UnreadableRun]:
    """Return those of some runs that cannot be read. Raises as `find_unreadable`.

    Complexity: their number, and where any cannot be read that of all entries of the index by id.
    """
    causes = {key: _hindrance(connection, key) for key in run_keys}
    return _named(connection, {key: cause for key, cause in causes.items() if cause is not None})


def _named(connection: apsw.Connection, causes: dict[RunKey, Exception]) -> list[UnreadableRun]:
    rows = connection.execute(_REFS, (_json(list(causes)),)) if causes else ()
    return [
        UnreadableRun(
            run_key=key,
            ref=ref_of(namespace, run_id, generation),
            is_damaged=not isinstance(causes[key], UnicodeDecodeError),
        )
        for key, namespace, run_id, generation in rows
    ]


def _json(run_keys: Sequence[RunKey]) -> str:
    return msgspec.json.encode(run_keys).decode()


def _unreadable(connection: apsw.Connection, keys: Sequence[int]) -> Iterator[tuple[RunKey, Exception]]:
    """Yield those of the keys whose runs cannot be read, and why.

    Each is looked for by its key, as claims and lists do, be it with many in one statement: in a tree that is damaged
    a scan may come to what a search does not find. From the last to the first, for SQLite steps to the key after one.
    """
    for begin in range(0, len(keys), _AT_ONCE):
        some = [RunKey(key) for key in keys[begin : begin + _AT_ONCE]]
        if not _are_readable(connection, some):
            for run_key in some:
                cause = _hindrance(connection, run_key)
                if cause is not None:
                    yield run_key, cause


def _are_readable(connection: apsw.Connection, run_keys: Sequence[RunKey]) -> bool:
    with suppress(UnicodeDecodeError):
        try:
            rows = connection.execute(_RUNS, (_json(run_keys[::-1]),))
            return all(row[_KEY] is not None for row in rows.fetchall())
        except apsw.Error as error:
            if not is_damage(error):
                raise
    return False


def _hindrance(connection: apsw.Connection, run_key: RunKey) -> Exception | None:
    """Return why a run cannot be read, None if it can be."""
    try:
        row = connection.execute(_RUN, (run_key,)).fetchone()
    except (apsw.Error, UnicodeDecodeError) as error:
        if is_damage(error):
            return error
        raise
    return apsw.CorruptError(NOT_IN_ITS_PLACE) if row is None else None


_BY_ID: Final = "FROM runs INDEXED BY sqlite_autoindex_runs_1"
_ALL_KEYS: Final = f"SELECT run_key {_BY_ID} ORDER BY run_key"

# a JSON list of run keys; read from the index alone, as the rows cannot be
_REFS: Final = f"""
SELECT run_key, CAST(namespace AS BLOB), CAST(id AS BLOB), generation {_BY_ID}
WHERE run_key IN (SELECT value FROM json_each(?))
"""  # noqa: S608 - as above

_RUNS: Final = f"""
SELECT {CLAIMED_COLUMNS} FROM (SELECT value AS asked FROM json_each(?)) LEFT JOIN runs NOT INDEXED ON run_key = asked
"""  # noqa: S608
_RUN: Final = f"SELECT {CLAIMED_COLUMNS} FROM runs NOT INDEXED WHERE run_key = ?"  # noqa: S608
_KEY: Final = 1
"""The place of the key in `CLAIMED_COLUMNS`."""
_AT_ONCE: Final = 1_000
