"""Dask: an attempt is a task; its reports are fetched from the worker that runs it.

**Once.** A scheduler of Dask runs a task again when the worker that ran it has died, as often as its settings say. So a
task first tells the engine where it is (by the scheduler, as an event), and waits for the first question for reports:
that is the permission to begin. The engine permits one execution only. When a second one shows up the first has died,
and so has the attempt; the second is refused.

**Reports** are asked for by the engine, one question at a time, which a worker answers when there are some, or after
`QUESTION_SECONDS`. A function whose engine has not asked for `FORSAKEN_SECONDS` is given up: nobody waits for it.

**Limits.** The function runs in a thread of the worker, and no thread can be stopped from outside: one that never calls
`heartbeat` or `is_cancelled` goes on to its end, and keeps its slot. One that takes its worker down (memory, a crash in
C) takes the other tasks of that worker with it; give workers one thread each, as the local cluster does.
"""

import asyncio
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from perdure.errors import UsageError
from perdure.execution.clusters.cluster import Heard, cluster_unavailable, worker_died
from perdure.execution.clusters.performance import Performance
from perdure.kernel.failure import Failure

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["FORSAKEN_SECONDS", "QUESTION_SECONDS", "DaskCluster"]

QUESTION_SECONDS: Final = 10.0
"""So long a worker holds a question for reports when there are none."""

FORSAKEN_SECONDS: Final = 60.0
"""A function whose engine does not ask for so long is given up."""

ANSWER: Final = "perdure_answer"
GIVE_UP: Final = "perdure_give_up"
"""What a worker is told beside its tasks; both name an execution."""


# --- the engine's side -------------------------------------------------------------------------------------------


class DaskCluster:
    """A connection to a cluster of Dask: see `Cluster`."""

    name = "Dask"

    def __init__(self, address: str, *, slots: int) -> None:
        """Connect to nothing yet. `address`: of the scheduler; empty: start a cluster here, with `slots` workers."""
        self._address: Final = address
        self._slots: Final = slots
        self._topic: Final = f"perdure-{uuid.uuid4().hex}"
        self._tasks: Final[dict[str, _DaskTask]] = {}
        self._declared: frozenset[str] = frozenset()
        self._client: Any = None
        self._local: Any = None

    @property
    def is_connected(self) -> bool:
        """See `Cluster.is_connected`."""
        return self._client is not None and self._client.status in {"running", "connecting"}

    def connect(self) -> None:
        """See `Cluster.connect`."""
        self.disconnect()  # what is left of a connection that was lost
        distributed = _distributed()
        try:
            if not self._address:
                self._local = distributed.LocalCluster(
                    n_workers=self._slots, threads_per_worker=1, dashboard_address=":0"
                )
            self._client = distributed.Client(self._local or self._address, set_as_default=False)
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        except BaseException:
            self.disconnect()
            raise
        self._declared = frozenset(name for worker in workers for name in worker["resources"])
        self._client.subscribe_topic(self._topic, self._appeared)

    def submit(
        self, order: bytes, *, activity: str, resources: dict[str, int], loop: asyncio.AbstractEventLoop
    ) -> "_DaskTask":
        """See `Cluster.submit`. Resources are asked for that a worker declared when the connection was made."""
        key = f"{activity}-{uuid.uuid4().hex}"
        asked = {name: amount for name, amount in resources.items() if name in self._declared}
        options = {"key": key, "pure": False, "retries": 0, "resources": asked or None}
        self._tasks[key] = task = _DaskTask(self, key, activity, loop)  # known before it can appear
        try:
            task.follow(self._client.submit(_perform, order, key, self._topic, **options))
        except BaseException:
            self.forget(key)
            raise
        return task

    def disconnect(self) -> None:
        """See `Cluster.disconnect`."""
        client, self._client = self._client, None
        local, self._local = self._local, None
        for each in (client, local):
            if each is not None:
                each.close()

    def call(self, operation: str, execution: str, *, worker: str) -> "Future[Any]":
        """Say something about an execution to its worker, beside the tasks; answer what that does. From any thread."""
        client = self._client
        if client is None:
            ended: Future[Any] = Future()
            ended.set_exception(ConnectionError("the connection to Dask has ended"))
            return ended

        async def called() -> Any:  # noqa: ANN401 - what the worker answers
            message = {"op": operation, "execution": execution}
            return (await client.scheduler.broadcast(msg=message, workers=[worker]))[worker]

        return asyncio.run_coroutine_threadsafe(called(), client.loop.asyncio_loop)

    def withdraw(self, future: Any) -> None:  # noqa: ANN401 - distributed is imported late
        """Have a task not begin, or nobody want its result."""
        client = self._client
        if client is not None:
            asyncio.run_coroutine_threadsafe(_cancelled(client, future), client.loop.asyncio_loop)

    def forget(self, key: str) -> None:
        """Know a task no more: should it appear, it is refused."""
        self._tasks.pop(key, None)

    def _appeared(self, event: tuple[float, dict[str, str]]) -> None:
        """Hear where a task runs; in the thread of Dask's loop."""
        _, said = event
        task = self._tasks.get(said["task"])
        if task is None:
            self.call(GIVE_UP, said["execution"], worker=said["worker"])
        else:
            task.appeared_elsewhere(said["worker"], said["execution"])


