"""Which process a session is of: who runs on the same machine knows at once that it has ended, and misses it for no
second first.

A process is named by the boot of its machine, the namespace that its number is of, that number, and when it began, so
that no other is taken for it. Machines that were copied while they ran may give the same names: what follows of that is
what a second without a connection is followed by everywhere, and fencing tokens keep it harmless. Systems other than
Linux tell nothing of this kind.
"""

import os
from pathlib import Path
from typing import Final

__all__ = ["has_ended", "own_process"]


def own_process() -> str:
    """Return the name of this process, "" where it has none."""
    try:
        return f"{_machine()} {os.getpid()} {_began_at(os.getpid())}"
    except OSError:
        return ""


def has_ended(process: str) -> bool:
    """Whether a process of this machine has ended; False of others, and where that is not known."""
    try:
        machine, number, began_at = process.rsplit(" ", 2)
        if machine != _machine():
            return False
        os.kill(int(number), 0)
        return _began_at(int(number)) != began_at
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError, IndexError):  # not shown, or no name that any process has
        return False


def _machine() -> str:
    return f"{_BOOT.read_text(encoding='ascii').strip()} {_NUMBERS.readlink()}"


def _began_at(number: int) -> str:
    """Return when a process began, in ticks since the boot; "" if it has ended, and only its parent does not know."""
    told = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    state, *fields = told.rpartition(")")[2].split()  # what is before may hold anything: the program's name
    return "" if state in "ZX" else fields[_BEGAN_AT]


_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_NUMBERS: Final = Path("/proc/self/ns/pid")
_BEGAN_AT: Final = 18
"""Its place among the fields of `/proc/<number>/stat` that follow the state."""
