"""Every setting of an engine, with its default and its limit, in one place.

All are plain numbers; durations are seconds. Give a changed copy to the engine:
``Engine(url, settings=Settings(active_runs=200))``.
"""

import os

import msgspec

from perdure.errors import InvalidArgumentError

__all__ = ["Settings"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How an engine behaves.

    Runs in memory:
        `active_runs`: how many runs are held in memory at once; further ones wait in the store.
        `idle_seconds`: a run with nothing to do leaves memory after this time; its next timer wakes it.
        `history_page`: how many events are read at once when a run is loaded.
        `history_events`: a run whose history is longer fails; use continue-as-new long before.
        `loads_at_once`: how many runs are loaded from the store concurrently.

    Slots, how many activities may run at once:
        `loop_slots` on the event loop, `thread_slots` in threads, `process_slots` in pool processes.

    Ownership:
        `lease_seconds`: a worker that does not renew its lease for this long loses its runs.
        `lease_renewals`: how often per lease it renews.

    Store:
        `commit_batch`: at most so many writes go into one transaction.
        `retry_store_seconds`: the wait before a failed commit is tried again; it doubles up to
        `retry_store_maximum_seconds`.
        `lock_patience_seconds`: how long a commit waits for another program's lock on the database.
        `safety_check_seconds`: how often news from other processes are looked for in case a notice was lost.

    Activities:
        `heartbeat_save_seconds`: details of heartbeats are saved at most this often per activity.
        `shutdown_grace_seconds`: how long running activities may finish when the engine closes.
        `hybrid_process_seconds`: hybrid activities that took longer than this on average go to a process.

    Limits of data:
        `payload_bytes`: largest encoded argument, result or message.

    Diagnosis:
        `blocking_seconds`: workflow or activity code that holds the event loop longer is reported with its stack.
    """

    active_runs: int = 10_000
    idle_seconds: float = 10.0
    history_page: int = 1_000
    history_events: int = 100_000
    loads_at_once: int = 32
    loop_slots: int = 1_000
    thread_slots: int = min(32, (os.cpu_count() or 1) + 4)
    process_slots: int = os.cpu_count() or 1
    lease_seconds: float = 15.0
    lease_renewals: int = 3
    commit_batch: int = 1_000
    retry_store_seconds: float = 0.1
    retry_store_maximum_seconds: float = 5.0
    lock_patience_seconds: float = 5.0
    safety_check_seconds: float = 1.0
    heartbeat_save_seconds: float = 10.0
    shutdown_grace_seconds: float = 5.0
    hybrid_process_seconds: float = 0.05
    payload_bytes: int = 2_000_000
    blocking_seconds: float = 0.25

    def __post_init__(self) -> None:
        """Refuse values that cannot work. Raises InvalidArgumentError naming the setting."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value <= 0 and name not in _MAY_BE_ZERO:
                message = f"Settings: {name} is {value}; it must be above zero"
                raise InvalidArgumentError(message)


_MAY_BE_ZERO = frozenset({"shutdown_grace_seconds", "thread_slots", "process_slots", "hybrid_process_seconds"})
