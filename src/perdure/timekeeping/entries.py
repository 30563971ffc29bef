"""What entries of the agenda say, read; one that cannot be read is named."""

from typing import TypeVar

import msgspec

from perdure.errors import HistoryError, InvalidArgumentError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.payload import Payload
from perdure.ports.agenda import AgendaEntry

__all__ = ["read_entry", "read_input"]

T = TypeVar("T")


def read_entry(entry: AgendaEntry, decoder: "msgspec.json.Decoder[T]") -> T:
    """Return what an entry says. Raises HistoryError if it cannot be read."""
    damage = entry.damage
    if not damage:
        try:
            return decoder.decode(entry.data)
        except (*UNDECODABLE, InvalidArgumentError) as error:  # such as a time zone that is not known here
            damage = str(error)
    raise _unreadable(entry, damage)


def read_input(entry: AgendaEntry, place: int) -> Payload:
    """Return one of the values of users that belong to an entry. Raises HistoryError if it is not there."""
    if entry.damage or place >= len(entry.inputs):
        raise _unreadable(
            entry, entry.damage or f"it has {len(entry.inputs)} inputs, of which number {place} is needed"
        )
    return entry.inputs[place]


def _unreadable(entry: AgendaEntry, damage: str) -> HistoryError:
    key = entry.key
    return HistoryError(
        f"the {key.kind} {key.id} of the namespace {key.namespace} cannot be read ({damage}); nothing comes of it, all "
        f"others go on. If no newer version of Perdure wrote it, delete it and ask again for what it was to start, or "
        f"restore a backup"
    )
