"""Rows are loaded and locked for a `Workset`: first what the writes want, then what turns out to be missing.

**Order of locks.** The lines of locks of a namespace, by an advisory lock for each; then all rows of runs, in the order
of their keys. Whoever writes to a run, or to its inbox, has its row locked: so what is read of it afterwards, each time
by a statement of its own, is what stands there when the transaction ends. What turns out to be missing is locked later
and may be in another's way: the server undoes one of both then, and it is tried again.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from perdure.errors import InternalError
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.locking import LockEntry
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Write
from perdure.ports.keeping import WholeRun
from perdure.stores.memory.tables import Entry, Run, TaskRow
from perdure.stores.postgres import statements
from perdure.stores.postgres.connection import Connection
from perdure.stores.postgres.rows import lock_entry_of, run_of, task_row_of
from perdure.stores.postgres.wants import Wants, wants_of
from perdure.stores.postgres.workset import Missing, Workset

__all__ = ["Loaded", "load", "load_missing", "load_whole"]


class Loaded:
    """What was read so far: values by their keys; None: there is none."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.runs: Final[dict[RunKey, Run | None]] = {}
        self.latest: Final[dict[tuple[str, str], tuple[int, RunKey] | None]] = {}
        self.generations: Final[dict[tuple[str, str], dict[int, RunKey]]] = {}
        self.requests: Final[dict[tuple[str, str], RunKey | None]] = {}
        self.message_requests: Final[dict[tuple[str, str, str], RunKey | None]] = {}
        self.message_ids: Final[dict[tuple[RunKey, str], int | None]] = {}
        self.inboxes: Final[dict[RunKey, dict[int, Entry]]] = {}
        self.positions: Final[dict[int, str]] = {}
        self.tasks: Final[dict[tuple[RunKey, Operation], TaskRow | None]] = {}
        self.lines: Final[set[tuple[str, str]]] = set()
        self.locks: Final[dict[int, LockEntry]] = {}
        self.lock_positions: Final[list[int]] = []

    def workset(self) -> Workset:
        """Return the rows as they were read, for a decision that changes them."""
        found = Workset(lock_positions=self.lock_positions)
        for run_key, run in self.runs.items():
            found.runs.put(run_key, None if run is None else _copied(run))
            found.events[run_key] = []
        for name, latest in self.latest.items():
            found.generations.put(name, None if latest is None else {latest[0]: latest[1]})
        found.generations.update((name, dict(all_of_it)) for name, all_of_it in self.generations.items())
        for request, key in self.requests.items():
            found.requests.put(request, key)
        for message_request, key in self.message_requests.items():
            found.message_requests.put(message_request, key)
        for message_id, position in self.message_ids.items():
            found.message_ids.put(message_id, position)
        for run_key, inbox in self.inboxes.items():
            found.inboxes[run_key] = dict(inbox)
            for position, entry in inbox.items():
                found.message_ids[run_key, entry.message_id] = position
        found.ids_of_messages.update(self.positions)
        for task, row in self.tasks.items():
            found.tasks.put(task, row)
        found.lines.update(self.lines)
        found.locks.update(self.locks)
        return found


def _copied(run: Run) -> Run:
    return Run(**{name: getattr(run, name) for name in Run.__struct_fields__})


async def load(connection: Connection, writes: Sequence[Write]) -> Loaded:
    """Lock and read what writes want, within a transaction. Raises asyncpg's errors."""
    wants, loaded = wants_of(writes), Loaded()
    if wants.asks:
        await _load_lines(connection, loaded, wants)
    await _load_names(connection, loaded, wants.names)
    wants.runs.update(latest[1] for latest in loaded.latest.values() if latest is not None)
    await _load_runs(connection, loaded, wants.runs)
    _want_more(loaded, wants)
    await _load_requests(connection, loaded, wants.requests)
    await _load_message_requests(connection, loaded, wants.message_requests)
    await _load_message_ids(connection, loaded, wants.message_ids)
    await _load_inboxes(connection, loaded, wants.inboxes)
    await _load_positions(connection, loaded, wants.positions)
    await _load_tasks(connection, loaded, wants.tasks)
    return loaded


