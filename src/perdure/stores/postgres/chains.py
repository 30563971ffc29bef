"""Events as rows, each with its digest by what is before it: see `perdure.stores.sql.chain`."""

from collections.abc import Iterable
from typing import Any

from perdure.kernel.history import EventRow
from perdure.kernel.identity import RunKey, RunRef
from perdure.stores.sql.chain import framed_event, genesis, linked

__all__ = ["Head", "Heads", "beginning_of", "chained"]

Head = tuple[bytes, bytes]
"""What the next event of a run is linked to: the genesis of its chain, and the digest of its last event."""

Heads = dict[RunKey, Head]
"""Those of the runs that a session owns, as far as they are known."""


def beginning_of(ref: RunRef) -> Head:
    """Return what the first event of a run is linked to."""
    beginning = genesis(ref.namespace, ref.id, ref.generation)
    return beginning, beginning


def chained(run_key: RunKey, events: Iterable[EventRow], head: Head, rows: list[tuple[Any, ...]]) -> Head:
    """Add the rows of a run's next events; return what the one after them is linked to."""
    beginning, digest = head
    for sequence, type_name, version, at, data in events:
        text = data.decode()
        digest = linked(beginning, digest, framed_event(sequence, type_name, version, at, text))
        rows.append((run_key, sequence, type_name, version, at, text, digest))
    return beginning, digest
