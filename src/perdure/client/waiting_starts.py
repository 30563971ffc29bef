"""Starts that wait in the agenda, as clients see them: which there are, and how one is withdrawn."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import datetime

import msgspec

from perdure.client.agenda_pages import read_all
from perdure.client.gateway import Gateway
from perdure.errors import HistoryError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.time import Timestamp, timestamp_to_datetime
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey, AgendaQuery
from perdure.ports.store import Changes, RunStore
from perdure.timekeeping.debouncing import DEBOUNCE_KIND, read_burst
from perdure.timekeeping.singletons import SINGLETON_KIND, read_line, singleton_entry
from perdure.timekeeping.waiting import WaitingStart

__all__ = ["WaitingRun", "find_waiting", "key_of", "start_waits", "waiting_runs", "withdraw_start"]


class WaitingRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was asked for and does not exist yet.

    `rule`: ``debounce`` or ``singleton``, under which it waits by its `key`. `begins_at`: when a burst ends that
    nothing is added to; None: when those before it in the line have ended.
    """

    id: str
    workflow: str
    rule: str
    key: str
    asked_at: datetime
    begins_at: datetime | None


def key_of(namespace: str, kind: str, *, workflow: str, key: str) -> AgendaKey:
    """Return the name of the entry of a key: each workflow has its own."""
    return AgendaKey(kind=kind, namespace=namespace, id=msgspec.json.encode((workflow, key)).decode())


async def waiting_runs(store: RunStore, namespace: str) -> AsyncGenerator[WaitingRun, None]:
    """Yield all starts that wait, by rule, workflow and key, those of one key in their order.

    Raises HistoryError after the last if there are some that cannot be read.
    """
    async for entry, starts in read_all(store, _those_that_wait(namespace), _starts):
        for start in starts:
            yield _described(entry, start)


async def find_waiting(store: RunStore, ref: RunRef) -> tuple[str, RunKey, AgendaKey] | None:
    """Return the workflow and key of a run whose start waits, and where it does; None if none can be found.

    Complexity: linear in the keys for which starts wait. Whoever has a handle knows the place.
    """
    if "@" not in ref.id:
        return None  # no run that is started by a key is called so
    with suppress(HistoryError):
        async for entry, starts in read_all(store, _those_that_wait(ref.namespace), _starts):
            for start in starts:
                if start.run_id == ref.id:
                    workflow, _ = _name_of(entry)
                    return workflow, start.run_key, entry.key
    return None


async def start_waits(store: RunStore, key: AgendaKey, run_key: RunKey) -> bool:
    """Whether the start of a run still waits under a key."""
    entry = await store.find_agenda(key)
    return entry is not None and any(start.run_key == run_key for start in _starts(entry))


async def withdraw_start(gateway: Gateway, key: AgendaKey, run_key: RunKey) -> bool:
    """Let the start of a run wait no more; False if it does not wait, because the run exists or never will."""
    while (entry := await gateway.store.find_agenda(key)) is not None:
        if not any(start.run_key == run_key for start in _starts(entry)):
            return False
        shorter = _without(gateway, entry, run_key, now=gateway.clock.now())
        change = AgendaChange(key=key, expected=entry.version, entry=shorter, gone=(run_key,))
        if await gateway.store.change_agenda(change):
            gateway.hear(Changes(run_keys=frozenset({run_key})))
            gateway.agenda_changed()
            return True
    return False


def _without(gateway: Gateway, entry: AgendaEntry, run_key: RunKey, *, now: Timestamp) -> AgendaEntry | None:
    if entry.key.kind == DEBOUNCE_KIND:
        return None
    line = read_line(entry)
    places = [place for place, start in enumerate(line.waiting) if start.run_key != run_key]
    shorter = msgspec.structs.replace(line, waiting=tuple(line.waiting[place] for place in places))
    inputs = tuple(entry.inputs[place] for place in places)
    return singleton_entry(entry.key, shorter, inputs, version=gateway.store.new_run_key(), now=now)


def _those_that_wait(namespace: str) -> tuple[AgendaQuery, ...]:
    """Return what finds them; of the lines of singletons, which are kept for a while, only those with somebody."""
    return (
        AgendaQuery(kind=DEBOUNCE_KIND, namespace=namespace),
        AgendaQuery(kind=SINGLETON_KIND, namespace=namespace, waits=True),
    )


def _starts(entry: AgendaEntry) -> tuple[WaitingStart, ...]:
    """Return the starts of an entry. Raises HistoryError for one that cannot be read, or described."""
    _name_of(entry)
    if entry.key.kind == DEBOUNCE_KIND:
        return (read_burst(entry).start,)
    return read_line(entry).waiting


def _described(entry: AgendaEntry, start: WaitingStart) -> WaitingRun:
    workflow, key = _name_of(entry)
    begins_at = entry.due_at if entry.key.kind == DEBOUNCE_KIND else None
    return WaitingRun(
        id=start.run_id,
        workflow=workflow,
        rule=entry.key.kind,
        key=key,
        asked_at=timestamp_to_datetime(start.asked_at),
        begins_at=None if begins_at is None else timestamp_to_datetime(begins_at),
    )


def _name_of(entry: AgendaEntry) -> tuple[str, str]:
    """Return the workflow and the key of starts. Raises HistoryError for an entry that nobody could have made."""
    try:
        return msgspec.json.decode(entry.key.id, type=tuple[str, str])
    except UNDECODABLE as error:
        raise HistoryError(f"the {entry.key.kind} {entry.key.id!r:.200} is of no workflow and key: {error}") from error
