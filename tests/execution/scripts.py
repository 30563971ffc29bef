"""Programs that tests write and run, with what they would import."""

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["environment", "run", "run_script"]

LIMIT_SECONDS = 100.0


def run_script(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(program)
    return run([sys.executable, str(script)])


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False, env=environment()
    )


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
