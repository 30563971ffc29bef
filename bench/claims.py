"""How many runs sessions of the PostgreSQL store claim a second, by how many are due and how many sessions claim.

Fills a database with runs whose timer has come (`bench.many_runs`), then lets processes with a session each claim them
100 at a time, as a worker does that has room; what they do with them is not measured. A round ends after some seconds
or when all are claimed. The sessions then end, by which the store gives the runs back, and the next round begins on an
index with what the last one has left dead in it, as in real life; before another number of sessions it is vacuumed.

    uv run --group bench python bench/claims.py [--pending 1000,1000000] [--sessions 1,2] [--limit 100] [--seconds 5]

A million runs take some minutes to make. Prints medians of the rounds; times of claims are of all rounds together.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final

# Run as a script: its own folder is no place to import from, the repository is.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.findings import Finding, show  # noqa: E402 - needs the path above
from bench.loops import run_on_loop  # noqa: E402
from bench.many_runs import fill, server_below, vacuum  # noqa: E402
from bench.measurement import loop_by_default  # noqa: E402
from bench.metering import Cost, Meter  # noqa: E402
from bench.postgres import new_database  # noqa: E402
from bench.processes import at_once  # noqa: E402
from bench.recording import RECORDING  # noqa: E402
from bench.summary import percentile  # noqa: E402
from perdure.kernel.identity import WorkflowVersion  # noqa: E402
from perdure.stores.postgres.store import PostgresStore  # noqa: E402
from perdure.torture.loads.workflows import reminder  # noqa: E402

_GOAL_CLAIMS_PER_SECOND: Final = 10_000.0
_GOAL_PENDING: Final = 1_000_000
_CLAIMED_AT_LEAST: Final = 20_000  # rounds are made until so many could have been claimed, of few runs
_FEWEST_ROUNDS, _MOST_ROUNDS = 3, 20
_LEASE_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What each session does. `server`: the number of its process; `seconds`: how long a round lasts."""

    url: str
    server: int
    limit: int
    seconds: float
    rounds: int
    loop: str


@dataclass(frozen=True, kw_only=True)
class Call:
    """A claim: when, by the clock that all processes have in common, and of how many runs."""

    begun: float
    ended: float
    claimed: int


@dataclass(frozen=True, kw_only=True)
class Round:
    """One session's round. `end_seconds`: what its end took, at which all is given back.

    The first session has also read what the server used until the last one had ended.
    """

    calls: list[Call]
    cost: Cost
    end_seconds: float

    @property
    def claimed(self) -> int:
        return sum(call.claimed for call in self.calls)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pending", type=_numbers, default=[1_000, _GOAL_PENDING])
    parser.add_argument("--sessions", type=_numbers, default=[1, 2])
    parser.add_argument("--limit", type=int, default=100, help="how many runs one claim takes at most")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a round")
    parser.add_argument("--directory", type=Path, default=None, help="where the cluster goes: a disk")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="append a line per figure")
    given = parser.parse_args()
    findings: list[Finding] = []
    with server_below(given.directory) as server:
        for pending in given.pending:
            url = new_database(server.url, f"pending_{pending}")
            fill(url, due=pending)
            rounds = max(_FEWEST_ROUNDS, min(_MOST_ROUNDS, _CLAIMED_AT_LEAST // pending))
            plan = Plan(
                url=url,
                server=server.process,
                limit=given.limit,
                seconds=given.seconds,
                rounds=rounds,
                loop=loop_by_default(),
            )
            for sessions in given.sessions:
                findings += measure(plan, pending=pending, sessions=sessions)
                vacuum(url)
    show(f"Claims of {given.limit} runs", findings, json_lines=given.json)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def measure(plan: Plan, *, pending: int, sessions: int) -> list[Finding]:
    """Let so many sessions claim, each in a process of its own."""
    of_sessions = at_once(sessions, partial(do_rounds, plan))
    rounds = list(zip(*of_sessions, strict=True))
    parts = [part for together in rounds for part in together]
    claimed = sum(part.claimed for part in parts)
    cost = sum((part.cost for part in parts), start=Cost())
    calls = [call.ended - call.begun for part in parts for call in part.calls]
    ends = [part.end_seconds / part.claimed for part in parts if part.claimed]
    where = f"{pending:,} due, {sessions} session{'s' if sessions > 1 else ''}"
    goal = _GOAL_CLAIMS_PER_SECOND if pending >= _GOAL_PENDING else None
    return [
        Finding(metric=f"{where}: claimed", value=statistics.median(map(_rate, rounds)), unit="runs/s", goal=goal),
        Finding(metric="a claim, p50", value=percentile(calls, 50) * 1e3, unit="ms"),
        Finding(metric="a claim, p99", value=percentile(calls, 99) * 1e3, unit="ms"),
        Finding(metric="CPU of the sessions", value=cost.own / claimed * 1e6, unit="µs a run"),
        Finding(metric="CPU of the server", value=(cost.server or 0.0) / claimed * 1e6, unit="µs a run"),
        Finding(metric="giving back at a session's end", value=statistics.median(ends) * 1e6, unit="µs a run"),
    ]


def _rate(together: Sequence[Round]) -> float:
    calls = [call for part in together for call in part.calls]
    seconds = max(call.ended for call in calls) - min(call.begun for call in calls)
    return sum(part.claimed for part in together) / seconds


def do_rounds(plan: Plan, number: int, gate: Barrier) -> list[Round]:
    """Be one of the processes."""
    RECORDING.server_process = None if number else plan.server
    return run_on_loop(_do_rounds(plan, gate), loop=plan.loop)


async def _do_rounds(plan: Plan, gate: Barrier) -> list[Round]:
    return [await _do_round(plan, gate) for _ in range(plan.rounds)]


async def _do_round(plan: Plan, gate: Barrier) -> Round:
    store = PostgresStore(plan.url)
    await store.open(session_name="claims", lease_seconds=_LEASE_SECONDS, on_changes=lambda _changes: None)
    try:
        await asyncio.to_thread(gate.wait)
        meter = Meter()
        calls = await _claim(store, plan)
        await asyncio.to_thread(gate.wait)  # nobody gives back what another might claim
        cost = meter.read()
    finally:
        ends_at = time.monotonic()
        await store.close()
    return Round(calls=calls, cost=cost, end_seconds=time.monotonic() - ends_at)


async def _claim(store: PostgresStore, plan: Plan) -> list[Call]:
    workflows = frozenset({WorkflowVersion(reminder.name, reminder.version)})
    calls: list[Call] = []
    begun = ended = time.monotonic()
    while ended - begun < plan.seconds:
        called = time.monotonic()
        runs = await store.claim(now=store.clock.now(), limit=plan.limit, workflows=workflows)
        if not runs:
            break
        ended = time.monotonic()
        calls.append(Call(begun=called, ended=ended, claimed=len(runs)))
    return calls


if __name__ == "__main__":
    main()
