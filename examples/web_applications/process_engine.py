"""The engine of this process, for synchronous frameworks: opened by whoever asks first, closed when the process ends.

Not at import: a server that imports the application and then forks its workers would hand them an engine without its
threads, which refuses to work and says so.
"""

import os
import threading
from functools import cache

from examples.web_applications.leave import DATABASE
from perdure import SyncEngine

__all__ = ["engine"]

_opening = threading.Lock()


def engine() -> SyncEngine:
    """Return the open engine; any thread may ask, and use it."""
    with _opening:
        return _opened()


@cache
def _opened() -> SyncEngine:
    return SyncEngine(os.environ[DATABASE]).__enter__()
