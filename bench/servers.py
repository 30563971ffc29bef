"""The server of a measurement: started fresh by the harness, outside of the subject's process, and gone with its data.

**Why one for each measurement.** A cluster that another subject has filled has its checkpoint and its vacuum still to
come, which would fall into somebody else's turn; and what is left of a subject would be found by the next. A fresh one
takes about two seconds, and nothing is left. It is started by the harness, because it outlives the kill of W5 and W8.

It is as durable as it comes: PostgreSQL is that of `perdure.local_postgres` in a folder that is kept until the end of
the measurement, where fsync, synchronous_commit and full_page_writes are on; the facts under the table are read back.
Restate's server has its defaults, a synced log among them, but for where it listens and what it tells its makers.
"""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.peer_environments import RESTATE_SERVER, program
from perdure.local_postgres import LocalPostgres


class ServerError(Exception):
    """A server did not start; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that runs. `process`: its number."""

    url: str
    process: int


@contextmanager
def postgres_server(directory: Path) -> Iterator[Server]:
    """Serve a new cluster below a directory, which must be open to whom root hands it."""
    directory.chmod(0o711)
    with LocalPostgres(directory / "server") as server:
        yield Server(url=server.url(), process=server.process)


@contextmanager
def restate_server(directory: Path) -> Iterator[Server]:
    """Serve Restate with its data below a directory.

    The URL is that of the ingress; its query names the port of the administration, and one for the subject's handlers.
    """
    ingress, admin, node, handlers = _free_ports(4)
    environment = os.environ | {
        "RESTATE_INGRESS__BIND_ADDRESS": f"{_ADDRESS}:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"{_ADDRESS}:{admin}",
        "RESTATE_BIND_ADDRESS": f"{_ADDRESS}:{node}",
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "warn",
    }
    command = [
        str(program("restate", RESTATE_SERVER)),
        "--base-dir",
        str(directory / "server"),
        "--node-name",
        "bench",
    ]
    with (
        (directory / "server.out").open("wb") as printed,
        subprocess.Popen(command, env=environment, stdout=printed, stderr=subprocess.STDOUT) as process,
    ):
        try:
            _await_health(process, f"http://{_ADDRESS}:{admin}/health", directory / "server.out")
            query = f"admin={admin}&handlers={handlers}"
            yield Server(url=f"http://{_ADDRESS}:{ingress}?{query}", process=process.pid)
        finally:
            process.kill()  # its data go with it


def _free_ports(count: int) -> list[int]:
    """Give ports that are free; all are held until the last is found."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind((_ADDRESS, 0))
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _await_health(process: subprocess.Popen[bytes], url: str, printed: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(_LOOK_SECONDS)
    said = printed.read_text(encoding="utf-8", errors="replace")[-_SAID_CHARACTERS:]
    raise ServerError(f"the server of restate did not start within {_START_SECONDS:.0f} s; it said:\n{said}")


StartServer = Callable[[Path], AbstractContextManager[Server]]

SERVERS: Final[dict[str, StartServer]] = {"postgres": postgres_server, "restate": restate_server}
_ADDRESS: Final = "127.0.0.1"
_START_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.05
_SAID_CHARACTERS: Final = 2_000
