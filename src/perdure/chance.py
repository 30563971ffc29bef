"""What the engine leaves to chance: the names that it gives to runs, requests, messages and calls, and that nobody else
may give by accident.

They are 128 bits of the operating system's. Whoever wants a course to come again, as the deterministic simulation does,
has them drawn from elsewhere, for what is begun within a block of its own: nothing else of the process is touched.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

__all__ = ["drawn_from", "new_name", "new_uuid"]


def new_name() -> str:
    """Return a name of 32 hexadecimal digits."""
    return _source.get()(_BYTES).hex()


def new_uuid() -> str:
    """Return a name in the form of a random UUID (RFC 9562, version 4)."""
    return str(uuid.UUID(bytes=_source.get()(_BYTES), version=4))


@contextmanager
def drawn_from(source: Callable[[int], bytes]) -> Iterator[None]:
    """Draw the names that are given within the block, and in the tasks that are made there, from `source`.

    It is asked for a number of bytes. Names are unique only as far as what it answers is.
    """
    before = _source.set(source)
    try:
        yield
    finally:
        _source.reset(before)


_BYTES: Final = 16
_source: Final[ContextVar[Callable[[int], bytes]]] = ContextVar("perdure_chance", default=os.urandom)
