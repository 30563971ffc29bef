"""Runs as wholes in memory: read, brought in, removed."""

from collections.abc import Sequence

import msgspec

from perdure.kernel.events import RunForked
from perdure.kernel.history import EventRow, decode_event, encode_event
from perdure.kernel.identity import RunKey
from perdure.kernel.messages import encode_message
from perdure.kernel.transition import Applied, Exists, Outcome
from perdure.ports.keeping import ClosedQuery, WholeRun
from perdure.ports.store import LockQuery, RunSummary
from perdure.stores.memory.inboxes import inbox_of
from perdure.stores.memory.locks import list_locks
from perdure.stores.memory.tables import Entry, MemoryDatabase, News, Run, summarise

__all__ = ["Prepared", "bring_in", "list_closed", "prepare_whole", "read_whole", "remove"]


def read_whole(database: MemoryDatabase, run_key: RunKey) -> WholeRun | None:
    """Return everything of a run. Raises HistoryError."""
    run = database.runs.get(run_key)
    if run is None:
        return None
    namespace, run_id = run.ref.namespace, run.ref.id
    summary = summarise(run)
    return WholeRun(
        summary=msgspec.structs.replace(summary, wake_at=None) if run.status.is_closed else summary,
        request_id=next((name for (_, name), key in database.requests.items() if key == run_key), ""),
        end_at=run.end_at,
        recovered=run.is_recovered,
        history=tuple(decode_event(*row) for row in database.events[run_key]),
        inbox=tuple(inbox_of(database, run_key)),
        requests=tuple(
            sorted(
                request
                for (of_namespace, of_id, request), key in database.message_requests.items()
                if (of_namespace, of_id, key) == (namespace, run_id, run_key)
            )
        ),
        locks=tuple(list_locks(database, LockQuery(namespace=namespace, run_key=run_key, limit=len(database.locks)))),
        queues=tuple(sorted({task.queue for task in database.tasks.values() if task.run_key == run_key})),
    )


def list_closed(database: MemoryDatabase, query: ClosedQuery) -> list[RunSummary]:
    """Return one page of closed runs that nothing open needs. Complexity: linear in all runs."""
    needed = _needed(database)
    found = [run for run in database.runs.values() if _matches(run, query) and run.run_key not in needed]
    found.sort(key=_end_order)
    return [summarise(run) for run in found[: max(query.limit, 0)]]


def _matches(run: Run, query: ClosedQuery) -> bool:
    return (
        run.closed_at is not None
        and run.closed_at <= query.closed_until
        and query.namespace in (None, run.ref.namespace)
        and (not query.statuses or run.status in query.statuses)
        and (not query.workflows or run.workflow in query.workflows)
        and (query.after is None or _end_order(run) > query.after)
    )


def _end_order(run: Run) -> tuple[int, int]:
    return (run.closed_at or 0, run.run_key)


def _needed(database: MemoryDatabase) -> set[int]:
    """Return the keys of runs that something open needs."""
    needed: set[int] = {entry.run_key for entry in database.locks.values()}
    for run in database.runs.values():
        if run.closed_at is not None:
            continue
        if run.parent_key is not None:
            needed.add(run.parent_key)
        for row in database.events[run.run_key]:
            event = decode_event(*row).event if row[1] == "run_forked" else None
            if isinstance(event, RunForked):
                needed |= {event.origin_key, event.caller_key}
    return needed


# --- to bring in -----------------------------------------------------------------------------------------------------


Prepared = tuple[list[EventRow], list[Entry]]
"""The encoded history and inbox of a run."""


def prepare_whole(run: WholeRun) -> Prepared:
    """Encode a run, so that bringing it in cannot fail half-way."""
    entries = [
        Entry(data=encode_message(entry.message), message_id=entry.message_id, at=entry.at) for entry in run.inbox
    ]
    return [encode_event(recorded) for recorded in run.history], entries


