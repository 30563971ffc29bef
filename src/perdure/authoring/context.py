"""The workflow context: what workflow code has beyond plain Python and asyncio."""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, TypeVarTuple, cast, overload

import msgspec

from perdure.authoring.arguments import require_choice, require_moment, require_text, require_texts
from perdure.authoring.child_run import ChildRun, find_inherited, request_child
from perdure.authoring.compensations import add_compensation, compensate
from perdure.authoring.conditions import wait_for_condition
from perdure.authoring.continuing import continue_run
from perdure.authoring.definitions import require_kind
from perdure.authoring.locks import LockScope, open_lock, open_semaphore
from perdure.authoring.patches import ask_patch, deprecate_patch
from perdure.authoring.payloads import decode_value, encode_value
from perdure.authoring.run_logger import RunLogger
from perdure.authoring.sent_signal import SentSignal, send_signal
from perdure.authoring.shielding import shield
from perdure.authoring.signals import Signal, require_signal
from perdure.authoring.stages import open_stage
from perdure.authoring.streams import Stream, give_value
from perdure.authoring.updates import Query, Update, make_handler, query_name
from perdure.errors import InvalidArgumentError
from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel.identity import RunRef
from perdure.kernel.journal import Journal
from perdure.kernel.payload import NULL
from perdure.kernel.priority import Priority
from perdure.kernel.time import timestamp_to_datetime

if TYPE_CHECKING:
    from perdure.authoring.activity import Activity
    from perdure.authoring.registry import Registry
    from perdure.authoring.workflow import Workflow

