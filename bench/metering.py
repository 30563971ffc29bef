"""What work costs: the CPU time of the subject's process, and that of its server, told apart.

The server is whatever the harness has started for the measurement (`bench.servers`): its processes and threads, those
included that have ended meanwhile. Its time is read from Linux's `/proc`, in steps of 10 ms, and elsewhere not at all.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bench.conditions import cpu_seconds
from bench.recording import RECORDING
from bench.records import Figure

_PROCESSES: Final = Path("/proc")
_USED: Final = slice(11, 15)  # user, system, and both of children that were waited for; after the command's name
_PARENT: Final = 1


@dataclass(frozen=True, kw_only=True)
class Cost:
    """CPU time, in seconds. `server`: None where there is no server, or its time cannot be read."""

    own: float = 0.0
    server: float | None = None

    def __add__(self, more: Self) -> "Cost":
        server = self.server if more.server is None else more.server + (self.server or 0.0)
        return Cost(own=self.own + more.own, server=server)

    def figure(self, metric: str, value: float, unit: str, *, units: int) -> Figure:
        """Give the figure of what so many units of work cost this."""
        return Figure(
            metric=metric,
            value=value,
            unit=unit,
            cpu_microseconds_per_unit=self.own / units * 1e6,
            server_cpu_microseconds_per_unit=None if self.server is None else self.server / units * 1e6,
        )


class Meter:
    """Runs from its making on. What it takes to read the server's time is in nobody's cost."""

    def __init__(self) -> None:
        self._server = _server_seconds()
        self._own = cpu_seconds()

    def read(self) -> Cost:
        own = cpu_seconds() - self._own
        server = _server_seconds()
        return Cost(own=own, server=None if server is None or self._server is None else server - self._server)


def cpu_seconds_of_tree(root: int, processes: Path = _PROCESSES) -> float | None:
    """Say what a process and all its descendants have used, the dead ones included; None where that is not known."""
    if not (processes / "self").exists():
        return None
    tree = _tree(root, processes)
    return sum(int(used) for fields in tree.values() for used in fields[_USED]) / os.sysconf("SC_CLK_TCK")


def processes_of_tree(root: int) -> list[int]:
    """Give the numbers of a process and all its descendants that live, as far as that is known."""
    return [*_tree(root, _PROCESSES)]


def _tree(root: int, processes: Path) -> dict[int, list[str]]:
    found = {int(path.name): fields for path in processes.glob("[0-9]*") if (fields := _fields(path)) is not None}
    tree = {root}
    # A process has a higher number than its parent, but for the day when numbers begin anew.
    for process in sorted(found):
        if int(found[process][_PARENT]) in tree:
            tree.add(process)
    return {process: found[process] for process in tree & found.keys()}


def _server_seconds() -> float | None:
    server = RECORDING.server_process
    return None if server is None else cpu_seconds_of_tree(server)


def _fields(process: Path) -> list[str] | None:
    """Give the fields of a process's `stat` behind its name, which may hold blanks; None if it has just ended."""
    try:
        return (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
