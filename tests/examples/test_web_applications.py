"""The web applications behind their real servers: two processes, one SQLite file, real requests."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import msgspec
import pytest

from perdure import SyncEngine

ROOT = Path(__file__).parents[2]
PACKAGE = "examples.web_applications"
GUNICORN = ["gunicorn", "-c", f"python:{PACKAGE}.gunicorn_conf", "-b"]
SERVERS = {
    "flask": [*GUNICORN, "fd://{socket}", f"{PACKAGE}.flask_app"],
    "django": [*GUNICORN, "fd://{socket}", f"{PACKAGE}.django_app"],
    "fastapi": ["uvicorn", "--workers", "2", "--fd", "{socket}", f"{PACKAGE}.fastapi_app:application"],
}
HOLIDAYS = {"employee": "Ada", "first": "2026-12-18", "last": "2026-12-24"}


class Server:
    """A server as its clients see it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, body: object = None) -> tuple[int, Any]:
        data = None if body is None else msgspec.json.encode(body)
        try:
            with urlopen(Request(f"{self.url}/leaves/{quote(path)}", data=data), timeout=60) as answer:
                return answer.status, msgspec.json.decode(answer.read())
        except HTTPError as error:
            return error.code, msgspec.json.decode(error.read())

    def stop(self) -> int:
        """Stop it in good order; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'leaves.db'}"


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, database: str) -> Iterator[Server]:
    environment = {**os.environ, "PERDURE_URL": database}
    with socket.create_server(("127.0.0.1", 0)) as listening:  # already: who comes before the server is up waits
        port, number = listening.getsockname()[1], listening.fileno()
        command = [sys.executable, "-m", *(word.format(socket=number) for word in SERVERS[request.param])]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[number])
    serving = Server(process, port)
    yield serving
    serving.stop()


def take_leave(server: Server, leave: str) -> str:
    """Ask for leave, twice, as an impatient user does; have it decided, and return the outcome."""
    for _ in range(2):
        assert server.ask(leave, HOLIDAYS) == (202, {"id": leave})
    assert server.ask(leave)[1]["status"] == "running"
    assert server.ask(f"{leave}/decision", {"is_approved": True, "by": leave})[0] == 202
    while True:
        status, told = server.ask(f"{leave}/outcome")
        if status == 200:
            return str(told["outcome"])


def test_processes_of_a_server_share_the_runs_of_one_file(server: Server, database: str) -> None:
    leaves = [f"leave-{number}" for number in range(24)]
    with ThreadPoolExecutor(4) as users:
        outcomes = list(users.map(lambda leave: take_leave(server, leave), leaves))
    assert outcomes == [f"5 days for Ada: booked by {leave}" for leave in leaves]
    assert server.ask("nobody")[0] == 404
    assert server.ask("left open", HOLIDAYS)[0] == 202
    assert server.stop() == 0
    with SyncEngine(database, works=False) as engine:
        assert engine.count_runs() == len(leaves) + 1
        assert engine.get_run("left open").describe().owner is None
