"""Examples as programs of their own, which can be killed: a process gives no other sign than what it does."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

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


def run_program(module: str, *arguments: str, directory: Path) -> str:
    """Run ``python -m module`` to its end; return what it printed."""
    process = start_program(module, *arguments, directory=directory)
    code = process.wait(timeout=90)
    printed = (directory / "log").read_text()
    assert code == 0, printed
    return printed


def kill_when(process: subprocess.Popen[bytes], has_come: Callable[[], bool]) -> None:
    """Kill a program once something has come of it. It must not have ended by itself before."""
    try:
        deadline = time.monotonic() + 60
        while not has_come():
            assert process.poll() is None, "the program ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
