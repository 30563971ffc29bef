"""Runs as wholes: what a store gives out and takes in for exports and archives, and what retention asks of it.

**Promise.** `RunStore.read_whole` shows one generation of a run as it stood at one moment. `RunStore.bring_in` applies
such a value whole or not at all. `RunStore.remove_runs` takes a closed run from everybody's sight in one transaction,
and only if nothing that is open needs it:

* no child of it is open, since that names it as its parent;
* no open run is a fork of it, since outcomes from outside are told to the run that first made the call;
* it holds no lock, and waits for none;
* the generation before it is gone: generations go from the oldest on, so an id never loses its latest one first.

Requests by which an id was called are known as long as the id has any generation.
"""

from typing import Final

import msgspec

from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey
from perdure.kernel.locking import LockEntry
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus
from perdure.ports.store import InboxEntry, RunSummary

__all__ = ["FOREIGN_KEYS", "REMOVED_BYTES", "REMOVED_ROWS", "ClosedQuery", "WholeRun"]

FOREIGN_KEYS: Final = 1 << 62
"""From here on are the keys of runs that came from other databases; no store gives out so high ones by itself."""

REMOVED_ROWS: Final = 1_000
"""So many events and messages of removed runs are deleted in one transaction, so that none holds up the others long."""

REMOVED_BYTES: Final = 4 * 2**20
"""As soon as these hold so much, it are no more."""


class WholeRun(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a store holds of one generation of a run.

    `request_id` is that of its start, `requests` are those of messages that this generation took in. `end_at`: when it
    may have to be ended though nobody has its code. `recovered`: its last owner died, and nobody has claimed it since.
    `queues` are the task queues that hold tasks of it, which themselves are left out.
    """

    summary: RunSummary
    request_id: str = ""
    end_at: Timestamp | None = None
    recovered: bool = False
    history: tuple[RecordedEvent, ...]
    inbox: tuple[InboxEntry, ...] = ()
    requests: tuple[str, ...] = ()
    locks: tuple[LockEntry, ...] = ()
    queues: tuple[str, ...] = ()


class ClosedQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which closed runs, of any generation, that `RunStore.remove_runs` would remove but for earlier generations.

    Those that closed until `closed_until` (inclusive), of a namespace (None: any), of these statuses and workflows
    (empty: any), in the order of their ends; `after` is (closed_at, run_key) of the last one of the page before.
    """

    closed_until: Timestamp
    namespace: str | None = None
    statuses: frozenset[RunStatus] = frozenset()
    workflows: frozenset[str] = frozenset()
    after: tuple[Timestamp, RunKey] | None = None
    limit: int = 100
