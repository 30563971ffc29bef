"""The laws of locks, which hold after every commit: of the lines, and of what each run knows of its place in one."""

from collections import defaultdict
from collections.abc import Iterator

from perdure.kernel.identity import RunKey
from perdure.kernel.locking import LockEntry
from perdure.kernel.messages import LockDeniedMessage, LockGrantedMessage, decode_message
from perdure.kernel.pending import OpenLock
from perdure.stores.memory.tables import Run
from perdure.torture.simulation.tables import Tables

__all__ = ["broken_lock_laws"]


def broken_lock_laws(tables: Tables) -> Iterator[str]:
    """Yield a sentence for each law that the tables break as they are now."""
    lines: dict[str, list[LockEntry]] = defaultdict(list)
    of_runs: dict[RunKey, dict[int, LockEntry]] = defaultdict(dict)
    for _, entry in sorted(tables.database.locks.items()):
        lines[entry.key].append(entry)
        of_runs[entry.run_key][entry.operation] = entry
    for key, line in lines.items():
        yield from (f"lock {key!r}: {what}" for what in _line_laws(line))
    for run_key, run in tables.database.runs.items():
        yield from (f"run {run.ref}: {what}" for what in _run_laws(tables, run, of_runs[run_key]))


def _line_laws(line: list[LockEntry]) -> Iterator[str]:
    held = [entry for entry in line if entry.is_held]
    waiting = [entry for entry in line if not entry.is_held]
    for entry in held:
        if entry.limit is not None and len(held) > entry.limit:
            yield f"it has {len(held)} holders, and {entry.run} allows {entry.limit}"
    if not waiting:
        return
    first = waiting[0]
    overtaken = [str(entry.run) for entry in held if entry.position > first.position]
    if overtaken:
        yield f"{', '.join(overtaken)} came later than {first.run}, which waits"
    bounds = [entry.limit for entry in [*held, first] if entry.limit is not None]
    if all(len(held) < bound for bound in bounds):
        yield f"{first.run} waits though there is room"


def _run_laws(tables: Tables, run: Run, entries: dict[int, LockEntry]) -> Iterator[str]:
    if run.status.is_closed:
        if entries:
            yield f"it has ended and stands in the line of {', '.join(one.key for one in entries.values())}"
        return
    granted, denied = _unread(tables, run)
    known = tables.state_at(run.run_key, run.sequence).locks
    for operation in known.keys() | entries.keys():
        yield from _knowledge_laws(operation, known.get(operation), entries.get(operation), granted, denied)


def _knowledge_laws(
    operation: int, known: OpenLock | None, entry: LockEntry | None, granted: dict[int, int], denied: set[int]
) -> Iterator[str]:
    name = f"its lock {operation}"
    if known is None:
        yield f"{name} is in a line, and not in its history"
    elif entry is None:
        if known.token or operation not in denied:
            yield f"{name} is in its history, and in no line"
    elif known.token:
        if not entry.is_held or entry.position != known.token:
            yield f"{name} is held with the token {known.token} by its history, and not in the line"
    elif entry.is_held and granted.get(operation) != entry.position:
        yield f"{name} was given to it, and nothing tells it"


def _unread(tables: Tables, run: Run) -> tuple[dict[int, int], set[int]]:
    granted: dict[int, int] = {}
    denied: set[int] = set()
    for entry in tables.database.inboxes.get(run.run_key, {}).values():
        message = decode_message(entry.data)
        if isinstance(message, LockGrantedMessage) and message.generation == run.ref.generation:
            granted[message.operation] = message.token
        elif isinstance(message, LockDeniedMessage) and message.generation == run.ref.generation:
            denied.add(message.operation)
    return granted, denied
