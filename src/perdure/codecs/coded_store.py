"""A store whose payloads pass codecs: encoded on their way in, decoded on their way out. Nobody else notices.

Only records with payloads are touched: the events and messages of `commit`, `read_history`, `read_on` and `read_inbox`,
the entries of the agenda, and why runs are parked; everything else is the store's own. Large amounts of work are done
in a thread; blobs are durable before the commit that names them begins, so a name in the database always has its blob.
A commit that fails may leave blobs that nobody names.

**What cannot be read** (its key, codec or blob is missing) is an error that says why. A worker does not go on from such
a value: the run is parked, and goes on where the key is. Tools that only show may have it left as it is recorded
(`Payloads.leaving_unreadable`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import msgspec

from perdure.codecs.jobs import Decoding, Encoding, Job, Sealing
from perdure.codecs.payloads import Payloads
from perdure.errors import StoreError, StoreUnavailableError, UnreadablePayloadError
from perdure.kernel.events import EVENT_NAMES
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef, WorkflowVersion
from perdure.kernel.messages import Message
from perdure.kernel.tasks import Task
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Creation, Delivery, Outcome, Park, Parking, Release, Seizure, Transition, Write
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey, AgendaQuery
from perdure.ports.following import BYTES_AT_ONCE, HistoryPart, HistoryPlace
from perdure.ports.keeping import WholeRun
from perdure.ports.store import ClaimedRun, InboxEntry, Page, RunQuery, RunStore, RunSummary
from perdure.ports.tasks import ClaimedTask, ServedTasks, TaskCost, refund_of
from perdure.ports.transactions import StepTransaction

__all__ = ["coded"]


def coded(store: RunStore, payloads: Payloads | None) -> RunStore:
    """Return `store` with its payloads passing `payloads`; without any it still reads what is compressed."""
    chosen = payloads or Payloads()
    return cast("RunStore", (_EncodingStore if chosen.encodes else _DecodingStore)(store, chosen))


class _DecodingStore:
    """Reads through codecs, and writes as it is told."""

    def __init__(self, store: RunStore, payloads: Payloads) -> None:
        self._store: Final = store
        self._payloads: Final = payloads

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - what the store has
        found = getattr(self._store, name)
        if callable(found):
            self.__dict__[name] = found  # asked for once: what passes no codec pays nothing
        return found

    async def read_history(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[RecordedEvent]:
        """See `RunStore.read_history`. Raises UnreadablePayloadError."""
        page = await self._store.read_history(run_key, after=after, limit=limit)
        job = Decoding(self._payloads)
        return await job.run(lambda: [_recorded(job, run_key, recorded) for recorded in page])

    async def read_on(
        self, places: Mapping[RunKey, HistoryPlace], *, limit: int, most_bytes: int = BYTES_AT_ONCE
    ) -> list[HistoryPart]:
        """See `RunStore.read_on`. Left out is also what cannot be decoded. Raises a StoreError where values cannot be
        fetched for now."""
        parts = await self._store.read_on(places, limit=limit, most_bytes=most_bytes)
        return [decoded for part in parts if (decoded := await self._decoded_part(part)) is not None]

    async def _decoded_part(self, part: HistoryPart) -> HistoryPart | None:
        job = Decoding(self._payloads)
        try:
            events = await job.run(lambda: [_recorded(job, part.run_key, recorded) for recorded in part.events])
        except UnreadablePayloadError:
            return None
        return msgspec.structs.replace(part, events=events)

    async def read_inbox(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[InboxEntry]:
        """See `RunStore.read_inbox`. Raises UnreadablePayloadError."""
        entries = await self._store.read_inbox(run_key, after=after, limit=limit)
        job = Decoding(self._payloads)
        return await job.run(lambda: [_entry(job, entry) for entry in entries])

    async def read_rest_of_inbox(self, run_key: RunKey) -> list[InboxEntry]:
        """See `RunStore.read_rest_of_inbox`. Values that cannot be decoded are left as they are recorded."""
        entries = await self._store.read_rest_of_inbox(run_key)
        job = Decoding(self._payloads.leaving_unreadable())
        return await job.run(lambda: [_entry(job, entry) for entry in entries])

    async def find(self, ref: RunRef | RunKey, *, latest: bool = True) -> RunSummary | None:
        """See `RunStore.find`. What cannot be read is left as it is: it must not keep anybody from the row."""
        found = await self._store.find(ref, latest=latest)
        if found is None or found.parked is None:
            return found
        [decoded] = await self._summaries((found,))
        return decoded

    async def list_runs(self, query: RunQuery) -> Page:
        """See `RunStore.list_runs`, and `find`."""
        page = await self._store.list_runs(query)
        if all(run.parked is None for run in page.runs):
            return page
        return msgspec.structs.replace(page, runs=tuple(await self._summaries(page.runs)))

    async def _summaries(self, runs: Sequence[RunSummary]) -> list[RunSummary]:
        job = Decoding(self._payloads.leaving_unreadable())
        return await job.run(lambda: [_summary(job, run) for run in runs])

    async def claim(
        self, *, now: Timestamp, limit: int, workflows: frozenset[WorkflowVersion], code: str | None = None
    ) -> list[ClaimedRun]:
        """See `RunStore.claim`, and `find`."""
        claimed = await self._store.claim(now=now, limit=limit, workflows=workflows, code=code)
        if all(run.parked is None for run in claimed):
            return claimed
        job = Decoding(self._payloads.leaving_unreadable())
        return await job.run(lambda: [_claimed(job, run) for run in claimed])

    async def claim_tasks(
        self, *, now: Timestamp, limit: int, served: ServedTasks, costs: Sequence[TaskCost] = ()
    ) -> list[ClaimedTask]:
        """See `RunStore.claim_tasks`. What cannot be read, or not be fetched for now, is claimed all the same, with the
        reason: only who has it keeps it from being claimed again, before all others. If whoever claims waits no longer,
        all that was claimed is given back, and nothing was told."""
        claimed = await self._store.claim_tasks(now=now, limit=limit, served=served, costs=costs)
        try:
            return await self._decoded_tasks(claimed)
        except asyncio.CancelledError:
            with suppress(StoreError):  # who is cancelled hears of nothing else; the end of the session gives it back
                await self._unclaim(claimed, now=now, costs=costs)
            raise

    async def _unclaim(self, claimed: Sequence[ClaimedTask], *, now: Timestamp, costs: Sequence[TaskCost]) -> None:
        """Give back what was claimed, and take back what was told with that: whoever claims tells it again."""
        untold = [msgspec.structs.replace(cost, seconds=-cost.seconds) for cost in costs]
        try:
            await self._store.return_tasks([one.claim for one in claimed], begun=False)
        finally:
            await self._store.correct_costs([*map(refund_of, claimed), *untold], now=now)

    async def _decoded_tasks(self, claimed: list[ClaimedTask]) -> list[ClaimedTask]:
        """Decode each for itself, and several at once: blobs that are away may take long to say so."""
        probe, turns = Decoding(self._payloads), asyncio.Semaphore(_TASKS_AT_ONCE)
        for one in claimed:
            _task(probe, one.task)
        if not probe.found:
            return claimed

        async def decoded_in_turn(one: ClaimedTask) -> ClaimedTask:
            async with turns:
                return await self._decoded_task(one)

        return await asyncio.gather(*map(decoded_in_turn, claimed))

    async def _decoded_task(self, claimed: ClaimedTask) -> ClaimedTask:
        job = Decoding(self._payloads)
        try:
            task = await job.run(lambda: _task(job, claimed.task))
        except UnreadablePayloadError as error:
            return msgspec.structs.replace(claimed, trouble=str(error))
        except Exception as error:  # noqa: BLE001 - also what blobs and codecs of one's own raise: not the others' affair
            return msgspec.structs.replace(claimed, obstacle=error)
        return msgspec.structs.replace(claimed, task=task)

    async def read_whole(self, run_key: RunKey, *, decrypts: bool = False) -> WholeRun | None:
        """See `RunStore.read_whole`. What cannot be read is left as it is recorded."""
        whole = await self._store.read_whole(run_key)
        if whole is None:
            return None
        job = Decoding(self._payloads.leaving_unreadable() if decrypts else self._payloads.leaving_secrets())
        return await job.run(lambda: _whole(job, whole, run_key))

    async def bring_in(self, run: WholeRun, *, sealed_as: RunKey) -> Outcome:
        """See `RunStore.bring_in`. Raises UnreadablePayloadError for a value that can only be read by another key."""
        return await self._store.bring_in(await self._unsealed(run, sealed_as), sealed_as=sealed_as)

    async def _unsealed(self, run: WholeRun, sealed_as: RunKey) -> WholeRun:
        """Decode the values of a run that are bound to the key of another; its own may stay as they are."""
        if sealed_as == run.summary.run_key:
            return run
        job = Decoding(self._payloads)
        return await job.run(lambda: _whole(job, run, sealed_as))

    async def find_agenda(self, key: AgendaKey) -> AgendaEntry | None:
        """See `RunStore.find_agenda`. Raises UnreadablePayloadError."""
        entry = await self._store.find_agenda(key)
        if entry is None:
            return None
        [decoded] = await self._decoded([entry])
        return decoded

    async def list_agenda(self, query: AgendaQuery) -> list[AgendaEntry]:
        """See `RunStore.list_agenda`. Raises UnreadablePayloadError."""
        return await self._decoded(await self._store.list_agenda(query))

    async def _decoded(self, entries: list[AgendaEntry]) -> list[AgendaEntry]:
        job = Decoding(self._payloads)
        return await job.run(lambda: [_agenda_entry(job, entry) for entry in entries])


class _EncodingStore(_DecodingStore):
    """Writes through codecs, too."""

    async def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """See `RunStore.commit`."""
        job = Encoding(self._payloads)
        return await self._store.commit(await job.run(lambda: [_write(job, write) for write in writes]))

    async def transact(self, step: StepTransaction) -> Outcome:
        """See `RunStore.transact`. The outcome is encoded within the transaction.

        The thread that writes waits for that no longer than `_PATIENCE_SECONDS`, since all others wait for it: raises
        StoreUnavailableError then, and nothing is saved.
        """
        loop = asyncio.get_running_loop()

        async def encoded(told: Delivery) -> Delivery:
            job = Encoding(self._payloads)
            return await job.run(lambda: _delivery(job, told))

        async def perform_async(connection: object) -> Delivery:
            return await encoded(await step.perform(connection))

        def perform(connection: object) -> Delivery:
            encoding = asyncio.run_coroutine_threadsafe(encoded(step.perform(connection)), loop)
            try:
                return encoding.result(_PATIENCE_SECONDS)
            except TimeoutError as error:
                encoding.cancel()
                raise StoreUnavailableError(
                    f"the result of a transactional activity was not encoded within {_PATIENCE_SECONDS:g} s, for which "
                    f"all that writes waits; nothing of it was saved. Is its blob store away?"
                ) from error

        chosen = perform_async if step.is_async else perform
        return await self._store.transact(msgspec.structs.replace(step, perform=chosen))

    async def create_within(self, transaction: object, creation: Creation) -> tuple[Outcome, RunSummary | None]:
        """See `RunStore.create_within`."""
        job = Encoding(self._payloads)
        encoded = await job.run(lambda: _creation(job, creation))
        return await self._store.create_within(transaction, encoded)

    async def bring_in(self, run: WholeRun, *, sealed_as: RunKey) -> Outcome:
        """See `RunStore.bring_in`. Raises UnreadablePayloadError for a value that can only be read by another key."""
        unsealed, key = await self._unsealed(run, sealed_as), run.summary.run_key
        job = Sealing(self._payloads)
        return await self._store.bring_in(await job.run(lambda: _whole(job, unsealed, key)), sealed_as=key)

    async def change_agenda(self, change: AgendaChange) -> bool:
        """See `RunStore.change_agenda`."""
        job = Encoding(self._payloads)
        return await self._store.change_agenda(await job.run(lambda: _change(job, change)))


_TASKS_AT_ONCE: Final = 16
_PATIENCE_SECONDS: Final = 3.0
"""Shorter than the pause between renewals of a lease: these are written by the same thread."""


# --- the records that hold payloads ------------------------------------------------------------------------------


def _write(job: Job, write: Write) -> Write:
    match write:
        case Transition():
            creation = write.creation
            events = tuple(_recorded(job, write.run_key, recorded) for recorded in write.events)
            return msgspec.structs.replace(
                write,
                events=events,
                creation=None if creation is None else msgspec.structs.replace(creation, created=events[0]),
                deliveries=tuple(_delivery(job, delivery) for delivery in write.deliveries),
                creations=tuple(_creation(job, child) for child in write.creations),
                queued=tuple(_task(job, task) for task in write.queued),
            )
        case Creation():
            return _creation(job, write)
        case Delivery():
            return _delivery(job, write)
        case Park():
            return msgspec.structs.replace(write, parking=_parking(job, write.run_key, write.parking))
        case Release() | Seizure():
            return write


def _task(job: Job, task: Task) -> Task:
    # Not bound to the run, as messages are not.
    return job.pass_through(task, lambda: f"the task of activity {task.activity} of run {task.ref}")


def _summary(job: Job, run: RunSummary) -> RunSummary:
    if run.parked is None:
        return run
    return msgspec.structs.replace(run, parked=_parking(job, run.run_key, run.parked))


def _whole(job: Job, run: WholeRun, run_key: RunKey) -> WholeRun:
    """Return a run whose values are bound to `run_key`, which need not be the one that it has."""
    summary = run.summary
    if summary.parked is not None:
        summary = msgspec.structs.replace(summary, parked=_parking(job, run_key, summary.parked))
    return msgspec.structs.replace(
        run,
        summary=summary,
        history=tuple(_recorded(job, run_key, recorded) for recorded in run.history),
        inbox=tuple(_entry(job, entry) for entry in run.inbox),
    )


def _claimed(job: Job, run: ClaimedRun) -> ClaimedRun:
    if run.parked is None:
        return run
    return msgspec.structs.replace(run, parked=_parking(job, run.summary.run_key, run.parked))


def _parking(job: Job, run_key: RunKey, parking: Parking) -> Parking:
    return job.pass_through(parking, lambda: f"why run key {run_key} is parked")


def _change(job: Job, change: AgendaChange) -> AgendaChange:
    return msgspec.structs.replace(
        change,
        entry=None if change.entry is None else _agenda_entry(job, change.entry),
        creations=tuple(_creation(job, creation) for creation in change.creations),
        deliveries=tuple(_delivery(job, delivery) for delivery in change.deliveries),
    )


def _agenda_entry(job: Job, entry: AgendaEntry) -> AgendaEntry:
    return job.pass_through(entry, lambda: f"the {entry.key.kind} {entry.key.namespace}/{entry.key.id}")


def _creation(job: Job, creation: Creation) -> Creation:
    return msgspec.structs.replace(
        creation,
        created=_recorded(job, creation.run_key, creation.created),
        copied=tuple(_recorded(job, creation.run_key, recorded) for recorded in creation.copied),
    )


def _recorded(job: Job, run_key: RunKey, recorded: RecordedEvent) -> RecordedEvent:
    kind = type(recorded.event)
    event = job.pass_through(recorded.event, lambda: f"event {recorded.sequence} of run key {run_key} ({_name(kind)})")
    return recorded if event is recorded.event else RecordedEvent(recorded.sequence, recorded.at, event)


def _delivery(job: Job, delivery: Delivery) -> Delivery:
    return msgspec.structs.replace(delivery, message=_message(job, delivery.message))


def _entry(job: Job, entry: InboxEntry) -> InboxEntry:
    return msgspec.structs.replace(entry, message=_message(job, entry.message))


def _message(job: Job, message: Message) -> Message:
    # Not bound to the run: what is in an inbox may go on to the run's next generation.
    return job.pass_through(message, lambda: f"a message ({type(message).__name__})")


def _name(kind: type[Any]) -> str:
    return EVENT_NAMES[kind]
