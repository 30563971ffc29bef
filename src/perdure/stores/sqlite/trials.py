"""What can be written: it is written, and undone.

Whether any run can be is asked where the row of one could not be written, and the damage may as well be an index's that
each of these writes needs, or the disk's of that moment: then any other run meets it, too.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

import apsw
import msgspec

from perdure.errors import StoreError
from perdure.kernel.identity import RunKey, WorkerId
from perdure.kernel.time import Timestamp
from perdure.ports.clock import Clock
from perdure.stores.sql import statements
from perdure.stores.sql.passing import PASSING, Passing, passing_over
from perdure.stores.sqlite.keeping import remove
from perdure.stores.sqlite.reader import Reader
from perdure.stores.sqlite.segment import News
from perdure.stores.sqlite.unreadable import Unreadable
from perdure.stores.sqlite.writer import Writer

__all__ = ["Trials", "runs_to_try", "try_out", "try_to_remove"]


class Trials:
    """Tries out runs of an open database, with its writer."""

    def __init__(
        self, unreadable: Unreadable, browser: Reader, writer: Writer, *, owner: WorkerId, clock: Clock
    ) -> None:
        """Prepare; the writer need not have been started yet."""
        self._unreadable: Final = unreadable
        self._browser: Final = browser
        self._writer: Final = writer
        self._owner: Final = owner
        self._clock: Final = clock

    async def can_write(self) -> bool:
        """Whether any run can be written that is not passed over, or there is none."""
        with suppress(StoreError):
            candidates = await self._browser.ask(partial(runs_to_try, passing=self._unreadable.unclaimable))
            for run_key in candidates:
                with suppress(StoreError):
                    await self._writer.call(partial(self._try_out, run_key=run_key))
                    return True
            return not candidates  # but removed ones, of which something is left
        return False

    def _try_out(self, connection: apsw.Connection, _news: News, *, run_key: RunKey) -> None:
        try_out(connection, run_key, owner=self._owner, now=self._clock.now())


def runs_to_try(connection: apsw.Connection, passing: Passing) -> list[RunKey]:
    """Return a few runs that are not passed over, from both ends of the index by id. Raises apsw's errors."""
    keys = [RunKey(key) for end in _ENDS for (key,) in connection.execute(passing_over(end, passing))]
    return list(dict.fromkeys(reversed(keys)))


def try_out(connection: apsw.Connection, run_key: RunKey, *, owner: WorkerId, now: Timestamp) -> None:
    """Take a run, whoever has it, and give it back, in either way, within a transaction, and undo it.

    Raises what hinders it.
    """
    keys = msgspec.json.encode([run_key]).decode()
    with _undone(connection):
        connection.execute(statements.TRY_TO_TAKE_RUNS, (keys, owner))
        connection.execute(statements.FREE_RUNS, (keys, owner, now))
        connection.execute(statements.TRY_TO_TAKE_RUNS, (keys, owner))
        connection.execute(statements.FREE_RUNS_AT_ANY_TIME, (keys,))


def try_to_remove(
    connection: apsw.Connection, _: News, run_keys: Sequence[RunKey], *, passing: Passing, unread: Passing
) -> list[RunKey]:
    """Return what `keeping.remove` would remove, and remove nothing. Raises as that does."""
    with _undone(connection):
        return remove(connection, News(), run_keys, passing=passing, unread=unread)


@contextmanager
def _undone(connection: apsw.Connection) -> Iterator[None]:
    """Undo what the block writes, within a transaction.

    After an error it is not, and nothing else of the transaction may be saved: SQLite may have ended it by itself.
    """
    connection.execute("SAVEPOINT trial")
    yield
    connection.execute("ROLLBACK TO trial")
    connection.execute("RELEASE trial")


_BY_ID: Final = f"SELECT run_key FROM runs INDEXED BY sqlite_autoindex_runs_1 WHERE true{PASSING} ORDER BY"  # noqa: S608
_ENDS: Final = (
    f"{_BY_ID} namespace, id, generation LIMIT 4",
    f"{_BY_ID} namespace DESC, id DESC, generation DESC LIMIT 4",
)
