"""The agenda in memory."""

import msgspec

from perdure.kernel.identity import RunKey
from perdure.kernel.time import Timestamp
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey, AgendaQuery

__all__ = ["Agenda"]


class Agenda:
    """The entries of a `MemoryDatabase`."""

    def __init__(self) -> None:
        self._entries: dict[AgendaKey, AgendaEntry] = {}

    def accepts(self, change: AgendaChange) -> bool:
        """Whether the entry has the version that the change expects, and there is none yet of the one beside it."""
        entry = self._entries.get(change.key)
        is_free = change.beside is None or change.beside.key not in self._entries
        return is_free and (None if entry is None else entry.version) == change.expected

    def apply(self, change: AgendaChange) -> None:
        """Put the entry as the change says."""
        if change.entry is None:
            self._entries.pop(change.key, None)
        else:
            self._entries[change.key] = change.entry
        if change.beside is not None:
            self._entries[change.beside.key] = change.beside

    def find(self, key: AgendaKey) -> AgendaEntry | None:
        """Return an entry."""
        return self._entries.get(key)

    def page(self, query: AgendaQuery) -> list[AgendaEntry]:
        """Return one page. Complexity: linear in all entries."""
        found = [entry for entry in self._entries.values() if _matches(entry, query)]
        return sorted(found, key=lambda entry: _order(entry.key))[: max(query.limit, 0)]

    def next_at(self, *, after: Timestamp | None) -> Timestamp | None:
        """Return the earliest time at which an entry is due, later than `after`."""
        due = (entry.due_at for entry in self._entries.values() if entry.due_at is not None)
        return min((due_at for due_at in due if after is None or due_at > after), default=None)

    def versions(self) -> frozenset[tuple[AgendaKey, RunKey]]:
        """Return which version each entry has; another one after each change."""
        return frozenset((key, entry.version) for key, entry in self._entries.items())

    def entries(self) -> list[AgendaEntry]:
        """Return all entries, in order."""
        return sorted(self._entries.values(), key=lambda entry: _order(entry.key))

    def dump(self) -> list[dict[str, object]]:
        """Return the entries as plain values, in order."""
        return [msgspec.structs.asdict(entry) for entry in self.entries()]


def _matches(entry: AgendaEntry, query: AgendaQuery) -> bool:
    return (
        query.kind in (None, entry.key.kind)
        and query.namespace in (None, entry.key.namespace)
        and (query.due_by is None or (entry.due_at is not None and entry.due_at <= query.due_by))
        and (entry.waits or not query.waits)
        and (query.after is None or _order(entry.key) > _order(query.after))
    )


def _order(key: AgendaKey) -> tuple[bytes, bytes, bytes]:
    return (key.namespace.encode(), key.kind.encode(), key.id.encode())
