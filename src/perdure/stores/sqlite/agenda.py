"""The agenda in SQLite: a change is a function of the connection, run in the writer's transaction."""

from collections.abc import Callable
from typing import Any, Final

import apsw
import msgspec

from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.identity import RunKey, WorkerId
from perdure.kernel.payload import Payload
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Write
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey, AgendaQuery
from perdure.stores.sql import agenda as statements
from perdure.stores.sql.chain import digest_of_entry
from perdure.stores.sqlite.application import apply_alone
from perdure.stores.sqlite.encoding import Column, encode_write
from perdure.stores.sqlite.segment import News

__all__ = ["agenda_entry_of", "changing", "find_agenda", "list_agenda", "next_agenda_at"]

# Any in this file: a row holds what SQLite found, which the records give its types.


def changing(change: AgendaChange, *, owner: WorkerId) -> Callable[[apsw.Connection, News], bool]:
    """Return what applies a change, encoded now, on the caller's thread."""
    given: tuple[Write, ...] = (*change.creations, *change.deliveries)
    writes = [encode_write(write, owner=owner) for write in given]
    key = _name(change.key)
    row = None if change.entry is None else _row(change.entry)
    beside = None if change.beside is None else _row(change.beside)
    awaited = {*(creation.run_key for creation in change.creations), *change.gone}

    def apply(connection: apsw.Connection, news: News) -> bool:
        if connection.execute(statements.AGENDA_VERSION, key).get != change.expected:
            return False
        if beside is not None:
            if connection.execute(statements.AGENDA_VERSION, beside[:3]).get is not None:
                return False
            connection.execute(statements.PUT_AGENDA, beside)
        if row is None:
            connection.execute(statements.DELETE_AGENDA, key)
        else:
            connection.execute(statements.PUT_AGENDA, row)
        of_runs = News()
        for write in writes:
            apply_alone(connection, write, known={}, news=of_runs)
        # Not its witness: an event that a refusal took back would be none.
        news.run_keys |= of_runs.run_keys.union(awaited)
        news.is_ready |= of_runs.is_ready
        news.is_queued |= of_runs.is_queued
        news.is_agenda = True
        return True

    return apply


def find_agenda(connection: apsw.Connection, key: AgendaKey) -> AgendaEntry | None:
    """Return an entry."""
    row = connection.execute(statements.FIND_AGENDA, _name(key)).get
    return None if row is None else agenda_entry_of(row)


def list_agenda(connection: apsw.Connection, query: AgendaQuery) -> list[AgendaEntry]:
    """Return one page."""
    return [agenda_entry_of(row) for row in connection.execute(*statements.listing_agenda(query))]


def next_agenda_at(connection: apsw.Connection, *, after: Timestamp | None) -> Timestamp | None:
    """Return the earliest time at which an entry is due, later than `after`."""
    found: int | None = connection.execute(statements.NEXT_AGENDA, (_EVER if after is None else after,)).get
    return None if found is None else Timestamp(found)


def _name(key: AgendaKey) -> tuple[str, str, str]:
    return (key.namespace, key.kind, key.id)


def _row(entry: AgendaEntry) -> tuple[Column, ...]:
    inputs = msgspec.json.encode(entry.inputs).decode()
    columns = (*_name(entry.key), entry.version, entry.due_at, int(entry.waits), entry.data, inputs)
    return (*columns, digest_of_entry(columns))


def agenda_entry_of(row: tuple[Any, ...]) -> AgendaEntry:
    """Return a row as an entry: one that cannot be read, too, since it must not hide those beside it."""
    namespace, kind, name, version, due_at, waits, data, inputs, digest = row
    entry = AgendaEntry(
        key=AgendaKey(kind=kind, namespace=namespace, id=name),
        version=RunKey(version),
        due_at=None if due_at is None else Timestamp(due_at),
        waits=bool(waits),
        data="",
    )
    try:
        columns = (*row[:_TEXTS], data.decode(), inputs.decode())
        damage = "" if digest in (None, digest_of_entry(columns)) else "it is not what was written: its digest differs"
        return msgspec.structs.replace(entry, data=data.decode(), inputs=_INPUTS.decode(inputs), damage=damage)
    except UNDECODABLE as error:
        return msgspec.structs.replace(entry, damage=str(error))


_TEXTS: Final = 6
"""Where in a row the texts begin, which are read as bytes."""
_EVER: Final = -(2**63)
_INPUTS: Final[msgspec.json.Decoder[tuple[Payload, ...]]] = msgspec.json.Decoder(tuple[msgspec.Raw, ...])
