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
import multiprocessing
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Final

# Run as a script: its own folder is no place to import from, the repository is.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.findings import Finding, show  # noqa: E402 - needs the path above
from bench.loops import run_on_loop  # noqa: E402
from bench.many_runs import fill, server_below, vacuum  # noqa: E402
from bench.measurement import loop_by_default  # noqa: E402
from bench.metering import cpu_seconds_of_tree  # noqa: E402
from bench.postgres import new_database  # noqa: E402
from bench.summary import percentile  # noqa: E402
from perdure.kernel.identity import WorkflowVersion  # noqa: E402
from perdure.stores.postgres.store import PostgresStore  # noqa: E402
from perdure.torture.loads.workflows import reminder  # noqa: E402

_GOAL_CLAIMS_PER_SECOND: Final = 10_000.0
_GOAL_PENDING: Final = 1_000_000
_CLAIMED_AT_LEAST: Final = 20_000  # rounds are made until so many could have been claimed, of few runs
_FEWEST_ROUNDS, _MOST_ROUNDS = 3, 20
_LEASE_SECONDS: Final = 60.0
_PATIENCE_SECONDS: Final = 120.0


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
class Round:
    """One session's round: when it began and had its last run, by the clock of the machine, and what its calls took.

    `server_cpu_seconds`: what the server used meanwhile, for all sessions. `end_seconds`: what the session's end took.
    """

    begun: float
    ended: float
    claimed: int
    call_seconds: list[float]
    cpu_seconds: float
    server_cpu_seconds: float
    end_seconds: float = 0.0


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
    rounds = _of_all_sessions(plan, sessions)
    shares = [share for together in rounds for share in together]
    claimed = sum(share.claimed for share in shares)
    own = sum(share.cpu_seconds for share in shares)
    server = sum(together[0].server_cpu_seconds for together in rounds)
    calls = [seconds for share in shares for seconds in share.call_seconds]
    ends = [share.end_seconds / share.claimed for share in shares if share.claimed]
    where = f"{pending:,} due, {sessions} session{'s' if sessions > 1 else ''}"
    goal = _GOAL_CLAIMS_PER_SECOND if pending >= _GOAL_PENDING else None
    return [
        Finding(metric=f"{where}: claimed", value=statistics.median(map(_rate, rounds)), unit="runs/s", goal=goal),
        Finding(metric="a claim, p50", value=percentile(calls, 50) * 1e3, unit="ms"),
        Finding(metric="a claim, p99", value=percentile(calls, 99) * 1e3, unit="ms"),
        Finding(metric="CPU of the sessions", value=own / claimed * 1e6, unit="µs a run"),
        Finding(metric="CPU of the server", value=server / claimed * 1e6, unit="µs a run"),
        Finding(metric="giving back at a session's end", value=statistics.median(ends) * 1e6, unit="µs a run"),
    ]


def _rate(together: Sequence[Round]) -> float:
    seconds = max(one.ended for one in together) - min(one.begun for one in together)
    return sum(one.claimed for one in together) / seconds


def _of_all_sessions(plan: Plan, sessions: int) -> list[tuple[Round, ...]]:
    """Give the rounds, each with its part of every session."""
    spawning = multiprocessing.get_context("spawn")
    gate = spawning.Barrier(sessions, timeout=_PATIENCE_SECONDS)
    lines = [spawning.Pipe(duplex=False) for _ in range(sessions)]
    processes = [spawning.Process(target=work, args=(plan, gate, sender), daemon=True) for _, sender in lines]
    for process in processes:
        process.start()
    for _, sender in lines:
        sender.close()  # so that the end of a process is the end of its line
    of_sessions: list[list[Round]] = [receiver.recv() for receiver, _ in lines]
    for process in processes:
        process.join()
    return list(zip(*of_sessions, strict=True))


def work(plan: Plan, gate: Barrier, sender: Connection) -> None:
    """Be one of the processes."""
    sender.send(run_on_loop(_work(plan, gate), loop=plan.loop))


async def _work(plan: Plan, gate: Barrier) -> list[Round]:
    return [await _one_round(plan, gate) for _ in range(plan.rounds)]


async def _one_round(plan: Plan, gate: Barrier) -> Round:
    store = PostgresStore(plan.url)
    await store.open(session_name="claims", lease_seconds=_LEASE_SECONDS, on_changes=lambda _changes: None)
    try:
        await asyncio.to_thread(gate.wait)
        found = await _claim(store, plan)
        await asyncio.to_thread(gate.wait)  # nobody gives back what another might claim
    finally:
        began = time.monotonic()
        await store.close()
    return replace(found, end_seconds=time.monotonic() - began)


async def _claim(store: PostgresStore, plan: Plan) -> Round:
    workflows = frozenset({WorkflowVersion(reminder.name, reminder.version)})
    server = cpu_seconds_of_tree(plan.server)
    cpu = time.process_time()
    begun = ended = time.monotonic()
    claimed, calls = 0, list[float]()
    while ended - begun < plan.seconds:
        called = time.monotonic()
        runs = await store.claim(now=store.clock.now(), limit=plan.limit, workflows=workflows)
        if not runs:
            break
        ended = time.monotonic()
        claimed += len(runs)
        calls.append(ended - called)
    return Round(
        begun=begun,
        ended=ended,
        claimed=claimed,
        call_seconds=calls,
        cpu_seconds=time.process_time() - cpu,
        server_cpu_seconds=(cpu_seconds_of_tree(plan.server) or 0.0) - (server or 0.0),
    )


if __name__ == "__main__":
    main()
