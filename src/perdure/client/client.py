"""The asynchronous client: every operation on runs that a program outside of workflows has."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack, overload

import msgspec

from perdure.authoring.arguments import require_choice, require_integer, require_moment, require_text, require_texts
from perdure.authoring.payloads import encode_value
from perdure.authoring.signals import Signal, require_signal
from perdure.authoring.updates import Update, require_update
from perdure.authoring.workflow import Workflow, require_workflow
from perdure.chance import new_name
from perdure.client.beginning import begin, begin_within, require_within
from perdure.client.bulk import Bulk, BulkReport, require_concurrency
from perdure.client.gateway import Gateway, missing, require_outside
from perdure.client.handle import Run
from perdure.client.locking import find_locks
from perdure.client.queues import Place as TaskPlace
from perdure.client.queues import find_tasks
from perdure.client.run_pages import whole_page
from perdure.client.schedules import Schedules
from perdure.client.start_rules import Debounce, Deduplicate, Singleton, one_rule, require_no_id
from perdure.client.starting import IdPolicy, StartOptions, StartRequest, require_id
from perdure.client.waiting_starts import WaitingRun, find_waiting, waiting_runs
from perdure.errors import (
    EngineClosedError,
    RunClosedError,
    UsageError,
)
from perdure.kernel import events as e
from perdure.kernel.identity import DEFAULT_NAMESPACE, RunRef
from perdure.kernel.locking import LockEntry
from perdure.kernel.priority import Priority
from perdure.kernel.transition import RunStatus
from perdure.ports.store import Page, RunOrder, RunQuery, RunSummary
from perdure.ports.tasks import TaskSummary
from perdure.ports.verification import Verification

if TYPE_CHECKING:
    from perdure.client.archives import Archives
    from perdure.client.completing import OutsideAttempt

__all__ = ["Client"]

Ts = TypeVarTuple("Ts")
R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U")


class Client:
    """Starts runs and finds them again. An open `Engine` is one."""

    namespace: str
    """The namespace its calls concern."""

    def __init__(self, *, namespace: str = DEFAULT_NAMESPACE) -> None:
        """Work in one namespace."""
        self.namespace = namespace
        self._gateway: Gateway | None = None

    @property
    def schedules(self) -> Schedules:
        """Schedules: runs started at nominal times."""
        return Schedules(self._open, self.namespace)

    @property
    def archive(self) -> "Archives":
        """Runs that leave the database and come back: exports, imports, removal of closed runs."""
        from perdure.client.archives import Archives  # noqa: PLC0415 - only those who use it pay for it

        return Archives(self._open, self.namespace)

    async def start(
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
    ) -> Run[R]:
        """Start a run of `workflow` with these arguments; return when it is durable.

        `id`: its business key, unique in the namespace (random otherwise); starting twice with one id gives one run,
        unless `id_policy` says otherwise. `priority`: its class (the workflow's). `tenant`: whose share it takes.
        `labels`: to find it by. `start_at`: not before this aware datetime; `start_after`: or so much later than now.
        `execution_timeout`: overrides the workflow's. `request_id`: the same call made again with it returns the same
        run. `version`: which one of the workflow the run has for good (that of `workflow`); for one that is not here it
        waits for a process that has it. `trace_context`: names and texts such as ``{"traceparent": ...}``, which the
        run, its activities and its child runs have at hand (`ctx.info`, `current_attempt`).
        `debounce`, `deduplicate`, `singleton`: what becomes of several starts by one key; one of them, in place of an
        id; see `Debounce`, `Deduplicate`, `Singleton` (a text is the key of one).
        `within`: a connection to the engine's database with a transaction of yours: the run is there once you commit
        that, and not at all if you do not. On PostgreSQL of asyncpg, psycopg, or SQLAlchemy over these; on SQLite of
        apsw. The id must be one that is free, or be returned as it is.

        Raises UsageError for wrong arguments, RunExistsError (`fail`), StoreError if nothing was saved; with `within`
        also what the driver of the connection raises.
        """
        rule = None
        if debounce is not None or deduplicate is not None or singleton is not None:
            require_no_id(id, id_policy)
            rule = one_rule(debounce, deduplicate, singleton)
        request = StartRequest(
            id_policy=id_policy,
            version=version,
            priority=priority,
            tenant=tenant,
            labels=labels,
            start_at=start_at,
            start_after=start_after,
            execution_timeout=execution_timeout,
            request_id=request_id,
            trace_context=trace_context,
        )
        gateway = self._open()
        name = require_id(id) if rule is None else f"{rule.key}@{self._new_name()}"
        if within is not None:
            require_within(id_policy, rule)
            ref = RunRef(namespace=self.namespace, id=name)
            return await begin_within(gateway, ref, workflow, args, request, transaction=within)
        run, _ = await begin(gateway, RunRef(namespace=self.namespace, id=name), workflow, args, request, rule=rule)
        return run

    async def waiting_runs(self) -> AsyncGenerator[WaitingRun, None]:
        """Yield the runs that were asked for and do not exist yet: debounced ones, those in line for a singleton."""
        async for waiting in waiting_runs(self._open().store, self.namespace):
            yield waiting

    async def signal_with_start(
        self,
        workflow: Workflow[*Ts, R],
        *args: *Ts,
        id: str,
        signal: Signal[T],
        body: T | None = None,
        **options: Unpack[StartOptions],
    ) -> Run[R]:
        """Signal the run of this id; if there is none, start it with the signal, both in one commit.

        `options` are those of `start`; by `id_policy` a run that has ended is followed by a new one
        (`restart_closed`) unless it says otherwise. `request_id`: the call made again with it has no second effect.

        Raises RunClosedError for an ended run that is not to be followed, else as `start` and `Run.signal`.
        """
        require_signal(signal, "signal_with_start")
        encoded = encode_value(body, signal.type, subject=f"signal {signal.name!r}")
        carried = (e.CarriedSignal(name=signal.name, body=encoded),)
        options.setdefault("id_policy", IdPolicy.RESTART_CLOSED)
        request = StartRequest(**options)
        ref = RunRef(namespace=self.namespace, id=require_id(id))
        while True:
            run, begun = await begin(self._open(), ref, workflow, args, request, signals=carried)
            if begun is not None:
                return run
            try:
                await run.signal(signal, body, request_id=options.get("request_id"))
            except RunClosedError:
                if options.get("id_policy") == IdPolicy.RETURN_EXISTING:
                    raise
            else:
                return run

    async def update_with_start(
        self,
        workflow: Workflow[*Ts, R],
        *args: *Ts,
        id: str,
        update: Update[T, U],
        input: T | None = None,
        timeout: timedelta | None = None,
        **options: Unpack[StartOptions],
    ) -> U:
        """Update the run of this id and return the result; if there is none, start it with the update, in one commit.

        `options` as for `signal_with_start`, `timeout` and the errors as for `Run.update`. `request_id`: the call made
        again with it has the answer of the first, and begins a run only if the one that was reached gave none.
        """
        require_update(update, "update_with_start")
        from perdure.client.update_starts import update_with_start  # noqa: PLC0415 - only those who use it pay for it

        ref = RunRef(namespace=self.namespace, id=require_id(id))
        options.setdefault("id_policy", IdPolicy.RESTART_CLOSED)
        request, body = StartRequest(**options), update.encode_input(input)
        result = await update_with_start(
            self._open(), ref, workflow, args, request, name=update.name, body=body, timeout=timeout
        )
        return update.decode_result(result)

    async def complete(self, token: str, value: object = None, *, request_id: str | None = None) -> None:
        """Complete an activity from outside: let the attempt of this token return `value`. See `defer`.

        Returns when that is durable; no worker has to be there. Of several outcomes of one attempt the first counts.
        The same value, or the same `request_id`, told again changes nothing.

        Raises StaleTokenError if the attempt has another outcome or nobody wants one any more, InvalidArgumentError for
        what is no token of this database, PayloadError for a value that cannot be the activity's result.
        """
        attempt = await self._outside_attempt(token)
        await attempt.complete(value, request_id=_request_id(request_id))

    async def fail(self, token: str, error: BaseException, *, request_id: str | None = None) -> None:
        """Fail an activity from outside: let the attempt of this token raise `error`; its retry policy decides.

        An activity is not tried again after a `NonRetryableError`. Else as `complete`.
        """
        attempt = await self._outside_attempt(token)
        await attempt.fail(error, request_id=_request_id(request_id))

    async def heartbeat(self, token: str, details: object = None) -> None:
        """Say, outside, that the attempt of this token is being worked on; as `perdure.heartbeat` inside an activity.

        Each is recorded: send one a few times per `heartbeat_timeout`. Raises StaleTokenError when there is nothing to
        do any more, with the `reason` ``cancelled`` when the workflow gave the call up; else as `complete`.
        """
        attempt = await self._outside_attempt(token)
        encoded = encode_value(details, subject="heartbeat details")
        await attempt.beat(encoded, message_id=new_name())

    @overload
    async def get_run(self, id: str) -> Run[Any]: ...
    @overload
    async def get_run(self, id: str, workflow: Workflow[*Ts, R]) -> Run[R]: ...
    async def get_run(self, id: str, workflow: Workflow[*Ts, R] | None = None) -> Run[R]:
        """Return the handle of a run that exists, or whose start waits; with its `workflow` the result is typed.

        Raises RunNotFoundError, and UsageError if it is a run of another workflow.
        """
        gateway = self._open()
        if workflow is not None:
            require_workflow(workflow, "get_run")
        ref = RunRef(namespace=self.namespace, id=require_text(id, "the id of a run"))
        summary, place = await gateway.store.find(ref), None
        if summary is not None:
            of, run_key = summary.workflow, summary.run_key
        elif (waiting := await find_waiting(gateway.store, ref)) is not None:
            of, run_key, place = waiting
        else:
            raise missing(ref)
        if workflow is not None and of != workflow.name:
            message = f"run {ref} is one of the workflow {of!r}, not of {workflow.name!r}"
            raise UsageError(message)
        signature = None if workflow is None else workflow.signature
        return Run(gateway, ref, run_key=run_key, signature=signature, waits_under=place)

    async def list_runs(
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
        """Return one page of runs, newest first unless told otherwise; `Page.next_cursor` leads to the next.

        A search that finds little ends its page early: it may have fewer runs than `limit`, even none, and yet a next
        one. `all_runs` goes through all of them.
        """
        query = RunQuery(
            namespace=self.namespace,
            statuses=_only(None if status is None else require_choice(status, RunStatus, "status")),
            workflows=_only(None if workflow is None else require_text(workflow, "workflow (a name)")),
            tenants=_only(None if tenant is None else require_text(tenant, "tenant")),
            priorities=_only(None if priority is None else require_choice(priority, Priority, "priority")),
            labels=require_texts(labels or {}, "labels"),
            id_prefix=require_text(id_prefix, "id_prefix"),
            created_from=None if created_from is None else require_moment(created_from, "created_from"),
            created_until=None if created_until is None else require_moment(created_until, "created_until"),
            order=RunOrder.OLDEST_FIRST if oldest_first else RunOrder.NEWEST_FIRST,
            limit=require_integer(limit, "limit"),
            cursor=require_text(cursor, "cursor"),
        )
        return await whole_page(self._open().store, query)

    async def all_runs(self, query: RunQuery | None = None) -> AsyncGenerator[RunSummary]:
        """Yield every run of the client's namespace that matches `query`, page by page."""
        query = self._own(query)
        while True:
            page = await self._open().store.list_runs(query)
            for summary in page.runs:
                yield summary
            if not page.next_cursor:
                return
            query = msgspec.structs.replace(query, cursor=page.next_cursor)

    async def count_runs(self, query: RunQuery | None = None, *, most: int | None = None) -> int:
        """Return how many runs of the client's namespace match `query` (None: all).

        `most`: counting ends at so many, so that "1,000 or more" costs little where millions match.
        Raises InvalidArgumentError.
        """
        if most is not None:
            require_integer(most, "most")
        return await self._open().store.count_runs(self._own(query), most=most)

    async def locks(
        self, *, key: str | None = None, run_id: str | None = None, after: int = 0, limit: int = 1_000
    ) -> list[LockEntry]:
        """Return who holds and who waits for locks of the client's namespace, in the order in which they asked.

        Of one `key`, of one run (the latest of its id), or all. `after`: go on behind the entry of this `position`.

        Raises RunNotFoundError, InvalidArgumentError.
        """
        return await find_locks(self._open(), self.namespace, key=key, run_id=run_id, after=after, limit=limit)

    async def tasks(
        self,
        *,
        queue: str | None = None,
        run_id: str | None = None,
        after: TaskPlace | None = None,
        limit: int = 1_000,
    ) -> list[TaskSummary]:
        """Return the attempts that wait in task queues of the client's namespace, or are under way there, in the order
        in which they are claimed.

        Of one `queue`, of one run (the latest of its id), or all. `after`: go on behind the task of this `place`.

        Raises RunNotFoundError, InvalidArgumentError.
        """
        return await find_tasks(self._open(), self.namespace, queue=queue, run_id=run_id, after=after, limit=limit)

    async def verify(
        self,
        id: str | None = None,
        *,
        repair: bool = False,
        accept_older_tables: bool = False,
        quarantine: bool = False,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Verification:
        """Return what of the database is not as it was written, of all namespaces; others may go on working on it.

        `id`: only the run of this id, all its generations. `repair`: repair what is certain. `accept_older_tables`:
        with `repair`, of the whole database, repair also indexes that contradict tables which may be the older ones:
        what only the index knows of is lost then, and what only the table has comes back, as a message that was read.
        `quarantine`: park damaged runs that nobody has loaded. `on_progress`: told how many of how many runs are
        verified.

        Raises RunNotFoundError, UsageError, and StoreErrors where nothing can be read at all.
        """
        from perdure.client.verifying import verify_store  # noqa: PLC0415 - only who verifies pays for it

        return await verify_store(
            self._open(),
            self.namespace,
            id,
            repair=repair,
            accept_older_tables=accept_older_tables,
            quarantine=quarantine,
            on_progress=on_progress,
        )

    def bulk(
        self,
        query: RunQuery,
        *,
        concurrency: int = 50,
        dry_run: bool = False,
        on_progress: Callable[[BulkReport], object] | None = None,
    ) -> Bulk:
        """Return all runs of the client's namespace that match `query`, to be cancelled, signalled and so on.

        `concurrency`: how many are asked at once (1 to 1000). `dry_run`: count them only. `on_progress`: called with
        the report so far after each so many. The query's order, limit and cursor do not matter.

        Raises InvalidArgumentError.
        """
        return Bulk(
            self._open(),
            self._own(query),
            concurrency=require_concurrency(concurrency),
            dry_run=dry_run,
            on_progress=on_progress,
        )

    def _new_name(self) -> str:
        """Return what no other run's id ends with."""
        return new_name()

    async def _outside_attempt(self, token: str) -> "OutsideAttempt":
        from perdure.client.completing import OutsideAttempt  # noqa: PLC0415 - only who has such attempts pays for it

        return await OutsideAttempt.find(self._open(), require_text(token, "token"))

    def _own(self, query: RunQuery | None) -> RunQuery:
        return msgspec.structs.replace(query or RunQuery(), namespace=self.namespace)

    def _open(self) -> Gateway:
        require_outside()
        if self._gateway is None:
            message = "the engine is not open; use it inside `async with Engine(...) as engine:`"
            raise EngineClosedError(message)
        if asyncio._get_running_loop() is None:  # noqa: SLF001 - the public call raises a less helpful error
            message = "the engine is used outside its event loop; in synchronous code use SyncEngine"
            raise EngineClosedError(message)
        return self._gateway


def _request_id(given: str | None) -> str:
    return require_text(given, "request_id") if given else new_name()


def _only(value: T | None) -> frozenset[T]:
    return frozenset() if value is None else frozenset({value})
