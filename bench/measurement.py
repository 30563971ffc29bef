"""One measurement: its phases one after the other, each in a process of its own, on a fresh database on disk."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.conditions import fsync_per_second, load
from bench.peer_environments import interpreter
from bench.records import Outcome, Reading, Request
from bench.servers import SERVERS, Server, ServerError
from bench.workloads import Subject, Workload
from perdure.errors import LocalPostgresError

_SCRIPT: Final = Path(__file__).resolve().parent / "subject_process.py"
_ERROR_LINES: Final = 15
_KILLED_PHASE: Final = "crash"


class MeasurementError(Exception):
    """A subject's process failed; the message holds what it printed last."""


@dataclass(frozen=True, kw_only=True)
class Result:
    readings: list[Reading]
    facts: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One repeat of one workload for one subject."""

    workload: Workload
    subject: Subject
    size: dict[str, int]
    repeat: int
    loop: str
    directory: Path
    timeout_seconds: float

    def run(self) -> Result:
        """Run all phases. Raises MeasurementError, PeerEnvironmentError."""
        fresh = Path(tempfile.mkdtemp(prefix=f"{self.workload.name}-{self.subject.name}-", dir=self.directory))
        try:
            with self._server(fresh) as server:
                fsync, load_before = fsync_per_second(fresh), load()
                outcomes = [self._run_phase(phase, fresh, server) for phase in self.workload.phases]
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        readings = [
            Reading(
                workload=self.workload.name,
                subject=self.subject.name,
                figure=figure,
                repeat=self.repeat,
                fsync_per_second=fsync,
                load=load_before,
                size=self.size,
                loop=self.loop,
            )
            for outcome in outcomes
            for figure in outcome.figures
        ]
        return Result(readings=readings, facts={k: v for outcome in outcomes for k, v in outcome.facts.items()})

    @contextmanager
    def _server(self, fresh: Path) -> Iterator[Server | None]:
        if self.subject.server is None:
            yield None
            return
        with ExitStack() as stack:
            try:
                server = stack.enter_context(SERVERS[self.subject.server](fresh))
            except (LocalPostgresError, ServerError) as error:
                raise MeasurementError(f"{self._name()}: {error}") from error
            yield server

    def _run_phase(self, phase: str, fresh: Path, server: Server | None) -> Outcome:
        python = sys.executable if self.subject.peer is None else str(interpreter(self.subject.peer))
        directory = fresh if self.workload.phases[0] == _KILLED_PHASE else fresh / phase
        directory.mkdir(exist_ok=True)
        request_path, outcome_path, printed_path = (fresh / f"{phase}.{kind}" for kind in ("request", "outcome", "out"))
        request = Request(
            subject=self.subject.name,
            workload=self.workload.name,
            phase=phase,
            directory=str(directory),
            size=self.size,
            loop=self.loop,
            spawned_at=time.monotonic(),
            server_url=None if server is None else server.url,
            server_process=None if server is None else server.process,
        )
        request_path.write_text(request.written_as_json(), encoding="utf-8")
        command = [python, str(_SCRIPT), self.subject.module, str(request_path), str(outcome_path)]
        with printed_path.open("wb") as printed:
            process = subprocess.Popen(
                command, cwd=directory, env=_environment(), stdout=printed, stderr=subprocess.STDOUT
            )
            status = self._await_end(process)
        if phase == _KILLED_PHASE and status == -signal.SIGKILL:
            return Outcome()
        if status != 0 or phase == _KILLED_PHASE:
            raise MeasurementError(self._complaint(phase, status, printed_path))
        return Outcome.read(outcome_path.read_text(encoding="utf-8"))

    def _await_end(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(self.timeout_seconds)
        except BaseException as error:
            process.kill()
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                message = f"{self._name()} did not end within {self.timeout_seconds:.0f} s (--timeout)"
                raise MeasurementError(message) from error
            raise

    def _complaint(self, phase: str, status: int, printed_path: Path) -> str:
        printed = printed_path.read_text(encoding="utf-8", errors="replace").splitlines()
        last = "\n".join(f"    {line}" for line in printed[-_ERROR_LINES:])
        how = f"ended with status {status}" if status >= 0 else f"was killed by {signal.Signals(-status).name}"
        return f"{self._name()}, phase {phase}, {how}; it printed last:\n{last}"

    def _name(self) -> str:
        return f"{self.workload.name} of {self.subject.name}, repeat {self.repeat}"


def _environment() -> dict[str, str]:
    """Give a process what it finds at its users': bytecode is kept, so that it pays for no compiler but once."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def loop_by_default() -> str:
    """Name the event loop that all subjects use unless told otherwise: uvloop where it is installed."""
    return "asyncio" if importlib.util.find_spec("uvloop") is None else "uvloop"


def default_directory() -> Path:
    """Give where databases are made unless told otherwise: beside this file, on disk, ignored by git."""
    return Path(__file__).resolve().parent / ".work"
