"""Mail: how messages reach runs, in this process and elsewhere.

A client's message to a run in this process' memory goes straight into the run's next transition, which makes it
durable; any other goes into the run's inbox in the store, which wakes whoever owns the run or can claim it. An inbox
row is deleted by the transition that records its message, so each is consumed once.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Unpack

import msgspec

from perdure.errors import PerdureError, StoreError
from perdure.execution.active_run import ActiveRun, Reply
from perdure.execution.refusals import refusal
from perdure.execution.taking_over import is_taken_over
from perdure.kernel import inputs as i
from perdure.kernel import messages as m
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.state import RunState
from perdure.kernel.transition import Applied, Creation, Delivery, MessageIds, Outcome
from perdure.ports.store import InboxEntry, RunStore

if TYPE_CHECKING:
    from perdure.execution.worker import Worker

__all__ = ["INBOX_PAGE", "Mail", "inbox_to_begin_with", "whole_inbox"]

INBOX_PAGE: Final = 1_000
"""How many inputs of a run wait in memory at most before no more entries are read from its inbox; the rest follows when
these are recorded."""


class _Loading(msgspec.Struct, eq=False):
    """One loading of a run, and whether there were news of the run since it began."""

    run_key: RunKey
    has_news: bool = False


class Mail:
    """Delivers messages for one worker."""

    def __init__(self, worker: "Worker") -> None:
        """Serve `worker`."""
        self._worker = worker
        self._reading: set[asyncio.Task[None]] = set()
        self._loading: list[_Loading] = []

    async def deliver(self, target: RunKey | RunRef, message: m.Message, **ids: Unpack[MessageIds]) -> RunKey:
        """Bring a client's message to a run; when it is durable, return the key of the run that has taken it in.

        A request with an id is made once, and again if the `unanswered` run had it: see `Delivery`.
        Raises RunNotFoundError, RunClosedError or a StoreError.
        """
        worker, run = self._worker, self._worker.find_active(target)
        if run is not None:
            target = _latest(run)
        by_inbox = ids.get("request_id") or isinstance(message, _BY_INBOX)
        if run is not None and not by_inbox and await self._is_up_to_date(run):
            future: asyncio.Future[None] = worker.loop.create_future()
            arrived = i.MessageArrived(message=message, message_id=ids["message_id"])
            run.receive_message(arrived, lambda error: _settle(future, error))
            await future
            return run.run_key
        outcome = await worker.committer.commit(Delivery(target=target, message=message, at=worker.clock.now(), **ids))
        if not isinstance(outcome, Applied):
            raise refusal(target, outcome)
        self.arrived(outcome)
        return outcome.run_key

    async def _is_up_to_date(self, run: ActiveRun) -> bool:
        """Return whether a run in memory has taken all that has been put into its inbox so far; look, where others may
        have put something there of which no news have come yet.

        A message may go past the inbox only then: signals keep the order in which they were answered. Behind one that
        cannot be read a message goes by the inbox, too.
        """
        is_alone = self._worker.store.is_alone()  # asked first: it may bring news
        if run.state.closed_at is not None or run.inbox_is_unread:
            return False
        if is_alone:
            return True
        room = _room(run)
        if not room:
            return False
        try:
            inbox = await self._read_new(run, limit=room)
        except StoreError:
            return False
        if self._worker.active.get(run.run_key) is not run or run.state.closed_at is not None:
            return False
        self.take(run, inbox, limit=room)
        return not run.inbox_has_more

    def forward(self, run: ActiveRun, unanswered: Sequence[tuple[i.MessageArrived, Reply]]) -> None:
        """Put messages that a dropped run did not take in into its inbox, or into that of the generation after it."""
        worker, target = self._worker, _latest(run)
        for arrived, reply in unanswered:
            delivery = Delivery(
                target=target, message=arrived.message, message_id=arrived.message_id, at=worker.clock.now()
            )
            worker.committer.submit(delivery, self._forwarding(delivery, reply), keep=True)

    def sent(self, run: ActiveRun, deliveries: Sequence[Delivery], creations: Sequence[Creation]) -> None:
        """Look after what a run's durable transition sent: messages to runs in this process, new runs.

        A child whose id was taken has left a message about that in the run's own inbox, and so have answered signals.
        """
        worker = self._worker
        for delivery in deliveries:
            self.news_of(delivery.target)
        for creation in creations:
            worker.claims.wake_at(creation.wake_at)
        is_answered = any(delivery.answers is not None for delivery in deliveries)
        is_answered |= any(made.parent_key == run.run_key for made in creations)
        if is_answered and worker.active.get(run.run_key) is run:
            self.read_inbox_of(run)

    def told(self, run_keys: Sequence[RunKey]) -> None:
        """Look after the runs into whose inboxes a durable transition put what became of their requests for locks."""
        for run_key in run_keys:
            self.news_of(run_key)

    @property
    def loading(self) -> frozenset[RunKey]:
        """The runs that are being loaded."""
        return frozenset(loading.run_key for loading in self._loading)

    @contextmanager
    def while_loading(self, run_key: RunKey) -> Iterator[None]:
        """Keep news of a run that come while it is loaded: its inbox is read once more in the end.

        A run that was lost and claimed again may be loaded twice at a time.
        """
        loading = _Loading(run_key)
        self._loading.append(loading)
        try:
            yield
        finally:
            self._loading.remove(loading)
            run = self._worker.active.get(run_key)
            if loading.has_news and run is not None:
                self.read_inbox_of(run)

    def news_of(self, target: RunKey | RunRef) -> None:
        """See to it that a message in a run's inbox is taken out: by this worker, or by whoever claims the run."""
        run = self._worker.find_active(target)
        if run is not None:
            self.read_inbox_of(run)
            return
        for loading in self._loading:
            if isinstance(target, RunRef) or target == loading.run_key:
                loading.has_news = True
        self._worker.claims.wake()

    def read_inbox_of(self, run: ActiveRun) -> None:
        """Fetch what has come into the inbox of a run in memory: all news of a reading under way make one more."""
        run.inbox_readings += 1
        if run.inbox_readings == 1:
            self.spawn(self._refresh(run))

    def take(self, run: ActiveRun, inbox: Sequence[InboxEntry], *, limit: int = INBOX_PAGE) -> None:
        """Hand inbox entries to a run in memory, each once: a page of them, or all that there are.

        There may be more if there are as many as were to be read at the most.
        """
        run.inbox_has_more |= len(inbox) == limit
        for entry in inbox:
            if entry.position > run.inbox_position:
                run.inbox_position = entry.position
                message = (
                    run.with_retry(entry.message) if type(entry.message) is m.FailActivityMessage else entry.message
                )
                run.receive(i.MessageArrived(message=message, message_id=entry.message_id, position=entry.position))

    def stop(self) -> None:
        """Read no more inboxes."""
        for task in self._reading:
            task.cancel()

    async def _read_new(self, run: ActiveRun, *, limit: int) -> Sequence[InboxEntry]:
        return await self._worker.store.read_inbox(run.run_key, after=run.inbox_position, limit=limit)

    async def _refresh(self, run: ActiveRun) -> None:
        try:
            while asked_for := run.inbox_readings:
                await self._read_on(run)
                run.inbox_readings -= asked_for
        except StoreError as error:
            # The messages are safe in the inbox; whoever owns the run next reads them there.
            self._worker.recurring.warning("run %s was dropped: %s", run.ref, error, cause=error)
            run.surrender()
        finally:
            run.inbox_readings = 0

    async def _read_on(self, run: ActiveRun) -> None:
        """Read the next entries, unless too much waits already: then the run asks again when that is recorded."""
        room = _room(run)
        if not room:
            run.inbox_has_more = True
            return
        inbox = await self._read_new(run, limit=room)
        run.inbox_has_more = False
        self.take(run, inbox, limit=room)
        if not inbox and await is_taken_over(self._worker, run):
            run.drop()

    def arrived(self, outcome: Applied) -> None:
        """See to it that a message is taken out of the inbox into which it was put."""
        if outcome.owner is None or outcome.owner == self._worker.worker_id:
            self.news_of(outcome.run_key)

    def _forwarding(self, delivery: Delivery, reply: Reply) -> Callable[[Outcome | PerdureError], None]:
        def answered(outcome: Outcome | PerdureError) -> None:
            if isinstance(outcome, PerdureError):
                reply(outcome)
            elif isinstance(outcome, Applied):
                self.arrived(outcome)
                reply(None)
            else:
                reply(refusal(delivery.target, outcome))

        return answered

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do work that ends with the worker."""
        task = self._worker.loop.create_task(work)
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)


async def inbox_to_begin_with(
    store: RunStore, run_key: RunKey, state: RunState, *, may_hold_outcomes: bool
) -> list[InboxEntry]:
    """Read what a run takes first after it was loaded: a page, but all of it for a fork that has not gone on yet, and
    where it may hold the outcome of an attempt that a transaction has put there.

    A result that waits, for a fork that of the generation before, ends a call (`told_results`), however many messages
    stand before it: were it read after the first transition, another attempt would be under way.
    """
    if state.fresh_fork is None and not may_hold_outcomes:
        return await store.read_inbox(run_key, limit=INBOX_PAGE)
    return await whole_inbox(store, run_key)


async def whole_inbox(store: RunStore, run_key: RunKey) -> list[InboxEntry]:
    """Read all of an inbox, since what matters may stand behind any number of other messages."""
    limit = INBOX_PAGE
    while len(inbox := await store.read_inbox(run_key, limit=limit)) == limit:
        limit *= 2
    return inbox


_BY_INBOX: Final = (m.UpdateMessage, m.CompleteActivityMessage, m.FailActivityMessage, m.HeartbeatMessage)
"""Messages that always go through the inbox: an update may have to wait there for its handler, and of two outcomes of
one attempt the inbox takes one. So do requests with an id: the store keeps the ids."""


def _room(run: ActiveRun) -> int:
    """Return how many entries of its inbox a run may take before it has recorded what waits in memory."""
    return max(0, INBOX_PAGE - len(run.inputs))


def _settle(future: "asyncio.Future[None]", error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _latest(run: ActiveRun) -> RunRef:
    """Name a run so that its next generation is meant if it has continued meanwhile, perhaps in another process."""
    return RunRef(namespace=run.ref.namespace, id=run.ref.id)
