"""What must be known to decide what becomes of writes, as far as the writes say so themselves."""

from collections.abc import Sequence

import msgspec

from perdure.kernel.identity import Operation, RunKey, RunRef
from perdure.kernel.locking import LockRequest
from perdure.kernel.transition import Creation, Delivery, Park, Release, Seizure, Transition, Write

__all__ = ["Wants", "wants_of"]


class Wants(msgspec.Struct):
    """Rows of tables, by their keys.

    `names`: namespace and id, of which the latest generation is wanted. `deliveries`: of which what is wanted depends
    on the runs that they are for. `asks`: runs that ask for locks, or give some back, with the names of those;
    `namespaces`: of those runs that are not there yet.
    """

    runs: set[RunKey] = msgspec.field(default_factory=set)
    names: set[tuple[str, str]] = msgspec.field(default_factory=set)
    requests: set[tuple[str, str]] = msgspec.field(default_factory=set)
    message_requests: set[tuple[str, str, str]] = msgspec.field(default_factory=set)
    message_ids: set[tuple[RunKey, str]] = msgspec.field(default_factory=set)
    inboxes: set[RunKey] = msgspec.field(default_factory=set)
    positions: set[int] = msgspec.field(default_factory=set)
    deliveries: list[Delivery] = msgspec.field(default_factory=list)
    asks: dict[RunKey, set[str]] = msgspec.field(default_factory=dict)
    tasks: set[tuple[RunKey, Operation]] = msgspec.field(default_factory=set)
    namespaces: dict[RunKey, str] = msgspec.field(default_factory=dict)
    lock_requests: int = 0


def wants_of(writes: Sequence[Write]) -> Wants:
    """Return what some writes want."""
    wants = Wants()
    for write in writes:
        if isinstance(write, Delivery):
            _want_delivery(wants, write)
            continue
        wants.runs.add(write.run_key)
        match write:
            case Transition():
                _want_transition(wants, write)
            case Creation():
                _want_creation(wants, write)
            case Release() | Park():
                wants.inboxes.add(write.run_key)
            case Seizure():
                pass
    return wants


def _want_transition(wants: Wants, write: Transition) -> None:
    wants.positions.update(write.consumed)
    wants.message_ids.update((write.run_key, told) for told in write.must_not_overtake)
    for creation in (*write.creations, *(() if write.creation is None else (write.creation,))):
        wants.runs.add(creation.run_key)
        _want_creation(wants, creation)
    for delivery in write.deliveries:
        _want_delivery(wants, delivery)
        wants.message_ids.add((write.run_key, f"{delivery.message_id}:answer"))
    if write.moves_inbox_to is not None:
        wants.inboxes.add(write.run_key)
    if write.locks:
        keys = {change.key for change in write.locks if isinstance(change, LockRequest)}
        wants.asks.setdefault(write.run_key, set()).update(keys)
        wants.lock_requests += len(write.locks)
        if write.creation is not None:
            wants.namespaces[write.run_key] = write.creation.ref.namespace


def _want_creation(wants: Wants, write: Creation) -> None:
    ref = write.ref
    wants.names.add((ref.namespace, ref.id))
    if write.request_id:
        wants.requests.add((ref.namespace, write.request_id))
        wants.message_requests.add((ref.namespace, ref.id, write.update_request or write.request_id))


def _want_delivery(wants: Wants, write: Delivery) -> None:
    wants.deliveries.append(write)
    if write.task is not None:
        wants.tasks.add((write.task.run_key, write.task.operation))
    if isinstance(write.target, RunRef):
        wants.names.add((write.target.namespace, write.target.id))
    else:
        wants.runs.add(write.target)
