"""The engine: one object that opens a store, runs what is due, and takes a program's calls.

``async with Engine("sqlite:///orders.db") as engine:`` is all an embedded program needs. Entering opens (and creates)
the database, recovers the runs of dead processes and begins to work; leaving drains and closes.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from perdure.authoring.payload_limit import raise_payload_limit
from perdure.authoring.registry import Registry, default_registry
from perdure.client.client import Client
from perdure.client.loop_thread import LoopThread
from perdure.client.sync import SyncClient
from perdure.codecs import Payloads
from perdure.codecs.coded_store import coded
from perdure.configuration import Settings
from perdure.errors import EngineClosedError, StoreUnavailableError, UsageError
from perdure.execution.attempts import AttemptExecutor
from perdure.execution.clusters.libraries import require_libraries
from perdure.execution.dispatcher import slots_of
from perdure.execution.late_executor import LateExecutor
from perdure.execution.loop_executor import LoopExecutor
from perdure.execution.process_executor import ProcessExecutor
from perdure.execution.thread_executor import ThreadExecutor
from perdure.execution.worker import Worker
from perdure.kernel.identity import DEFAULT_NAMESPACE
from perdure.kernel.options import Executor
from perdure.ports.clock import Clock
from perdure.ports.store import RunStore
from perdure.stores.opening import compact_store, database_path, open_store

if TYPE_CHECKING:
    from perdure.execution.clusters.executor import ClusterExecutor
    from perdure.stores.sqlite.compaction import Compaction

__all__ = ["Engine", "SyncEngine"]


class Engine(Client):
    """A durable workflow engine inside this process."""

    def __init__(
        self,
        url: str | RunStore,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        settings: Settings | None = None,
        registry: Registry | None = None,
        name: str | None = None,
        works: bool = True,
        clock: Clock | None = None,
        payloads: Payloads | None = None,
        transaction_pool: object | None = None,
    ) -> None:
        """Describe an engine; nothing is opened yet.

        `url`: ``sqlite:///path.db`` (relative), ``sqlite:////path.db`` (absolute), ``postgresql://host/database`` (see
        docs/reference/configuration.md) or ``memory:``; or a store.
        `namespace`: what its client calls concern. `settings`: see `Settings`. `registry`: the definitions it runs
        (all that this process has imported). `name`: how the worker is called (host and process). `works`: False for
        programs that only start, signal and look. `clock`: the source of time (the store's: `RunStore.clock`).
        `payloads`: how values are recorded (compressed, encrypted, large ones elsewhere); every engine of a database
        needs the same. `transaction_pool`: where transactional activities get their connections on PostgreSQL (from
        asyncpg): a pool of asyncpg or psycopg, or an AsyncEngine of SQLAlchemy, which is opened and closed by you.
        """
        super().__init__(namespace=namespace)
        self._url = require_store(url)
        self._settings = settings or Settings()
        if self._settings.replicate_to:
            database_path(url)
        self._registry = registry or default_registry
        self._name = name or f"{socket.gethostname()}-{os.getpid()}"
        self._works = works
        self._clock = clock
        self._payloads = payloads
        self._transaction_pool = transaction_pool
        self._restore_limit: Callable[[], None] | None = None
        self._worker: Worker | None = None
        self._copying: asyncio.Task[None] | None = None
        self._removing: asyncio.Task[None] | None = None
        self._is_open = False

    @property
    def worker(self) -> Worker:
        """The worker inside. Raises EngineClosedError while the engine is not open."""
        if self._worker is None:
            message = "the engine is not open; use it inside `async with Engine(...) as engine:`"
            raise EngineClosedError(message)
        return self._worker

    @property
    def trouble(self) -> StoreUnavailableError | None:
        """Why nothing can be committed: the error that calls get; None while commits succeed. For health checks.

        As of the last commit: an engine that has nothing to do does not notice. A run whose commits fail while others
        succeed is no trouble of the store; its row says why it is parked. Raises EngineClosedError while the
        engine is not open.
        """
        return self.worker.committer.trouble

    async def compact(
        self, *, accepts_lost_pages: bool = False, on_progress: Callable[[int, int], object] | None = None
    ) -> "Compaction":
        """Give the free pages of the database back to the disk: outside of ``async with``, nobody may have it open.

        Its file is rewritten, which takes room for two more of it, in a thread; a crash leaves the old one or the new
        one. Before, it is looked for what `verify` finds in it, in its tables and indexes. `accepts_lost_pages`: give
        back also pages to which nothing leads, more than repairs have left, on which rows may have been.
        `on_progress` is told there how many pages are copied, and of how many. A cancelled call ends the work.

        Raises UsageError for an engine that is open, or has no database file, StoreLockedError while another has it
        open, StoreCorruptError for one that is damaged, StoreFullError and other StoreErrors; then the file is as it
        was.
        """
        if self._is_open:
            message = "this engine is open; compact its database before it is entered, or after it was left"
            raise UsageError(message)
        if not isinstance(self._url, str):
            message = "this engine was given a store; describe it by the url of a database file, to compact that"
            raise UsageError(message)
        return await _compacted(self._url, on_progress, accepts_lost_pages=accepts_lost_pages)

    async def __aenter__(self) -> Self:
        """Open the store and begin to work.

        Raises a StoreError if the database cannot be used, and UsageError if this engine is open, or works and lacks
        the library of a cluster for which an activity is declared.
        """
        if self._is_open:
            message = "this engine is open already; describe another one with Engine(...)"
            raise UsageError(message)
        self._is_open = True
        try:
            self._worker = self._gateway = await self._open_worker()
            self._start_removing(self._worker)
            self._start_copying()
        except BaseException:
            self._is_open = False
            raise
        return self

    async def _open_worker(self) -> Worker:
        settings, store = self._settings, self._store()
        worker = Worker(
            coded(store, self._payloads),
            self._clock or store.clock,
            self._registry,
            settings,
            name=self._name,
            executors=self._make_executors(),
            claims_runs=self._works,
        )
        await worker.open()
        if self._payloads is not None:
            self._restore_limit = raise_payload_limit(self._payloads.maximum_bytes)
        return worker

    def _store(self) -> RunStore:
        url, pool = self._url, self._transaction_pool
        if isinstance(url, str):
            return open_store(url, settings=self._settings, clock=self._clock, transaction_pool=pool)
        if pool is not None:
            raise UsageError("transaction_pool= is for an engine that is described by a URL; give it to the store")
        return url

    def _start_removing(self, worker: Worker) -> None:
        """Begin to remove closed runs whose time is over, if the settings say how long that is."""
        if self._works and self._settings.retention is not None:
            from perdure.archiving.duty import RetentionDuty  # noqa: PLC0415 - only who removes runs pays for its import

            duty = RetentionDuty(worker, self._settings.retention, namespace=self.namespace)
            self._removing = asyncio.get_running_loop().create_task(duty.work(), name="perdure-retention")

    async def _end_removing(self) -> None:
        """Remove no more: what is under way goes on with the next engine."""
        task, self._removing = self._removing, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _start_copying(self) -> None:
        """Begin to keep a copy of the database, if the settings ask for one."""
        if isinstance(self._url, str) and self._settings.replicate_to:
            from perdure.copies import start_replication  # noqa: PLC0415 - only who keeps a copy pays for its import

            self._copying = start_replication(self._url, self._settings)

    async def _end_copying(self) -> None:
        """End the copy after a last addition to it."""
        task, self._copying = self._copying, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _make_executors(self) -> dict[Executor, AttemptExecutor]:
        if self._works:
            require_libraries(self._registry.activities, slots_of(self._settings))
        return make_executors(self._settings)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let running activities finish (`Settings.shutdown_grace_seconds`), give the runs back, close the store."""
        worker, self._worker, self._gateway = self.worker, None, None
        self._is_open = False
        restore, self._restore_limit = self._restore_limit, None
        try:
            await self._end_removing()
            await asyncio.shield(worker.close())
        finally:
            await self._end_copying()
            if restore is not None:
                restore()


async def _compacted(
    url: str, on_progress: Callable[[int, int], object] | None, *, accepts_lost_pages: bool
) -> "Compaction":
    is_given_up = threading.Event()

    def tell(done: int, total: int) -> None:
        if is_given_up.is_set():
            raise asyncio.CancelledError
        if on_progress is not None:
            on_progress(done, total)

    working = asyncio.ensure_future(
        asyncio.to_thread(compact_store, url, accepts_lost_pages=accepts_lost_pages, on_progress=tell)
    )
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        is_given_up.set()
        await asyncio.wait([working])
        raise


def require_store(url: object) -> str | RunStore:
    """Return a url or a store. Raises UsageError for anything else, such as a path."""
    if isinstance(url, str) or hasattr(url, "read_history"):
        return cast("str | RunStore", url)
    message = f"Engine: {url!r:.60} is neither a url nor a store; pass a text such as 'sqlite:///orders.db'"
    raise UsageError(message)


class SyncEngine(SyncClient):
    """An engine for programs without an event loop: ``with SyncEngine("sqlite:///orders.db") as engine:``."""

    def __init__(
        self,
        url: str | RunStore,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        settings: Settings | None = None,
        registry: Registry | None = None,
        name: str | None = None,
        works: bool = True,
        clock: Clock | None = None,
        payloads: Payloads | None = None,
        transaction_pool: object | None = None,
    ) -> None:
        """Describe an engine; see `Engine`."""
        super().__init__(
            lambda: Engine(
                url,
                namespace=namespace,
                settings=settings,
                registry=registry,
                name=name,
                works=works,
                clock=clock,
                payloads=payloads,
                transaction_pool=transaction_pool,
            )
        )

    def compact(
        self, *, accepts_lost_pages: bool = False, on_progress: Callable[[int, int], object] | None = None
    ) -> "Compaction":
        """Give the free pages of the database back to the disk, outside of ``with``; see `Engine.compact`."""
        if self._loop is not None:
            message = "this engine is open; compact its database before it is entered, or after it was left"
            raise UsageError(message)
        loop = LoopThread()
        try:
            engine = cast("Engine", self._make_engine())
            return loop.call(engine.compact(accepts_lost_pages=accepts_lost_pages, on_progress=on_progress))
        finally:
            loop.stop()

    @property
    def trouble(self) -> StoreUnavailableError | None:
        """Why nothing can be committed; see `Engine.trouble`."""
        return cast("Engine", self._open()[1]).trouble


def make_executors(settings: Settings) -> dict[Executor, AttemptExecutor]:
    """Return one executor of each kind that has slots; threads, processes, clusters are started at their first use."""
    executors: dict[Executor, AttemptExecutor] = {Executor.LOOP: LoopExecutor()}
    if settings.thread_slots:
        executors[Executor.THREAD] = ThreadExecutor(slots=settings.thread_slots)
    if settings.process_slots:
        executors[Executor.PROCESS] = ProcessExecutor(
            start_seconds=settings.process_start_seconds,
            stop_seconds=settings.process_stop_seconds,
            modules=settings.process_modules,
        )
    if settings.ray_slots:
        executors[Executor.RAY] = LateExecutor(lambda: _on_ray(settings))
    if settings.dask_slots:
        executors[Executor.DASK] = LateExecutor(lambda: _on_dask(settings))
    return executors


def _on_ray(settings: Settings) -> "ClusterExecutor":
    from perdure.execution.clusters.executor import ClusterExecutor  # noqa: PLC0415 - only who uses clusters pays for it
    from perdure.execution.clusters.ray_cluster import RayCluster  # noqa: PLC0415 - as above

    ray = RayCluster(settings.ray_address, slots=settings.ray_slots)
    return ClusterExecutor(ray, stop_seconds=settings.process_stop_seconds)


def _on_dask(settings: Settings) -> "ClusterExecutor":
    from perdure.execution.clusters.dask_cluster import DaskCluster  # noqa: PLC0415 - only who uses clusters pays for it
    from perdure.execution.clusters.executor import ClusterExecutor  # noqa: PLC0415 - as above

    dask = DaskCluster(settings.dask_address, slots=settings.dask_slots)
    return ClusterExecutor(dask, stop_seconds=settings.process_stop_seconds)
