"""Environments for peers, made by uv on first use: their dependencies never touch the project's.

`bench/peers/NAME/requirements.txt` pins everything a peer needs (`uv pip compile --universal requirements.in`); its
environment is `bench/.peers/NAME`, made anew when the pins or the Python version change.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

_BENCH: Final = Path(__file__).resolve().parent
PEERS: Final = _BENCH / "peers"
ENVIRONMENTS: Final = _BENCH / ".peers"


class PeerEnvironmentError(Exception):
    """A peer's environment could not be made; the message says why and what to do."""


def interpreter(peer: str) -> Path:
    """Give the interpreter of a peer's environment, which is made if it is missing or out of date."""
    requirements = PEERS / peer / "requirements.txt"
    environment = ENVIRONMENTS / peer
    stamp = environment / "perdure-bench-stamp"
    wanted = _fingerprint(requirements)
    python = environment / "bin" / "python"
    if not (python.exists() and stamp.exists() and stamp.read_text(encoding="ascii") == wanted):
        _make(environment, requirements)
        stamp.write_text(wanted, encoding="ascii")
    return python


def _fingerprint(requirements: Path) -> str:
    return hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()


def _make(environment: Path, requirements: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        message = "uv is not on the path; it makes the peers' environments: pip install uv"
        raise PeerEnvironmentError(message)
    environment.parent.mkdir(parents=True, exist_ok=True)
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)],
        [uv, "pip", "sync", "--quiet", "--python", str(environment / "bin" / "python"), str(requirements)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            message = f"could not make {environment}: {' '.join(command)}\n{done.stderr.strip()}"
            raise PeerEnvironmentError(message)
