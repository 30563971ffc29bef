"""What step and workflow bodies tell the harness while they run, outside of the subject's own history.

The bodies are the same for every subject, and so is what they pay for being watched. A `SIGKILL` comes from inside a
step: it strikes at exactly the same point for every subject, and like any SIGKILL it leaves no time for anything.
"""

import json
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Ledger:
    """Steps that ran and runs that were acknowledged (W5): lines in a file, so that they outlive the process."""

    path: Path
    kill_at: int | None = None  # die in the step of this number, before its line and its result
    _ran: int = 0
    _descriptor: int = -1

    def open(self) -> None:
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def step(self, number: int, index: int) -> None:
        self._ran += 1
        if self._ran == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(self._descriptor, b"step %d %d\n" % (number, index))

    def acknowledged(self, number: int) -> None:
        os.write(self._descriptor, b"run %d\n" % number)

    def runs(self) -> set[int]:
        """List the runs whose start was acknowledged."""
        return {int(words[1]) for words in self._lines() if words[0] == "run"}

    def steps(self) -> Counter[tuple[int, int]]:
        """Count how often each step of each run ran to its end."""
        return Counter((int(words[1]), int(words[2])) for words in self._lines() if words[0] == "step")

    def _lines(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text(encoding="ascii").splitlines()]


@dataclass
class StepClock:
    """When each step of one long run began (W8), by the wall and by the CPU of the whole process."""

    path: Path | None = None  # written just before the kill
    kill_at: int | None = None
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def step(self) -> None:
        self.wall.append(time.monotonic())
        self.cpu.append(time.process_time())
        if self.path is not None and len(self.wall) == self.kill_at:
            self.path.write_text(json.dumps({"wall": self.wall, "cpu": self.cpu}), encoding="ascii")
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Moments:
    """When each run came to its sleep and out of it (W6), and how many have come to their wait (W7, M).

    A run that left memory passes its beginning again in replay: the first time counts. Waiting runs are only counted,
    so that the recording takes no memory where memory is measured.
    """

    slept: dict[int, float] = field(default_factory=dict)
    woke: dict[int, float] = field(default_factory=dict)
    waiting: int = 0

    def falls_asleep(self, number: int) -> None:
        self.slept.setdefault(number, time.monotonic())

    def wakes(self, number: int) -> None:
        self.woke.setdefault(number, time.monotonic())

    def waits(self) -> None:
        self.waiting += 1


@dataclass
class Recording:
    """The recording of this process: a process measures one phase of one workload."""

    ledger: Ledger | None = None
    clock: StepClock = field(default_factory=StepClock)
    moments: Moments = field(default_factory=Moments)
    server_process: int | None = None  # of the measurement's server, whose CPU time counts for itself


RECORDING = Recording()


def ledger() -> Ledger:
    """Give the ledger of W5; its phases set it before a subject opens, because recovery runs steps at once."""
    if RECORDING.ledger is None:
        raise RuntimeError("a step of W5 ran outside of W5")
    return RECORDING.ledger
