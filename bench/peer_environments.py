"""Environments for peers, made by uv on first use: their dependencies never touch the project's.

`bench/peers/NAME/requirements.txt` pins everything a peer needs (`uv pip compile --universal requirements.in`); its
environment is `bench/.peers/NAME`, made anew when the pins or the Python version change. Where a peer brings a program
that npm has and PyPI has not, `package-lock.json` beside it pins that, with its digest, and npm puts it there, too.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

_BENCH: Final = Path(__file__).resolve().parent
RESTATE_SERVER: Final = "@restatedev/restate-server-*/bin/restate-server"
"""Where npm puts the server of Restate, which is a package for each platform."""
PEERS: Final = _BENCH / "peers"
ENVIRONMENTS: Final = _BENCH / ".peers"


class PeerEnvironmentError(Exception):
    """A peer's environment could not be made; the message says why and what to do."""


def interpreter(peer: str) -> Path:
    """Give the interpreter of a peer's environment, which is made if it is missing or out of date."""
    environment = ENVIRONMENTS / peer
    stamp = environment / "perdure-bench-stamp"
    wanted = _fingerprint(PEERS / peer)
    python = environment / "bin" / "python"
    if not (python.exists() and stamp.exists() and stamp.read_text(encoding="ascii") == wanted):
        _make(environment, PEERS / peer)
        stamp.write_text(wanted, encoding="ascii")
    return python


def program(peer: str, pattern: str) -> Path:
    """Give a program that npm has put into a peer's environment; `pattern` may name the packages of all platforms."""
    interpreter(peer)
    found = next((ENVIRONMENTS / peer / "node_modules").glob(pattern), None)
    if found is None:
        raise PeerEnvironmentError(f"npm has no {pattern} for this platform")
    return found


def _fingerprint(pins: Path) -> str:
    texts = [path.read_bytes() for path in (pins / name for name in _PINS) if path.exists()]
    return hashlib.sha256(b"".join(texts) + sys.version.encode()).hexdigest()


def _make(environment: Path, pins: Path) -> None:
    uv = _tool("uv", "it makes the peers' environments: pip install uv")
    environment.parent.mkdir(parents=True, exist_ok=True)
    python = str(environment / "bin" / "python")
    _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)])
    _run([uv, "pip", "sync", "--quiet", "--python", python, str(pins / _PYTHON_PINS)])
    if (pins / _NODE_PINS).exists():
        npm = _tool("npm", f"it has the program of {pins.name}: install Node.js")
        for name in ("package.json", _NODE_PINS):
            shutil.copy(pins / name, environment / name)
        _run([npm, "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(environment)])


def _tool(name: str, why: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise PeerEnvironmentError(f"{name} is not on the path; {why}")
    return found


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PeerEnvironmentError(f"{' '.join(command)} failed:\n{(done.stderr or done.stdout).strip()}")


_PYTHON_PINS: Final = "requirements.txt"
_NODE_PINS: Final = "package-lock.json"
_PINS: Final = (_PYTHON_PINS, _NODE_PINS)
