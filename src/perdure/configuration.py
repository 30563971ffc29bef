"""Every setting of an engine, with its default and its limit, in one place.

Most are plain numbers; durations are seconds. Give a changed copy to the engine:
``Engine(url, settings=Settings(active_runs=200))``.
"""

import math
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec

from perdure.errors import InvalidArgumentError
from perdure.kernel.tasks import LABELS_WANTED, LONGEST_QUEUE_NAME, are_labels, is_queue_name
from perdure.kernel.transition import CLOSED_STATUSES, RunStatus

__all__ = [
    "LARGEST_RUN_BYTES",
    "MAXIMUM_BACKFILLS",
    "MAXIMUM_PAYLOAD_BYTES",
    "MAXIMUM_PAYLOAD_DEPTH",
    "MAXIMUM_WAITING_STARTS",
    "REMEMBERED_REASONS",
    "REMEMBERED_REQUESTS_SECONDS",
    "REMEMBERED_TIMES",
    "SEARCHED_PAGES",
    "Retention",
    "Settings",
]

MAXIMUM_PAYLOAD_BYTES: Final = 2 * 2**20
"""Size of the largest argument list, result, message or other value that can be recorded, as JSON."""

MAXIMUM_PAYLOAD_DEPTH: Final = 64
"""How deeply values may be nested."""

LARGEST_RUN_BYTES: Final = 2**30
"""So much text a run may have in an exported file; one with more is not exported, nor archived, nor read from one."""

MAXIMUM_WAITING_STARTS: Final = 1_000
"""So many starts may wait at once in the buffer of a schedule or the line of a singleton, and so many triggers."""

MAXIMUM_BACKFILLS: Final = 100
"""So many backfills of a schedule may be unfinished at once."""

REMEMBERED_REQUESTS_SECONDS: Final = 7 * 86_400
"""So long what a start by a key with a request id was answered is remembered."""

REMEMBERED_REASONS: Final = 10_000
"""Of so many runs a process remembers why they do not go on in it."""

REMEMBERED_TIMES: Final = 50
"""So many of its latest starts, and of its latest skipped times, a schedule remembers."""

SEARCHED_PAGES: Final = 2
"""Of so many pages of the store at most, each of which looks at a bounded number of runs, a listing's is made up."""


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Which closed runs an engine removes, of its namespace, and where it keeps them then.

    A run stays for `keep` after its end (None: for ever). `by_workflow` and, for the other workflows, `by_status` say
    otherwise for some. Of each workflow the `newest` so many stay, however old. What is removed is first written to the
    folder `archive`, as exported runs; None: it is lost. A process that works looks `every` so often, after others.
    """

    keep: timedelta | None = None
    by_status: Mapping[RunStatus, timedelta | None] = {}
    by_workflow: Mapping[str, timedelta | None] = {}
    newest: int = 0
    archive: Path | None = None
    every: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant. Raises InvalidArgumentError."""
        for name in self.by_workflow:
            if not isinstance(name, str):
                message = f"Retention: by_workflow names {name!r:.60}; write the workflow's name, a text"
                raise InvalidArgumentError(message)
        for time in (self.keep, *self.by_status.values(), *self.by_workflow.values()):
            if time is not None and (not isinstance(time, timedelta) or time < timedelta(0)):  # type: ignore[redundant-expr]
                message = f"Retention: runs cannot be kept for {time}; a time from zero on, or None: for ever"
                raise InvalidArgumentError(message)
        if not self.by_status.keys() <= CLOSED_STATUSES:
            wrong = ", ".join(sorted(self.by_status.keys() - CLOSED_STATUSES))
            message = f"Retention: by_status names {wrong}; only runs that have ended are removed"
            raise InvalidArgumentError(message)
        if not isinstance(self.newest, int) or not 0 <= self.newest <= _MOST_NEWEST:  # type: ignore[redundant-expr]
            message = f"Retention: newest is {self.newest!r}; it must be an integer from 0 to {_MOST_NEWEST:,}"
            raise InvalidArgumentError(message)
        if not isinstance(self.every, timedelta) or self.every <= timedelta(0):  # type: ignore[redundant-expr]
            message = f"Retention: every is {self.every!r}; it must be a timedelta above zero"
            raise InvalidArgumentError(message)
        if not isinstance(self.archive, Path | None):
            message = f"Retention: archive is {self.archive!r:.60}; it must be the Path of a folder, or None"
            raise InvalidArgumentError(message)

    @property
    def shortest(self) -> timedelta | None:
        """The shortest time for which any run is kept; None: all are, for ever."""
        times = (self.keep, *self.by_status.values(), *self.by_workflow.values())
        return min((time for time in times if time is not None), default=None)

    def time_of(self, workflow: str, status: RunStatus) -> timedelta | None:
        """Return how long a run of a workflow that ended so is kept; None: for ever."""
        if workflow in self.by_workflow:
            return self.by_workflow[workflow]
        return self.by_status.get(status, self.keep)


