"""Digests of what is stored, by which damage shows: a chain through each history, one for each message and entry.

**Promise.** A history whose digests are right is, event by event, what was written for this run: no event was changed,
lost, repeated, moved to another place or to another run. Whoever can read the rows can check it, in any store; no key
is needed, since what is hashed is what stands in the table, after all codecs. It is no protection against somebody who
can write to the database, and who could compute the digests anew.

**Form.** All digests are BLAKE2b of 16 bytes, `person` one of the tags below. Fields are framed as one MessagePack
array in its shortest form: no two lists of fields give the same bytes.

* genesis = H(`perdure run`, [namespace, id, generation])
* digest of an event = H(`perdure event`, genesis || digest before it || [sequence, type, version, at, data])
* digest of a message = H(`perdure message`, [run_key, message_id, at, data])
* digest of an entry of the agenda = H(`perdure agenda`, [namespace, kind, id, version, due_at, waits, data, inputs])
* digest of a task = H(`perdure task`, [run_key, operation, attempt, namespace, queue, activity, priority, queued_at,
  data, labels]), the labels left out where there are none

The digest before an event is that of the event before it, and the genesis where there is none: for the first event, and
for one that follows an event which an older Perdure wrote, without a digest. Those older events are not protected;
everything since is.

**One digest per row.** In a file each event is a row, and has a digest: the damaged event is named, and a page can be
checked from any event on. On a server the events of a transition are one row, and have one
(`perdure.stores.sql.blocks`): its type, version and time are hashed in the places of an event's, its number is that of
the last, and damage is named by the first of them.

The genesis is part of each digest, so that a page from the middle on shows, too, that it is of this run: results are
read from the last row alone. The run's key is no part of it, so that an exported history has the same digests wherever
it is imported, but for rows of several events, which are made anew.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

__all__ = [
    "Field",
    "digest_of_entry",
    "digest_of_message",
    "digest_of_task",
    "framed_event",
    "genesis",
    "linked",
]

Field = int | float | str | bytes | None
"""What a column may hold, damaged ones included."""

_DIGEST_BYTES: Final = 16
_ENCODE: Final = msgspec.msgpack.Encoder().encode

# Copied for each digest: to make one with its parameters takes longer than to compute it.
_RUN: Final = hashlib.blake2b(digest_size=_DIGEST_BYTES, person=b"perdure run")
_EVENT: Final = hashlib.blake2b(digest_size=_DIGEST_BYTES, person=b"perdure event")
_MESSAGE: Final = hashlib.blake2b(digest_size=_DIGEST_BYTES, person=b"perdure message")
_ENTRY: Final = hashlib.blake2b(digest_size=_DIGEST_BYTES, person=b"perdure agenda")
_TASK: Final = hashlib.blake2b(digest_size=_DIGEST_BYTES, person=b"perdure task")


def genesis(namespace: str, run_id: str, generation: int) -> bytes:
    """Return what the chain of a run begins with."""
    return _digest(_RUN, (namespace, run_id, generation))


def framed_event(sequence: Field, type_name: Field, version: Field, at: Field, data: Field) -> bytes:
    """Return the row of an event as the bytes that `linked` takes."""
    return _ENCODE((sequence, type_name, version, at, data))


def linked(beginning: bytes, digest: bytes, framed: bytes) -> bytes:
    """Return the digest of a framed event, by the genesis of its run and the digest before it."""
    hashing = _EVENT.copy()
    hashing.update(beginning + digest + framed)
    return hashing.digest()


def digest_of_message(run_key: Field, message_id: Field, at: Field, data: Field) -> bytes:
    """Return the digest of a message in the inbox of a run."""
    return _digest(_MESSAGE, (run_key, message_id, at, data))


def digest_of_entry(columns: Iterable[Field]) -> bytes:
    """Return the digest of an entry of the agenda, by its columns in the order of the module's docstring."""
    return _digest(_ENTRY, tuple(columns))


def digest_of_task(columns: Iterable[Field]) -> bytes:
    """Return the digest of a task, by its columns in the order of the module's docstring."""
    fields = tuple(columns)
    return _digest(_TASK, fields if fields[-1] else fields[:-1])


def _digest(kind: "hashlib.blake2b", fields: tuple[Field, ...]) -> bytes:
    hashing = kind.copy()
    hashing.update(_ENCODE(fields))
    return hashing.digest()
