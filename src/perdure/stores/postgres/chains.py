"""Rows of histories, each with its digest by what is before it: see `perdure.stores.sql.chain`."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from perdure.kernel.identity import RunKey, RunRef
from perdure.stores.sql.blocks import BlockRow
from perdure.stores.sql.chain import framed_event, genesis, linked

__all__ = ["Head", "Heads", "beginning_of", "chained", "head_of"]


class Head(msgspec.Struct, frozen=True, gc=False):
    """What the next event of a run is linked to: the genesis of its chain, and its last event's number and digest."""

    genesis: bytes
    sequence: int
    digest: bytes


class Heads:
    """Those of the runs that a session owns, as far as they are known: whoever goes on with a run that it has claimed
    reads its history, which tells its head.

    Others may have added to a run since it was the session's, and the answers of commits under way come in any order:
    a head is of use as long as the run ends with its event, for what was written in that place stays.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._known: Final[dict[RunKey, Head | None]] = {}

    def at(self, run_key: RunKey, sequence: int) -> Head | None:
        """Return the head of a run whose last event has this number, None if it is not known."""
        head = self._known.get(run_key)
        return head if head is not None and head.sequence == sequence else None

    def expect(self, run_key: RunKey) -> None:
        """Note that a run is the session's, whose history is to be read."""
        self._known.setdefault(run_key, None)

    def learn(self, run_key: RunKey, head: Head) -> None:
        """Take what a history ended with that was read, if the run is the session's."""
        if run_key in self._known:
            known = self._known[run_key]
            self._known[run_key] = head if known is None else max(known, head, key=_sequence)

    def keep(self, run_key: RunKey, head: Head) -> None:
        """Note what the next event of a run is linked to."""
        self._known[run_key] = head

    def forget(self, run_key: RunKey) -> None:
        """Note that a run is not the session's any more."""
        self._known.pop(run_key, None)


def _sequence(head: Head) -> int:
    return head.sequence


def beginning_of(ref: RunRef) -> Head:
    """Return what the first event of a run is linked to."""
    beginning = genesis(ref.namespace, ref.id, ref.generation)
    return Head(beginning, 0, beginning)


def head_of(ref: RunRef, sequence: int, digest: bytes) -> Head:
    """Return what the event after one is linked to, which has this number and digest."""
    return Head(genesis(ref.namespace, ref.id, ref.generation), sequence, digest)


def chained(run_key: RunKey, blocks: Iterable[BlockRow], head: Head, rows: list[tuple[Any, ...]]) -> Head:
    """Add the rows of a run's next events; return what the one after them is linked to."""
    sequence, digest = head.sequence, head.digest
    for sequence, type_name, version, at, data, events in blocks:
        digest = linked(head.genesis, digest, framed_event(sequence, type_name, version, at, data))
        rows.append((run_key, sequence, type_name, version, at, data, digest, events))
    return Head(head.genesis, sequence, digest)
