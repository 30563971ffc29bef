"""How far a copy is: told beside the database by whoever replicates, for whoever examines it."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.presence import sidecar_folder

__all__ = ["Standing", "note_trouble", "read_standings", "standing_file", "write_standing"]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the copy in the folder `target`, to which what is new is added `every` so many microseconds.

    `checked_at`: everything that was acknowledged by then is in it. `taken_at`, `point`: when its newest increment was
    taken, and its name; empty if there is none. `error`: why the last round failed.
    """

    target: str
    every: int
    checked_at: Timestamp
    taken_at: Timestamp
    point: str = ""
    error: str = ""


def write_standing(database: Path, standing: Standing) -> None:
    """Leave word of it. It is not synced: it tells of processes that live."""
    path = standing_file(database, standing.target)
    unnamed = path.with_suffix(".unfinished")
    with suppress(OSError):  # a full disk must not keep the copy from being made
        unnamed.write_bytes(msgspec.json.encode(standing))
        unnamed.replace(path)


def note_trouble(database: Path, target: Path, error: str, *, every: int) -> None:
    """Leave word of what keeps a copy from being begun, or gone on with; the rest is as it was told last."""
    database, name = database.resolve(), str(target.resolve())
    known = {standing.target: standing for standing in read_standings(database)}
    new = Standing(target=name, every=every, checked_at=Timestamp(0), taken_at=Timestamp(0))
    write_standing(database, msgspec.structs.replace(known.get(name, new), error=error))


def read_standings(database: Path) -> Iterator[Standing]:
    """Yield the state of each copy that this database has or had."""
    for path in sorted(sidecar_folder(database).glob(f"{_PREFIX}*.json")):
        with suppress(OSError, *UNDECODABLE):
            yield msgspec.json.decode(path.read_bytes(), type=Standing)


def standing_file(database: Path, target: str) -> Path:
    """Return where the state of the copy in the folder `target` is told."""
    name = hashlib.blake2b(target.encode(), digest_size=8).hexdigest()
    return sidecar_folder(database) / f"{_PREFIX}{name}.json"


_PREFIX: Final = "copy-"
