"""Runs whose rows cannot be read or written, since they lie on damaged pages or beside one: they harm no other run.

**Promise.** Claims, lists, counts, and giving back what a dead session owned go on with all other runs. When a
statement on many has met damage, all rows of runs are read once, and those that cannot be are passed over from then on,
while the database is open here. The log names them.

**Limits.** SQLite moves rows between pages that are neighbours: a row next to a damaged page can be read, and not
always be written. Such a run is found when it is claimed or given back, and left as it is from then on. A transaction
that has met damage writes nothing more: it is undone, and made again without the run. The index by id must be readable:
it says which runs there are. More than 10,000 runs are not passed over. A damaged page of an index still fails the
statements that need it; `perdure verify --repair` builds it anew.

**Rejected.** To look row by row whenever something is asked: that takes as long as there are runs, each time.
"""

import asyncio
import math
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Final

import apsw

from perdure.errors import StoreCorruptError
from perdure.kernel.identity import RunKey, RunRef
from perdure.logs import logger_named
from perdure.stores.sql.passing import NONE_PASSED, Passing

__all__ = ["Unreadable", "UnwritableRowError", "change_singly", "demanding_writable", "find_unreadable"]

_LOGGER: Final = logger_named("perdure.store")

Ask = Callable[[Callable[[apsw.Connection], dict[RunKey, RunRef]]], Awaitable[dict[RunKey, RunRef]]]


class Unreadable:
    """The runs of an open database that are passed over, as far as this process knows: by whoever reads (`keys`), and
    by claims, also those whose rows cannot be written (`unclaimable`)."""

    def __init__(self) -> None:
        """Begin with none."""
        self.keys = self.unclaimable = NONE_PASSED
        self._untold: list[RunKey] = []
        self._looking: Final = asyncio.Lock()
        self._looked_at = -math.inf

    async def look_again(self, ask: Ask) -> None:
        """Find out, after damage was met, what is to be passed over; `ask` asks a question of the database.

        All rows are looked at once a minute at most.
        """
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if now < self._looked_at + _PAUSE_SECONDS:
                return
            self._looked_at = now
            found = await ask(find_unreadable)
            new = {key: ref for key, ref in found.items() if key not in self.keys}
            if new:
                self.keys = self.keys.union(new)
                self.unclaimable = self.unclaimable.union(new)
                _tell_of(new.values())

    def note_unwritable(self, run_key: RunKey) -> bool:
        """Note a run whose row cannot be written; return whether it is new, and one of not too many."""
        if run_key in self.unclaimable or len(self.unclaimable) >= _MOST:
            return False
        self.unclaimable = self.unclaimable.union((run_key,))
        self._untold.append(run_key)
        return True

    def tell_of_unwritable(self) -> None:
        """Log which runs' rows cannot be written, once."""
        if self._untold:
            text = "the rows of %d runs cannot be written, beside a damaged page, and stay as they are: run keys %s%s"
            names = ", ".join(map(str, self._untold[:_NAMED]))
            _LOGGER.error(text, len(self._untold), names, _more(self._untold))
            self._untold.clear()


class UnwritableRowError(StoreCorruptError):
    """The row of a run cannot be written."""

    def __init__(self, run_key: RunKey) -> None:
        """Name the run by its key."""
        super().__init__(f"the row of run key {run_key} cannot be written; see `perdure verify`")
        self.run_key = run_key


@contextmanager
def demanding_writable(run_keys: Sequence[RunKey], *, singly: bool) -> Iterator[None]:
    """Write rows of runs. Where they are written `singly`, damage is raised as an UnwritableRowError."""
    try:
        yield
    except apsw.CorruptError as error:
        if singly:
            raise UnwritableRowError(run_keys[0]) from error
        raise


def change_singly(
    connection: apsw.Connection,
    statement: str,
    parameters: tuple[int, ...],
    run_keys: Collection[RunKey],
    *,
    passing: Passing,
) -> int:
    """Make a change of many runs, whose statement ends in its WHERE, to each of these by itself, but those that are
    `passing`; return of how many. Raises UnwritableRowError."""
    changed = 0
    for run_key in run_keys:
        if run_key not in passing:
            with demanding_writable([run_key], singly=True):
                connection.execute(f"{statement.rstrip()} AND run_key = {run_key:d}", parameters)
            changed += connection.changes()
    return changed


def _tell_of(refs: Collection[RunRef]) -> None:
    names = ", ".join(map(str, islice(refs, _NAMED)))
    text = "the rows of %d runs lie on damaged pages and are passed over: %s%s; see `perdure verify`"
    _LOGGER.error(text, len(refs), names, _more(refs))


def _more(found: Collection[object]) -> str:
    return f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""


def find_unreadable(connection: apsw.Connection) -> dict[RunKey, RunRef]:
    """Return the runs whose rows cannot be read; none if it is too many. Complexity: all rows of runs, read once.

    Raises apsw.CorruptError where the index by id cannot be read.
    """
    refs = {RunKey(key): ref for key, *ref in connection.execute(_ALL_RUNS)}
    found = list(islice(_unreadable(connection, sorted(refs)), _MOST + 1))
    if len(found) > _MOST:
        return {}
    return {key: _ref(*refs[key]) for key in found}


def _ref(namespace: bytes, run_id: bytes, generation: int) -> RunRef:
    texts = (text.decode(errors="backslashreplace") for text in (namespace, run_id))
    return RunRef(namespace=next(texts), id=next(texts), generation=generation)


def _unreadable(connection: apsw.Connection, keys: list[RunKey]) -> Iterator[RunKey]:
    """Yield those of the keys, which are sorted, whose rows cannot be read: a scan goes on behind each damaged page."""
    place = 0
    while place < len(keys):
        readable_to = _scan(connection, keys[place])
        if readable_to is None:
            return
        place = bisect_right(keys, readable_to, lo=place)
        while place < len(keys) and not _is_readable(connection, keys[place]):
            yield keys[place]
            place += 1


def _scan(connection: apsw.Connection, first: RunKey) -> int | None:
    """Read rows in the order of their keys; return the last key before one that cannot be read, None if all can be."""
    last: int = first - 1
    try:
        for row in connection.execute(_ROWS_FROM, (first,)):
            last = row[0]
    except (apsw.CorruptError, apsw.NotADBError):
        return last
    return None


def _is_readable(connection: apsw.Connection, run_key: RunKey) -> bool:
    try:
        connection.execute(_ROW, (run_key,)).fetchall()
    except (apsw.CorruptError, apsw.NotADBError):
        return False
    return True


_ALL_RUNS: Final = """
SELECT run_key, CAST(namespace AS BLOB), CAST(id AS BLOB), generation FROM runs INDEXED BY sqlite_autoindex_runs_1
"""

# The last column: what a row holds on further pages stands before it.
_ROWS_FROM: Final = "SELECT run_key, end_at FROM runs NOT INDEXED WHERE run_key >= ? ORDER BY run_key"
_ROW: Final = "SELECT run_key, end_at FROM runs NOT INDEXED WHERE run_key = ?"
_MOST: Final = 10_000
_NAMED: Final = 20
_PAUSE_SECONDS: Final = 60.0
