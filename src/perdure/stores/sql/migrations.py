"""The numbered steps by which an empty database becomes today's: forward only, each with the checksum of its text.

A database records the number and checksum of every step applied to it, so a step must never be edited once released:
`perdure.stores.sqlite.schema` refuses a database that was made by another text. `tests/data/databases` holds one of
each step.
"""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from perdure.errors import InternalError

__all__ = ["Migration", "migrations", "read_migrations"]

# Not by importlib.resources, which loads what reads packages inside of zip files: half a megabyte in every process.
_FOLDER: Final = Path(__file__).with_name("migrations")
_NAME: Final = re.compile(r"(\d{4})_([a-z_]+)\.sql")


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One step. `number` counts from 1 without gaps; `checksum` is the SHA-256 of `text` in hexadecimal."""

    number: int
    name: str
    text: str
    checksum: str


@cache
def migrations() -> tuple[Migration, ...]:
    """Return all steps of the embedded store in order."""
    return read_migrations(_FOLDER)


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """Return the steps in a folder in order. Raises InternalError."""
    found = tuple(_read(file.name, text=file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.sql")))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise InternalError(f"the migrations are not numbered without gaps: {[m.number for m in found]}")
    return found


def _read(name: str, *, text: str) -> Migration:
    matched = _NAME.fullmatch(name)
    if matched is None:
        raise InternalError(f"the migration {name!r} is not named NNNN_name.sql")
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return Migration(number=int(matched[1]), name=matched[2], text=text, checksum=checksum)
