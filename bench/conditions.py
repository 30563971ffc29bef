"""The machine's mood and the process's cost, read beside every figure: a figure without them cannot be compared."""

import os
import resource
import time
from pathlib import Path
from typing import Final

_BLOCK: Final = b"\x5a" * 4096
_MEMORY_FILE_SYSTEMS: Final = frozenset({"tmpfs", "ramfs"})


def fsync_per_second(directory: Path, seconds: float = 0.25) -> float:
    """Append 4 KB and fdatasync over and over; say how often a second that went."""
    path = directory / "fsync.probe"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    synchronise = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
    try:
        count = 0
        begun = time.perf_counter()
        while (elapsed := time.perf_counter() - begun) < seconds:
            os.write(descriptor, _BLOCK)
            synchronise(descriptor)
            count += 1
        return count / elapsed
    finally:
        os.close(descriptor)
        path.unlink()


def load() -> float:
    """Say how many processes wanted a core, on average over the last minute."""
    return round(os.getloadavg()[0], 2)


def cpu_seconds() -> float:
    """Say what this process has used so far: user and system, all threads, and children that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def resident_bytes() -> int:
    """Say how much of this process is in memory now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory_file_system(directory: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """Name the file system if the directory lies in memory, where a sync is free and every figure a lie."""
    if not mounts.exists():
        return None
    table = [line.split()[1:3] for line in mounts.read_text(encoding="utf-8").splitlines()]
    above = [(point, kind) for point, kind in table if directory.resolve().is_relative_to(point)]
    _, kind = max(above, key=lambda mount: len(mount[0]), default=("/", "unknown"))
    return kind if kind in _MEMORY_FILE_SYSTEMS else None
