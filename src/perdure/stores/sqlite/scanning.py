"""Which runs cannot be read: a look at all that claims and lists read of runs.

A run can be read if its row can, as a whole, with its labels and the end of its inbox, and what is text in it is text:
that is what is asked for here, in the words of those statements, so that nothing can fail them that is not found.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import apsw
import msgspec

from perdure.kernel.identity import RunKey, RunRef
from perdure.stores.sql.statements import CLAIMED_COLUMNS
from perdure.stores.sqlite.faults import is_damage

__all__ = ["MOST_FOUND", "UnreadableRun", "find_unreadable", "still_unreadable"]

MOST_FOUND: Final = 10_000
"""So many runs at most are passed over."""


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
    if len(found) > MOST_FOUND or 0 < len(found) == len(keys):
        raise next(iter(found.values()))
    return _named(connection, found)


def still_unreadable(connection: apsw.Connection, run_keys: Sequence[RunKey]) -> list[UnreadableRun]:
    """Return those of some runs that cannot be read. Complexity: their number. Raises as `find_unreadable`."""
    causes = {key: _hindrance(connection, key) for key in run_keys}
    return _named(connection, {key: cause for key, cause in causes.items() if cause is not None})


def _named(connection: apsw.Connection, causes: dict[RunKey, Exception]) -> list[UnreadableRun]:
    keys = msgspec.json.encode(list(causes)).decode()
    rows = connection.execute(_REFS, (keys,)) if causes else ()
    return [
        UnreadableRun(
            run_key=key,
            ref=RunRef(namespace=_text(namespace), id=_text(run_id), generation=generation),
            is_damaged=not isinstance(causes[key], UnicodeDecodeError),
        )
        for key, namespace, run_id, generation in rows
    ]


def _text(stored: bytes) -> str:
    return stored.decode(errors="backslashreplace")


def _unreadable(connection: apsw.Connection, keys: Sequence[int]) -> Iterator[tuple[RunKey, Exception]]:
    """Yield those of the keys, which are sorted, whose runs cannot be read, and why.

    A scan goes on behind each, and behind each that it does not come to in its place, which is asked for by itself: so
    it ends, whatever keys a damaged page shows.
    """
    place = 0
    while place < len(keys):
        place, cause = _scan(connection, keys, place)
        if place < len(keys):
            run_key = RunKey(keys[place])
            cause = cause or _hindrance(connection, run_key)
            if cause is not None:
                yield run_key, cause
            place += 1


def _scan(connection: apsw.Connection, keys: Sequence[int], place: int) -> tuple[int, Exception | None]:
    """Read runs in the order of their keys, from a place on; return the first place whose run is not read then, and the
    error, if there was one, that statements on many meet there, too: they step from one to the next."""
    try:
        for row in connection.execute(_RUNS_FROM, (keys[place],)):
            if row[_KEY] != keys[place]:
                break
            place += 1
            if place == len(keys):
                break
    except (apsw.Error, UnicodeDecodeError) as error:
        if is_damage(error):
            return place, error
        raise
    return place, None


def _hindrance(connection: apsw.Connection, run_key: RunKey) -> Exception | None:
    """Return why a run cannot be read, None if it can be."""
    try:
        connection.execute(_RUN, (run_key,)).fetchall()
    except (apsw.Error, UnicodeDecodeError) as error:
        if is_damage(error):
            return error
        raise
    return None


_BY_ID: Final = "FROM runs INDEXED BY sqlite_autoindex_runs_1"
_ALL_KEYS: Final = f"SELECT run_key {_BY_ID} ORDER BY run_key"

# a JSON list of run keys; read from the index alone, as the rows cannot be
_REFS: Final = f"""
SELECT run_key, CAST(namespace AS BLOB), CAST(id AS BLOB), generation {_BY_ID}
WHERE run_key IN (SELECT value FROM json_each(?))
"""  # noqa: S608 - as above

_RUNS_FROM: Final = f"SELECT {CLAIMED_COLUMNS} FROM runs NOT INDEXED WHERE run_key >= ? ORDER BY run_key"  # noqa: S608
_RUN: Final = f"SELECT {CLAIMED_COLUMNS} FROM runs NOT INDEXED WHERE run_key = ?"  # noqa: S608
_KEY: Final = 1
"""The place of the key in `CLAIMED_COLUMNS`."""
