"""Run keys of one database as those of another.

A key means a run only within its database, and copies of that: two copies go on under the same numbers. Where a key was
given out tells them apart (its *origin*, `RunStore.origins_of`). Elsewhere the run gets a key that follows from both,
in a range from which no store gives out keys by itself: whoever computes it, in whichever order files are brought in,
gets the same, and it stays the same wherever the run goes from there.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeVar, get_args

import msgspec

from perdure.kernel.identity import RunKey
from perdure.ports.keeping import FOREIGN_KEYS, WholeRun

__all__ = ["KEY_FIELDS", "key_elsewhere", "keys_of", "rekeyed"]

Record = TypeVar("Record", bound=msgspec.Struct)

KEY_FIELDS: Final = frozenset({"run_key", "parent_key", "origin_key", "caller_key"})
"""The names of all fields of events and messages that hold run keys. 0 stands for none."""


def key_elsewhere(key: int, *, origin: int) -> RunKey:
    """Return the key that a run has in every database but those in which `key`, given out at `origin`, is its own."""
    digest = hashlib.blake2b(f"{origin}/{key}".encode(), digest_size=8).digest()
    return RunKey(FOREIGN_KEYS | (int.from_bytes(digest, "big") >> 2))


def keys_of(run: WholeRun) -> set[RunKey]:
    """Return every key in a run's row, its events and its messages."""
    found: set[RunKey] = set()

    def note(key: int) -> RunKey:
        found.add(RunKey(key))
        return RunKey(key)

    rekeyed(run, note)
    return found


def rekeyed(run: WholeRun, change: Callable[[int], RunKey]) -> WholeRun:
    """Return a run with every key in its row, its events and its messages changed."""
    summary = _changed(run.summary, change)
    history = tuple(
        recorded
        if (event := _changed(recorded.event, change)) is recorded.event
        else msgspec.structs.replace(recorded, event=event)
        for recorded in run.history
    )
    inbox = tuple(msgspec.structs.replace(entry, message=_changed(entry.message, change)) for entry in run.inbox)
    return msgspec.structs.replace(run, summary=summary, history=history, inbox=inbox)


def _changed(record: Record, change: Callable[[int], RunKey]) -> Record:
    """Return a record with its keys changed; the record itself where it has none."""
    changes: dict[str, object] = {}
    for name in _fields_with_keys(type(record)):
        value = getattr(record, name)
        new = _new_key(value, change) if name in KEY_FIELDS else _within(value, change)
        if new is not value:
            changes[name] = new
    return msgspec.structs.replace(record, **changes) if changes else record


def _new_key(key: int | None, change: Callable[[int], RunKey]) -> int | None:
    return change(key) if key else key


# Any: a field's value, whatever the record declares.
def _within(value: Any, change: Callable[[int], RunKey]) -> Any:  # noqa: ANN401 - see above
    if isinstance(value, msgspec.Struct):
        return _changed(value, change)
    if isinstance(value, tuple):
        items = tuple(_within(item, change) for item in value)
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


@cache
def _fields_with_keys(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return which fields of a kind of record hold keys, or records that do."""

    def holds_keys(field: msgspec.structs.FieldInfo) -> bool:
        records = _records_in(field.type, set())
        return field.name in KEY_FIELDS or any(KEY_FIELDS.intersection(one.__struct_fields__) for one in records)

    return tuple(field.name for field in msgspec.structs.fields(kind) if holds_keys(field))


def _records_in(declared: object, found: set[type[msgspec.Struct]]) -> set[type[msgspec.Struct]]:
    """Add to `found` all kinds of records that a value of a declared type may hold."""
    if isinstance(declared, type) and issubclass(declared, msgspec.Struct) and declared not in found:
        found.add(declared)
        for field in msgspec.structs.fields(declared):
            _records_in(field.type, found)
    for argument in get_args(declared):
        _records_in(argument, found)
    return found
