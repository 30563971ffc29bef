"""Histories checked as they are read: each row against the chain of digests (`perdure.stores.sql.chain`)."""

from typing import Any, Final

from perdure.errors import DamagedHistoryError
from perdure.kernel.identity import RunRef
from perdure.stores.sql.chain import framed_event, genesis, linked

__all__ = ["ChainCheck", "StoredEvent", "events_in"]

# Any: a row holds what the database found.
StoredEvent = tuple[Any, ...]
"""The columns sequence, type, version, at, data, digest; and events, in a store whose rows may hold several
(`perdure.stores.sql.blocks`)."""


def events_in(row: StoredEvent) -> Any:  # noqa: ANN401 - a damaged row may say anything
    """Return how many events a row says that it holds."""
    return 1 if len(row) == _COLUMNS_OF_ONE else row[_EVENTS]


class ChainCheck:
    """How far a history is sound: `sequence` is the last event that is known to be, and `digest` that of the last one
    that was taken."""

    def __init__(self, ref: RunRef, *, after: int = 0) -> None:
        """Check what follows event `after`, which is taken first if there is one: nothing is known of it."""
        self.ref: Final = ref
        self.sequence = after
        self.unchained = 0
        self.genesis: Final = genesis(ref.namespace, ref.id, ref.generation)
        self.digest: bytes | None = None
        self._knows_last = after == 0

    def take(self, row: StoredEvent) -> bool:
        """Check the next row; return False for the one before the first that is asked for.

        Raises DamagedHistoryError.
        """
        sequence, digest = row[0], row[_DIGEST]
        if not self._knows_last and sequence == self.sequence:
            self.digest, self._knows_last = digest, True
            return False
        expected = self.sequence + self._knows_last
        events = events_in(row)
        if not isinstance(events, int) or events < 1:
            raise self.damage(expected, f"it is not what was written: its row says that it holds {events!r} events")
        first = sequence if events == 1 else sequence - events + 1
        if first != expected:
            raise self.damage(expected, f"it is missing: the next one is number {first}")
        if digest is None and self.digest is not None:
            raise self.damage(first, "its digest is lost: the event before it has one")
        if digest is None:
            self.unchained += 1
        elif digest != linked(self.genesis, self.digest or self.genesis, framed_event(*row[:_DIGEST])):
            raise self.damage(first, "it is not what was written in its place: its digest differs")
        self.digest = digest
        self.sequence = sequence
        return True

    def demand_end(self, counted: int) -> None:
        """Demand that the last event is the one that the run's row counts. Raises DamagedHistoryError.

        Of a history that was asked for from behind its end on nothing is demanded.
        """
        if not isinstance(counted, int):  # a page may be damaged, whatever its column is for
            raise self.damage(self.sequence + 1, f"the run's row says that there are {counted!r:.60} events")
        if not self._knows_last:
            if counted >= self.sequence:
                raise self.damage(self.sequence, f"it is missing: the run's row counts {counted}")
            return
        if counted > self.sequence:
            raise self.damage(self.sequence + 1, f"it is missing: the run's row counts {counted}")
        if counted < self.sequence:
            raise self.damage(counted + 1, f"the run's row counts {counted} events, its history {self.sequence}")

    def damage(self, event: int, what: str) -> DamagedHistoryError:
        """Return the error of a history that is damaged at an event."""
        before = f"events 1 to {event - 1} can be read" if event > 1 else "nothing before it can be read"
        return DamagedHistoryError(
            f"event {event} of run {self.ref} is damaged: {what}; {before}. `perdure verify` says what can be done.",
            run=str(self.ref),
            event=event,
        )


_DIGEST: Final = 5
_EVENTS: Final = 6
_COLUMNS_OF_ONE: Final = 6
"""In a store that keeps each event by itself."""
