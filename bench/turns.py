"""How many tasks sessions of the PostgreSQL store claim a second, by how many tenants share the queue.

Fills a queue with tasks of as many tenants as are asked for, each with as many, then lets processes with a session each
claim them some at a time, as workers do; what they do with them is not measured. A round ends after some seconds or
when all are claimed; the sessions then end, by which the store gives the tasks back. The share of the tenant that had
least of what was claimed, and of the one that had most, shows that turns were taken: 1 is an equal part.

    uv run --group bench python bench/turns.py [--pending 100000] [--tenants 1,10,1000] [--sessions 1,2]
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import islice
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final

# Run as a script: its own folder is no place to import from, the repository is.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.findings import Finding, show  # noqa: E402 - needs the path above
from bench.loops import run_on_loop  # noqa: E402
from bench.many_runs import server_below, vacuum  # noqa: E402
from bench.measurement import loop_by_default  # noqa: E402
from bench.postgres import new_database  # noqa: E402
from bench.processes import at_once  # noqa: E402
from bench.summary import percentile  # noqa: E402
from perdure.kernel.identity import Operation, RunRef  # noqa: E402
from perdure.kernel.options import ActivityOptions  # noqa: E402
from perdure.kernel.payload import Payload  # noqa: E402
from perdure.kernel.priority import Priority  # noqa: E402
from perdure.kernel.tasks import Task, TaskOrigin  # noqa: E402
from perdure.kernel.time import Timestamp  # noqa: E402
from perdure.ports.tasks import ServedTasks, encode_task  # noqa: E402
from perdure.stores.postgres.store import PostgresStore  # noqa: E402
from perdure.stores.sql.chain import digest_of_task  # noqa: E402

_QUEUE, _ACTIVITY = "gpu", "render"
_SERVED: Final = ServedTasks(queues=frozenset({_QUEUE}), activities=frozenset({_ACTIVITY}))
_LEASE_SECONDS: Final = 60.0
_ROUNDS: Final = 3
_AT_ONCE: Final = 10_000
_COPY: Final = """
COPY perdure.tasks (run_key, operation, attempt, namespace, queue, activity, priority, queued_at, data, labels, digest,
    share, cost) FROM STDIN
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What each session does: how many tasks one claim takes at most, and how long a round lasts."""

    url: str
    limit: int
    seconds: float
    loop: str


@dataclass(frozen=True, kw_only=True)
class Round:
    """When each claim began and ended, by the clock that all processes have in common, and whose tasks it took."""

    calls: list[tuple[float, float, int]]
    tenants: Counter[str]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pending", type=int, default=100_000)
    parser.add_argument("--tenants", type=_numbers, default=[1, 10, 1_000])
    parser.add_argument("--sessions", type=_numbers, default=[1, 2])
    parser.add_argument("--limits", type=_numbers, default=[1, 100], help="how many tasks one claim takes at most")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a round")
    parser.add_argument("--directory", type=Path, default=None, help="where the cluster goes: a disk")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="append a line per figure")
    given = parser.parse_args()
    findings: list[Finding] = []
    with server_below(given.directory) as server:
        for tenants in given.tenants:
            url = new_database(server.url, f"tenants_{tenants}")
            fill(url, pending=given.pending, tenants=tenants)
            for limit in given.limits:
                plan = Plan(url=url, limit=limit, seconds=given.seconds, loop=loop_by_default())
                for sessions in given.sessions:
                    findings += measure(plan, tenants=tenants, sessions=sessions)
                    vacuum(url)
    show(f"Claims of {given.pending:,} tasks", findings, json_lines=given.json)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def fill(url: str, *, pending: int, tenants: int) -> None:
    """Make the tables, and put tasks into the queue, those of each tenant together."""
    asyncio.run(_make_tables(url))
    rows = _rows(pending, tenants)
    with import_module("psycopg").connect(url) as connection, connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        while some := list(islice(rows, _AT_ONCE)):
            for row in some:
                copy.write_row(row)
    vacuum(url)


async def _make_tables(url: str) -> None:
    store = PostgresStore(url)
    await store.open(session_name="filling", lease_seconds=_LEASE_SECONDS, on_changes=lambda _changes: None)
    await store.close()


def _rows(pending: int, tenants: int) -> Iterator[tuple[Any, ...]]:
    for number in range(pending):
        tenant = f"tenant-{number * tenants // pending}"
        task = Task(
            operation=Operation(1),
            attempt=1,
            queue=_QUEUE,
            activity=_ACTIVITY,
            input=Payload(b'["an input of an ordinary size, some hundred characters of it, as a scene to render is"]'),
            options=ActivityOptions(),
            priority=Priority.NORMAL,
            queued_at=Timestamp(number),
            origin=TaskOrigin(ref=RunRef(id=f"run-{number}"), workflow="film", tenant=tenant, token="token"),
            scheduled_at=Timestamp(number),
        )
        fields = (number + 1, 1, 1, "default", _QUEUE, _ACTIVITY, 2, number, encode_task(task).decode(), "")
        yield (*fields, digest_of_task(fields), task.share, task.expected_seconds)


def measure(plan: Plan, *, tenants: int, sessions: int) -> list[Finding]:
    """Let so many sessions claim, each in a process of its own."""
    rounds = list(zip(*at_once(sessions, partial(do_rounds, plan)), strict=True))
    calls = [call for together in rounds for part in together for call in part.calls]
    taken = sum((part.tenants for together in rounds for part in together), start=Counter[str]())
    equal = taken.total() / tenants
    least, most = min(taken.values()) if len(taken) == tenants else 0, max(taken.values())
    where = f"{tenants:,} tenant{'s' * (tenants > 1)}, {plan.limit} at a time, {sessions} session{'s' * (sessions > 1)}"
    seconds = [ended - begun for begun, ended, _ in calls]
    return [
        Finding(metric=f"{where}: claimed", value=statistics.median(map(_rate, rounds)), unit="tasks/s"),
        Finding(metric="a claim, p50", value=percentile(seconds, 50) * 1e3, unit="ms"),
        Finding(metric="a claim, p99", value=percentile(seconds, 99) * 1e3, unit="ms"),
        Finding(metric="least that a tenant had", value=least / equal, unit="of its part"),
        Finding(metric="most that a tenant had", value=most / equal, unit="of its part"),
    ]


def _rate(together: tuple[Round, ...]) -> float:
    calls = [call for part in together for call in part.calls]
    seconds = max(ended for _, ended, _ in calls) - min(begun for begun, _, _ in calls)
    return sum(claimed for *_, claimed in calls) / seconds


def do_rounds(plan: Plan, number: int, gate: Barrier) -> list[Round]:
    """Be one of the processes."""
    del number
    return run_on_loop(_do_rounds(plan, gate), loop=plan.loop)


async def _do_rounds(plan: Plan, gate: Barrier) -> list[Round]:
    return [await _do_round(plan, gate) for _ in range(_ROUNDS)]


async def _do_round(plan: Plan, gate: Barrier) -> Round:
    store = PostgresStore(plan.url)
    await store.open(session_name="turns", lease_seconds=_LEASE_SECONDS, on_changes=lambda _changes: None)
    try:
        await asyncio.to_thread(gate.wait)
        made = await _claim(store, plan)
        await asyncio.to_thread(gate.wait)  # nobody gives back what another might claim
    finally:
        await store.close()
    return made


async def _claim(store: PostgresStore, plan: Plan) -> Round:
    calls: list[tuple[float, float, int]] = []
    tenants: Counter[str] = Counter()
    begun = ended = time.monotonic()
    while ended - begun < plan.seconds:
        called = time.monotonic()
        claimed = await store.claim_tasks(now=store.clock.now(), limit=plan.limit, served=_SERVED)
        if not claimed:
            break
        ended = time.monotonic()
        calls.append((called, ended, len(claimed)))
        tenants.update(one.task.origin.tenant for one in claimed)
    return Round(calls=calls, tenants=tenants)


if __name__ == "__main__":
    main()
