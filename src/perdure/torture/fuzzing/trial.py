"""One input to a target: what is wrong with how it is read, if anything is."""

import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from perdure.torture.fuzzing.target import BrokenLawError, Target

__all__ = ["what_is_wrong"]


def what_is_wrong(target: Target, data: bytes) -> str | None:
    """Let a target read `data`; return what breaks a law, None if nothing does."""
    before = _peak_bytes()
    try:
        with _limited_time():
            target.read(data)
    except target.expected:
        pass
    except BrokenLawError as error:
        return ascii(str(error))
    except _TooLongError:
        return f"it did not end within {_CPU_SECONDS:g} s of processor time"
    except BaseException as error:  # noqa: BLE001 - whatever comes out is the finding
        return f"it raised {type(error).__name__}: {str(error)!a:.200}"
    if _peak_bytes() - before > _MEMORY_BYTES:
        return f"it took {(_peak_bytes() - before) >> 20} MiB of memory"
    return None


class _TooLongError(BaseException):
    pass


@contextmanager
def _limited_time() -> Iterator[None]:
    """Raise _TooLongError in what uses too much processor time; only the main thread can be interrupted so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    was = signal.signal(signal.SIGVTALRM, _give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, was)


def _give_up(_number: int, _frame: FrameType | None) -> None:
    raise _TooLongError


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1_024


_CPU_SECONDS: Final = 5.0
_MEMORY_BYTES: Final = 320 * 2**20
"""More than the largest value that any of the corpus may become, three times."""