async def load_whole(connection: Connection, run: WholeRun) -> Loaded:
    """Lock and read what may be in the way of a run that is brought in: all generations of its id, and its requests."""
    loaded, ref = Loaded(), run.summary.ref
    rows = await connection.fetch(statements.GENERATIONS_OF_ID, ref.namespace, ref.id)
    loaded.generations[ref.namespace, ref.id] = {row["generation"]: RunKey(row["run_key"]) for row in rows}
    await _load_runs(connection, loaded, {run.summary.run_key, *(RunKey(row["run_key"]) for row in rows)})
    await _load_requests(connection, loaded, {(ref.namespace, run.request_id)})
    wanted = {(ref.namespace, ref.id, request) for request in run.requests}
    await _load_message_requests(connection, loaded, wanted)
    return loaded


async def load_missing(connection: Connection, loaded: Loaded, missing: Missing) -> None:
    """Load what turned out to be wanted, too. Raises InternalError for what cannot be."""
    key: Any = missing.key
    match missing.table:
        case "runs":
            await _load_runs(connection, loaded, {key})
        case "generations":
            await _load_names(connection, loaded, {key})
            await _load_runs(connection, loaded, {latest[1] for latest in (loaded.latest[key],) if latest is not None})
        case "requests":
            await _load_requests(connection, loaded, {key})
        case "message_requests":
            await _load_message_requests(connection, loaded, {key})
        case "message_ids":
            await _load_message_ids(connection, loaded, {key})
        case "inboxes":
            await _load_inboxes(connection, loaded, {key})
        case _:
            raise InternalError(f"a decision asks for {missing.table} {missing.key!r}, which was not loaded")


async def _load_names(connection: Connection, loaded: Loaded, names: Iterable[tuple[str, str]]) -> None:
    wanted = sorted(names)
    if wanted:
        loaded.latest.update(dict.fromkeys(wanted))
        for row in await connection.fetch(statements.LATEST_OF_IDS, *_columns(wanted)):
            loaded.latest[row["namespace"], row["id"]] = (row["generation"], RunKey(row["run_key"]))


async def _load_runs(connection: Connection, loaded: Loaded, run_keys: set[RunKey]) -> None:
    """Lock and read rows. A run may have got a later generation before its row was locked: that is loaded, too."""
    wanted = sorted(run_keys - loaded.runs.keys())
    if not wanted:
        return
    loaded.runs.update(dict.fromkeys(wanted))
    superseded: set[tuple[str, str]] = set()
    for row in await connection.fetch(statements.LOCK_RUNS, wanted):
        run = run_of(row)
        loaded.runs[run.run_key] = run
        name = (run.ref.namespace, run.ref.id)
        if row["latest"]:
            loaded.latest[name] = (run.ref.generation, run.run_key)
        elif (known := loaded.latest.get(name)) is not None and known[1] == run.run_key:
            superseded.add(name)
    if superseded:
        await _load_names(connection, loaded, superseded)
        await _load_runs(connection, loaded, {latest[1] for name in superseded if (latest := loaded.latest[name])})


def _want_more(loaded: Loaded, wants: Wants) -> None:
    """Want what deliveries do, of the runs that they are for."""
    for delivery in wants.deliveries:
        target = delivery.target
        run_key: RunKey | None = None
        if not isinstance(target, RunRef):
            run_key = target
        elif (latest := loaded.latest.get((target.namespace, target.id))) is not None:
            run_key = latest[1]
        run = None if run_key is None else loaded.runs.get(run_key)
        if run is not None:
            wants.message_ids.add((run.run_key, delivery.message_id))
            if delivery.request_id:
                wants.message_requests.add((run.ref.namespace, run.ref.id, delivery.request_id))


async def _load_requests(connection: Connection, loaded: Loaded, requests: Iterable[tuple[str, str]]) -> None:
    wanted = sorted(requests)
    if wanted:
        loaded.requests.update(dict.fromkeys(wanted))
        for row in await connection.fetch(statements.RUNS_OF_REQUESTS, *_columns(wanted)):
            loaded.requests[row["namespace"], row["request_id"]] = RunKey(row["run_key"])