__all__ = ["ChildRun", "Context", "RunInfo"]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")
Item = TypeVar("Item")
Ts = TypeVarTuple("Ts")


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about the run that is executing.

    `attempt` counts the tries of the workflow's own retry policy, `generation` those and every continue-as-new.
    `parent` is None for a run that was not started by another, `deadline` (when the run fails if it has not ended) for
    one that may take for ever. `inherited_children` are the ids of the child runs that the generation before left open.
    `trace_context` is what the start was given, such as ``{"traceparent": ...}``; child runs have their parent's.
    """

    id: str
    namespace: str
    generation: int
    workflow: str
    version: str
    attempt: int
    tenant: str
    created_labels: dict[str, str]
    parent: RunRef | None
    deadline: datetime | None = None
    inherited_children: tuple[str, ...] = ()
    trace_context: dict[str, str] = {}


class Context:
    """What a workflow function gets as its first argument. One per run; use it only inside that run's code."""

    __slots__ = ("_definition", "_info", "_informed_of", "_journal", "_logger", "_registry")

    def __init__(self, journal: Journal, definition: "Workflow[*tuple[Any, ...], Any]", registry: "Registry") -> None:
        """Serve the run of `journal`, of this `definition`, where there is the code of `registry`."""
        self._journal = journal
        self._definition = definition
        self._registry = registry
        self._informed_of: e.RunCreated | None = None
        self._info: RunInfo
        self._logger: RunLogger | None = None

    @property
    def info(self) -> RunInfo:
        """Facts about the run. In a fork they are the other run's as long as the copied history is replayed."""
        created = self._journal.created
        if self._informed_of is not created:  # not asked for yet, or replayed up to a fork since
            self._informed_of, self._info = created, _inform(created, tuple(self._journal.inherited))
        return self._info

    @property
    def logger(self) -> RunLogger:
        """A logger that names the run, and is silent while its history is replayed."""
        if self._logger is None:  # made when it is asked for: most runs log nothing
            self._logger = RunLogger(self._journal)
        return self._logger

    # --- time and chance -----------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the run's time: that of the event being handled, the same on every replay. Aware, UTC."""
        return timestamp_to_datetime(self._journal.loop.now)

    @property
    def random(self) -> random.Random:
        """A random generator that gives the same numbers on every replay."""
        return self._journal.random

    def uuid4(self) -> uuid.UUID:
        """Return a random UUID, the same on every replay."""
        return uuid.UUID(int=self._journal.random.getrandbits(128), version=4)

    async def sleep(self, duration: timedelta | float) -> None:
        """Wait, across restarts. `duration`: a timedelta, or seconds. The same as `asyncio.sleep`."""
        await asyncio.sleep(duration.total_seconds() if isinstance(duration, timedelta) else duration)

    async def sleep_until(self, moment: datetime) -> None:
        """Wait until an aware datetime, across restarts; return at once if it is past."""
        require_moment(moment, "ctx.sleep_until: the moment")
        await asyncio.sleep(max(0.0, (moment - self.now()).total_seconds()))

    # --- phases --------------------------------------------------------------------------------------------------

    def stage(
        self, name: str, *, timeout: timedelta | None = None, deadline: datetime | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Enter a named phase: ``async with ctx.stage("payment"):``. It shows in lists and counts as progress.

        `timeout`, or `deadline` (an aware datetime): by when it is to end, across restarts. Then what it waits for is
        cancelled, and the stage raises StageTimeoutError (a TimeoutError) when its clean-up has run. The activities and
        child runs within it have no more time than it has.
        """
        return open_stage(self._journal, name, timeout=timeout, deadline=deadline)

    # --- locks ---------------------------------------------------------------------------------------------------

    def lock(self, key: str, *, shared: bool = False, timeout: timedelta | None = None) -> LockScope:
        """Hold a key of the namespace against all other runs: ``async with ctx.lock("account:42") as lock:``.

        It is the run's, over crashes and restarts, until the block or the run ends; those that wait get it in the order
        in which they asked. `shared`: together with others that share it. `timeout`: how long to wait for it;
        ``timedelta(0)``: take it only if it is free. ``lock.token``, for what it protects, grows from holder to holder.

        Entering raises TimeoutError, and DeadlockError where the wait would close a circle of waits.
        """
        return open_lock(self._journal, key, shared=shared, timeout=timeout)

    def semaphore(self, key: str, *, limit: int, timeout: timedelta | None = None) -> LockScope:
        """Be one of at most `limit` runs that hold a key at a time: ``async with ctx.semaphore("gpu", limit=3):``.

        `limit` is from 1 to 2,147,483,647. Where runs say different limits the least counts. Else as `lock`, which
        excludes all of them.
        """
        return open_semaphore(self._journal, key, limit=limit, timeout=timeout)

    # --- signals -------------------------------------------------------------------------------------------------

    async def wait_for(self, signal: Signal[T], *, timeout: timedelta | None = None) -> T:
        """Return the body of the next signal of this kind; one that came earlier and was not yet waited for counts.

        Raises TimeoutError if none comes within `timeout` (None: wait for ever).
        """
        require_signal(signal, "ctx.wait_for")
        require_kind(timeout, timedelta, "ctx.wait_for: timeout", wanted="a timedelta")
        body = self._journal.next_signal(signal.name)
        if body is None:
            waiting = self._journal.wait_for_signal(signal.name)
            if timeout is None:
                body = await waiting
            else:
                async with asyncio.timeout(timeout.total_seconds()):
                    body = await waiting
        return cast("T", decode_value(body, signal.type, subject=f"signal {signal.name!r}"))

    def signal(self, run_id: str, signal: Signal[T], body: T | None = None) -> SentSignal:
        """Send a signal to another run of the namespace; it is delivered when this step is durable.

        ``await ctx.signal(...)`` waits for that, and raises RunNotFoundError or RunClosedError if it was not delivered.
        Without ``await`` the workflow goes on at once, and a refusal only stands in the history (`signal_answered`).
        """
        return send_signal(self._journal, run_id, signal, body)

    def publish(self, stream: Stream[T], value: T) -> None:
        """Hand a value to whoever reads this stream of the run; each is an event of its history, exactly once."""
        give_value(self._journal, stream, value)

    # --- conditions ----------------------------------------------------------------------------------------------

    async def wait_until(self, condition: Callable[[], object], *, timeout: timedelta | None = None) -> None:
        """Wait until `condition()` is true: ``await ctx.wait_until(lambda: len(items) >= 3)``.

        It is a plain function that reads what the run's other code changes: handlers of updates, tasks that take in
        signals. It is asked at once, and again whenever what happened to the run has been dealt with; nobody has to
        notify anybody, and nothing is recorded. When this returns it is true, also where several wait for one thing and
        the first takes it away. Wait for a time by `sleep_until`: it comes without anything happening.

        Raises TimeoutError if it does not come true within `timeout` (None: wait for ever), InvalidArgumentError for
        what is no plain function, WrongContextError if it uses the context for more than reading, and what it raises.
        """
        await wait_for_condition(self._journal, condition, timeout=timeout)

    # --- updates -------------------------------------------------------------------------------------------------

    def on_update(
        self,
        update: Update[T, R],
        handler: Callable[[T], Coroutine[Any, Any, R]],
        *,
        validator: Callable[[T], object] | None = None,
    ) -> None:
        """Answer updates of this kind with `handler`, an ``async def`` that takes the input and returns the result.

        It may change the workflow's variables and await whatever workflow code may; several run side by side. Updates
        that came before wait for it. `validator`, a plain ``def``, raises for an input to refuse: it may only read, and
        nothing is recorded of the update but that it was rejected.
        """
        self._journal.updates.register(self._journal, *make_handler(update, handler, validator))

    async def updates_finished(self) -> None:
        """Wait until no update is being handled: await it before the end, which cuts handlers off."""
        while tasks := self._journal.updates.under_way():
            await asyncio.wait(tasks)

    # --- durable state, labels, priority -------------------------------------------------------------------------

    @overload
    def get(self, key: str, type: type[T], default: T) -> T: ...
    @overload
    def get(self, key: str, type: type[T]) -> T | None: ...
    @overload
    def get(self, key: str, type: object = Any, default: object = None) -> Any: ...  # noqa: ANN401 - what `type` says
    def get(self, key: str, type: object = Any, default: object = None) -> Any:
        """Return the value of a key of the run's durable state as `type`, or `default` where it is not set."""
        value = self._journal.keys.get(key)
        return default if value is None else decode_value(value, type, subject=f"state key {key!r}")

    def set(self, key: str, value: object) -> None:
        """Set a key of the run's durable state. It is kept over continue-as-new and can be read from outside."""
        journal = self._journal
        require_text(key, "a state key")
        encoded = encode_value(value, Any, subject=f"state key {key!r}")
        journal.give(
            c.SetStateKey(operation=journal.next_operation(), key=key, value=encoded, location=journal.location())
        )
        journal.keys[key] = encoded

    def delete(self, key: str) -> None:
        """Delete a key of the run's durable state; one that is not set is no error."""
        journal = self._journal
        if journal.keys.pop(key, None) is not None:
            journal.give(c.DeleteStateKey(operation=journal.next_operation(), key=key, location=journal.location()))

    def set_labels(self, **labels: str | None) -> None:
        """Set labels by which runs are found; None removes one."""
        journal = self._journal
        given = require_texts(labels, "labels", may_be_none=True)
        journal.give(c.ChangeLabels(operation=journal.next_operation(), labels=given, location=journal.location()))

    def set_priority(self, priority: Priority, *, reason: str = "") -> None:
        """Change the run's priority class from here on."""
        journal = self._journal
        chosen = require_choice(priority, Priority, "priority")
        require_text(reason, "the reason")
        journal.give(
            c.ChangePriority(operation=journal.next_operation(), new=chosen, reason=reason, location=journal.location())
        )

    def trace_event(self, name: str, **attributes: str) -> None:
        """Record an event of the user's own in the history."""
        journal = self._journal
        require_text(name, "the name of a trace event")
        given = require_texts(attributes, "trace_event")
        journal.give(
            c.RecordTraceEvent(
                operation=journal.next_operation(), name=name, attributes=given, location=journal.location()
            )
        )

    # --- parallel work, child runs -------------------------------------------------------------------------------

    async def map(
        self, function: "Callable[[Item], Awaitable[R]]", items: Iterable[Item], *, limit: int | None = None
    ) -> list[R]:
        """Call an activity (or any async function) for each item, at most `limit` at a time; results in their order.

        The first exception cancels the rest and is raised.
        """
        if limit is not None and limit < 1:
            message = f"ctx.map: limit is {limit}; it must be at least 1, or None for no bound"
            raise InvalidArgumentError(message)
        bound = asyncio.Semaphore(limit) if limit is not None else None

        async def call(item: Item) -> R:
            if bound is None:
                return await function(item)
            async with bound:
                return await function(item)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(call(item)) for item in items]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def run_child(
        self,
        workflow: "Workflow[*Ts, R]",
        *args: *Ts,
        id: str | None = None,
        policy: e.ParentClosePolicy = e.ParentClosePolicy.CANCEL,
        priority: Priority | None = None,
        labels: dict[str, str] | None = None,
        version: str | None = None,
        inherits_deadline: bool | None = None,
    ) -> R:
        """Start a child run and return its result. Raises ChildRunError if it ends without one.

        `id`: the child's business key (made from this run's id otherwise). `policy`: what becomes of it if this run
        ends first. `priority`: its class (this run's). `version`: which one of the workflow it has (`workflow`'s).
        `inherits_deadline`: whether it is to end by the deadlines of this run and of the stages around, too (yes,
        unless it is detached).
        """
        child = self.start_child(
            workflow,
            *args,
            id=id,
            policy=policy,
            priority=priority,
            labels=labels,
            version=version,
            inherits_deadline=inherits_deadline,
        )
        return await child.result()

    def start_child(
        self,
        workflow: "Workflow[*Ts, R]",
        *args: *Ts,
        id: str | None = None,
        policy: e.ParentClosePolicy = e.ParentClosePolicy.CANCEL,
        priority: Priority | None = None,
        labels: dict[str, str] | None = None,
        version: str | None = None,
        inherits_deadline: bool | None = None,
    ) -> "ChildRun[R]":
        """Start a child run and go on; see `run_child`. With `ParentClosePolicy.ABANDON` it is detached."""
        return request_child(
            self._journal,
            self._registry,
            workflow,
            args,
            id=id,
            policy=policy,
            priority=priority,
            labels=labels,
            version=version,
            inherits_deadline=inherits_deadline,
        )

    def inherited_child(self, workflow: "Workflow[*tuple[Any, ...], R]", id: str) -> "ChildRun[R]":
        """Return a child run that the generation before left open when it continued as new, to await its result here.

        ``ctx.info.inherited_children`` names them. Raises InvalidArgumentError for any other.
        """
        return find_inherited(self._journal, workflow, id)

    # --- control -------------------------------------------------------------------------------------------------

    async def side_effect(self, function: Callable[[], T], type: object = Any) -> T:
        """Return `function()`, called once and recorded: on replay the recorded value comes back as `type`.

        For small, fast, local things (reading an environment variable); what can fail or block is an activity.
        """
        journal = self._journal
        operation = journal.next_operation()
        value = journal.recorded_side_effect(operation)
        if value is None:
            value = NULL if journal.replaying else encode_value(function(), type, subject="side effect")
        journal.give(c.RecordSideEffect(operation=operation, value=value, location=journal.location()))
        return cast("T", decode_value(value, type, subject="side effect"))

    async def suspend(self, reason: str = "") -> None:
        """Hold this run still until somebody resumes it."""
        journal = self._journal
        require_text(reason, "the reason")
        operation = journal.next_operation()
        cancelling = journal.cancel is not None
        journal.give(
            c.SuspendRun(operation=operation, reason=reason, is_cancelling=cancelling, location=journal.location())
        )
        await journal.wait_for_resumption()

    def continue_as_new(self, *args: object, version: str | None = None) -> NoReturn:
        """End this generation and begin the next with these arguments (of the same workflow) and a fresh history.

        Durable state, labels and signals not yet waited for are carried over; so are open child runs, but for detached
        ones: see `inherited_child`. `version`: which one of the workflow goes
        on (the newest that this process has; ``ctx.info.version`` for the same). Call it from the workflow function.
        `Workflow.continue_as_new` does the same as one certain version, whose parameters type checkers know.

        Raises InvalidArgumentError or PayloadError for arguments that the version that goes on does not take.
        """
        own = self._definition
        told = self._registry.at_version(own, version)
        continue_run(self._journal, args, told=told, following=self._registry.newest(own) if version is None else told)

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody asked this run to cancel. The request arrives once, as CancelledError at an await;
        clean-up in ``except`` and ``finally`` may await activities as usual."""
        return self._journal.cancel is not None

    async def shielded(self, work: Awaitable[T]) -> T:
        """Await `work` to its end; a cancellation that comes meanwhile is raised afterwards, in place of the result.
        An exception of `work` is raised before it: then only `cancel_requested` tells of the request.

        For clean-up that nothing may cut off, neither a cancel request nor the deadline of a stage:
        ``finally: await ctx.shielded(release(seat))``. A terminated run is not shielded.
        """
        return await shield(self._journal, work)

    def patched(self, patch: str) -> bool:
        """Return True for runs that reach this point with today's code, False for those that passed it before.

        Guards a change of a workflow whose runs are under way: ``if ctx.patched("v2"): new() else: old()``. In the end
        `deprecate_patch` takes its place.
        """
        return ask_patch(self._journal, patch)

    def deprecate_patch(self, patch: str) -> None:
        """Take the place of `patched` when no run is open that went the old way: ``ctx.deprecate_patch("v2"); new()``.

        The call may go when no run is open that recorded ``patched``. A run for which it comes too early is parked with
        a NonDeterminismError that says so.
        """
        deprecate_patch(self._journal, patch)

    @overload
    def query(self, query: Query[P, R]) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
    @overload
    def query(self, query: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...
    def query(self, query: object) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Answer queries from outside: decorate a function that reads the workflow's variables and changes nothing.

        ``@ctx.query(status)`` above ``def status_now() -> str: ...``; outside ``await run.query(status)``. A name alone
        does, too; what comes back has then no type.
        """
        name = query_name(query, "ctx.query")

        def register(handler: Callable[..., Any]) -> Callable[..., Any]:
            self._journal.query_handlers[name] = handler
            return handler

        return register

    # --- compensation --------------------------------------------------------------------------------------------

    def add_compensation(self, activity: "Activity[..., Any]", *args: object) -> None:
        """Call `activity` with `args` if this run has to be undone, before all that was added earlier."""
        add_compensation(self._journal, activity, args)

    async def compensate(self) -> int:
        """Undo the finished activities that declare a compensation, newest first; return how many could not be undone.

        Each compensation is retried by its own policy; one that fails for good does not stop the others. A cancel
        request that arrives meanwhile waits until all are done.
        """
        return await compensate(self._journal)


def _inform(created: e.RunCreated, inherited_children: tuple[str, ...]) -> RunInfo:
    return RunInfo(
        id=created.ref.id,
        namespace=created.ref.namespace,
        generation=created.ref.generation,
        workflow=created.workflow,
        version=created.definition_version,
        attempt=created.attempt,
        tenant=created.tenant,
        created_labels=created.labels,
        parent=None if created.parent is None else created.parent.ref,
        deadline=None if created.deadline_at is None else timestamp_to_datetime(created.deadline_at),
        inherited_children=inherited_children,
        trace_context=created.trace_context,
    )
