"""What an executor needs from a cluster, and the failures that are the cluster's."""

import asyncio
from typing import Final, Protocol, TypeAlias

from perdure.errors import UsageError
from perdure.execution.attempts import WORKER_PROCESS_DIED
from perdure.kernel.failure import Failure
from perdure.redaction import concealed

__all__ = ["CLUSTER_UNAVAILABLE", "Cluster", "ClusterTask", "Heard", "cluster_unavailable", "refusal", "worker_died"]

CLUSTER_UNAVAILABLE: Final = "ClusterUnavailableError"
"""Failure type of an attempt that a cluster could not take."""

Heard: TypeAlias = bytes | Failure | None
"""Frames of reports; what went wrong with the cluster or the function's process; None: it has ended."""


class ClusterTask(Protocol):
    """One attempt on a cluster. All methods are for the thread of the engine's loop and return at once, but `hear`."""

    async def hear(self) -> Heard:
        """Wait for the next reports of the function. Not to be called again after a failure or None."""
        ...

    def ask(self) -> None:
        """Have the function's next heartbeat raise."""
        ...

    def kill(self) -> None:
        """Have the function never begin, or end its process, or, where neither is possible, `ask`."""
        ...

    def release(self) -> None:
        """Let go of it: it has ended, or nobody wants to know."""
        ...


class Cluster(Protocol):
    """A connection to a cluster of other machines, or of processes of this one."""

    name: str
    """How messages call it."""

    @property
    def is_connected(self) -> bool:
        """Whether it can take attempts, as far as is known."""
        ...

    def connect(self) -> None:
        """Import the library and connect; without an address, start a cluster on this machine. Blocks.

        Raises UsageError for what has to be changed (the library is missing), and whatever the library raises.
        """
        ...

    def submit(
        self, order: bytes, *, activity: str, resources: dict[str, int], loop: asyncio.AbstractEventLoop
    ) -> ClusterTask:
        """Hand over an order; what becomes of it is heard on `loop`. Blocks. Raises whatever the library raises."""
        ...

    def disconnect(self) -> None:
        """End the connection, if there is one, and a cluster that `connect` has started. Blocks."""
        ...


def worker_died(how: str) -> Failure:
    """Return the failure of an attempt whose process or node is gone."""
    return Failure(type=WORKER_PROCESS_DIED, types=(WORKER_PROCESS_DIED,), message=concealed(how))


def cluster_unavailable(why: str) -> Failure:
    """Return the failure of an attempt that a cluster could not take; another one may be luckier."""
    return Failure(type=CLUSTER_UNAVAILABLE, types=(CLUSTER_UNAVAILABLE,), message=concealed(why))


def refusal(why: str) -> Failure:
    """Return the failure of an attempt that nothing but a change by its author can help."""
    name = UsageError.__name__
    return Failure(type=name, types=(name,), message=concealed(why), retryable=False)
