"""Run keys of one database as those of another.

A key means a run only within its database. In another the run gets a key that follows from both, in a range from which
no store gives out keys by itself: whoever computes it, in whichever order files are brought in, gets the same.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from perdure.kernel.identity import RunKey
from perdure.ports.keeping import WholeRun

__all__ = ["KEY_FIELDS", "key_elsewhere", "rekeyed"]

Record = TypeVar("Record", bound=msgspec.Struct)

KEY_FIELDS: Final = frozenset({"run_key", "parent_key", "origin_key", "caller_key"})
"""The names of all fields of events and messages that hold run keys. 0 stands for none."""

_FOREIGN: Final = 1 << 62
"""From here on no store gives out keys: they begin with the number of a session, and there are not so many."""


def key_elsewhere(key: int, *, store: int) -> RunKey:
    """Return the key that the run `key` of the database `store` has in every other."""
    digest = hashlib.blake2b(f"{store}/{key}".encode(), digest_size=8).digest()
    return RunKey(_FOREIGN | (int.from_bytes(digest, "big") >> 2))


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
    for name in record.__struct_fields__:
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
    if isinstance(value, tuple) and any(isinstance(item, msgspec.Struct) for item in value):
        items = tuple(_within(item, change) for item in value)
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value
