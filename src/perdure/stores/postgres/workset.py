"""The rows that some writes concern, locked and in memory, so that what becomes of the writes can be decided there.

**Decided as in memory.** A `Workset` is a `MemoryDatabase` that has only these rows. The functions that apply writes to
the memory store apply them here, too: both stores decide alike, since it is the same code. What has changed is written
back by `perdure.stores.postgres.flushing`.

**What is not there.** A row that was looked for and does not exist is known to be absent. Asked for anything else the
workset raises `NotLoadedError`: then that is loaded as well, and all is decided anew, on rows as they were.

**Positions.** What is put into an inbox gets its position from the database when it is written. Until then it has one
behind all others.
"""

from collections.abc import Iterable
from itertools import count
from typing import Final, TypeVar, overload

import msgspec

from perdure.kernel.identity import Operation, RunKey
from perdure.kernel.locking import LockEntry
from perdure.stores.memory.tables import Entry, MemoryDatabase, Run, TaskRow

__all__ = ["FIRST_NEW_POSITION", "Missing", "NotLoadedError", "Workset"]

Key = TypeVar("Key")
Value = TypeVar("Value")
Default = TypeVar("Default")

FIRST_NEW_POSITION: Final = 1 << 62
"""From here on are the positions of messages that are not written yet."""


class Missing(msgspec.Struct, frozen=True):
    """What was asked for: by a key of a table."""

    table: str
    key: object


class NotLoadedError(Exception):
    """Something is asked for of which it is not known whether it is there."""

    def __init__(self, missing: Missing) -> None:
        """Say what."""
        super().__init__(f"{missing.table}: {missing.key}")
        self.missing: Final = missing


class _Rows(dict[Key, Value]):
    """Rows by their keys; `absent` are keys that were looked for in vain."""

    def __init__(self, table: str) -> None:
        super().__init__()
        self._table: Final = table
        self.absent: Final[set[Key]] = set()

    def put(self, key: Key, value: Value | None) -> None:
        """Note what was found; None: nothing."""
        if value is None:
            self.absent.add(key)
        else:
            self[key] = value

    @overload
    def get(self, key: Key, default: None = None, /) -> Value | None: ...
    @overload
    def get(self, key: Key, default: Value, /) -> Value: ...
    @overload
    def get(self, key: Key, default: Default, /) -> Value | Default: ...
    def get(self, key: Key, default: object = None, /) -> object:
        return self[key] if key in self else default  # noqa: SIM401 - this is what `get` does

    def pop(self, key: Key, default: Default, /) -> Value | Default:  # type: ignore[override]
        self.absent.add(key)
        return super().pop(key, default)

    def __missing__(self, key: Key) -> Value:
        raise NotLoadedError(Missing(self._table, key))

    def __contains__(self, key: object) -> bool:
        if super().__contains__(key):
            return True
        if key in self.absent:
            return False
        raise NotLoadedError(Missing(self._table, key))


class _Requests(_Rows[Key, Value]):
    """Requests, of which the empty one is none."""

    def __contains__(self, key: object) -> bool:
        return not (isinstance(key, tuple) and not key[-1]) and super().__contains__(key)


class _Inboxes(_Rows[RunKey, dict[int, Entry]]):
    """Inboxes. What is put into one that is not loaded is `fresh`."""

    def __init__(self) -> None:
        super().__init__("inboxes")
        self.fresh: Final[dict[RunKey, dict[int, Entry]]] = {}

    def setdefault(self, key: RunKey, default: dict[int, Entry], /) -> dict[int, Entry]:
        if key in self.absent or super(_Rows, self).__contains__(key):
            return super().setdefault(key, default)
        return self.fresh.setdefault(key, default)

    def pop(self, key: RunKey, default: Default, /) -> dict[int, Entry] | Default:  # type: ignore[override]
        return super().pop(key, default) if key in self else default


class Workset(MemoryDatabase):
    """Some rows of the database. `lock_positions` are numbers that entries of lines get, in this order.

    `consumed` are the places of the messages that were deleted: position, run key.
    """

    def __init__(self, *, lock_positions: Iterable[int] = ()) -> None:
        """Begin with none."""
        super().__init__()
        self.runs: _Rows[RunKey, Run] = _Rows("runs")
        self.generations: _Rows[tuple[str, str], dict[int, RunKey]] = _Rows("generations")
        self.requests: _Rows[tuple[str, str], RunKey] = _Requests("requests")
        self.message_requests: _Rows[tuple[str, str, str], RunKey] = _Requests("message_requests")
        self.message_ids: _Rows[tuple[RunKey, str], int] = _Requests("message_ids")
        self.inboxes: _Inboxes = _Inboxes()
        self.tasks: _Rows[tuple[RunKey, Operation], TaskRow] = _Rows("tasks")
        self.lines: Final[set[tuple[str, str]]] = set()
        self.ids_of_messages: Final[dict[int, str]] = {}
        self.consumed: Final[list[tuple[int, RunKey]]] = []
        self.next_position = count(FIRST_NEW_POSITION).__next__
        self.next_lock = iter(lock_positions).__next__

    def take_messages(self, run_key: RunKey, positions: Iterable[int]) -> None:
        """Delete messages from an inbox, which need not be loaded. Raises NotLoadedError."""
        for position in positions:
            if position not in self.ids_of_messages:
                raise NotLoadedError(Missing("ids_of_messages", position))
            self.consumed.append((position, run_key))
            self.message_ids.pop((run_key, self.ids_of_messages[position]), None)
            dict.get(self.inboxes, run_key, {}).pop(position, None)

    def line(self, namespace: str, key: str) -> list[LockEntry]:
        """Return the entries of a line. Raises NotLoadedError."""
        if (namespace, key) not in self.lines:
            raise NotLoadedError(Missing("locks", (namespace, key)))
        return super().line(namespace, key)
