"""A read transaction that goes on: handed over from one connection to the next, so that one is always open."""

import contextlib
from typing import Final

import apsw

from perdure.stores.sqlite.copies.visit import Visit

__all__ = ["Hold"]


class Hold:
    """Keeps SQLite from beginning the log anew past what was seen. See the package's docstring for what it rests on."""

    def __init__(self, visit: Visit) -> None:
        """Hold nothing yet."""
        self._visit: Final = visit
        self._connections: list[apsw.Connection] = []

    @property
    def is_held(self) -> bool:
        """Whether a transaction is open."""
        return bool(self._connections)

    def renew(self) -> None:
        """Begin another transaction beside the one that is held; `hand_over` or `keep` ends one of the two."""
        connection = self._visit.reading()
        try:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_schema").get  # noqa: B018 - only a read begins it
        except BaseException:
            connection.close(force=True)
            raise
        self._connections.append(connection)

    def hand_over(self) -> None:
        """End the older transaction."""
        while len(self._connections) > 1:
            _end(self._connections.pop(0))

    def keep(self) -> None:
        """End the newer transaction."""
        while len(self._connections) > 1:
            _end(self._connections.pop())

    def let_go(self) -> None:
        """End all."""
        while self._connections:
            _end(self._connections.pop())

    def connection(self) -> apsw.Connection:
        """Return the connection whose transaction is held, to read as of then."""
        return self._connections[0]


def _end(connection: apsw.Connection) -> None:
    with contextlib.suppress(apsw.Error):
        connection.close(force=True)