_MOST_NEWEST: Final = 10_000


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How an engine behaves.

    Runs in memory:
        `active_runs`: how many runs are held in memory at once; further ones wait in the store.
        `idle_seconds`: a run with nothing to do leaves memory after this time; its next timer wakes it.
        `history_page`: how many events are read at once when a run is loaded.
        `history_events`: a run whose history gets longer is terminated; use continue-as-new long before.
        `loads_at_once`: how many runs are loaded from the store concurrently.

    Slots, how many activities may run at once:
        `loop_slots` on the event loop, `thread_slots` in threads, `process_slots` in pool processes,
        `transaction_slots` in transactions of the store, each with PostgreSQL on a connection of its own,
        `ray_slots` and `dask_slots` on a cluster: as many as this machine has processors, more for more machines.

    Task queues, in which activities wait that say so (``@activity(queue="gpu")``):
        `queues`: those whose activities this process makes, of its own runs at once, of others' as tasks.
        `queue_slots`: how many tasks it has of them at a time.
        `only_queues`: True for a process that makes these alone, and claims no runs.
        `labels`: what this process has that activities of these queues may demand, such as ``{"gpu": "a100"}``.
        `sticky_seconds`: how long a ``sticky`` activity of a run of this process waits for the worker that made its
        last one, if that lives and is busy, before any other may make it.

    Resources, what activities that declare `resources` share in this process:
        `resources`: how much there is per dimension, such as ``{"gpu": 1, "memory_mb": 8192}``. The names are yours,
        and nothing is measured. An activity that asks for more, or for a dimension that is not named here, fails.
        `resource_passes`: how many others may start before an activity whose resources are not free yet; then what
        becomes free is kept for it.

    Ownership:
        `lease_seconds`: a worker that does not renew its lease for this long loses its runs.
        `lease_renewals`: how often per lease it renews.

    Standby, see docs/how-to/processes.md:
        `standby`: True for a worker that keeps warm copies of the runs that other workers own, and goes on with these
        sooner when they die. `standby_runs`, `standby_bytes`: at most so many, whose histories are so long in all, as
        they are stored; the least recently moved go. `standby_share`: to keep them up to date takes at most this
        share of the event loop's time, from above 0 to 1.

    Store:
        `commit_batch`: at most so many writes go into one transaction.
        `retry_store_seconds`: the wait before a failed commit is tried again; it doubles up to
        `retry_store_maximum_seconds`.
        `lock_patience_seconds`: how long a commit waits for another program's lock on the database.
        `safety_check_seconds`: how often news from other processes are looked for in case a notice was lost.

    Copies:
        `replicate_to`: the folder in which a copy of the database is kept (see `perdure.copies.replicate`), by one at a
        time of the processes that say so; empty: none by this one. `replicate_every_seconds`: how often what is new is
        added to it. `replicate_keep_seconds`: how far back its points in time reach.

    Activities:
        `heartbeat_save_seconds`: details of heartbeats are saved at most this often per activity.
        `shutdown_grace_seconds`: how long running activities may finish when the engine closes.
        `hybrid_process_seconds`: hybrid activities that burn CPU for longer than this on average go to a process.
        `process_start_seconds`: a process that is not ready by then is killed; the main script is imported in it.
        `process_stop_seconds`: an activity in a process that was given up may clean up for so long before SIGTERM, if
        it ever calls `heartbeat`, and before SIGKILL; on Ray, too.
        `process_modules`: modules that are imported once before the first process is forked, so that none has to.

    Clusters, see docs/how-to/clusters.md:
        `ray_address`: of the head of a cluster of Ray, such as ``10.0.0.1:6379``, or ``auto``: the one that was started
        on this machine. `dask_address`: of the scheduler of a cluster of Dask, such as ``tcp://10.0.0.1:8786``. Empty:
        a cluster of this machine is started at the first use, and ended with the engine.

    Closed runs:
        `retention`: which are removed, and archived before; None: all are kept.

    Diagnosis:
        `blocking_seconds`: workflow or activity code that holds the event loop longer is reported with its stack;
        0: nobody watches.
    """

    active_runs: int = 10_000
    idle_seconds: float = 10.0
    history_page: int = 1_000
    history_events: int = 100_000
    loads_at_once: int = 32
    loop_slots: int = 1_000
    thread_slots: int = min(32, (os.cpu_count() or 1) + 4)
    process_slots: int = os.cpu_count() or 1
    transaction_slots: int = 4
    ray_slots: int = os.cpu_count() or 1
    dask_slots: int = os.cpu_count() or 1
    queues: tuple[str, ...] = ()
    queue_slots: int = 100
    only_queues: bool = False
    labels: dict[str, str] = {}
    sticky_seconds: float = 5.0
    resources: dict[str, int] = {}
    resource_passes: int = 100
    lease_seconds: float = 15.0
    lease_renewals: int = 3
    standby: bool = False
    standby_runs: int = 2_000
    standby_bytes: int = 128 * 2**20
    standby_share: float = 0.25
    commit_batch: int = 1_000
    retry_store_seconds: float = 0.1
    retry_store_maximum_seconds: float = 5.0
    lock_patience_seconds: float = 5.0
    safety_check_seconds: float = 1.0
    replicate_to: str = ""
    replicate_every_seconds: float = 1.0
    replicate_keep_seconds: float = 7 * 86_400.0
    heartbeat_save_seconds: float = 10.0
    shutdown_grace_seconds: float = 5.0
    hybrid_process_seconds: float = 0.05
    process_start_seconds: float = 60.0
    process_stop_seconds: float = 1.0
    process_modules: tuple[str, ...] = ()
    ray_address: str = ""
    dask_address: str = ""
    retention: Retention | None = None
    blocking_seconds: float = 0.25

    def __post_init__(self) -> None:
        """Refuse values that cannot work. Raises InvalidArgumentError naming the setting."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, tuple) or name in _CHECKED_APART:
                continue
            lowest = "from zero" if name in _MAY_BE_ZERO else "above zero"
            if (
                not isinstance(value, int | float)
                or not 0 <= value < math.inf
                or (value == 0 and name not in _MAY_BE_ZERO)
            ):
                message = f"Settings: {name} is {value!r:.60}; it must be a number {lowest}"
                raise InvalidArgumentError(message)
        if not isinstance(self.queues, tuple) or not all(map(is_queue_name, self.queues)):  # type: ignore[redundant-expr]
            wanted = f"a tuple of names of 1 to {LONGEST_QUEUE_NAME} characters, such as ('gpu',)"
            message = f"Settings: queues is {self.queues!r:.60}; it must be {wanted}"
            raise InvalidArgumentError(message)
        if not are_labels(self.labels):
            message = f"Settings: labels is {self.labels!r:.60}; it must be {LABELS_WANTED}"
            raise InvalidArgumentError(message)
        if self.only_queues and not self.queues:
            message = "Settings: only_queues is set, and queues names none; say which, such as queues=('gpu',)"
            raise InvalidArgumentError(message)
        if self.standby_share > 1:
            message = f"Settings: standby_share is {self.standby_share!r}; it must be a share of the time, up to 1"
            raise InvalidArgumentError(message)
        if self.standby and self.only_queues:
            message = "Settings: standby is set, and only_queues, too; whoever claims no runs takes none over"
            raise InvalidArgumentError(message)
        if not isinstance(self.retention, Retention | None):
            message = f"Settings: retention is {self.retention!r:.60}; it must be a Retention, or None"
            raise InvalidArgumentError(message)
        for name, meaning in _TEXTS.items():
            value = getattr(self, name)
            if not isinstance(value, str):
                message = f"Settings: {name} is {value!r:.60}; it must be a text, {meaning}"
                raise InvalidArgumentError(message)
        for dimension, capacity in self.resources.items():
            if not isinstance(capacity, int) or capacity < 1:  # type: ignore[redundant-expr]
                message = f"Settings: resources[{dimension!r}] is {capacity!r}; it must be an integer from 1"
                raise InvalidArgumentError(message)


_TEXTS: Final = {
    "replicate_to": "the path of a folder",
    "ray_address": "the address of the head of a cluster",
    "dask_address": "the address of the scheduler of a cluster",
}
_CHECKED_APART = frozenset({"labels", "only_queues", "queues", "resources", "retention", "standby", *_TEXTS})
_MAY_BE_ZERO = frozenset(
    {
        "sticky_seconds",
        "shutdown_grace_seconds",
        "thread_slots",
        "process_slots",
        "transaction_slots",
        "ray_slots",
        "dask_slots",
        "hybrid_process_seconds",
        "blocking_seconds",
    }
)
