"""The worker: it owns the parts of execution and the table of the runs that are in this process' memory."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from perdure.authoring.activity import Activity
from perdure.authoring.registry import Registry
from perdure.configuration import Settings
from perdure.errors import (
    InternalError,
    PerdureError,
    RunClosedError,
    RunExistsError,
    RunNotFoundError,
    StaleLeaseError,
    StoreError,
    UnknownActivityError,
    UsageError,
)
from perdure.execution.active_run import ActiveRun, Reply
from perdure.execution.attempts import AttemptExecutor, Attempts
from perdure.execution.blocking import BlockingWatch
from perdure.execution.call import ActivityCall
from perdure.execution.claims import RunClaims, load_run
from perdure.execution.committer import Committer
from perdure.execution.dispatcher import Dispatcher
from perdure.execution.idle import IdleRuns
from perdure.execution.lease import LeaseKeeper
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.advance import Advance
from perdure.kernel.coroutine_program import CoroutineProgram, Journal
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import FencingToken, Operation, RunKey, RunRef, WorkerId
from perdure.kernel.options import ActivityOptions, Executor
from perdure.kernel.program import Feed
from perdure.kernel.state import PendingActivity, RunState
from perdure.kernel.transition import Applied, Closed, Creation, Delivery, Exists, Missing, Outcome
from perdure.ports.clock import Clock
from perdure.ports.store import Changes, InboxEntry, RunStore, RunSummary

__all__ = ["Listener", "Worker"]

_logger = logging.getLogger("perdure.worker")

Listener = Callable[[RunRef, Sequence[RecordedEvent]], None]
"""Told of each durable transition of a run in this process: whose, and its events."""


class Worker:
    """Claims runs, advances them, runs their activities. Open it, let `work` run, close it."""

    def __init__(
        self,
        store: RunStore,
        clock: Clock,
        registry: Registry,
        settings: Settings,
        *,
        name: str,
        executors: dict[Executor, AttemptExecutor],
        claims_runs: bool = True,
    ) -> None:
        """Work on `store`. With `claims_runs` False it serves clients only: no run is advanced in this process."""
        self.store = store
        self.clock = clock
        self.registry = registry
        self.settings = settings
        self.name = name
        self.loop = asyncio.get_running_loop()
        self.worker_id = WorkerId(0)
        self.listeners: list[Listener] = []
        self.active: dict[RunKey, ActiveRun] = {}
        self.parked: dict[RunKey, PerdureError] = {}
        self.is_claiming = claims_runs
        self._scheduled: list[ActiveRun] = []
        self._by_id: dict[tuple[str, str], ActiveRun] = {}
        self._ids: dict[RunKey, tuple[str, str]] = {}
        self._closings: dict[RunKey, list[asyncio.Future[e.Event | None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.committer = Committer(
            store,
            batch=settings.commit_batch,
            retry_seconds=settings.retry_store_seconds,
            retry_maximum_seconds=settings.retry_store_maximum_seconds,
        )
        self.attempts = Attempts(
            clock,
            executors,
            heartbeat_save_seconds=settings.heartbeat_save_seconds,
            hybrid_process_seconds=settings.hybrid_process_seconds,
        )
        self.dispatcher = Dispatcher(
            self.attempts,
            clock,
            slots={
                Executor.LOOP: settings.loop_slots,
                Executor.THREAD: settings.thread_slots,
                Executor.PROCESS: settings.process_slots,
            },
        )
        self.idle = IdleRuns(self.loop, idle_seconds=settings.idle_seconds)
        self.claims = RunClaims(self, loads_at_once=settings.loads_at_once)
        self._blocking = BlockingWatch(
            self.loop, seconds=settings.blocking_seconds, is_busy=lambda: self.dispatcher.running > 0
        )
        self._lease = LeaseKeeper(self, lease_seconds=settings.lease_seconds, renewals=settings.lease_renewals)

    # --- life ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the store, begin a session, free the runs of dead ones, begin to work."""
        await self.begin_session()
        await self.store.free_expired(now=self.clock.now())
        self._blocking.start()
        self._tasks.append(self.loop.create_task(self._lease.work(), name="perdure-lease"))
        if self.is_claiming:
            self._tasks.append(self.loop.create_task(self.claims.work(), name="perdure-claims"))
            self.claims.wake()

    async def begin_session(self) -> None:
        """Open the store under a new session; after a lost lease, again."""
        if self.worker_id:
            await self.store.close()
        self.worker_id = await self.store.open(
            session_name=self.name, lease_seconds=self.settings.lease_seconds, on_changes=self._changed
        )

    async def close(self) -> None:
        """Drain: claim no more, let activities finish within the grace, give every run back, close the store."""
        self.is_claiming = False
        self.claims.stop()
        await self.dispatcher.finish(self.settings.shutdown_grace_seconds)
        await self.committer.drain()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.idle.stop()
        for run in list(self.active.values()):
            run.drop()
        await self.committer.drain()
        await self.store.close()

    # --- runs ----------------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many more runs fit into memory."""
        return self.settings.active_runs - len(self.active)

    async def start(self, creation: Creation) -> Outcome:
        """Create a run; with room for it, claimed and advanced to its first wait in the same commit.

        Returns Applied or Exists. Raises a StoreError if nothing was saved.
        """
        created = creation.created.event
        here = (
            self.is_claiming
            and self.room > 0
            and creation.wake_at <= creation.created.at
            and isinstance(created, e.RunCreated)
            and created.workflow in self.registry.workflow_names
        )
        if not here or not isinstance(created, e.RunCreated):
            outcome = await self.committer.commit(creation)
            if isinstance(outcome, Applied):
                self.claims.wake_at(creation.wake_at)
            return outcome
        return await self._start_here(creation, created)

    async def _start_here(self, creation: Creation, created: e.RunCreated) -> Outcome:
        definition = self.registry.workflow(created.workflow)
        feed = Feed(CoroutineProgram(definition.entry(), created, on_error=self.report_lost_exception))
        run = ActiveRun(
            self,
            run_key=creation.run_key,
            ref=creation.ref,
            fencing_token=FencingToken(1),
            state=RunState(),
            feed=feed,
            creation=creation,
        )
        self.adopt(run)
        future: asyncio.Future[Outcome] = self.loop.create_future()
        run.on_created = future
        run.receive(i.Begin(worker=self.name))
        return await future

    def schedule(self, run: ActiveRun) -> None:
        """Advance a run at the next turn of the loop, together with all others that are scheduled until then."""
        if not self._scheduled:
            self.loop.call_soon(self._advance_scheduled)
        self._scheduled.append(run)

    def _advance_scheduled(self) -> None:
        scheduled, self._scheduled = self._scheduled, []
        self._blocking.work_begins()
        now = self.clock.now()
        for run in scheduled:
            try:
                run.advance(now)
            except Exception as error:  # noqa: BLE001 - one broken run must not stop the others of this turn
                self._broken(run, error)

    def _broken(self, run: ActiveRun, error: Exception) -> None:
        """Stop running a run whose advance raised, which is a bug of Perdure's: nothing of it was committed."""
        _logger.critical("run %s could not be advanced", run.ref, exc_info=error)
        broken = error if isinstance(error, PerdureError) else InternalError(f"run {run.ref} broke: {error!r}")
        for future in self._closings.pop(run.run_key, []):
            if not future.done():
                future.set_exception(broken)
        run.break_off(broken)
        self.parked[run.run_key] = broken

    def adopt(self, run: ActiveRun) -> None:
        """Put a loaded run into the table."""
        self.active[run.run_key] = run
        self._ids[run.run_key] = run_id = (run.ref.namespace, run.ref.id)
        self._by_id[run_id] = run
        self.parked.pop(run.run_key, None)

    def forget(self, run: ActiveRun) -> None:
        """Take a run out of the table."""
        if self.active.get(run.run_key) is run:
            del self.active[run.run_key]
            run_id = self._ids.pop(run.run_key)
            if self._by_id.get(run_id) is run:
                del self._by_id[run_id]
        self.idle.discard(run)
        if run.state.closed_at is None:
            self._look_again(run.run_key)

    def holds(self, run_key: RunKey) -> bool:
        """Whether the run is in this process' memory, open."""
        run = self.active.get(run_key)
        return run is not None and run.state.closed_at is None

    async def view(self, run_key: RunKey) -> Journal:
        """Return a run's code as its history left it, for reading: the live one, or a replayed copy."""
        run = self.active.get(run_key)
        feed = run.feed if run is not None else (await load_run(self, run_key))[1]
        program = feed.program
        if not isinstance(program, CoroutineProgram):
            message = f"run key {run_key} is not driven by workflow code and answers no queries"
            raise UsageError(message)
        return program.journal

    def lost(self, run: ActiveRun, outcome: Outcome | StoreError) -> None:
        """Take note that a transition was refused: the run is somebody else's, or the store has failed."""
        _logger.warning("run key %s was dropped: %s", run.run_key, outcome)

    def drop_all(self, reason: str) -> None:
        """Drop every run: this worker may own none of them any more."""
        _logger.error("dropping %d runs: %s", len(self.active), reason)
        for run in list(self.active.values()):
            run.drop()

    def park(self, summary: RunSummary, error: PerdureError) -> None:
        """Keep a run that cannot be advanced by this process' code out of the way, with the reason."""
        _logger.error("run %s is parked: %s", summary.ref, error)
        self.parked[summary.run_key] = error
        for future in self._closings.pop(summary.run_key, []):
            if not future.done():
                future.set_exception(error)

    # --- messages ------------------------------------------------------------------------------------------------

    async def deliver(self, target: RunKey | RunRef, message: m.Message, *, message_id: str) -> None:
        """Bring a client's message to a run; return when it is durable.

        Raises RunNotFoundError, RunClosedError or a StoreError. To a run in this process it goes straight into the
        next transition, otherwise into the inbox.
        """
        run = self._active_run(target)
        if run is not None and run.state.closed_at is None:
            future: asyncio.Future[None] = self.loop.create_future()
            arrived = i.MessageArrived(message=message, message_id=message_id)
            run.receive_message(arrived, lambda error: _settle(future, error))
            await future
            return
        delivery = Delivery(target=target, message=message, message_id=message_id, at=self.clock.now())
        self._delivered(delivery, await self.committer.commit(delivery))

    def forward(self, run: ActiveRun, unanswered: Sequence[tuple[i.MessageArrived, Reply]]) -> None:
        """Put messages that a dropped run did not take in into its inbox, for its next owner."""
        for arrived, reply in unanswered:
            delivery = Delivery(
                target=run.run_key, message=arrived.message, message_id=arrived.message_id, at=self.clock.now()
            )
            self.committer.submit(delivery, _forwarding(self, delivery, reply), keep=True)

    def take_inbox(self, run: ActiveRun, inbox: Sequence[InboxEntry]) -> None:
        """Hand inbox entries to a run that is in memory, each once."""
        for entry in inbox:
            if entry.position > run.inbox_position:
                run.inbox_position = entry.position
                run.receive(
                    i.MessageArrived(message=entry.message, message_id=entry.message_id, position=entry.position)
                )

    def sent(self, run: ActiveRun, deliveries: Sequence[Delivery], creations: Sequence[Creation]) -> None:
        """Look after what a run's durable transition sent: messages to runs in this process, new runs.

        A child whose id was taken has left a message about that in the run's own inbox.
        """
        for delivery in deliveries:
            receiver = self._active_run(delivery.target)
            if receiver is not None:
                self._read_inbox_of(receiver)
            else:
                self.claims.wake()
        for creation in creations:
            self.claims.wake_at(creation.wake_at)
        if any(creation.parent_key == run.run_key for creation in creations):
            self._read_inbox_of(run)

    def closed_error(self, run: ActiveRun) -> RunClosedError:
        """Return the error for a message to a run that has ended."""
        created = run.state.created
        return RunClosedError(f"run {created.ref if created else run.run_key} has ended: {run.state.status}")

    # --- ends ----------------------------------------------------------------------------------------------------

    def closing(self, run_key: RunKey) -> "asyncio.Future[e.Event | None]":
        """Return a future for the event that ends a run; None if the store must be looked at again.

        It raises the reason if the run is parked.
        """
        future: asyncio.Future[e.Event | None] = self.loop.create_future()
        if run_key in self.parked:
            future.set_exception(self.parked[run_key])
        else:
            self._closings.setdefault(run_key, []).append(future)
        return future

    def stop_waiting(self, run_key: RunKey, future: "asyncio.Future[e.Event | None]") -> None:
        """Forget a future of `closing`."""
        waiting = self._closings.get(run_key)
        if waiting is not None and future in waiting:
            waiting.remove(future)
            if not waiting:
                del self._closings[run_key]

    def closed(self, run: ActiveRun, result: Advance) -> None:
        """Tell those who wait that a run has ended; a continued one goes on under its next generation's key."""
        waiting = self._closings.pop(run.run_key, None)
        if waiting is None or run.state.closing is None:
            return
        if result.moves_inbox_to is not None:
            self._closings.setdefault(result.moves_inbox_to, []).extend(waiting)
            return
        for future in waiting:
            if not future.done():
                future.set_result(run.state.closing)

    def published(self, run: ActiveRun, events: Sequence[RecordedEvent]) -> None:
        """Tell the listeners what is durable."""
        created = run.state.created
        if created is not None:
            for listener in self.listeners:
                listener(created.ref, events)

    # --- activities ----------------------------------------------------------------------------------------------

    def make_call(self, run: ActiveRun, activity: PendingActivity) -> ActivityCall | None:
        """Describe the next attempt of a pending activity; None (and an outcome) if this process has no code for it."""
        try:
            definition: Activity[..., Any] = self.registry.activity(activity.activity)
        except UnknownActivityError as error:
            _logger.error("run key %s waits for code: %s", run.run_key, error)  # noqa: TRY400 - no traceback needed
            return None
        return ActivityCall(
            run=run,
            definition=definition,
            options=definition.effective_options(activity.options),
            operation=Operation(activity.operation),
            attempt=activity.attempt,
            input=activity.input,
            scheduled_at=activity.scheduled_at,
            deadline_at=activity.deadline_at,
            heartbeat=activity.heartbeat,
            fencing_token=run.fencing_token,
        )

    def options_of(self, activity: PendingActivity) -> ActivityOptions | None:
        """Return the options in force for a pending activity, None if this process has no code for it."""
        try:
            return self.registry.activity(activity.activity).effective_options(activity.options)
        except UnknownActivityError:
            return None

    def report_lost_exception(self, message: str, error: BaseException | None) -> None:
        """Log an exception of workflow code that nobody awaited."""
        _logger.warning("workflow code: %s", message, exc_info=error)

    # --- news ----------------------------------------------------------------------------------------------------

    def _changed(self, changes: Changes) -> None:
        keys = list(self.active) if changes.everything else [key for key in changes.run_keys if key in self.active]
        for key in keys:
            self._read_inbox_of(self.active[key])
        for key in list(self._closings) if changes.everything else changes.run_keys:
            if key not in self.active:
                self._look_again(key)
        if changes.ready or changes.everything:
            self.claims.wake()

    def _read_inbox_of(self, run: ActiveRun) -> None:
        self._spawn(self._refresh_inbox(run))

    async def _refresh_inbox(self, run: ActiveRun) -> None:
        self.take_inbox(run, await self.store.read_inbox(run.run_key))

    def _active_run(self, target: RunKey | RunRef) -> ActiveRun | None:
        if isinstance(target, RunRef):
            return self._by_id.get((target.namespace, target.id))
        return self.active.get(target)

    def _look_again(self, run_key: RunKey) -> None:
        for future in self._closings.pop(run_key, []):
            if not future.done():
                future.set_result(None)

    def _delivered(self, delivery: Delivery, outcome: Outcome) -> None:
        if not isinstance(outcome, Applied):
            raise delivery_error(delivery.target, outcome)
        run = self.active.get(outcome.run_key)
        if run is not None:
            self._read_inbox_of(run)
        elif outcome.owner is None:
            self.claims.wake()

    def _spawn(self, work: "Any") -> None:
        task = self.loop.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)


def delivery_error(target: RunKey | RunRef, outcome: Outcome) -> PerdureError:
    """Return the error for a message or a start that was refused."""
    match outcome:
        case Missing():
            return RunNotFoundError(f"there is no run {target}")
        case Closed(status=status):
            return RunClosedError(f"run {target} has ended ({status}); it takes no more messages")
        case Exists():
            return RunExistsError(f"a run {target} exists already")
        case _:
            return StaleLeaseError(f"run {target} was changed by another worker; nothing was applied")


def _settle(future: "asyncio.Future[None]", error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _forwarding(worker: Worker, delivery: Delivery, reply: Reply) -> Callable[[Outcome | StoreError], None]:
    def answered(outcome: Outcome | StoreError) -> None:
        if isinstance(outcome, StoreError):
            reply(outcome)
        elif isinstance(outcome, Applied):
            reply(None)
            if outcome.owner is None:
                worker.claims.wake()
        else:
            reply(delivery_error(delivery.target, outcome))

    return answered
