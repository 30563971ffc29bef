"""What passes between the harness and a subject's process: plain records that travel as JSON.

Only the standard library, because a peer's environment holds nothing of this project.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Request:
    """One phase of one measurement, for a process of its own."""

    subject: str
    workload: str
    phase: str
    directory: str  # fresh for the measurement, shared by its phases
    size: dict[str, int]  # see `bench.workloads`
    loop: str  # "uvloop" or "asyncio"
    spawned_at: float  # time.monotonic() just before the process was started
    server_url: str | None = None  # of the server that the harness has started for the measurement; None: there is none
    server_process: int | None = None  # its number; the server is this process with all that descend from it

    @property
    def database(self) -> Path:
        """The file of a subject that has one."""
        return Path(self.directory) / f"{self.subject}.db"

    @property
    def server(self) -> str:
        """The URL of the measurement's server; for subjects that have one."""
        if self.server_url is None:
            raise RuntimeError(f"no server was started for {self.subject}")
        return self.server_url

    def written_as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number. A unit that ends in "/s" is a rate, the more the better; of all others less is better."""

    metric: str
    value: float
    unit: str
    cpu_microseconds_per_unit: float | None = None  # user + system of the process and its children; None: not measured
    server_cpu_microseconds_per_unit: float | None = None  # of the server, told apart; None: none, or not measured


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one phase found out."""

    figures: list[Figure] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)  # versions and settings, to be printed under the table

    def written_as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Self:
        raw = json.loads(text)
        return cls(figures=[Figure(**figure) for figure in raw["figures"]], facts=raw["facts"])


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A figure with the conditions under which it was measured: one line of the JSON output."""

    workload: str
    subject: str
    figure: Figure
    repeat: int  # from 1
    fsync_per_second: float
    load: float
    size: dict[str, int]
    loop: str

    def as_json_line(self) -> str:
        """Write the line. `metric`, `server_cpu_us_per_unit`, `size` and `loop` are additions to the agreed keys."""
        return json.dumps(
            {
                "workload": self.workload,
                "subject": self.subject,
                "metric": self.figure.metric,
                "value": self.figure.value,
                "unit": self.figure.unit,
                "cpu_us_per_unit": self.figure.cpu_microseconds_per_unit,
                "server_cpu_us_per_unit": self.figure.server_cpu_microseconds_per_unit,
                "repeat": self.repeat,
                "fsync_per_s": round(self.fsync_per_second, 1),
                "load": self.load,
                "size": self.size,
                "loop": self.loop,
            }
        )
