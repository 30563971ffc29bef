"""Why a task waits: given what the workers have announced, the nearest reason."""

import pytest

from perdure.kernel.identity import Operation, RunKey, RunRef, WorkerId
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.ports.tasks import ServerSummary, Serving, TaskSummary
from perdure.scheduling.placing import why_waiting

NOW = Timestamp(1_000)


def task(**fields: object) -> TaskSummary:
    told: dict[str, object] = {
        "run_key": RunKey(1),
        "run": RunRef(id="r"),
        "operation": Operation(1),
        "attempt": 1,
        "queue": "gpu",
        "activity": "render",
        "priority": Priority.NORMAL,
        "queued_at": NOW,
        "owner": None,
        "worker": "",
        "claims": 0,
    }
    return TaskSummary(**(told | fields))  # type: ignore[arg-type]


def server(number: int, *queues: str, until: int = 2_000, **labels: str) -> ServerSummary:
    return ServerSummary(
        worker=WorkerId(number),
        name=f"w{number}",
        serving=Serving(queues=queues, labels=labels),
        lease_until=Timestamp(until),
    )


LABELLED = task(labels={"zone": "eu", "gpu": "a100"})
KEPT = task(sticky_to=WorkerId(1), sticky_until=Timestamp(1_500))


@pytest.mark.parametrize(
    ("waiting", "servers", "why"),
    [
        (task(owner=WorkerId(1), worker="w1"), [], ""),
        (task(), [], "nobody serves the queue 'gpu'"),
        (task(), [server(1, "cpu"), server(2, "gpu", until=1_000)], "nobody serves the queue 'gpu'"),
        (LABELLED, [server(1, "cpu", zone="eu", gpu="a100")], "nobody serves the queue 'gpu'"),
        (
            LABELLED,
            [server(1, "gpu", zone="eu"), server(2, "gpu", zone="us", gpu="a100")],
            "nobody who serves the queue has the labels gpu=a100 zone=eu",
        ),
        (
            LABELLED,
            [server(1, "gpu"), server(2, "gpu", zone="eu", gpu="a100", disk="ssd")],
            "room, or the code, at 1 who serve the queue: w2",
        ),
        (
            KEPT,
            [server(1, "gpu"), server(2, "gpu")],
            "it is kept for worker w1, which made the last one of its run",
        ),
        (KEPT, [server(2, "gpu")], "room, or the code, at 1 who serve the queue: w2"),
        (KEPT, [server(1, "gpu", until=1_000), server(2, "gpu")], "room, or the code, at 1 who serve the queue: w2"),
        (
            task(sticky_to=WorkerId(1), sticky_until=NOW),
            [server(1, "gpu"), server(2, "gpu")],
            "room, or the code, at 2 who serve the queue: w1, w2",
        ),
        (
            task(),
            [server(number, "gpu") for number in range(1, 9)],
            "room, or the code, at 8 who serve the queue: w1, w2, w3, w4, w5",
        ),
    ],
)
def test_the_nearest_reason_is_told(waiting: TaskSummary, servers: list[ServerSummary], why: str) -> None:
    assert why_waiting(waiting, servers, now=NOW) == why
