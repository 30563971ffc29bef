"""Searches: pages of runs by every filter and many combinations, in both orders, the first ones and deep ones."""

import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from perdure.client.run_pages import whole_page
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus
from perdure.ports.store import RunOrder, RunQuery
from perdure.stores.cursors import write_cursor
from perdure.stores.sqlite.looking import SqliteLook
from perdure.torture.loads.filling import AGAIN, AGAIN_PARENT, COUNTRIES
from perdure.torture.loads.workflows import approval, failing, quick, reminder

__all__ = ["Searched", "search"]


class Searched(msgspec.Struct, frozen=True, kw_only=True):
    """What a page, or a count (`is_page` False), took, how much of that this process worked, and how many pages of the
    file it looked up, be they in memory or not: about two for each run that is looked at. `scanned`: how many rows it
    passed that no index had led to."""

    what: str
    milliseconds: float
    cpu_milliseconds: float
    lookups: int
    scanned: int = 0
    is_page: bool = True


async def search(path: Path, *, now: Timestamp, oldest: Timestamp) -> AsyncIterator[Searched]:
    """Ask for pages of the runs of a file, which were created between `oldest` and `now`, and for bounded counts.

    The pages are those of `Engine.list_runs`, put together of the store's.
    """
    with _counted(path) as counts:
        async with SqliteLook(path) as look:
            for (name, query), order, depth in product(_queries(now, oldest).items(), RunOrder, _DEPTHS):
                asked = msgspec.structs.replace(query, order=order, cursor=_cursor(now, oldest, depth))
                what = f"{name}, {order.value}, {depth or 'first'} page"
                yield await _measured(what, whole_page(look, asked), counts)
            for name, query in _queries(now, oldest).items():
                counted = await _measured(f"count of {name}", look.count_runs(query, most=_MOST), counts)
                yield msgspec.structs.replace(counted, is_page=False)


class _Counts:
    """What SQLite counts, whatever the machine does meanwhile, on the connections to a file that it is told of."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections: list[apsw.Connection] = []
        self.scanned = 0

    def look_at(self, connection: apsw.Connection) -> None:
        if connection.filename != str(self._path):
            return
        self._connections.append(connection)
        connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, self._note, id=self)

    def _note(self, done: dict[str, Any]) -> None:
        self.scanned += done["stmt_status"]["SQLITE_STMTSTATUS_FULLSCAN_STEP"]

    @property
    def lookups(self) -> int:
        kinds = (apsw.SQLITE_DBSTATUS_CACHE_HIT, apsw.SQLITE_DBSTATUS_CACHE_MISS)
        return sum(connection.status(kind)[0] for connection in self._connections for kind in kinds)


@contextmanager
def _counted(path: Path) -> Iterator[_Counts]:
    """Count on the connections to a file that are opened meanwhile."""
    counts = _Counts(path)
    apsw.connection_hooks.append(counts.look_at)
    try:
        yield counts
    finally:
        apsw.connection_hooks.remove(counts.look_at)


async def _measured(what: str, question: Awaitable[object], counts: _Counts) -> Searched:
    lookups, scanned = counts.lookups, counts.scanned
    begun, worked = time.perf_counter(), time.process_time()
    await question
    took, work = time.perf_counter() - begun, time.process_time() - worked
    return Searched(
        what=what,
        milliseconds=took * 1e3,
        cpu_milliseconds=work * 1e3,
        lookups=counts.lookups - lookups,
        scanned=counts.scanned - scanned,
    )


def _cursor(now: Timestamp, oldest: Timestamp, depth: str) -> str:
    return write_cursor((now + oldest) // 2, 0) if depth else ""


def _queries(now: Timestamp, oldest: Timestamp) -> dict[str, RunQuery]:
    middle, slice_ = (now + oldest) // 2, (now - oldest) // 1_000
    within = RunQuery(created_from=Timestamp(middle), created_until=Timestamp(middle + slice_))
    failed = RunQuery(statuses=frozenset({RunStatus.FAILED}))
    common = RunQuery(labels={"country": COUNTRIES[0]})
    return {
        "all": RunQuery(),
        "open": RunQuery(statuses=frozenset({RunStatus.RUNNING})),
        "completed": RunQuery(statuses=frozenset({RunStatus.COMPLETED})),
        "failed": failed,
        "cancelled, of which there is none": RunQuery(statuses=frozenset({RunStatus.CANCELLED})),
        "a workflow": RunQuery(workflows=frozenset({quick.name})),
        "a rare workflow": RunQuery(workflows=frozenset({failing.name})),
        "a tenant": RunQuery(tenants=frozenset({"tenant-0"})),
        "a small tenant": RunQuery(tenants=frozenset({"tenant-25"})),
        "a priority": RunQuery(priorities=frozenset({Priority.HIGH})),
        "a priority that none has": RunQuery(priorities=frozenset({Priority.BACKGROUND})),
        "a label": common,
        "a label of one run": RunQuery(labels={"order": "4711"}),
        "two labels": RunQuery(labels={"country": COUNTRIES[0], "order": "4711"}),
        "ids with a prefix": RunQuery(id_prefix="load-0000"),
        "ids with a rare prefix": RunQuery(id_prefix="load-000012"),
        "parked": RunQuery(only_parked=True),
        "an id of very many generations, by its label": RunQuery(labels=AGAIN),
        "an id of very many generations, by its parent": RunQuery(parent_key=AGAIN_PARENT),
        "since": RunQuery(created_from=Timestamp(middle)),
        "until": RunQuery(created_until=Timestamp(middle)),
        "within": within,
        "failed within": msgspec.structs.replace(within, statuses=failed.statuses),
        "a label within": msgspec.structs.replace(within, labels=common.labels),
        "a label, failed": msgspec.structs.replace(common, statuses=failed.statuses),
        "a tenant, failed": RunQuery(tenants=frozenset({"tenant-0"}), statuses=failed.statuses),
        "a priority, failed": RunQuery(priorities=frozenset({Priority.HIGH}), statuses=failed.statuses),
        "a workflow, a tenant, a label": msgspec.structs.replace(
            common, workflows=frozenset({quick.name}), tenants=frozenset({"tenant-1"})
        ),
        "a workflow and a status that never meet": RunQuery(
            workflows=frozenset({reminder.name}), statuses=frozenset({RunStatus.COMPLETED})
        ),
        "another such pair": RunQuery(workflows=frozenset({quick.name}), statuses=frozenset({RunStatus.RUNNING})),
        "a prefix and such a pair": RunQuery(
            id_prefix="load-0", workflows=frozenset({approval.name}), statuses=frozenset({RunStatus.COMPLETED})
        ),
    }


_DEPTHS: Final = ("", "deep")
_MOST: Final = 1_000
