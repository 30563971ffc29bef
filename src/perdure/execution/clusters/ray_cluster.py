"""Ray: an attempt is a task, whose reports are the items of a streaming generator.

So everything stands in one place: the stream has an end when the function has one, an error when its node dies, and a
cancellation reaches it wherever it is. Asked softly, Ray interrupts the main thread of the task's process, which only
passes reports on: there the function, in its thread, is given up. By force it ends the process.

**One connection.** Ray has one connection per process. One that the program has made is used, and left open; one that
an engine has made is shared by all engines of the process, and ended by the last of them.

**Limits.** Addresses ``ray://`` (Ray's own client) are refused: they know no streams. A process that cannot reach the
head of its cluster for a minute is ended by Ray itself: its runs are then recovered as after any crash.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

from perdure.errors import UsageError
from perdure.execution.clusters.cluster import Heard, cluster_unavailable, worker_died
from perdure.execution.clusters.performance import Performance

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["RayCluster"]


class RayCluster:
    """A connection to a cluster of Ray: see `Cluster`."""

    name = "Ray"

    def __init__(self, address: str, *, slots: int) -> None:
        """Connect to nothing yet. `address`: of the head (``host:6379``); empty: start a cluster here, with `slots`."""
        self._address: Final = address
        self._slots: Final = slots
        self._has_joined = False

    @property
    def is_connected(self) -> bool:
        """See `Cluster.is_connected`."""
        return bool(_ray().is_initialized())

    def connect(self) -> None:
        """See `Cluster.connect`."""
        if self._address.startswith("ray://"):
            message = f"ray_address is {self._address}: Ray's client has no streams; give the head's address, host:6379"
            raise UsageError(message)
        self.disconnect()  # what is left of a connection that was lost
        _connection.join(self._begin)
        self._has_joined = True
        self._require_same()

    def submit(
        self, order: bytes, *, activity: str, resources: dict[str, int], loop: asyncio.AbstractEventLoop
    ) -> "_RayTask":
        """See `Cluster.submit`."""
        del loop  # Ray takes that which awaits
        ray = _ray()
        options = {"name": activity, "num_returns": "streaming", "max_retries": 0, **_requirements(resources)}
        return _RayTask(ray, ray.remote(_perform).options(**options).remote(order), activity)

    def disconnect(self) -> None:
        """See `Cluster.disconnect`."""
        if self._has_joined:
            self._has_joined = False
            _connection.leave()

    def _begin(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # what this machine does is nobody else's business
        if self._address:
            _look_for(self._address)
            _ray().init(self._address, configure_logging=False)
        else:
            _ray().init("local", num_cpus=self._slots, include_dashboard=False, configure_logging=False)

    def _require_same(self) -> None:
        """Refuse the connection that is there if the settings name another cluster."""
        there = _ray().get_runtime_context().gcs_address
        if self._address not in {"", "auto", there}:
            message = (
                f"ray_address is {self._address}, but this process is connected to the cluster of Ray at {there}, and "
                f"Ray has one connection per process; leave ray_address out, or call ray.shutdown() before"
            )
            raise UsageError(message)


class _Connection:
    """The connection of this process, and how many engines use it."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._users = 0
        self._end: threading.Event | None = None

    def join(self, begin: Callable[[], None]) -> None:
        """Use the connection, and `begin` it if there is none."""
        with self._lock:
            if not _ray().is_initialized():
                self._begin(begin)
            self._users += 1

    def leave(self) -> None:
        """Use it no more; the last one ends it, if an engine has begun it."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._end is not None:
                _ray().shutdown()
                self._end.set()
                self._end = None

    def _begin(self, begin: Callable[[], None]) -> None:
        """Begin it in a thread that stays: Linux ends processes of Ray with the thread that has started them."""
        done: Future[None] = Future()
        self._end = end = threading.Event()

        def hold() -> None:
            try:
                begin()
            except BaseException as error:  # noqa: BLE001 - Ray may also want to end the program
                done.set_exception(ConnectionError(f"{type(error).__name__}: {error}"))
            else:
                done.set_result(None)
                end.wait()

        threading.Thread(target=hold, name="perdure-ray", daemon=True).start()
        done.result()


class _RayTask:
    """One attempt on Ray: see `ClusterTask`."""

    def __init__(self, ray: "ModuleType", stream: Any, activity: str) -> None:  # noqa: ANN401 - ray is imported late
        self._ray: Final = ray
        self._stream: Final = stream
        self._activity: Final = activity
        self._has_ended = False

    async def hear(self) -> Heard:
        errors = self._ray.exceptions
        try:
            reports: bytes = await (await anext(self._stream))
        except (StopAsyncIteration, errors.TaskCancelledError):
            self._has_ended = True
            return None
        except errors.RayTaskError as error:
            return cluster_unavailable(f"Ray could not run activity {self._activity}: {error.cause!r}")
        except errors.RayError as error:
            return worker_died(f"the process or the node of Ray died that ran activity {self._activity}: {error}")
        return reports

    def ask(self) -> None:
        self._ray.cancel(self._stream)

    def kill(self) -> None:
        self._ray.cancel(self._stream, force=True)

    def release(self) -> None:
        if not self._has_ended:
            self.kill()


def _perform(order: bytes) -> Iterator[bytes]:
    """Perform an order, in a process of Ray, and yield what is reported."""
    news = threading.Event()
    performance = Performance(order, on_news=news.set)
    performing = threading.Thread(target=performance.perform, name="perdure-activity", daemon=True)
    performing.start()
    try:
        while not performance.is_over:
            # Ray's interruption reaches Python code between two instructions, not within one that waits.
            if news.wait(_LOOK_SECONDS):
                news.clear()
                yield performance.fetch()
    finally:  # Ray ends the task here or, where its own code was interrupted, by closing this generator
        performance.give_up()
        performing.join()


def _look_for(address: str) -> None:
    """Raise OSError if nobody listens at an address. Ray would wait for minutes, which cannot be given up."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()


def _requirements(resources: dict[str, int]) -> dict[str, float]:
    """Return Ray's options for the dimensions that it knows; the others are Perdure's alone.

    >>> _requirements({"cpu": 150, "memory_mb": 2, "licences": 1})
    {'num_cpus': 1.5, 'memory': 2097152}
    """
    return {option: resources[name] * factor for name, (option, factor) in _KNOWN.items() if name in resources}


def _ray() -> "ModuleType":
    try:
        import ray  # noqa: PLC0415 - optional, and slow to load
    except ImportError as error:
        raise UsageError("executor='ray' needs the package ray: pip install 'perdure[ray]'") from error
    return ray


_connection: Final = _Connection()
_KNOWN: Final = {"cpu": ("num_cpus", 0.01), "memory_mb": ("memory", 2**20), "gpu": ("num_gpus", 1)}

_LOOK_SECONDS: Final = 0.1
_CONNECT_SECONDS: Final = 10.0
