"""Options of one activity call, as they are recorded in a history when they differ from the activity's own."""

from enum import StrEnum

import msgspec

from perdure.kernel.limits import CircuitBreaker, RateLimit
from perdure.kernel.priority import Priority
from perdure.kernel.retry import Retry

__all__ = ["ActivityOptions", "Executor", "merge_options"]


class Executor(StrEnum):
    """Where an activity's function runs.

    `loop`: on the worker's event loop (``async def``). `thread`: in a thread. `process`: in a process pool, for work
    that burns CPU. `hybrid`: the engine chooses loop, thread or process from the declaration and measured durations.
    `ray`, `dask`: on a cluster of that kind (`Settings.ray_address`, `Settings.dask_address`). `transaction`: in a
    transaction of the store, for an activity that says which (`activity(transaction=...)`).
    """

    LOOP = "loop"
    THREAD = "thread"
    PROCESS = "process"
    HYBRID = "hybrid"
    RAY = "ray"
    DASK = "dask"
    TRANSACTION = "transaction"


class ActivityOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What may be said about an activity, on its decorator or for one call. None everywhere means: not said.

    Durations are microseconds. `schedule_to_start` bounds the wait for a slot, `start_to_close` one attempt,
    `schedule_to_close` everything with all retries, `heartbeat` the silence between two heartbeats.
    `at_most_once`: the start of an attempt is made durable before the function runs, so that an attempt interrupted by
    a crash counts as failed instead of being run again under the same number; costs one more commit per attempt.
    `idempotency_key` is handed to the activity; without one it is derived from the run and the operation.
    `labels` are demanded of the worker that serves the `queue`; `sticky`: those of a run go to the worker that made its
    last one there. `resources` are the requirements per dimension (cpu in hundredths of a core, memory_mb, ...).
    `rate_limit` and `circuit_breaker` say when no attempt is started.
    """

    retry: Retry | None = None
    schedule_to_start_microseconds: int | None = None
    start_to_close_microseconds: int | None = None
    schedule_to_close_microseconds: int | None = None
    heartbeat_microseconds: int | None = None
    queue: str | None = None
    labels: dict[str, str] | None = None
    sticky: bool | None = None
    priority: Priority | None = None
    executor: Executor | None = None
    expected_duration_microseconds: int | None = None
    idempotency_key: str | None = None
    at_most_once: bool | None = None
    resources: dict[str, int] | None = None
    rate_limit: RateLimit | None = None
    circuit_breaker: CircuitBreaker | None = None


def merge_options(base: ActivityOptions, override: ActivityOptions | None) -> ActivityOptions:
    """Return `base` with everything that `override` says laid over it."""
    if override is None:
        return base
    said = {name: value for name in _FIELDS if (value := getattr(override, name)) is not None}
    return msgspec.structs.replace(base, **said)


_FIELDS = ActivityOptions.__struct_fields__
