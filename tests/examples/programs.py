"""Examples as programs of their own, which can be killed: a process gives no other sign than what it does."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def start_program(module: str, *arguments: str, directory: Path) -> subprocess.Popen[bytes]:
    """Start ``python -m module``; what it prints is appended to `directory`/log."""
    with (directory / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", module, *arguments],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )


def run_program(module: str, *arguments: str, directory: Path, code: int = 0) -> str:
    """Run ``python -m module`` to its end, which must have this exit code; return what was printed so far."""
    process = start_program(module, *arguments, directory=directory)
    ended = process.wait()
    printed = (directory / "log").read_text()
    assert ended == code, printed
    return printed


def kill_when(process: subprocess.Popen[bytes], has_come: Callable[[], bool]) -> None:
    """Kill a program once something has come of it. It must not have ended by itself before."""
    try:
        while not has_come():
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"the program ended with {process.wait(0.005)} before it could be killed")
    finally:
        process.kill()
        process.wait()
