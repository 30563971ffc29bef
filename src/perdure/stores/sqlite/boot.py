"""Which start of the machine this is."""

from pathlib import Path
from typing import Final

__all__ = ["boot_id"]

_LINUX: Final = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Return what names the time since the machine was started, in all its processes; empty where none can tell."""
    try:
        return _LINUX.read_text("ascii").strip()
    except OSError:
        return ""
