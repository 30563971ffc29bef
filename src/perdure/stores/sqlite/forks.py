"""Forks wait until no thread of a store is inside SQLite.

SQLite keeps in memory which locks the connections of a process hold on a file, and mutexes. A process that is forked
while a thread is in the middle of a transaction has all of that as it was, without the thread that would let go of it:
what it opens itself finds the database locked for ever.
"""

import os
import threading
import time
import weakref
from threading import RLock
from typing import Final

__all__ = ["new_passage"]


def new_passage() -> RLock:
    """Return a lock for a thread to hold while it is inside SQLite; a fork elsewhere waits for it, for some seconds."""
    passage = RLock()
    with _REGISTERING:
        _PASSAGES.add(passage)
    return passage


def _wait() -> None:
    _REGISTERING.acquire()
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    _HELD.extend(passage for passage in _PASSAGES if passage.acquire(timeout=max(0.0, give_up_at - time.monotonic())))


def _go_on() -> None:
    for passage in _HELD:
        passage.release()
    _HELD.clear()
    _REGISTERING.release()


_PASSAGES: Final[weakref.WeakSet[RLock]] = weakref.WeakSet()
_HELD: Final[list[RLock]] = []
_REGISTERING: Final = threading.Lock()
_PATIENCE_SECONDS: Final = 5.0

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait, after_in_parent=_go_on, after_in_child=_go_on)