async def _load_message_requests(
    connection: Connection, loaded: Loaded, requests: Iterable[tuple[str, str, str]]
) -> None:
    wanted = sorted(requests)
    if wanted:
        loaded.message_requests.update(dict.fromkeys(wanted))
        for row in await connection.fetch(statements.TAKERS_OF_REQUESTS, *_columns(wanted)):
            request = (row["namespace"], row["id"], row["request_id"])
            loaded.message_requests[request] = RunKey(row["run_key"])


async def _load_message_ids(connection: Connection, loaded: Loaded, ids: Iterable[tuple[RunKey, str]]) -> None:
    wanted = sorted(one for one in ids if one[1])
    if wanted:
        loaded.message_ids.update(dict.fromkeys(wanted))
        for row in await connection.fetch(statements.POSITIONS_OF_MESSAGES, *_columns(wanted)):
            loaded.message_ids[RunKey(row["run_key"]), row["message_id"]] = row["position"]


async def _load_inboxes(connection: Connection, loaded: Loaded, run_keys: set[RunKey]) -> None:
    wanted = sorted(run_keys - loaded.inboxes.keys())
    if wanted:
        loaded.inboxes.update((run_key, {}) for run_key in wanted)
        for row in await connection.fetch(statements.INBOXES, wanted):
            entry = Entry(data=row["data"].encode(), message_id=row["message_id"], at=Timestamp(row["at"]))
            loaded.inboxes[RunKey(row["run_key"])][row["position"]] = entry


async def _load_positions(connection: Connection, loaded: Loaded, positions: Iterable[int]) -> None:
    wanted = sorted(positions)
    if wanted:
        loaded.positions.update(dict.fromkeys(wanted, ""))
        for row in await connection.fetch(statements.IDS_OF_MESSAGES, wanted):
            loaded.positions[row["position"]] = row["message_id"]
            loaded.message_ids.setdefault((RunKey(row["run_key"]), row["message_id"]), row["position"])


async def _load_tasks(connection: Connection, loaded: Loaded, tasks: Iterable[tuple[RunKey, Operation]]) -> None:
    wanted = sorted(tasks)
    if wanted:
        loaded.tasks.update(dict.fromkeys(wanted))
        for row in await connection.fetch(statements.LOCK_TASKS, *_columns(wanted)):
            task = task_row_of(row)
            loaded.tasks[task.run_key, task.operation] = task


async def _load_lines(connection: Connection, loaded: Loaded, wants: Wants) -> None:
    """Take the turn to change the lines of the namespaces concerned, and read those that these changes may concern.

    Who is next in a line may be told of it: the rows of some of these runs are wanted, too.
    """
    found = await connection.fetch(statements.NAMESPACES_OF_RUNS, sorted(wants.asks))
    namespaces = {**wants.namespaces, **{RunKey(row["run_key"]): row["namespace"] for row in found}}
    for namespace in sorted(set(namespaces.values())):
        await connection.execute(statements.TAKE_TURN_OF_LOCKS, namespace)
    asked = sorted((namespaces[run], key) for run, keys in wants.asks.items() if run in namespaces for key in keys)
    rows = await connection.fetch(statements.LINES_OF_LOCKS, *_columns(asked, width=2), sorted(wants.asks))
    loaded.lines.update(asked)
    waiting: dict[tuple[str, str], int] = {}
    for entry in map(lock_entry_of, rows):
        line = (entry.run.namespace, entry.key)
        loaded.lines.add(line)
        loaded.locks[entry.position] = entry
        if not entry.is_held:
            waiting[line] = waiting.get(line, 0) + 1
            if waiting[line] <= _NEXT_IN_LINE:
                wants.runs.add(entry.run_key)
    positions = await connection.fetch(statements.NEXT_LOCK_POSITIONS, wants.lock_requests)
    loaded.lock_positions.extend(row["position"] for row in positions)


def _columns(rows: Sequence[tuple[Any, ...]], *, width: int = 0) -> list[list[Any]]:
    """Return rows as columns, for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


_NEXT_IN_LINE: Final = 16
