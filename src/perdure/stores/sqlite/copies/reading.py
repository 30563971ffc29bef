"""Files of a copy that the disk cannot read are damaged, like those of which bytes have changed.

File systems with checksums of their own say so of every byte that has changed, others of a bad sector. Whatever else
keeps a file from being read (no permission, a server that is away) says nothing of what it holds.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from perdure.errors import CopyDamagedError

__all__ = ["UnreadableError", "readable"]


class UnreadableError(CopyDamagedError):
    """The disk cannot read a file of a copy: it is damaged, or that passes (a cable, a server that is away)."""


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise UnreadableError if the disk cannot read a file of a copy, which is done meanwhile. Other OSErrors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DAMAGED:
            raise
        raise UnreadableError(f"{path} cannot be read: {error.strerror}") from error


_DAMAGED: Final = {errno.EIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)}
"""Where damage of a file system itself has no name of its own, it is an error of input and output."""
