"""What rows say of a run whose history is damaged: enough to end it by.

**Promise.** A run that is ended by such a state holds no lock any more, its parent and its children are told as at
every end, and it takes no more messages, all in the transition that ends it. What is damaged stays as it is: the events
of the end stand behind it, so that who waits for the run learns of it, and whoever reads the history meets the damage.

The events before the damage say who the run is, and its deadline; where these are gone, its row does, and its parent's
history, whose child it is. Its locks are those in the lines, its tasks those in the queues; its children are those
whose rows name it, by what their own histories say of it, and those that the end of the generation before left it.
Nothing is known of its activities and timers: they end with it.
"""

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from msgspec import structs

from perdure.errors import DamagedHistoryError, HistoryError, StoreCorruptError
from perdure.kernel import events as e
from perdure.kernel.consequences import carried_children_of
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.lifecycle import ChildPhase, LockPhase
from perdure.kernel.lineage import ParentLink
from perdure.kernel.payload import NULL
from perdure.kernel.pending import Deferral, OpenChild, OpenLock
from perdure.kernel.retry import NO_RETRY
from perdure.kernel.standing import standing_of
from perdure.kernel.state import RunState
from perdure.kernel.transition import OPEN_STATUSES, RunStatus
from perdure.ports.store import LockQuery, RunQuery, RunStore, RunSummary
from perdure.ports.tasks import TaskQuery

__all__ = ["RowsOfDamaged", "rows_of_damaged"]


class RowsOfDamaged(NamedTuple):
    """A state to end a run by, and whether the last event before its end is lost, so that no digest can link them."""

    state: RunState
    is_unlinked: bool = False


async def rows_of_damaged(store: RunStore, summary: RunSummary, beginning: RunState) -> RowsOfDamaged:
    """Return what the rows say; `beginning` is what of the history is sound, folded, and is changed.

    Raises HistoryError where the row counts fewer events than there are, and so says nothing of where an end belongs;
    StoreErrors for rows that cannot be read.
    """
    await _demand_room(store, summary)
    state = beginning
    if state.created is None or state.created.ref != summary.ref:
        state = RunState()
        state.record(await _created_by_row(store, summary), summary.created_at)
    for pending in (state.activities, state.timers, state.retries, state.deferrals, state.updates):
        pending.clear()
    state.sequence, state.updated_at = summary.sequence, summary.updated_at
    state.status = summary.status if summary.status in OPEN_STATUSES else RunStatus.RUNNING
    state.started_at, state.progress, state.priority = summary.started_at, summary.progress, summary.priority
    state.stages = {0: summary.stage} if summary.stage else {}
    state.deferrals |= {operation: deferral async for operation, deferral in _tasks(store, summary)}
    state.locks = {operation: lock async for operation, lock in _locks(store, summary)}
    state.children |= {child.operation: child async for child in _children(store, summary)}
    return RowsOfDamaged(state, await _is_last_lost(store, summary))


async def _is_last_lost(store: RunStore, summary: RunSummary) -> bool:
    try:
        await store.read_history(summary.run_key, after=summary.sequence, limit=1)
    except (HistoryError, StoreCorruptError):
        return True
    return False


async def _demand_room(store: RunStore, summary: RunSummary) -> None:
    """Demand that no event stands behind the last one that the row counts. Raises HistoryError."""
    if await store.read_history(summary.run_key, after=summary.sequence + 1, limit=1):
        message = f"run {summary.ref} has more events than the {summary.sequence} that its row counts"
        raise HistoryError(message)


async def _created_by_row(store: RunStore, summary: RunSummary) -> e.RunCreated:
    return e.RunCreated(
        workflow=summary.workflow,
        definition_version=summary.definition_version,
        ref=summary.ref,
        input=NULL,
        seed=0,
        priority=summary.priority,
        tenant=summary.tenant,
        labels=summary.labels,
        parent=await _parent_of(store, summary),
        carried_children=await _carried_children(store, summary),
    )


async def _carried_children(store: RunStore, summary: RunSummary) -> tuple[e.CarriedChild, ...]:
    """Return the children that came along from the generation before, by the end of its history, if that is sound."""
    before = RunRef(namespace=summary.ref.namespace, id=summary.ref.id, generation=summary.ref.generation - 1)
    row = await store.find(before, latest=False) if before.generation else None
    if row is None:
        return ()
    try:
        end = await store.read_history(row.run_key, after=row.sequence - 1, limit=1)
    except (HistoryError, StoreCorruptError):
        return ()
    ends = [recorded.event for recorded in end if isinstance(recorded.event, e.RunContinued)]
    children = carried_children_of(ends[0], row.run_key) if ends else ()
    return tuple(child for child in children if child.ref.namespace == summary.ref.namespace)


