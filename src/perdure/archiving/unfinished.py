"""Files that exports write before these get their names, and what killed exports have left of them.

Whoever writes one has it locked, and the lock ends with him: one that can be locked is nobody's any more. It is
cleared away by the next export to its folder, or the next archive begun there, if what it holds, or for what file it
was, shows that an export wrote it. Where there are no locks of files nothing is cleared away.
"""

import gzip
import os
import re
import secrets
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from perdure.archiving.parts import PART_MAGIC
from perdure.archiving.run_lines import HEADING_BEGINNING

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["begin_file", "clear_unfinished", "is_in_place"]


def begin_file(path: Path, *, opener: Callable[[str, int], int]) -> IO[bytes]:
    """Return a new file beside that which it is to become, locked where that can be. Raises OSError."""
    while True:
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        file = open(partial, "xb", opener=opener)  # noqa: SIM115 - it is returned
        if _is_locked(file) is not False and is_in_place(file):
            return file
        file.close()  # somebody took it for one that a killed export had left


def clear_unfinished(folder: Path, *, of: str = "") -> None:
    """Remove what killed exports have left in a folder; `of`: where one was to have this name, whatever is in it."""
    for path in _candidates(folder):
        with suppress(OSError), path.open("rb") as file:
            if _is_locked(file) and is_in_place(file) and (_name_of(path) == of or _is_export(path)):
                path.unlink()


def is_in_place(file: IO[bytes]) -> bool:
    """Whether an open file still has its name: what is written to one that was moved away or deleted may be lost."""
    try:
        return os.path.samestat(Path(file.name).stat(), os.fstat(file.fileno()))
    except OSError:
        return False


def _candidates(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        for path in folder.iterdir():
            if _NAME.fullmatch(path.name) and stat.S_ISREG(path.lstat().st_mode):
                yield path


def _name_of(path: Path) -> str:
    found = _NAME.fullmatch(path.name)
    return "" if found is None else found[1]


def _is_export(path: Path) -> bool:
    """Whether a file begins as those of exported runs do."""
    with path.open("rb") as raw:
        is_compressed = raw.read(len(PART_MAGIC)) == PART_MAGIC
    try:
        with gzip.open(path) if is_compressed else path.open("rb") as text:
            return text.read(len(HEADING_BEGINNING)) == HEADING_BEGINNING
    except (EOFError, zlib.error):
        return False


def _is_locked(file: IO[bytes]) -> bool | None:
    """Lock a file, for as long as it is open; return whether that is done, None where files cannot be locked."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


_NAME: Final = re.compile(r"\.(.+)\.[0-9a-f]{8}\.part", re.DOTALL)
