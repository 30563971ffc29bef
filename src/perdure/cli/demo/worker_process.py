"""The processes of the demonstration: the example's program, run as a user would run it, and workers for it."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import IO

from perdure.cli.demo.location import PROGRAM, WORKFLOWS, examples_root, orders_file

__all__ = ["WorkerProcess", "start_program", "start_worker"]


class WorkerProcess:
    """A running program. Everything it prints goes to the end of a log file."""

    def __init__(self, process: Process) -> None:
        """Build from parts; use `start_program` or `start_worker`."""
        self._process = process

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

    async def stop(self) -> int:
        """Ask it to end, and wait until it has; return its exit code."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        return await self._process.wait()


async def start_program(*, url: str, services: Path, log: Path, pace: float, works: bool) -> WorkerProcess:
    """Start the program on a database. It starts the orders, and works on them, too, if it `works`."""
    arguments = [str(orders_file()), "--db", url, "--services", str(services), "--pace", str(pace)]
    arguments += [] if works else ["--no-work"]
    with log.open("ab") as output:
        return WorkerProcess(await _start([PROGRAM, *arguments], {}, stdout=output, stderr=output))


async def start_worker(*, url: str, services: Path, log: Path, pace: float) -> WorkerProcess:
    """Start a worker on a database, and return when it is at work, or has ended."""
    arguments = ["perdure", "worker", WORKFLOWS, "--db", url, "--json"]
    variables = {"ORDER_SERVICES": str(services), "ORDER_PACE": str(pace)}
    with log.open("ab") as output:
        process = await _start(arguments, variables, stdout=PIPE, stderr=output)
    assert process.stdout is not None
    await process.stdout.readline()
    return WorkerProcess(process)


async def _start(
    arguments: list[str], variables: dict[str, str], *, stdout: IO[bytes] | int, stderr: IO[bytes]
) -> Process:
    path = os.pathsep.join(filter(None, (str(examples_root()), os.environ.get("PYTHONPATH"))))
    # -P: a package named `examples` in the caller's working directory must not be taken for ours.
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", *arguments,
        stdin=DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, **variables, "PYTHONPATH": path},
    )  # fmt: skip
