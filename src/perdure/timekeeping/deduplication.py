"""Deduplication: within a time, further starts of a key give the run of the first; and so does the same call.

The entry remembers the run and comes with it in one change. It is due when its time is over, and goes then.
"""

from typing import Final

import msgspec

from perdure.kernel.identity import RunKey
from perdure.kernel.time import Timestamp
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey
from perdure.timekeeping.entries import read_entry
from perdure.timekeeping.keeper import Host, Outlook

__all__ = [
    "DEDUPLICATION_KIND",
    "REQUEST_KIND",
    "Remembered",
    "read_remembered",
    "remembering",
    "settle_remembered",
]

DEDUPLICATION_KIND: Final = "deduplication"
REQUEST_KIND: Final = "request"


class Remembered(msgspec.Struct, frozen=True):
    """The run that further starts give, and for how long from when it was remembered."""

    run_id: str
    run_key: RunKey
    window_microseconds: int


def remembering(key: AgendaKey, known: Remembered, *, version: RunKey, now: Timestamp) -> AgendaEntry:
    """Return the entry that remembers a run from now on."""
    return AgendaEntry(
        key=key,
        version=version,
        due_at=Timestamp(now + known.window_microseconds),
        waits=False,
        data=msgspec.json.encode(known).decode(),
    )


def read_remembered(entry: AgendaEntry) -> Remembered:
    """Return what an entry says. Raises HistoryError."""
    return read_entry(entry, _DECODER)


_DECODER: Final = msgspec.json.Decoder(Remembered)


async def settle_remembered(host: Host, entry: AgendaEntry) -> Outlook | None:
    """Forget a run whose time is over; None if another one is remembered meanwhile."""
    if entry.due_at is None or entry.due_at > host.clock.now():
        return Outlook()
    is_forgotten = await host.store.change_agenda(AgendaChange(key=entry.key, expected=entry.version, entry=None))
    return Outlook() if is_forgotten else None
