"""The worker: it owns the parts of execution and the table of the runs that are in this process' memory."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Unpack

from perdure.authoring.activity import Activity
from perdure.authoring.registry import Registry
from perdure.configuration import Settings
from perdure.errors import (
    EngineClosedError,
    InternalError,
    PerdureError,
    StoreCorruptError,
    StoreUnavailableError,
    UnknownActivityError,
    UsageError,
)
from perdure.execution.active_run import ActiveRun
from perdure.execution.attempts import AttemptExecutor, Attempts
from perdure.execution.blocking import BlockingWatch
from perdure.execution.call import ActivityCall, make_call
from perdure.execution.claims import RunClaims
from perdure.execution.committer import Committer
from perdure.execution.dispatcher import Dispatcher, slots_of
from perdure.execution.endings import Ending, Endings
from perdure.execution.failure_log import log_failed_run
from perdure.execution.idle import IdleRuns
from perdure.execution.lease import LeaseKeeper
from perdure.execution.limits import Limits
from perdure.execution.loading import make_program
from perdure.execution.mail import Mail
from perdure.execution.news import hear
from perdure.execution.parking import Hindrance, park
from perdure.execution.refusals import is_still_owned
from perdure.execution.setbacks import Setbacks
from perdure.execution.sharing import WorkSharing
from perdure.execution.standby import Standby
from perdure.execution.taking_over import TakenRun
from perdure.execution.tasks import ServedQueues
from perdure.execution.transaction_executor import TransactionExecutor
from perdure.execution.viewing import view
from perdure.execution.waiting import Waiting
from perdure.kernel import events as e
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.advance import Advance
from perdure.kernel.coroutine_program import Entry
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import FencingToken, RunKey, RunRef, WorkerId
from perdure.kernel.journal import Journal
from perdure.kernel.options import ActivityOptions, Executor
from perdure.kernel.program import Feed
from perdure.kernel.state import PendingActivity, RunState
from perdure.kernel.transition import Applied, Creation, MessageIds, Outcome, Unread
from perdure.logs import Recurring, logger_named
from perdure.ports.clock import Clock
from perdure.ports.store import Changes, RunStore, RunSummary
from perdure.timekeeping.keeper import Keeper
from perdure.timekeeping.kinds import agenda_kinds

__all__ = ["Listener", "Worker"]

_logger = logger_named("perdure.worker")

Listener = Callable[[RunRef, Sequence[RecordedEvent]], None]
"""Told of each durable transition of a run in this process: whose, and its events."""


class Worker:
    """Claims runs, advances them, runs their activities. Open it, let `work` run, close it."""

    code = ""
    """Names this process' code as it is now, among all that ever use the store."""
    _code_changes = 0

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
        """Work on `store`. With `claims_runs` False it serves clients only: no run is advanced in this process, nor
        any task."""
        self._store = store
        self.clock = clock
        self.registry = registry
        self.settings, self.name = settings, name
        self.loop = asyncio.get_running_loop()
        self.worker_id = WorkerId(0)
        self.listeners: list[Listener] = []
        self.active: dict[RunKey, ActiveRun] = {}
        self.is_claiming = claims_runs and not settings.only_queues
        self._is_closed = False
        self._scheduled: list[ActiveRun] = []
        self._by_id: dict[tuple[str, str], ActiveRun] = {}
        self._ids: dict[RunKey, tuple[str, str]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.committer = Committer(store, settings)
        self.setbacks = Setbacks()
        self.recurring = Recurring(_logger.name, self.loop.time)
        self.attempts = Attempts(
            clock,
            {**executors, Executor.TRANSACTION: TransactionExecutor(self)},
            heartbeat_save_seconds=settings.heartbeat_save_seconds,
            hybrid_process_seconds=settings.hybrid_process_seconds,
        )
        self.dispatcher = Dispatcher(
            self.attempts,
            clock,
            Limits(registry, resources=settings.resources, resource_passes=settings.resource_passes),
            slots=slots_of(settings),
        )
        self.idle = IdleRuns(self.loop, idle_seconds=settings.idle_seconds)
        self.mail = Mail(self)
        self.endings = Endings(self.loop)
        self._waiting = Waiting(self)
        self.standby = Standby(self)
        self.claims = RunClaims(self, loads_at_once=settings.loads_at_once)
        self.queues = ServedQueues(self, settings, serves=claims_runs)
        self.sharing = WorkSharing(self)
        self.keeper = Keeper(self, agenda_kinds(newest=registry.find_newest))
        self.agenda_changed = self.keeper.wake
        self._blocking = BlockingWatch(
            self.loop, seconds=settings.blocking_seconds, is_busy=lambda: self.dispatcher.running > 0
        )
        self.lease = LeaseKeeper(self, lease_seconds=settings.lease_seconds, renewals=settings.lease_renewals)

    # --- life ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the store, begin a session, free the runs of dead ones, begin to work."""
        self.worker_id = await self.store.open(
            session_name=self.name, lease_seconds=self.settings.lease_seconds, on_changes=self.hear
        )
        self.code = f"{self.worker_id}.{self._code_changes}"
        try:
            await self.store.free_expired(now=self.clock.now())
        except StoreCorruptError as error:
            # It is tried again with each renewal of the lease, and who opens the store can find what is damaged.
            self.recurring.warning("giving back what dead sessions owned failed: %s", error, cause=error)
        except BaseException:
            self._is_closed = True
            await self._store.close()
            raise
        self._blocking.start()
        self._tasks.append(self.loop.create_task(self.lease.work(), name="perdure-lease"))
        if self.is_claiming:
            self._tasks.append(self.loop.create_task(self.claims.work(), name="perdure-claims"))
            self._tasks.append(self.loop.create_task(self.keeper.work(), name="perdure-agenda"))
            self.claims.wake()
            if self.standby:
                self._tasks.append(self.loop.create_task(self.standby.work(), name="perdure-standby"))
            self.registry.watch(self._code_came)
        if self.queues:
            self._tasks.append(self.loop.create_task(self.queues.work(), name="perdure-tasks"))
            self.queues.wake()
            if not self.is_claiming:
                self.registry.watch(self._code_came)

    async def close(self) -> None:
        """Drain: claim no more, let activities finish within the grace, give every run back, close the store."""
        self.is_claiming = False
        self.claims.stop()
        self.queues.stop()
        self.keeper.stop()
        patience_seconds = self.settings.shutdown_grace_seconds
        await self.dispatcher.finish(patience_seconds)
        await self.committer.drain(patience_seconds=patience_seconds)
        await self.queues.give_back_all(patience_seconds=patience_seconds)
        for run in list(self.active.values()):
            if run.is_idle:
                run.release()  # with the time at which it must be woken; the others the store gives back as due at once
        await self.committer.drain(patience_seconds=patience_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._blocking.stop()
        self.idle.stop()
        self.mail.stop()
        self.standby.stop()
        self.endings.fail_all(EngineClosedError("the engine was closed; the run goes on when it is opened again"))
        for run in list(self.active.values()):
            run.drop()
        await self.committer.drain(patience_seconds=patience_seconds)
        self._is_closed = True
        try:
            await self._store.close()
        except (StoreUnavailableError, StoreCorruptError) as error:
            _logger.warning("the session ends as if it were killed, which harms nothing: %s", error)

    @property
    def store(self) -> RunStore:
        """The store. Raises EngineClosedError once the worker is closed: handles of runs outlive it."""
        self._require_open()
        return self._store

    def _require_open(self) -> None:
        if self._is_closed:
            message = "the engine was closed; open it again to go on"
            raise EngineClosedError(message)

    # --- runs ----------------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many more runs fit into memory."""
        return self.settings.active_runs - len(self.active)

    async def start(self, creation: Creation) -> Outcome:
        """Create a run; with room for it, claimed and advanced to its first wait in the same commit.

        Returns Applied or Exists. Raises a StoreError if nothing was saved, EngineClosedError after `close`.
        """
        self._require_open()
        created = creation.created.event
        definition = self.registry.find(creation.workflow, creation.definition_version)
        is_due = creation.wake_at <= creation.created.at and not creation.copied
        if definition is not None and self.is_claiming and self.room > 0 and is_due and type(created) is e.RunCreated:
            return await self._start_here(creation, created, definition.entry(self.registry))
        if self.is_claiming and definition is None:
            needed = f"the workflow {creation.workflow!r}, version {creation.definition_version}"
            _logger.warning("run %s waits for a worker that has %s", creation.ref, needed)
        outcome = await self.committer.commit(creation)
        if isinstance(outcome, Applied):
            self.claims.wake_at(creation.wake_at)
        return outcome

    def take_over(self, summary: RunSummary) -> TakenRun:
        """Return an open run, by its row, to be ended from outside, whoever owns it. Raises EngineClosedError."""
        self._require_open()
        return TakenRun(self, summary.run_key, summary.fencing_token)

    async def _start_here(self, creation: Creation, created: e.RunCreated, entry: Entry) -> Outcome:
        feed = Feed(make_program(entry, created))
        run = ActiveRun(
            self,
            run_key=creation.run_key,
            ref=creation.ref,
            fencing_token=FencingToken(1),
            state=RunState(),
            feed=feed,
            code=self.code,
            creation=creation,
        )
        self.adopt(run)
        future: asyncio.Future[Outcome] = self.loop.create_future()
        run.on_created = future
        run.receive(i.Begin(worker=self.name))
        return await future

    def schedule(self, run: ActiveRun) -> None:
        """Advance a run at the next turn of the loop, together with others that are scheduled until then."""
        if not self._scheduled:
            self.loop.call_soon(self._advance_scheduled)
        self._scheduled.append(run)

    def _advance_scheduled(self) -> None:
        scheduled, self._scheduled = self._scheduled[:_ADVANCES_PER_TURN], self._scheduled[_ADVANCES_PER_TURN:]
        if self._scheduled:
            self.loop.call_soon(self._advance_scheduled)
        self._blocking.work_begins()
        now = self.clock.now()
        for run in scheduled:
            try:
                run.advance(now)
            except Exception as error:  # noqa: BLE001 - one broken run must not stop the others of this turn
                self._broken(run, error)

    def _broken(self, run: ActiveRun, error: Exception) -> None:
        """Stop running a run whose advance raised. Nothing of it was committed: what its code did wrong, or Perdure."""
        if isinstance(error, UsageError):
            _logger.error("run %s is parked: %s", run.ref, error)
        else:
            _logger.critical("run %s could not be advanced", run.ref, exc_info=error)
        broken = error if isinstance(error, PerdureError) else InternalError(f"run {run.ref} broke: {error!r}")
        run.break_off(broken)
        self._park(run, broken)

    def adopt(self, run: ActiveRun) -> None:
        """Put a loaded run into the table, or a new one whose id may still turn out to be an older, open run's."""
        before = self.active.get(run.run_key)
        if before is not None:
            before.drop()  # it was lost and claimed again: its fencing token has passed
        self.active[run.run_key] = run
        self._ids[run.run_key] = run_id = (run.ref.namespace, run.ref.id)
        if run.exists:
            self._by_id[run_id] = run
        else:
            self._by_id.setdefault(run_id, run)
        self.endings.unpark(run.run_key)

    def created(self, run: ActiveRun) -> None:
        """Take note that a new run exists: the id is its own."""
        self._by_id[run.ref.namespace, run.ref.id] = run

    def forget(self, run: ActiveRun) -> None:
        """Take a run out of the table."""
        if self.active.get(run.run_key) is run:
            del self.active[run.run_key]
            run_id = self._ids.pop(run.run_key)
            if self._by_id.get(run_id) is run:
                del self._by_id[run_id]
        self.idle.discard(run)
        self.claims.room_can_be_made()
        self.endings.look_again(run.run_key)

    def rest(self, run: ActiveRun) -> None:
        """Note that a run has nothing to do: it leaves memory after a while, or soon if others wait for its place."""
        self.idle.add(run)
        self.claims.room_can_be_made()

    def holds(self, run_key: RunKey) -> bool:
        """Whether the run is in this process' memory, open."""
        run = self.active.get(run_key)
        return run is not None and run.state.closed_at is None

    def view(self, summary: RunSummary) -> AbstractAsyncContextManager[Journal]:
        """Show a run's code as its history left it, for reading; see `perdure.execution.viewing`."""
        return view(self, summary)

    def lost(self, run: ActiveRun, outcome: Outcome | PerdureError, *, durable: int) -> None:
        """Take note that a transition was refused: the run is somebody else's, or it cannot be committed. `durable`:
        how many of its events are."""
        if not isinstance(outcome, Unread):
            self.recurring.warning("run %s was dropped: %s", run.ref, outcome, cause=outcome)
        if is_still_owned(outcome, is_closing=not self.is_claiming):
            run.surrender(durable=durable)
        elif isinstance(outcome, PerdureError):
            self._park(run, outcome, ends=False)

    def drop_all(self, reason: str) -> None:
        """Drop every run, also those that are being loaded: this worker may own none of them any more."""
        self.claims.lose()
        self.queues.lose_all()
        if self.active:
            _logger.error("dropping %d runs: %s", len(self.active), reason)
        for run in list(self.active.values()):
            run.surrender()

    def _park(self, run: ActiveRun, error: PerdureError, *, ends: bool = True) -> None:
        """Keep a run out of the way that cannot be advanced in this process; `ends`: see `Hindrance`."""
        self.mail.spawn(park(self, Hindrance.of_active(run, error, ends=ends)))

    # --- messages and ends ---------------------------------------------------------------------------------------

    async def deliver(self, target: RunKey | RunRef, message: m.Message, **ids: Unpack[MessageIds]) -> RunKey:
        """Bring a client's message to a run; see `Mail.deliver`. Raises EngineClosedError."""
        self._require_open()
        return await self.mail.deliver(target, message, **ids)

    def closing(self, run_key: RunKey) -> Ending:
        """Return a future for the event that ends a run; see `Endings`. Raises EngineClosedError."""
        self._require_open()
        return self.endings.wait(run_key)

    def note_waiting(self, run: RunSummary) -> None:
        """Tell why an open run for which somebody waits does not go on in this process."""
        self._waiting.note(run)

    def stop_waiting(self, run_key: RunKey, future: Ending) -> None:
        """Forget a future of `closing`."""
        self.endings.stop_waiting(run_key, future)

    def find_active(self, target: RunKey | RunRef) -> ActiveRun | None:
        """Return the run in this process' memory that is meant, if it is here."""
        if isinstance(target, RunRef):
            return self._by_id.get((target.namespace, target.id))
        return self.active.get(target)

    def closed(self, run: ActiveRun, result: Advance) -> None:
        """Tell those who wait that a run has ended. Where it has continued they look for its latest generation: by now
        another worker may have ended that one, too."""
        if run.state.closing is not None:
            log_failed_run(run.ref, run.state.closing)
        if result.moves_inbox_to is not None:
            self.endings.look_again(run.run_key)
        elif run.state.closing is not None:
            self.endings.ended(run.run_key, run.state.closing)

    def published(self, run: ActiveRun, events: Sequence[RecordedEvent]) -> None:
        """Tell the listeners what is durable."""
        for listener in tuple(self.listeners):
            try:
                listener(run.ref, events)
            except Exception:
                _logger.exception("listener %r failed with events of run %s", listener, run.ref)

    # --- activities ----------------------------------------------------------------------------------------------

    def make_call(self, run: ActiveRun, activity: PendingActivity) -> ActivityCall | None:
        """Describe the next attempt of a pending activity; None (and an outcome) if this process has no code for it."""
        try:
            definition: Activity[..., Any] = self.registry.activity(activity.activity)
        except UnknownActivityError as error:
            _logger.error("run %s waits for code: %s", run.ref, error)  # noqa: TRY400 - no traceback needed
            return None
        return make_call(run, activity, definition)

    def options_of(self, activity: PendingActivity) -> ActivityOptions | None:
        """Return the options in force for a pending activity, None if this process has no code for it."""
        try:
            return self.registry.activity(activity.activity).effective_options(activity.options)
        except UnknownActivityError:
            return None

    # --- news ----------------------------------------------------------------------------------------------------

    def _code_came(self) -> None:
        """Look for runs that can go on with new code; a module may be imported late, and in any thread."""
        if (self.is_claiming or self.queues) and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._use_new_code)

    def _use_new_code(self) -> None:
        self._code_changes += 1
        self.code = f"{self.worker_id}.{self._code_changes}"
        self.endings.parked.clear()
        for run in [run for run in self.active.values() if run.lacks_code]:
            run.surrender()  # it is due again at once, and starts what it could not start
        if self.standby:
            self.standby.begin_anew()
        self.claims.try_parked()
        self.queues.wake()

    def hear(self, changes: Changes) -> None:
        """Take note of what has changed in the store; see `perdure.execution.news`."""
        hear(self, changes)


_ADVANCES_PER_TURN: Final = 100
"""How many runs are advanced in one turn of the event loop, which serves everybody else in between."""
