"""A process of this machine that ends when a test says so."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Other", "process"]


@dataclass(frozen=True)
class Other:
    """A process, and how stores name it."""

    popen: subprocess.Popen[str]
    name: str

    def kill(self) -> None:
        """Kill it; its parent does not ask what became of it."""
        self.popen.kill()
        os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOWAIT)


@contextmanager
def process() -> Iterator[Other]:
    """Run a process, and end it."""
    command = [sys.executable, "-c", _NAMES_ITSELF]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as popen:
        assert popen.stdout is not None
        yield Other(popen, popen.stdout.readline().strip())


_NAMES_ITSELF = """
import sys
from perdure.stores.postgres.processes import own_process
print(own_process(), flush=True)
sys.stdin.read()
"""
