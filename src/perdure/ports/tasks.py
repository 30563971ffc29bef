"""Tasks as stores keep them: claimed by sessions that serve their queues, listed for people.

What a task is stands in `perdure.kernel.tasks`; how it gets into a queue, and out again, in `Transition`; how its
outcome is told in `Delivery`. The methods of `RunStore` that are about tasks are explained here.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.identity import DEFAULT_NAMESPACE, Operation, RunKey, RunRef, WorkerId
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import SEPARATOR, Task, TaskClaim
from perdure.kernel.time import Timestamp

__all__ = [
    "SKEW_MICROSECONDS",
    "ClaimedTask",
    "ServedTasks",
    "ServerSummary",
    "Serving",
    "TaskCost",
    "TaskQuery",
    "TaskSummary",
    "decode_serving",
    "decode_task",
    "encode_serving",
    "encode_task",
    "has_labels",
    "refund_of",
]


SKEW_MICROSECONDS: Final = 1_000_000
"""By so much the clocks of two workers differ at most, unless one was set: what was queued later than that was queued
before a clock was set back, and is kept for nobody."""


class Serving(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a session announces: the queues that it serves, and the labels that it has; how many slots of each kind are
    free for runs of others, and a name of the `code` that it has, which is the same for the same code.

    `room` is by `Executor`, as a text: a newer library may have more kinds. `seen_as`: the store says here by whom
    some rows are seen only, and by others none of these; empty: by a session that sees all.
    """

    queues: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    room: Mapping[str, int] = {}
    code: str = ""
    seen_as: str = ""


class ServerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A session that has announced what it serves, and until when it holds its lease."""

    worker: WorkerId
    name: str
    serving: Serving
    lease_until: Timestamp


class ServedTasks(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks a worker serves: those of its `queues` whose activities it has the code of, and that demand no label
    that is not among its `labels`, each as ``name=value``."""

    queues: frozenset[str]
    activities: frozenset[str]
    labels: frozenset[str] = frozenset()


class TaskCost(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """By how many seconds what a worker has made for a share, of a class of a queue, has taken longer than was charged
    for it (`ClaimedTask.charged`); negative: shorter."""

    queue: str
    priority: Priority
    share: str
    seconds: float


class ClaimedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that this session has from now on. `recovered`: another had it, and was lost while it may have been at
    it. `trouble` says why its values cannot be read here; empty: they can. `obstacle` is why they cannot be fetched
    for now: it is not to be begun, and others go on; None: nothing. It is of a `share` of its queue, of which so many
    seconds were `charged` for it: none where nobody else waited."""

    claim: TaskClaim
    task: Task
    recovered: bool = False
    trouble: str = ""
    obstacle: Exception | None = None
    share: str = ""
    charged: float = 0.0


def refund_of(claimed: ClaimedTask) -> TaskCost:
    """Return what is told of a task that is given back before anything of it was begun."""
    task = claimed.task
    return TaskCost(queue=task.queue, priority=task.priority, share=claimed.share, seconds=-claimed.charged)


class TaskQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks to list: of a namespace, a queue, a run (None: any).

    The best class first, then what was queued first; `after` is the place of the last one of the page before.
    """

    namespace: str = DEFAULT_NAMESPACE
    queue: str | None = None
    run_key: RunKey | None = None
    after: tuple[Priority, Timestamp, RunKey, Operation] | None = None
    limit: int = 1_000


class TaskSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A task's row, and whose it is. `owner` is the session that has claimed it, None: it waits; `worker` is how that
    calls itself; `claims` counts how often it was claimed. `labels` are demanded of who claims it; until `sticky_until`
    it is kept for the session `sticky_to`. `waits_for` says why nobody has it, where a client asks; else empty."""

    run_key: RunKey
    run: RunRef
    operation: Operation
    attempt: int
    queue: str
    activity: str
    priority: Priority
    queued_at: Timestamp
    owner: WorkerId | None
    worker: str
    claims: int
    labels: dict[str, str] = {}
    sticky_to: WorkerId | None = None
    sticky_until: Timestamp | None = None
    waits_for: str = ""

    @property
    def place(self) -> tuple[Priority, Timestamp, RunKey, Operation]:
        """Where it stands in lists, and among those of its tenant."""
        return (self.priority, self.queued_at, self.run_key, self.operation)


def has_labels(demanded: str, served: ServedTasks) -> bool:
    """Whether a worker has all labels that stand in a text, as a task has them."""
    return not demanded or served.labels.issuperset(demanded.split(SEPARATOR))


def encode_serving(serving: Serving) -> bytes:
    """Return what a session announces as JSON."""
    return msgspec.json.encode(serving)


def decode_serving(data: bytes | str) -> Serving | None:
    """Read it; None for a session that has announced nothing, or nothing that could be read."""
    try:
        return _SERVING.decode(data)
    except UNDECODABLE:
        return None


_SERVING: msgspec.json.Decoder[Serving] = msgspec.json.Decoder(Serving)


def encode_task(task: Task) -> bytes:
    """Return a task as JSON."""
    return _ENCODER.encode(task)


def decode_task(data: bytes | str) -> Task:
    """Read a task. Raises msgspec.DecodeError for anything else."""
    try:
        return _DECODER.decode(data)
    except (UnicodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Task] = msgspec.json.Decoder(Task)
