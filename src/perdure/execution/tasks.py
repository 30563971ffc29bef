"""Tasks that this worker serves: it claims those of its queues, has them made like any attempt, and tells the outcome.

An attempt of a task goes through the same dispatcher as those of the worker's own runs, and waits for the same slots
and limits; only whom it tells is another (`TaskCaller`). What it tells goes into the run's inbox under the claim: if
the session has lost the task, it is refused, and the attempt is stopped. A run that does not want an outcome any more
withdraws its task; whoever has it hears of the run, and looks whether the task still stands.

It claims what it can begin at once: what its slots have no room for is left to others. With each claim it tells by how
much those that it had before have taken longer or shorter than was expected, so that who share a queue get equal parts
of its time. There is no polling: tasks that come are news, and a worker with room looks once after each that ends. With
each renewal of the lease it looks whether it has what the store takes for its own, gives back what it knows nothing of
or could not begin (`unbegun_tasks`), and looks for tasks once more.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from perdure.configuration import Settings
from perdure.errors import PerdureError, StoreError, UnknownActivityError
from perdure.execution.attempts import WORKER_LOST, Attempts
from perdure.execution.call import ActivityCall, make_task_call
from perdure.execution.setbacks import doubled
from perdure.execution.task_caller import TaskCaller
from perdure.execution.task_costs import TaskCosts
from perdure.execution.task_heartbeats import last_details
from perdure.execution.task_reports import Report, report_of
from perdure.execution.unbegun_tasks import UnbegunTasks
from perdure.kernel import inputs as i
from perdure.kernel.failure import Failure
from perdure.kernel.identity import RunKey, WorkerId
from perdure.kernel.options import Executor
from perdure.kernel.retry import NO_RETRY
from perdure.kernel.tasks import TaskClaim, label_text
from perdure.kernel.time import MICROSECONDS_PER_SECOND
from perdure.kernel.transition import Applied, Delivery, Outcome, Stale
from perdure.logs import logger_named
from perdure.ports.tasks import ClaimedTask, ServedTasks, Serving

if TYPE_CHECKING:
    from perdure.execution.worker import Worker

__all__ = ["ServedQueues"]

_logger = logger_named("perdure.worker")


class ServedQueues:
    """The queues that one worker serves, and the tasks that it has of them."""

    def __init__(self, worker: "Worker", settings: Settings, *, serves: bool) -> None:
        """Serve the queues that the settings name, if it `serves` any."""
        self._worker = worker
        self._queues: Final = frozenset(settings.queues) if serves else frozenset[str]()
        self._labels: Final = frozenset(label_text({name: value}) for name, value in settings.labels.items())
        self._slots: Final = settings.queue_slots
        self._letting_go: asyncio.TimerHandle | None = None
        self._held: dict[TaskClaim, TaskCaller] = {}
        self._costs: Final = TaskCosts(worker)
        self._unbegun: Final = UnbegunTasks(worker, self._costs)
        self._wake = asyncio.Event()
        self._losses = self._failures = 0
        self._is_closing = self._is_looking = self._must_look = False
        self._must_announce = bool(self._queues)
        self._own_labels: Final = settings.labels
        self._turn = asyncio.Lock()
        """Whoever has it knows that no claim is under way."""

    def makes(self, call: ActivityCall) -> bool:
        """Whether the attempts of a call that names a queue are made here without a detour: it is served here, by a
        worker that has the labels, and not sticky; or they write to the store's database in a transaction of the run.
        """
        options = call.options
        if call.definition.transaction is not None:
            return True
        return options.queue in self._queues and not options.sticky and self._has(options.labels)

    def _has(self, labels: Mapping[str, str] | None) -> bool:
        return not labels or self._labels.issuperset(label_text({name: value}) for name, value in labels.items())

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._queues)

    def serving(self, *, room: Mapping[str, int], code: str) -> Serving:
        """Return what others are to know: what is served here, besides the rest."""
        return Serving(queues=tuple(sorted(self._queues)), labels=self._own_labels, room=room, code=code)

    @property
    def maker(self) -> WorkerId:
        """The session that makes what is claimed here."""
        return self._worker.worker_id

    @property
    def held(self) -> int:
        """How many tasks this worker has."""
        return len(self._held)

    def wake(self) -> None:
        """Look for tasks soon."""
        self._wake.set()

    # --- claims --------------------------------------------------------------------------------------------------

    async def work(self) -> None:
        """Claim for ever. A failing store is tried again after a pause."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                if self._must_announce:
                    await self._worker.store.announce(self._worker.sharing.serving)
                    self._must_announce = False
                await self._claim_all()
            except Exception as error:  # noqa: BLE001 - a service loop: nothing may end it but the closing of the engine
                is_expected = isinstance(error, StoreError)
                text = "claiming tasks failed and will be tried again: %s"
                self._worker.recurring.warning(text, error, cause=error, with_lines=not is_expected)
                self._failures += 1
                longest = self._worker.settings.lease_seconds
                pause = doubled(_PAUSE_AFTER_FAILURE_SECONDS, self._failures, most=longest)
                self._worker.loop.call_later(pause, self.wake)
            else:
                self._failures = 0

    async def _claim_all(self) -> None:
        while (room := self._room()) > 0 and self._may_claim:
            limit = min(room, _CLAIMED_AT_ONCE)
            async with self._turn:
                claimed = await self._claim(limit)
            if claimed < limit:
                await self._await_kept()
                return

    @property
    def _may_claim(self) -> bool:
        return self._worker.lease.is_held and not self._is_closing and not self._unbegun.are_many

    @property
    def _served(self) -> ServedTasks:
        activities = self._worker.registry.activity_names
        return ServedTasks(queues=self._queues, activities=activities, labels=self._labels)

    async def _await_kept(self) -> None:
        """Look again when a task is kept for another no longer."""
        now = self._worker.clock.now()
        at = await self._worker.store.next_task_at(now=now, served=self._served)
        if self._letting_go is not None:
            self._letting_go.cancel()
            self._letting_go = None
        if at is not None and not self._is_closing:
            delay = min((at - now) / MICROSECONDS_PER_SECOND, self._worker.settings.lease_seconds)
            self._letting_go = self._worker.loop.call_later(delay, self.wake)

    def _room(self) -> int:
        """Return how many tasks could begin. Where there is no slot for them, the next that comes free tells."""
        left, dispatcher = self._slots - len(self._held), self._worker.dispatcher
        free = dispatcher.room(self._executors())
        if free < left:
            dispatcher.on_room = self.wake
        return min(left, free)

    def _executors(self) -> set[Executor]:
        """Return where activities of these queues run; others come only by the options of a call."""
        registry = self._worker.registry
        declared = (registry.activity(name) for name in registry.activity_names)
        found = {place for one in declared if one.defaults.queue in self._queues for place in Attempts.places(one)}
        return found or {Executor.LOOP, Executor.THREAD}

    async def _claim(self, limit: int) -> int:
        worker, losses = self._worker, self._losses
        with self._costs.telling() as costs:
            claimed = await worker.store.claim_tasks(
                now=worker.clock.now(), limit=limit, served=self._served, costs=costs
            )
        for one in claimed:
            if one.task.tells_start:
                worker.mail.news_of(one.claim.run_key)
        left = deque(claimed)
        try:
            while left:
                begin = await self._prepared(left[0])
                if losses != self._losses or self._is_closing:
                    break
                left.popleft()
                begin()
        finally:  # also of one that is cancelled: nobody else knows that nothing of these was begun
            await self._give_back_unbegun(left)
        return len(claimed)

    async def _prepared(self, claimed: ClaimedTask) -> Callable[[], None]:
        """Return what is to be done with a task: it is begun, or kept if what it needs cannot be had for now. That is
        its own affair, whatever it is: others go on."""
        obstacle = claimed.obstacle
        if obstacle is None:
            try:
                heartbeat = await last_details(self._worker.store, claimed)
            except Exception as error:  # noqa: BLE001 - blobs and codecs of one's own may raise anything
                obstacle = error
            else:
                task = msgspec.structs.replace(claimed.task, heartbeat=heartbeat)
                return partial(self._begin, msgspec.structs.replace(claimed, task=task))
        return partial(self._unbegun.keep, claimed, obstacle)

    async def _give_back_unbegun(self, claimed: Collection[ClaimedTask]) -> None:
        """Let others have what was claimed just now, as if it had not been. What the store does not take back now it
        does with a later look."""
        if not claimed:
            return
        for one in claimed:
            self._unbegun.give_back(one)
        await self._return([one.claim for one in claimed], begun=False)
        await self._costs.tell()

    def _begin(self, claimed: ClaimedTask) -> None:
        """Have an attempt made."""
        caller, task = TaskCaller(self, claimed), claimed.task
        self._held[claimed.claim] = caller
        failure = _failure_of(claimed)
        if failure is not None:
            self._fail(caller, failure)
            return
        try:
            definition = self._worker.registry.activity(task.activity)
        except UnknownActivityError as error:  # it was here a moment ago
            self._fail(caller, Failure(type=type(error).__name__, message=str(error)))
            return
        if definition.transaction is not None:
            message = f"activity {task.activity} writes in a transaction of the run here, which only its owner has"
            self._fail(caller, Failure(type="UsageError", message=message, retryable=False))
            return
        caller.call = make_task_call(caller, task, definition, number=claimed.claim.number)
        self._worker.dispatcher.enqueue(caller.call)

    def _fail(self, caller: TaskCaller, failure: Failure) -> None:
        task = caller.task
        failed = i.AttemptFailed(
            operation=task.operation,
            attempt=task.attempt,
            failure=failure,
            retry=NO_RETRY,  # the run knows its own
            started_at=None,
            heartbeat=task.heartbeat,
        )
        self.tell(caller, report_of(failed, generation=task.ref.generation, maker=None))

    # --- what is told --------------------------------------------------------------------------------------------

    def tell(self, caller: TaskCaller, report: Report) -> None:
        """Put a message into the inbox of a task's run, if the task is still this worker's."""
        claim = caller.claim
        if claim not in self._held:
            return
        delivery = Delivery(
            target=claim.run_key,
            message=report.message,
            message_id=report.message_id,
            at=self._worker.clock.now(),
            task=claim,
            ends_task=report.ends,
        )
        if report.ends:
            caller.call = None

        def answered(outcome: Outcome | PerdureError) -> None:
            self._told(caller, outcome, ends=report.ends)

        self._worker.committer.submit(delivery, answered, keep=True)

    def _told(self, caller: TaskCaller, outcome: Outcome | PerdureError, *, ends: bool) -> None:
        if isinstance(outcome, Applied):
            self._worker.mail.arrived(outcome)
        elif isinstance(outcome, Stale):
            self._lose(caller)
        elif isinstance(outcome, PerdureError):
            self._refuse(caller, outcome)
            return
        if ends:
            self._forget(caller)

    def _refuse(self, caller: TaskCaller, error: PerdureError) -> None:
        """Count an attempt as failed of which something cannot be saved. If not even that can be, whoever claims the
        task tries again, after the next renewal of the lease."""
        _logger.error("what a task of run %s has told cannot be saved: %s", caller.ref, error)
        call, caller.call = caller.call, None
        if call is not None:
            self._worker.dispatcher.withdraw(call)
        if caller.is_refused or self._is_closing:
            self._forget(caller)
            return
        caller.is_refused = True
        message = f"what the activity has told cannot be saved: {error}"
        self._fail(caller, Failure(type=type(error).__name__, message=message, retryable=False))

    def _forget(self, caller: TaskCaller) -> None:
        if self._held.pop(caller.claim, None) is not None:
            self._costs.correct(caller.task, caller.share, self._worker.loop.time() - caller.begun_at - caller.charged)
            self.wake()

    async def _return(self, claims: Collection[TaskClaim], *, begun: bool) -> None:
        if not claims:
            return
        try:
            await self._worker.store.return_tasks(list(claims), begun=begun)
        except PerdureError as error:  # the next renewal of the lease tries again, or they are free with the session
            self._worker.recurring.warning("giving back tasks failed: %s", error, cause=error)
        else:
            self._unbegun.forget(claims)

    # --- what is lost --------------------------------------------------------------------------------------------

    def lease_renewed(self) -> None:
        """Look after all, for what is lost and what comes: nobody may have told of it."""
        if self._queues:
            self._unbegun.renew()
            self.hear(None)
            self.wake()

    def hear(self, run_keys: Collection[RunKey] | None) -> None:
        """Look whether the tasks of these runs still stand; None: whether all that the store takes for this session's
        is here, too."""
        if not self._queues:
            return
        if run_keys is None or self._turn.locked() or any(claim.run_key in run_keys for claim in self._held):
            self._must_look = True
            if not (self._is_looking or self._is_closing):
                self._is_looking = True
                self._worker.mail.spawn(self._look())

    async def _look(self) -> None:
        try:
            while self._must_look and not self._is_closing:
                self._must_look = False
                await self._compare()
        except PerdureError as error:  # each renewal of the lease looks again
            self._worker.recurring.warning("looking after tasks failed: %s", error, cause=error)
        finally:
            self._is_looking = False

    async def _compare(self) -> None:
        """Stop what is not this session's any more, and give back what it does not know of: a claim whose answer was
        lost, or one from before it took its lease for lost."""
        async with self._turn:
            known, due = set(self._held), self._unbegun.due
        theirs = await self._worker.store.held_tasks()
        self._unbegun.forget(due - theirs)
        for claim in known - theirs:
            caller = self._held.get(claim)
            if caller is not None and caller.call is not None:  # else its outcome is on its way
                self._lose(caller)
        if unknown := theirs - known:
            async with self._turn:
                unknown -= self._held.keys() | self._unbegun.kept
                unbegun = unknown & self._unbegun.due
                await self._return(unbegun, begun=False)
                await self._return(unknown - unbegun, begun=True)
            self.wake()  # a session does not hear of what it has given back itself

    def lose_all(self) -> None:
        """Stop the attempts of all tasks: this worker may have none of them any more."""
        self._losses += 1
        self._must_announce = bool(self._queues)  # those who took the session for dead have forgotten it
        for caller in list(self._held.values()):
            self._lose(caller)

    def _lose(self, caller: TaskCaller) -> None:
        """Stop an attempt whose outcome nobody wants."""
        call, caller.call = caller.call, None
        self._forget(caller)
        if call is not None:
            self._worker.dispatcher.withdraw(call)

    # --- the end -------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Claim nothing more."""
        self._is_closing = True
        if self._letting_go is not None:
            self._letting_go.cancel()

    async def give_back_all(self, *, patience_seconds: float) -> None:
        """Let others have what has no outcome; nothing of it runs here any more. A claim that is under way gives back
        itself what it gets, if it gets it in time; else the end of the session does, as if it had been begun."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds), self._turn:
                pass
        left = {claim: call for claim, caller in self._held.items() if (call := caller.call) is not None}
        waiting = [claim for claim, call in left.items() if self._worker.dispatcher.is_waiting(call)]
        await self._return([*waiting, *self._unbegun.due, *self._unbegun.kept], begun=False)
        await self._return(left.keys() - set(waiting), begun=True)
        for claim in left:
            if (caller := self._held.pop(claim, None)) is not None:
                taken = 0.0 if claim in waiting else self._worker.loop.time() - caller.begun_at
                self._costs.correct(caller.task, caller.share, taken - caller.charged)
        await self._costs.tell()


def _failure_of(claimed: ClaimedTask) -> Failure | None:
    """Return why a task is not begun here: it cannot be read, or may have been begun before, and must not be twice."""
    if claimed.trouble:
        return Failure(type="UnreadablePayloadError", types=("UnreadablePayloadError",), message=claimed.trouble)
    if claimed.recovered and claimed.task.options.at_most_once:
        return WORKER_LOST
    return None


_CLAIMED_AT_ONCE: Final = 100
_PAUSE_AFTER_FAILURE_SECONDS: Final = 1.0
