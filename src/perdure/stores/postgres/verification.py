"""A verification: histories, messages, tasks and entries of the agenda against their digests."""

from collections.abc import Sequence
from typing import Final

from perdure.errors import DamagedHistoryError
from perdure.kernel.identity import RunKey, RunRef
from perdure.ports.agenda import AgendaQuery
from perdure.ports.verification import DamagedRun, Defect, Verification, VerificationWish
from perdure.stores.memory.tables import Run
from perdure.stores.postgres.connection import Connection
from perdure.stores.postgres.reading import list_agenda
from perdure.stores.postgres.rows import EVENT_COLUMNS, RUN_COLUMNS, TASK_COLUMNS, run_of
from perdure.stores.postgres.tasks import task_of
from perdure.stores.sql.chain import digest_of_message
from perdure.stores.sql.checking import ChainCheck

__all__ = ["verify"]


async def verify(connection: Connection, wish: VerificationWish, *, location: str) -> Verification:
    """Return what is not as it was written. Nothing is mended: what a server has damaged its backups bring back."""
    runs = events = messages = 0
    damaged: list[DamagedRun] = []
    after = -1
    while found := [run_of(row) for row in await connection.fetch(_RUNS, after, *_name(wish.run), _AT_ONCE)]:
        for run in found:
            defects = [*await _history(connection, run), *await _inbox(connection, run), *await _tasks(connection, run)]
            runs, events = runs + 1, events + run.sequence
            messages += await connection.fetchval(_COUNT, run.run_key)
            if defects:
                damaged.append(_damaged(run, defects))
            if wish.on_progress is not None:
                wish.on_progress(runs, runs)
        after = found[-1].run_key
    entries = [] if wish.run is not None else await list_agenda(connection, AgendaQuery(limit=_ALL))
    return Verification(
        location=location,
        runs=runs,
        events=events,
        messages=messages,
        damaged=tuple(damaged),
        defects=tuple(
            Defect(place="agenda", what=f"the {entry.key.kind} {entry.key.id} of {entry.key.namespace}: {entry.damage}")
            for entry in entries
            if entry.damage
        ),
    )


def _name(run: RunRef | None) -> tuple[str | None, str | None]:
    return (None, None) if run is None else (run.namespace, run.id)


def _damaged(run: Run, defects: Sequence[Defect]) -> DamagedRun:
    return DamagedRun(
        run_key=run.run_key,
        ref=run.ref,
        counted=run.sequence,
        readable=0,
        is_open=run.closed_at is None,
        is_parked=run.parked is not None,
        defects=tuple(defects),
    )


async def _history(connection: Connection, run: Run) -> list[Defect]:
    check = ChainCheck(run.ref)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            after = _FIRST
            while rows := await connection.fetch(_EVENTS, run.run_key, after, _EVENTS_AT_ONCE):
                for row in rows:
                    check.take(tuple(row))
                after = rows[-1]["sequence"]
        check.demand_end(run.sequence)
    except DamagedHistoryError as error:
        return [Defect(place="history", what=str(error))]
    return []


async def _inbox(connection: Connection, run: Run) -> list[Defect]:
    return [
        Defect(place="inbox", what=f"the message at position {position} is not what was written: its digest differs")
        for position, *fields, digest in await connection.fetch(_MESSAGES, run.run_key)
        if digest != digest_of_message(RunKey(run.run_key), *fields)
    ]


async def _tasks(connection: Connection, run: Run) -> list[Defect]:
    return [
        Defect(place="tasks", what=f"the task of operation {row['operation']} is not what was written")
        for row in await connection.fetch(_TASKS, run.run_key)
        if task_of(row) is None
    ]


_AT_ONCE: Final = 50
_EVENTS_AT_ONCE: Final = 500
_FIRST: Final = -(2**31)
_ALL: Final = 2**31 - 1

# run_key, namespace and id or NULL, limit
_RUNS: Final = f"""
SELECT {RUN_COLUMNS} FROM runs
WHERE run_key > $1 AND ($2::varchar IS NULL OR (namespace = $2 AND id = $3)) ORDER BY run_key LIMIT $4
"""  # noqa: S608 - texts of ours

# run_key
_TASKS: Final = f"SELECT {TASK_COLUMNS} FROM tasks WHERE run_key = $1 ORDER BY operation"  # noqa: S608 - texts of ours
_COUNT: Final = "SELECT count(*) FROM inbox WHERE run_key = $1"
_MESSAGES: Final = "SELECT position, message_id, at, data, digest FROM inbox WHERE run_key = $1 ORDER BY position"

# run_key, sequence of the one before, limit; pages, for a cursor is more than a pooler bears (see `pooled`)
_EVENTS: Final = f"""
SELECT {EVENT_COLUMNS} FROM history WHERE run_key = $1 AND sequence > $2 ORDER BY sequence LIMIT $3
"""  # noqa: S608 - texts of ours
