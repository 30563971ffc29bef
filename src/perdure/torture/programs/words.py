"""The words of the programs: few of each kind, so that they meet."""

from typing import Final

from perdure.kernel.identity import WorkflowVersion
from perdure.kernel.messages import (
    CancelMessage,
    Message,
    ResumeMessage,
    SignalMessage,
    TerminateMessage,
)
from perdure.ports.tasks import ServedTasks
from perdure.testing.store_conformance.harness import (
    code_of,
    later,
)
from perdure.torture.programs.steps import Draws

__all__ = [
    "ACTIVITIES",
    "CODES",
    "IDS",
    "MESSAGES",
    "NAMESPACES",
    "QUEUES",
    "VERSIONS",
    "WORKFLOWS",
    "some_code",
    "some_tasks",
]

IDS: Final = ("a", "b", "c\x00d", "c\x00", "é", "f", "g", "h")
NAMESPACES: Final = ("default", "other")
WORKFLOWS: Final = ("order", "report")
VERSIONS: Final = ("1", "1", "2")
CODES: Final = ("a", "b")
QUEUES: Final = ("gpu", "gpu", "c\x00d")
ACTIVITIES: Final = ("render", "render", "é")
MESSAGES: Final[tuple[Message, ...]] = (
    SignalMessage(name="s1"),
    SignalMessage(name="s2"),
    ResumeMessage(),
    TerminateMessage(),
    CancelMessage(grace_until=later(60)),
    CancelMessage(),
)


def some_code(draws: Draws) -> frozenset[WorkflowVersion]:
    """Return what a worker has: mostly everything."""
    newer = code_of(WORKFLOWS[0], version=VERSIONS[-1])
    return draws.of((code_of(*WORKFLOWS) | newer, code_of(*WORKFLOWS), code_of(WORKFLOWS[0]), newer))


def some_tasks(draws: Draws) -> ServedTasks:
    """Return what a worker serves: mostly everything."""
    labels = frozenset(draws.of(((), ("gpu=a100",), ("gpu=a100", "zone=eu"))))
    everything = ServedTasks(queues=frozenset(QUEUES), activities=frozenset(ACTIVITIES), labels=labels)
    few = ServedTasks(queues=frozenset(QUEUES[:1]), activities=frozenset(ACTIVITIES[:1]))
    return draws.of((everything, everything, few))