def bring_in(database: MemoryDatabase, run: WholeRun, prepared: Prepared, news: News) -> Outcome:
    """Insert a run whole, unless another is in the way."""
    in_the_way = _in_the_way(database, run)
    if in_the_way is not None:
        return Exists(in_the_way)
    summary = run.summary
    ref, key = summary.ref, summary.run_key
    rows, entries = prepared
    database.runs[key] = row = _row(run)
    database.generations.setdefault((ref.namespace, ref.id), {})[ref.generation] = key
    database.events[key] = rows
    if run.request_id:
        database.requests[ref.namespace, run.request_id] = key
    for request in run.requests:
        _bring_in_request(database, (ref.namespace, ref.id, request), key)
    for entry in entries:
        position = database.next_position()
        database.inboxes.setdefault(key, {})[position] = entry
        if entry.message_id:
            database.message_ids[key, entry.message_id] = position
    if row.closed_at is None:
        database.waiting[key] = row
    news.run_keys.add(key)
    news.is_ready = True
    return Applied(key)


def _bring_in_request(database: MemoryDatabase, request: tuple[str, str, str], key: RunKey) -> None:
    """Remember a request, and by the oldest generation that has it: later ones have it from those that were removed."""
    known = database.message_requests.get(request)
    if known is None or database.runs[key].ref.generation < database.runs[known].ref.generation:
        database.message_requests[request] = key


def _row(run: WholeRun) -> Run:
    summary = run.summary
    return Run(
        run_key=summary.run_key,
        ref=summary.ref,
        workflow=summary.workflow,
        definition_version=summary.definition_version,
        status=summary.status,
        stage=summary.stage,
        progress=summary.progress,
        priority=summary.priority,
        tenant=summary.tenant,
        labels=dict(summary.labels),
        parent_key=summary.parent_key,
        created_at=summary.created_at,
        started_at=summary.started_at,
        updated_at=summary.updated_at,
        closed_at=summary.closed_at,
        sequence=summary.sequence,
        owner=None,
        fencing_token=summary.fencing_token,
        wake_at=None if summary.status.is_closed else summary.wake_at,
        end_at=None if summary.status.is_closed else run.end_at,
        is_recovered=run.recovered,
        parked=summary.parked,
    )


def _in_the_way(database: MemoryDatabase, run: WholeRun) -> RunKey | None:
    summary = run.summary
    ref = summary.ref
    generations = database.generations.get((ref.namespace, ref.id), {})
    if ref.generation in generations:
        return generations[ref.generation]
    if summary.run_key in database.runs:
        return summary.run_key
    if run.request_id and (taken := database.requests.get((ref.namespace, run.request_id))) is not None:
        return taken
    before = max((number for number in generations if number < ref.generation), default=None)
    if before is not None:
        ended_at = database.runs[generations[before]].closed_at
        if ended_at is None or ended_at > summary.created_at:
            return generations[before]
    after = min((number for number in generations if number > ref.generation), default=None)
    if after is not None:
        begun_at = database.runs[generations[after]].created_at
        if summary.closed_at is None or summary.closed_at > begun_at:
            return generations[after]
    return None


# --- to remove -------------------------------------------------------------------------------------------------------


def remove(database: MemoryDatabase, run_keys: Sequence[RunKey], news: News) -> list[RunKey]:
    """Remove closed runs that nothing open needs, with all their rows; return which were removed."""
    removed: list[RunKey] = []
    for key in run_keys:
        if _may_go(database, key):
            _remove(database, key)
            removed.append(key)
    news.run_keys.update(removed)
    return removed


def _may_go(database: MemoryDatabase, key: RunKey) -> bool:
    run = database.runs.get(key)
    if run is None or run.closed_at is None or key in _needed(database):
        return False
    return run.ref.generation - 1 not in database.generations[run.ref.namespace, run.ref.id]


def _remove(database: MemoryDatabase, key: RunKey) -> None:
    run = database.runs.pop(key)
    name = (run.ref.namespace, run.ref.id)
    generations = database.generations[name]
    del generations[run.ref.generation]
    heir = generations[min(generations)] if generations else None
    if heir is None:
        del database.generations[name]
    for namespace, request in [one for one, of in database.requests.items() if of == key]:
        del database.requests[namespace, request]
        if heir is not None:
            database.message_requests.setdefault((*name, request), heir)
    for request_of, of in list(database.message_requests.items()):
        if request_of[:2] == name and heir is None:
            del database.message_requests[request_of]
        elif request_of[:2] == name and of == key and heir is not None:
            database.message_requests[request_of] = heir
    database.waiting.pop(key, None)
    del database.events[key]
    for entry in database.inboxes.pop(key, {}).values():
        database.message_ids.pop((key, entry.message_id), None)
    for task in [task for task in database.tasks if task[0] == key]:
        del database.tasks[task]
