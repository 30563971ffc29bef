"""The process that is killed: the example's program, run as a user would run it."""

import asyncio
import os
import sys
from pathlib import Path

from perdure.cli.demo.location import PROGRAM, examples_root, orders_file

__all__ = ["WorkerProcess"]


class WorkerProcess:
    """A running program. Everything it prints goes to the end of a log file."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Build from parts; use `start`."""
        self._process = process

    @classmethod
    async def start(cls, *, url: str, services: Path, log: Path, pace: float) -> "WorkerProcess":
        """Start the program on a database."""
        root = examples_root()
        path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
        arguments = [str(orders_file()), "--db", url, "--services", str(services), "--pace", str(pace)]
        with log.open("ab") as output:
            # -P: a package named `examples` in the caller's working directory must not be taken for ours.
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", PROGRAM, *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": path},
            )  # fmt: skip
        return cls(process)

    @property
    def number(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the process ended; None while it runs."""
        return self._process.returncode

    async def kill(self) -> None:
        """End it as a power cut would: no signal handler, no clean-up, no last word."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def wait(self) -> int:
        """Wait until it ends by itself; return its exit code."""
        return await self._process.wait()
