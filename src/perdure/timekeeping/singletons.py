"""Singletons: of the runs of one key at most one is open.

The entry names the run that *holds* the key, and the starts that wait for its end. Whoever starts a run by the key, and
the keeper when the holder has ended, changes it together with the run that comes: of two that find the key free one is
refused. An entry whose holder has ended and for which nobody waits is free; it is not worth a commit at the end of each
run, and goes when its key is looked after, now and then.
"""

from typing import Final

import msgspec

from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.payload import Payload
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.kernel.transition import Creation
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey
from perdure.ports.store import Changes, RunStore
from perdure.timekeeping.entries import read_entry, read_input
from perdure.timekeeping.keeper import Host, Outlook
from perdure.timekeeping.waiting import WaitingStart, begun

__all__ = ["SINGLETON_KIND", "Line", "holder_is_open", "read_line", "settle_line", "singleton_entry"]

SINGLETON_KIND: Final = "singleton"

_SWEEP_MICROSECONDS: Final = 3_600 * MICROSECONDS_PER_SECOND


class Line(msgspec.Struct, frozen=True):
    """The run that holds the key, and the starts that wait for its end, in their order."""

    holder_id: str
    holder_key: RunKey
    waiting: tuple[WaitingStart, ...] = ()


def read_line(entry: AgendaEntry) -> Line:
    """Return what an entry says. Raises HistoryError."""
    return read_entry(entry, _DECODER)


_DECODER: Final = msgspec.json.Decoder(Line)


def singleton_entry(
    key: AgendaKey, line: Line, inputs: tuple[Payload, ...], *, version: RunKey, now: Timestamp
) -> AgendaEntry:
    """Return the entry of a line, to be looked after when its holder ends if somebody waits, else some time later."""
    return AgendaEntry(
        key=key,
        version=version,
        due_at=Timestamp(now + _SWEEP_MICROSECONDS),
        waits=bool(line.waiting),
        data=msgspec.json.encode(line).decode(),
        inputs=inputs,
    )


async def holder_is_open(store: RunStore, key: AgendaKey, line: Line) -> bool:
    """Whether the run that holds the key has not ended, in whichever generation."""
    summary = await store.find(RunRef(namespace=key.namespace, id=line.holder_id))
    return summary is not None and not summary.status.is_closed


async def settle_line(host: Host, entry: AgendaEntry) -> Outlook | None:
    """Let the next in line begin if the holder has ended; None if somebody else has changed the line meanwhile."""
    line, now = read_line(entry), host.clock.now()
    if await holder_is_open(host.store, entry.key, line):
        holder = RunRef(namespace=entry.key.namespace, id=line.holder_id)
        if entry.due_at is not None and entry.due_at <= now and not await _change(host, entry, line, entry.inputs):
            return None
        return Outlook((holder,) if line.waiting else ())
    if not line.waiting:
        is_gone = await host.store.change_agenda(AgendaChange(key=entry.key, expected=entry.version, entry=None))
        return Outlook() if is_gone else None
    return await _let_next_begin(host, entry, line)


async def _let_next_begin(host: Host, entry: AgendaEntry, line: Line) -> Outlook | None:
    first, *others = line.waiting
    creation = begun(first, read_input(entry, 0), namespace=entry.key.namespace, now=host.clock.now())
    following = Line(first.run_id, first.run_key, tuple(others))
    if not await _change(host, entry, following, entry.inputs[1:], creation):
        return None
    host.hear(Changes(run_keys=frozenset({creation.run_key}), ready=True))
    return Outlook((creation.ref,) if others else ())


async def _change(
    host: Host, entry: AgendaEntry, line: Line, inputs: tuple[Payload, ...], *creations: Creation
) -> bool:
    new = singleton_entry(entry.key, line, inputs, version=host.store.new_run_key(), now=host.clock.now())
    return await host.store.change_agenda(
        AgendaChange(key=entry.key, expected=entry.version, entry=new, creations=creations)
    )
