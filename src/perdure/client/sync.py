"""The synchronous façade: the same engine for programs without an event loop (scripts, Django, Flask).

The engine runs on an event loop in a thread of its own; calls are handed over to it and waited for. Any thread may
call. Workflows and activities are the same: workflows are ``async def``, activities may be either.

A process that is forked (by a web server's pre-loading, say) has none of its parent's threads: open the engine in each
process, after the fork.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, TypeVarTuple, Unpack, overload

from perdure.authoring.signals import Signal
from perdure.authoring.updates import Update
from perdure.authoring.workflow import Workflow
from perdure.client.bulk import Bulk, BulkReport
from perdure.client.client import Client
from perdure.client.loop_thread import LoopThread, call_at_exit
from perdure.client.queues import Place as TaskPlace
from perdure.client.start_rules import Debounce, Deduplicate, Singleton
from perdure.client.starting import IdPolicy, StartOptions
from perdure.client.sync_bulk import SyncBulk
from perdure.client.sync_handle import SyncRun
from perdure.client.sync_schedules import SyncSchedules
from perdure.client.waiting_starts import WaitingRun
from perdure.errors import EngineClosedError, UsageError
from perdure.kernel.locking import LockEntry
from perdure.kernel.priority import Priority
from perdure.kernel.transition import RunStatus
from perdure.ports.store import Page, RunQuery, RunSummary
from perdure.ports.tasks import TaskSummary
from perdure.ports.verification import Verification

if TYPE_CHECKING:
    from perdure.client.sync_archives import SyncArchives

__all__ = ["SyncClient"]

R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U")
Ts = TypeVarTuple("Ts")


class SyncClient:
    """The operations of `Client` for synchronous programs; an open `SyncEngine` is one."""

    def __init__(self, make_engine: Callable[[], AbstractAsyncContextManager[Client]]) -> None:
        """Serve the client that entering `make_engine()` gives, on an event loop of its own."""
        self._make_engine = make_engine
        self._engine: AbstractAsyncContextManager[Client] | None = None
        self._loop: LoopThread | None = None
        self._client: Client | None = None

    def __enter__(self) -> Self:
        """Start the thread and open the engine; one that is left open is closed when the interpreter ends.

        Raises UsageError if it is open, else what opening an engine raises.
        """
        if self._loop is not None:
            message = "this engine is open already; describe another one with SyncEngine(...)"
            raise UsageError(message)
        loop = LoopThread()
        try:
            self._engine, self._client = loop.call(_enter(self._make_engine))
        except BaseException:
            loop.stop()
            raise
        self._loop = loop
        call_at_exit(self._leave)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the engine and end the thread. A process forked from that of the engine leaves it to its parent."""
        loop, _ = self._open()
        engine, self._engine, self._loop, self._client = self._engine, None, None, None
        if not loop.is_here:
            return
        try:
            if engine is not None:
                loop.call(engine.__aexit__(exc_type, exc, traceback))
        finally:
            loop.stop()

    @property
    def namespace(self) -> str:
        """The namespace it works in."""
        return self._open()[1].namespace

    @property
    def schedules(self) -> SyncSchedules:
        """Schedules: runs started at nominal times."""
        loop, client = self._open()
        return SyncSchedules(loop, client.schedules)

    @property
    def archive(self) -> "SyncArchives":
        """Runs that leave the database and come back; see `Client.archive`."""
        from perdure.client.sync_archives import SyncArchives  # noqa: PLC0415 - only those who use it pay for it

        loop, client = self._open()
        return SyncArchives(loop, client.archive)

    def start(
        self,
        workflow: Workflow[*Ts, R],
        *args: *Ts,
        id: str | None = None,
        id_policy: IdPolicy | str = IdPolicy.RETURN_EXISTING,
        priority: Priority | None = None,
        tenant: str = "",
        labels: dict[str, str] | None = None,
        start_at: datetime | None = None,
        start_after: timedelta | None = None,
        execution_timeout: timedelta | None = None,
        request_id: str = "",
        version: str | None = None,
        trace_context: dict[str, str] | None = None,
        debounce: Debounce | None = None,
        deduplicate: Deduplicate | None = None,
        singleton: Singleton | str | None = None,
        within: object | None = None,
    ) -> SyncRun[R]:
        """Start a run; see `Client.start`. `within` is a connection that another thread may use meanwhile."""
        loop, client = self._open()
        run = loop.call(
            client.start(
                workflow,
                *args,
                id=id,
                id_policy=id_policy,
                priority=priority,
                tenant=tenant,
                labels=labels,
                start_at=start_at,
                start_after=start_after,
                execution_timeout=execution_timeout,
                request_id=request_id,
                version=version,
                trace_context=trace_context,
                debounce=debounce,
                deduplicate=deduplicate,
                singleton=singleton,
                within=within,
            )
        )
        return SyncRun(loop, run)

    def waiting_runs(self) -> Iterator[WaitingRun]:
        """Yield the runs that were asked for and do not exist yet; see `Client.waiting_runs`."""
        loop, client = self._open()
        return loop.iterate(client.waiting_runs())

    def signal_with_start(
        self,
        workflow: Workflow[*Ts, R],
        *args: *Ts,
        id: str,
        signal: Signal[T],
        body: T | None = None,
        **options: Unpack[StartOptions],
    ) -> SyncRun[R]:
        """Signal a run, or start it with the signal; see `Client.signal_with_start`."""
        loop, client = self._open()
        call = client.signal_with_start(workflow, *args, id=id, signal=signal, body=body, **options)
        return SyncRun(loop, loop.call(call))

    def update_with_start(
        self,
        workflow: Workflow[*Ts, R],
        *args: *Ts,
        id: str,
        update: Update[T, U],
        input: T | None = None,
        timeout: timedelta | None = None,
        **options: Unpack[StartOptions],
    ) -> U:
        """Update a run, or start it with the update; see `Client.update_with_start`."""
        loop, client = self._open()
        call = client.update_with_start(workflow, *args, id=id, update=update, input=input, timeout=timeout, **options)
        return loop.call(call)

    def complete(self, token: str, value: object = None, *, request_id: str | None = None) -> None:
        """Complete an activity from outside; see `Client.complete`."""
        loop, client = self._open()
        loop.call(client.complete(token, value, request_id=request_id))

    def fail(self, token: str, error: BaseException, *, request_id: str | None = None) -> None:
        """Fail an activity from outside; see `Client.fail`."""
        loop, client = self._open()
        loop.call(client.fail(token, error, request_id=request_id))

    def heartbeat(self, token: str, details: object = None) -> None:
        """Say, outside, that an activity is being worked on; see `Client.heartbeat`."""
        loop, client = self._open()
        loop.call(client.heartbeat(token, details))

    @overload
    def get_run(self, id: str) -> SyncRun[Any]: ...
    @overload
    def get_run(self, id: str, workflow: Workflow[*Ts, R]) -> SyncRun[R]: ...
    def get_run(self, id: str, workflow: Workflow[*Ts, R] | None = None) -> SyncRun[R]:
        """Return the handle of an existing run; see `Client.get_run`."""
        loop, client = self._open()
        return SyncRun(loop, loop.call(client.get_run(id) if workflow is None else client.get_run(id, workflow)))

    def list_runs(
        self,
        *,
        status: RunStatus | str | None = None,
        workflow: str | None = None,
        labels: dict[str, str] | None = None,
        tenant: str | None = None,
        priority: Priority | None = None,
        id_prefix: str = "",
        created_from: datetime | None = None,
        created_until: datetime | None = None,
        oldest_first: bool = False,
        limit: int = 100,
        cursor: str = "",
    ) -> Page:
        """Return one page of runs; see `Client.list_runs`."""
        loop, client = self._open()
        return loop.call(
            client.list_runs(
                status=status,
                workflow=workflow,
                labels=labels,
                tenant=tenant,
                priority=priority,
                id_prefix=id_prefix,
                created_from=created_from,
                created_until=created_until,
                oldest_first=oldest_first,
                limit=limit,
                cursor=cursor,
            )
        )

    def count_runs(self, query: RunQuery | None = None, *, most: int | None = None) -> int:
        """Return how many runs match; see `Client.count_runs`."""
        loop, client = self._open()
        return loop.call(client.count_runs(query, most=most))

    def locks(
        self, *, key: str | None = None, run_id: str | None = None, after: int = 0, limit: int = 1_000
    ) -> list[LockEntry]:
        """Return who holds and who waits for locks; see `Client.locks`."""
        loop, client = self._open()
        return loop.call(client.locks(key=key, run_id=run_id, after=after, limit=limit))

    def tasks(
        self,
        *,
        queue: str | None = None,
        run_id: str | None = None,
        after: TaskPlace | None = None,
        limit: int = 1_000,
    ) -> list[TaskSummary]:
        """Return what is in task queues; see `Client.tasks`."""
        loop, client = self._open()
        return loop.call(client.tasks(queue=queue, run_id=run_id, after=after, limit=limit))

    def verify(
        self,
        id: str | None = None,
        *,
        repair: bool = False,
        accept_older_tables: bool = False,
        quarantine: bool = False,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Verification:
        """Return what is not as it was written; see `Client.verify`. `on_progress` is called in the engine's thread."""
        loop, client = self._open()
        return loop.call(
            client.verify(
                id,
                repair=repair,
                accept_older_tables=accept_older_tables,
                quarantine=quarantine,
                on_progress=on_progress,
            )
        )

    def bulk(
        self,
        query: RunQuery,
        *,
        concurrency: int = 50,
        dry_run: bool = False,
        on_progress: Callable[[BulkReport], object] | None = None,
    ) -> SyncBulk:
        """Return all runs that match; see `Client.bulk`. `on_progress` is called in the engine's thread."""
        loop, client = self._open()
        bulk = loop.call(_bulk(client, query, concurrency=concurrency, dry_run=dry_run, on_progress=on_progress))
        return SyncBulk(loop, bulk)

    def all_runs(self, query: RunQuery | None = None) -> Iterator[RunSummary]:
        """Yield every run that matches, page by page; see `Client.all_runs`."""
        loop, client = self._open()
        return loop.iterate(client.all_runs(query))

    def _leave(self) -> None:
        if self._loop is not None:
            self.__exit__(None, None, None)

    def _open(self) -> tuple[LoopThread, Client]:
        if self._loop is None or self._client is None:
            message = "the engine is not open; use it inside `with SyncEngine(...) as engine:`"
            raise EngineClosedError(message)
        return self._loop, self._client


async def _enter(
    make_engine: Callable[[], AbstractAsyncContextManager[Client]],
) -> tuple[AbstractAsyncContextManager[Client], Client]:
    engine = make_engine()
    return engine, await engine.__aenter__()


async def _bulk(client: Client, query: RunQuery, **options: Any) -> Bulk:  # noqa: ANN401 - those of `Client.bulk`
    return client.bulk(query, **options)
