"""`perdure locks`, and what `perdure show` says of a run's locks."""

from typing import TYPE_CHECKING, Final

import msgspec

from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.printing import make_table, print_for_people, print_json, words
from perdure.cli.times import iso, show_duration
from perdure.kernel.identity import RunRef
from perdure.kernel.locking import LockEntry
from perdure.kernel.time import Timestamp
from perdure.ports.store import LockQuery, RunStore, RunSummary

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["RunLock", "list_locks", "lock_for_programs", "locks_of_run", "locks_table"]


async def list_locks(
    place: Place, *, key: str | None, run_id: str | None, limit: int, after: int, as_json: bool
) -> int:
    """Print who holds and who waits. Raises NoDatabaseError, RunNotFoundError, StoreErrors."""
    async with as_client(place) as engine:
        now = engine.worker.clock.now()
        entries = await engine.locks(key=key, run_id=run_id, limit=limit, after=after)
    has_more = len(entries) == limit
    if as_json:
        next_after = entries[-1].position if has_more else None
        print_json({"locks": [_entry_for_programs(entry) for entry in entries], "next_after": next_after})
    elif entries:
        print_for_people(_entries_table(entries, now=now))
        if has_more:
            print(f"{limit} entries; if there are more: repeat with --after {entries[-1].position}")
    else:
        print("No locks are held or waited for.")
    return ExitCode.OK


class RunLock(msgspec.Struct, frozen=True, kw_only=True):
    """A lock of a run, and those that are before it in the line, if it waits."""

    entry: LockEntry
    before: tuple[RunRef, ...] = ()


async def locks_of_run(store: RunStore, summary: RunSummary) -> list[RunLock]:
    """Return what a run holds and waits for, and behind whom."""
    namespace = summary.ref.namespace
    found = []
    for entry in await store.list_locks(LockQuery(namespace=namespace, run_key=summary.run_key)):
        line: list[LockEntry] = []
        if not entry.is_held:
            line = await store.list_locks(LockQuery(namespace=namespace, key=entry.key, limit=_MOST_BEFORE))
        found.append(RunLock(entry=entry, before=tuple(one.run for one in line if one.position < entry.position)))
    return found


def lock_for_programs(lock: RunLock) -> dict[str, object]:
    """Return a lock of a run, for programs."""
    return {**_entry_for_programs(lock.entry), "waits_for": [run.id for run in lock.before]}


def locks_table(locks: list[RunLock], *, now: Timestamp) -> "Table":
    """Return the locks of a run, for people."""
    table = make_table("key", "state", "for", ">token", title="Locks")
    for lock in locks:
        entry = lock.entry
        behind = f"waits for {', '.join(run.id for run in lock.before)}"
        table.add_row(
            words(entry.key), words("held" if entry.is_held else behind), _since(entry, now=now), _token(entry)
        )
    return table


_MOST_BEFORE: Final = 20
"""So many runs that are before another in a line are named."""


def _entry_for_programs(entry: LockEntry) -> dict[str, object]:
    return {
        "key": entry.key,
        "run": entry.run.id,
        "generation": entry.run.generation,
        "operation": entry.operation,
        "state": "held" if entry.is_held else "waiting",
        "limit": entry.limit,
        "token": entry.position,
        "requested_at": iso(entry.requested_at),
        "granted_at": iso(entry.granted_at),
    }


def _entries_table(entries: list[LockEntry], *, now: Timestamp) -> "Table":
    table = make_table("key", "run", "state", "for", "holders at most", ">token")
    for entry in entries:
        table.add_row(
            words(entry.key, "bold"),
            words(entry.run.id),
            "holds" if entry.is_held else "waits",
            _since(entry, now=now),
            "any number" if entry.limit is None else str(entry.limit),
            _token(entry),
        )
    return table


def _since(entry: LockEntry, *, now: Timestamp) -> str:
    return show_duration(max(now - (entry.granted_at or entry.requested_at), 0))


def _token(entry: LockEntry) -> str:
    return str(entry.position)