class _DaskTask:
    """One attempt on Dask: see `ClusterTask`."""

    def __init__(self, cluster: DaskCluster, key: str, activity: str, loop: asyncio.AbstractEventLoop) -> None:
        self._cluster: Final = cluster
        self._key: Final = key
        self._activity: Final = activity
        self._loop: Final = loop
        self._place: Final[asyncio.Future[tuple[str, str]]] = loop.create_future()
        self._settled: Final[asyncio.Future[Heard]] = loop.create_future()
        self._future: Any = None
        self._is_over = False

    def follow(self, future: Any) -> None:  # noqa: ANN401 - distributed is imported late
        """Watch the task of Dask."""
        self._future = future
        future.add_done_callback(self._done)

    async def hear(self) -> Heard:
        if self._is_over:
            return None
        await self._or_settled(self._place)
        if self._settled.done():
            return self._settled.result()
        worker, execution = self._place.result()
        question = asyncio.wrap_future(self._cluster.call(ANSWER, execution, worker=worker))
        await self._or_settled(question)
        if not question.done():
            question.cancel()
            return self._settled.result()
        error = question.exception()
        if error is not None:
            return self._died(f"{error}")
        answer = question.result()
        if answer is None:
            return self._died("it does not know the attempt any more")
        reports: bytes
        reports, self._is_over = answer
        return reports

    def ask(self) -> None:
        if self._place.done():
            worker, execution = self._place.result()
            self._cluster.call(GIVE_UP, execution, worker=worker)

    def kill(self) -> None:
        self.ask()
        if not self._place.done():
            self._settle(None)

    def release(self) -> None:
        self._cluster.forget(self._key)
        if not self._is_over:  # a function that goes on nevertheless is given up there, for want of questions
            self._cluster.withdraw(self._future)
        self._future = None

    def appeared_elsewhere(self, worker: str, execution: str) -> None:
        """Hear where it runs, in another thread."""
        self._hop(self._appeared, worker, execution)

    def _appeared(self, worker: str, execution: str) -> None:
        if not self._place.done():
            self._place.set_result((worker, execution))
            return
        self._cluster.call(GIVE_UP, execution, worker=worker)
        self._settle(self._died(f"Dask would run it again, at {worker}"))

    async def _or_settled(self, awaited: "asyncio.Future[Any]") -> None:
        both: list[asyncio.Future[Any]] = [awaited, self._settled]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)

    def _done(self, future: Any) -> None:  # noqa: ANN401 - distributed is imported late
        """Hear that Dask is done with the task; in a thread of Dask."""
        if future.status != "finished":
            why = future.exception() if future.status == "error" else f"its task is {future.status}"
            self._hop(self._failed, f"{why}")

    def _failed(self, why: str) -> None:
        if self._place.done():
            self._settle(self._died(why))
        else:
            self._settle(cluster_unavailable(f"Dask could not run activity {self._activity}: {why}"))

    def _died(self, how: str) -> Failure:
        worker, _ = self._place.result()
        return worker_died(f"the worker of Dask at {worker} died that ran activity {self._activity}: {how}")

    def _settle(self, heard: Heard) -> None:
        if not self._settled.done():
            self._settled.set_result(heard)

    def _hop(self, callback: Callable[..., None], *arguments: str) -> None:
        with suppress(RuntimeError):  # a loop that is closed has nobody left who wants to know
            self._loop.call_soon_threadsafe(callback, *arguments)


async def _cancelled(client: Any, future: Any) -> None:  # noqa: ANN401 - distributed is imported late
    await client.cancel([future], asynchronous=True)


# --- the function's side -----------------------------------------------------------------------------------------


def _perform(order: bytes, task: str, topic: str) -> None:
    """Perform an order, in a thread of a worker, once the engine has permitted this execution of the task."""
    worker = _distributed().get_worker()
    worker.handlers.update({ANSWER: _answer, GIVE_UP: _give_up})
    name, execution = uuid.uuid4().hex, _Execution(order, worker.loop.asyncio_loop)
    _executions[name] = execution
    try:
        worker.log_event(topic, {"task": task, "execution": name})
        execution.perform()
    finally:
        del _executions[name]


async def _answer(execution: str) -> tuple[bytes, bool] | None:
    """Permit an execution in this worker; return its next reports, and whether there will be no more.

    None: it is not known here, any more.
    """
    return await _executions[execution].answer() if execution in _executions else None


async def _give_up(execution: str) -> None:
    """Have an execution in this worker not begin, or its next heartbeat raise."""
    if execution in _executions:
        _executions[execution].give_up()


class _Execution:
    """An execution of a task in this worker. All methods but `perform` are for the thread of the worker's loop."""

    def __init__(self, order: bytes, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._news: Final = asyncio.Event()
        self._performance: Final = Performance(order, on_news=lambda: loop.call_soon_threadsafe(self._news.set))
        self._is_decided: Final = threading.Event()
        self._timer: asyncio.TimerHandle | None = None

    def perform(self) -> None:
        self._loop.call_soon_threadsafe(self._await_question)
        self._is_decided.wait()
        if not self._performance.is_given_up:
            self._performance.perform()
            self._performance.wait_until_fetched()

    async def answer(self) -> tuple[bytes, bool]:
        self._await_question()
        self._is_decided.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(QUESTION_SECONDS):
                await self._news.wait()
        self._news.clear()
        return self._performance.fetch(), self._performance.is_over

    def give_up(self) -> None:
        self._performance.give_up()
        self._is_decided.set()

    def _await_question(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(FORSAKEN_SECONDS, self.give_up)


def _distributed() -> "ModuleType":
    try:
        import distributed  # noqa: PLC0415 - optional, and slow to load
    except ImportError as error:
        raise UsageError("executor='dask' needs the package distributed: pip install 'perdure[dask]'") from error
    return distributed


_executions: Final[dict[str, _Execution]] = {}
"""What this worker runs, by the names of the executions: Dask calls functions of modules, which share nothing else."""
