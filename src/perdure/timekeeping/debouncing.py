"""Debouncing: starts of one key that come in a burst give one run, with what the last of them said.

The start waits in the agenda. Each further one takes its place and puts it off, so far as the first allows. When it is
due the entry goes and the run comes, in one change: a start that comes at this moment either is still in time, or finds
no entry and begins the next burst.
"""

from typing import Final

import msgspec

from perdure.kernel.identity import RunKey
from perdure.kernel.payload import Payload
from perdure.kernel.time import Timestamp
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey
from perdure.ports.store import Changes
from perdure.timekeeping.entries import read_entry, read_input
from perdure.timekeeping.keeper import Host, Outlook
from perdure.timekeeping.waiting import WaitingStart, begun

__all__ = ["DEBOUNCE_KIND", "Burst", "burst_entry", "read_burst", "settle_burst"]

DEBOUNCE_KIND: Final = "debounce"


class Burst(msgspec.Struct, frozen=True):
    """Starts that have become one: the last of them, and when the first came."""

    start: WaitingStart
    first_at: Timestamp


def burst_entry(
    key: AgendaKey,
    burst: Burst,
    given: Payload,
    *,
    version: RunKey,
    now: Timestamp,
    wait_microseconds: int,
    maximum_microseconds: int | None,
) -> AgendaEntry:
    """Return the entry of a burst that ends after the wait if nothing more comes, no later than its first allows."""
    due_at = now + wait_microseconds
    if maximum_microseconds is not None:
        due_at = max(now, min(due_at, burst.first_at + maximum_microseconds))
    return AgendaEntry(
        key=key,
        version=version,
        due_at=Timestamp(due_at),
        waits=False,
        data=msgspec.json.encode(burst).decode(),
        inputs=(given,),
    )


def read_burst(entry: AgendaEntry) -> Burst:
    """Return what an entry says. Raises HistoryError."""
    return read_entry(entry, _DECODER)


_DECODER: Final = msgspec.json.Decoder(Burst)


async def settle_burst(host: Host, entry: AgendaEntry) -> Outlook | None:
    """Start the run of a burst that has ended; None if another start came meanwhile."""
    now = host.clock.now()
    if entry.due_at is None or entry.due_at > now:
        return Outlook()
    creation = begun(read_burst(entry).start, read_input(entry, 0), namespace=entry.key.namespace, now=now)
    if not await host.store.change_agenda(
        AgendaChange(key=entry.key, expected=entry.version, entry=None, creations=(creation,))
    ):
        return None
    host.hear(Changes(run_keys=frozenset({creation.run_key}), ready=True))
    return Outlook()