async def _parent_of(store: RunStore, summary: RunSummary) -> ParentLink | None:
    """Return whose child the run is, by the history of its parent; None if that cannot be read, either.

    Of several calls that asked for its id it is that which started it, or the first of its generations that is still
    there; else the last that has no outcome yet. The run that a call asked for that was refused is never there.
    """
    parent = None if summary.parent_key is None else await store.find(summary.parent_key)
    if parent is None:
        return None
    calls: dict[Operation, e.ChildRequested] = {}
    async for recorded in _readable(store, parent.run_key):
        event = recorded.event
        if isinstance(event, e.ChildRequested) and _is_same(event.child, summary.ref):
            calls[event.operation] = event
        elif isinstance(event, e.ChildCompleted | e.ChildFailed):
            calls.pop(event.operation, None)
        elif isinstance(event, e.ChildStarted) and event.operation in calls and await store.find(RunKey(event.run_key)):
            calls = {event.operation: calls[event.operation]}
            break  # whatever asked for the id later was refused, though that may not be in the history yet
    if not calls:
        return None
    _, asked = calls.popitem()
    return ParentLink(run_key=parent.run_key, ref=parent.ref, operation=asked.operation, policy=asked.policy)


def _is_same(one: RunRef, other: RunRef) -> bool:
    """Whether two generations are of one id."""
    return (one.namespace, one.id) == (other.namespace, other.id)


async def _locks(store: RunStore, summary: RunSummary) -> AsyncIterator[tuple[Operation, OpenLock]]:
    after = 0
    while True:
        query = LockQuery(namespace=summary.ref.namespace, run_key=summary.run_key, after=after, limit=_PAGE)
        page = await store.list_locks(query)
        for entry in page:
            phase = LockPhase.HELD if entry.is_held else LockPhase.REQUESTED
            token = entry.position if entry.is_held else 0
            yield entry.operation, OpenLock(key=entry.key, limit=entry.limit, phase=phase, token=token)
        if len(page) < _PAGE:
            return
        after = page[-1].position


async def _tasks(store: RunStore, summary: RunSummary) -> AsyncIterator[tuple[Operation, Deferral]]:
    query = TaskQuery(namespace=summary.ref.namespace, run_key=summary.run_key, limit=_PAGE)
    while True:
        page = await store.list_tasks(query)
        for task in page:
            yield (
                task.operation,
                Deferral(
                    attempt=task.attempt,
                    started_at=task.queued_at,
                    retry=NO_RETRY,
                    limits={},
                    heartbeat_microseconds=None,
                    queue=task.queue,
                ),
            )
        if len(page) < _PAGE:
            return
        query = structs.replace(query, after=page[-1].place)


async def _children(store: RunStore, summary: RunSummary) -> AsyncIterator[OpenChild]:
    """Yield the open children that say themselves what is to become of them when their parent ends."""
    cursor = ""
    while True:
        query = RunQuery(
            namespace=summary.ref.namespace,
            statuses=OPEN_STATUSES,
            parent_key=summary.run_key,
            limit=_PAGE,
            cursor=cursor,
        )
        page = await store.list_runs(query)
        for child in page.runs:
            standing = await _standing(store, child)
            link = None if standing is None else standing.parent
            if link is not None and link.run_key == summary.run_key:
                yield OpenChild(
                    operation=link.operation,
                    workflow=child.workflow,
                    ref=child.ref,
                    policy=link.policy,
                    phase=ChildPhase.STARTED,
                    run_key=child.run_key,
                )
        cursor = page.next_cursor
        if not cursor:
            return


async def _standing(store: RunStore, summary: RunSummary) -> e.RunCreated | None:
    """Return what a run is; what comes behind the event that gave it its name is not needed for that."""
    events: list[e.Event] = []
    standing: e.RunCreated | None = None
    async for recorded in _readable(store, summary.run_key):
        events.append(recorded.event)
        if isinstance(recorded.event, e.RunCreated | e.RunForked):
            standing = standing_of(events)
            if standing is not None and standing.ref == summary.ref:
                break
    return standing


async def _readable(store: RunStore, run_key: RunKey) -> AsyncIterator[RecordedEvent]:
    """Yield the events of a history, page by page, up to the first that is damaged or on a page that is."""
    after, limit = 0, _PAGE
    while limit > 0:
        try:
            page = await store.read_history(run_key, after=after, limit=limit)
        except DamagedHistoryError as error:
            limit = min(error.event - 1 - after, limit - 1)  # what is before it
            continue
        except (HistoryError, StoreCorruptError):
            return
        for recorded in page:
            yield recorded
        if len(page) < _PAGE:
            return
        after = page[-1].sequence


_PAGE: Final = 1_000
