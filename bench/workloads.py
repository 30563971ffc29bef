"""The workloads: what each one does, how large it is, and how much of it a slow subject is asked to do.

A step is an activity that does nothing and returns {"ok": true, "i": i}; its result is durable before the next step
starts. Every subject runs at its default durability.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_LEAST: Final = 4  # no size shrinks below this


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One workload. Each phase runs in a process of its own; the phases of a measurement share one database."""

    name: str
    sentence: str
    size: Mapping[str, int]
    quick: Mapping[str, int]
    phases: tuple[str, ...] = ("whole",)
    scaled: str | None = None  # the part of the size that a slow subject does less of; None: never less
    needed: Mapping[str, int] | None = None  # the least a subject is asked for, whatever its scale


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Something to be measured: a module under `bench.subjects`, the environment it runs in, what it can do."""

    name: str
    module: str
    workloads: frozenset[str]
    peer: str | None = None  # folder under bench/peers with its pinned requirements; None: the project's environment
    server: str | None = None  # of `bench.servers`; None: it needs none
    scale: Mapping[str, float] | None = None  # per workload; 1 where it is not named


CRASHED: Final = ("crash", "restart")

WORKLOADS: Final = {
    workload.name: workload
    for workload in (
        Workload(
            name="W1",
            sentence="one-step workflows, 100 in flight, submission included",
            size={"runs": 2_000, "in_flight": 100},
            quick={"runs": 200, "in_flight": 100},
            scaled="runs",
        ),
        Workload(
            name="W2",
            sentence="runs of 10 sequential steps, 50 in flight",
            size={"runs": 200, "steps": 10, "in_flight": 50},
            quick={"runs": 50, "steps": 10, "in_flight": 50},
            scaled="runs",
            needed={"runs": 50},
        ),
        Workload(
            name="W3",
            sentence="runs of 100 parallel steps, gathered",
            size={"runs": 20, "steps": 100},
            quick={"runs": 4, "steps": 100},
            scaled="runs",
        ),
        Workload(
            name="W4",
            sentence="one-step workflows, one at a time: from start to result",
            size={"runs": 200},
            quick={"runs": 40},
            scaled="runs",
        ),
        Workload(
            name="W5",
            sentence="runs of 5 steps, all at once; SIGKILL at half of the steps, restart: until all are complete",
            size={"runs": 500, "steps": 5},
            quick={"runs": 40, "steps": 5},
            phases=CRASHED,
        ),
        Workload(
            name="W6",
            sentence="durable sleeps of 1 s at once",
            size={"runs": 1_000},
            quick={"runs": 100},
        ),
        Workload(
            name="W7",
            sentence="waiting runs, one signal each, 50 in flight: from signal to result",
            size={"runs": 500, "in_flight": 50},
            quick={"runs": 50, "in_flight": 50},
        ),
        Workload(
            name="W8",
            sentence="one run of many steps: step cost at the start and at the end, replay after a kill at 98 %",
            size={"steps": 5_000},
            quick={"steps": 500},
            phases=CRASHED,
            scaled="steps",
        ),
        Workload(
            name="W2x",
            sentence="W2 in 1, 2 and 4 processes at once on one database, each with all of its runs",
            size={"runs": 200, "steps": 10, "in_flight": 50},
            quick={"runs": 50, "steps": 10, "in_flight": 50},
        ),
        Workload(
            name="M",
            sentence="import CPU, idle memory, bytes per step on disk, memory per waiting run",
            size={"runs": 2_000, "steps": 10, "waiting": 30_000, "settle_seconds": 20},
            quick={"runs": 20, "steps": 10, "waiting": 500, "settle_seconds": 14},
            phases=("import", "disk", "idle", "waiting"),  # before memory is measured all that is imported is compiled
            scaled="waiting",
        ),
    )
}

_SCALING: Final = frozenset({"W2x"})
_ALL: Final = frozenset(WORKLOADS) - _SCALING
# DBOS does a few hundred steps a second: a quarter of the count gives the same rate in bearable time. W8 and the
# memory of waiting runs are smaller too, which the table says; W5, W6 and W7 are never reduced.
_DBOS_SCALE: Final = {"W1": 0.25, "W2": 0.5, "W3": 0.25, "W4": 0.5, "W8": 0.1, "M": 0.1}

SUBJECTS: Final = {
    subject.name: subject
    for subject in (
        Subject(name="perdure-sqlite", module="perdure_sqlite", workloads=_ALL),
        Subject(name="raw-sqlite", module="raw_sqlite", workloads=frozenset({"W2"})),
        Subject(name="dbos-sqlite", module="dbos_sqlite", workloads=_ALL, peer="dbos", scale=_DBOS_SCALE),
        # Not a setting that DBOS documents, but one an operator could make on the file: the harder rival.
        Subject(name="dbos-sqlite-wal", module="dbos_sqlite", workloads=_ALL, peer="dbos", scale=_DBOS_SCALE),
        Subject(name="perdure-postgres", module="perdure_postgres", workloads=_ALL | _SCALING, server="postgres"),
        Subject(name="raw-postgres", module="raw_postgres", workloads=frozenset({"W2"}), server="postgres"),
        Subject(
            name="dbos-postgres",
            module="dbos_postgres",
            workloads=_ALL,
            peer="dbos",
            server="postgres",
            scale=_DBOS_SCALE,
        ),
        # What M weighs is in its server, whose memory is a cache of fixed size.
        Subject(name="restate", module="restate", workloads=_ALL - {"M"}, peer="restate", server="restate"),
    )
}


def size_for(workload: Workload, scale: float = 1.0, *, quick: bool = False) -> dict[str, int]:
    """Give the size that a subject of this scale is asked for; scale above 1 does more (10 makes 300,000 wait).

    >>> size_for(WORKLOADS["W1"], 0.25)
    {'runs': 500, 'in_flight': 100}
    >>> size_for(WORKLOADS["W5"], 0.25)
    {'runs': 500, 'steps': 5}
    """
    size = dict(workload.quick if quick else workload.size)
    if workload.scaled is not None:
        least = (workload.needed or {}).get(workload.scaled, _LEAST)
        size[workload.scaled] = max(least, round(size[workload.scaled] * scale))
    return size
