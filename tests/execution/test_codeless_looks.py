"""Looks at runs without their code: nothing that was asked of a run is forgotten by them, whatever can be read."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from perdure import Context, Engine, RunFailedError, RunStatus, RunTerminatedError, Signal, workflow
from perdure.authoring.registry import Registry
from perdure.errors import StoreError
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey
from perdure.kernel.messages import ResumeMessage, TerminateMessage
from perdure.kernel.transition import Delivery
from perdure.ports.store import InboxEntry
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.stores.memory.tables import Entry
from perdure.stores.memory.tables import Run as Row

go = Signal("go", int)
IN_A_DAY = timedelta(days=1)


class LookedAtStore(MemoryStore):
    """Lets something come when an inbox is read for the first time: between the claim of its run and what follows."""

    def __init__(self, database: MemoryDatabase, comes: Callable[[], Awaitable[Any]]) -> None:
        super().__init__(database)
        self.comes: Callable[[], Awaitable[Any]] | None = comes

    async def read_inbox(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[InboxEntry]:
        comes, self.comes = self.comes, None
        if comes is not None:
            await comes()
        return await super().read_inbox(run_key, after=after, limit=limit)


class BreakingStore(MemoryStore):
    """Cannot read any history, for a reason that nobody foresaw."""

    async def read_history(self, run_key: RunKey, *, after: int = 0, limit: int = 1_000) -> list[RecordedEvent]:
        raise KeyError("nobody")


class Place:
    """A database with one run whose code waits for a signal."""

    def __init__(self) -> None:
        self.database = MemoryDatabase()

    def engine(self, registry: Registry, *, works: bool = True) -> Engine:
        return Engine(MemoryStore(self.database), registry=registry, works=works)

    def looker(self, comes: Callable[[], Awaitable[Any]]) -> Engine:
        """Return an engine without code, to which something comes while it looks at the run."""
        return Engine(LookedAtStore(self.database, comes), registry=Registry())

    async def begin(self, **options: Any) -> None:
        registry = waits()
        async with self.engine(registry) as engine:
            await engine.start(registry.workflow("looks.waits"), id="run", **options)

    async def park(self) -> None:
        """Let code that does not fit try the run."""
        async with self.engine(waits(is_changed=True)), self.engine(Registry(), works=False) as client:
            await (await client.get_run("run")).signal(Signal("other", int), 1)
            await self.when(lambda row: row.parked is not None)

    async def send(self, message: TerminateMessage | ResumeMessage) -> None:
        """Send the run something from outside, whether or not somebody works."""
        async with self.engine(Registry(), works=False) as client:
            worker = client.worker
            target = self.row.run_key
            await worker.committer.commit(
                Delivery(target=target, message=message, message_id=repr(message), at=worker.clock.now())
            )

    async def stray(self) -> None:
        """Have the run looked at by an order which it does not obey."""
        await self.send(TerminateMessage(parent_key=RunKey(self.row.run_key + 1)))

    @property
    def row(self) -> Row:
        [row] = self.database.runs.values()
        return row

    async def when(self, is_so: Callable[[Row], bool]) -> Row:
        async with asyncio.timeout(10):
            while not is_so(self.row):  # noqa: ASYNC110 - it is nobody's news in this process
                await asyncio.sleep(0)
        return self.row

    async def looked_at(self) -> Row:
        """Return the run's row after a look, given back."""
        before = self.row.fencing_token
        async with self.engine(Registry()):
            return await self.when(lambda row: row.owner is None and row.fencing_token > before)


async def fails() -> None:
    raise StoreError("the disk is away")


def waits(*, is_changed: bool = False) -> Registry:
    @workflow(name="looks.waits")
    async def waiting(ctx: Context) -> int:
        if is_changed:
            await ctx.sleep(3600)
        return await ctx.wait_for(go)

    registry = Registry()
    registry.add_workflow(waiting)
    return registry


async def test_a_resumption_that_comes_while_a_parked_run_is_looked_at_has_it_tried_again() -> None:
    place = Place()
    await place.begin()
    await place.park()
    await place.stray()
    before = place.row.fencing_token
    async with place.looker(lambda: place.send(ResumeMessage())):
        row = await place.when(lambda row: row.owner is None and row.fencing_token > before)
    assert row.parked is not None
    assert row.wake_at is not None


async def test_a_resumption_that_waits_for_code_outlasts_a_look_without_it() -> None:
    place = Place()
    await place.begin()
    await place.park()
    await place.send(ResumeMessage())
    due_at = place.row.wake_at
    await place.stray()
    row = await place.looked_at()
    assert row.parked is not None
    assert row.wake_at == due_at is not None


async def test_a_parked_run_stays_parked_when_the_store_fails_while_it_is_looked_at() -> None:
    place = Place()
    await place.begin()
    await place.park()
    await place.stray()
    before, parked = place.row.fencing_token, place.row.parked
    async with place.looker(fails):
        row = await place.when(lambda row: row.owner is None and row.fencing_token > before)
    assert row.parked == parked is not None
    assert row.wake_at is not None


async def test_a_run_that_the_store_failed_to_load_is_to_be_ended_no_sooner() -> None:
    place = Place()
    await place.begin(execution_timeout=IN_A_DAY)
    await place.send(ResumeMessage())
    before, deadline_at = place.row.fencing_token, place.row.end_at
    async with Engine(LookedAtStore(place.database, fails), registry=waits()):
        row = await place.when(lambda row: row.owner is None and row.fencing_token > before)
        assert row.end_at == deadline_at is not None


async def test_a_look_makes_no_run_due_that_waits_for_time() -> None:
    place = Place()
    await place.begin()
    assert place.row.wake_at is None
    place.row.end_at = place.row.created_at
    row = await place.looked_at()
    assert (row.wake_at, row.end_at) == (None, None)


async def test_a_termination_that_comes_while_a_run_is_looked_at_ends_it() -> None:
    place = Place()
    await place.begin()
    await place.stray()
    async with place.looker(lambda: place.send(TerminateMessage(reason="enough"))) as looker:
        with pytest.raises(RunTerminatedError, match="enough"):
            await (await looker.get_run("run")).result()


async def test_a_termination_of_a_run_that_cannot_be_read_is_kept_until_it_can(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place()
    await place.begin()
    [history] = place.database.events.values()
    readable, history[1] = history[1], (*history[1][:4], b"{")
    await place.send(TerminateMessage(reason="enough"))
    row = await place.looked_at()
    assert "may have to be ended" in caplog.text
    assert row.end_at is not None
    history[1] = readable
    row.end_at = row.created_at  # the time has come to look again
    async with place.engine(Registry()) as engine:
        with pytest.raises(RunTerminatedError, match="enough"):
            await (await engine.get_run("run")).result()


async def test_a_deadline_ends_a_run_whose_inbox_cannot_be_read() -> None:
    place = Place()
    await place.begin(execution_timeout=IN_A_DAY)
    deadline_at = place.row.end_at
    damage_inbox(place)
    place.row.end_at = place.row.created_at
    row = await place.looked_at()
    assert deadline_at is not None
    assert row.end_at is not None
    assert row.created_at < row.end_at < deadline_at


async def test_a_termination_behind_a_message_that_cannot_be_read_ends_a_run() -> None:
    place = Place()
    await place.begin()
    damage_inbox(place)
    await place.send(TerminateMessage(reason="enough"))
    async with place.engine(Registry()) as engine:
        with pytest.raises(RunTerminatedError, match="enough"):
            await (await engine.get_run("run")).result()


async def test_a_message_that_comes_while_an_inbox_cannot_be_read_has_nobody_look_again_at_once() -> None:
    place = Place()
    await place.begin()
    damage_inbox(place)
    place.row.end_at = place.row.created_at
    before = place.row.fencing_token
    async with place.looker(place.stray):
        row = await place.when(lambda row: row.owner is None and row.fencing_token > before)
        assert row.end_at is not None
        assert row.end_at > row.created_at


async def test_a_deadline_that_has_passed_ends_a_run_whose_inbox_cannot_be_read() -> None:
    place = Place()
    await place.begin(execution_timeout=timedelta(seconds=0.1))
    damage_inbox(place)
    async with place.engine(Registry()) as engine:
        with pytest.raises(RunFailedError, match="execution timeout"):
            await (await engine.get_run("run")).result()


@pytest.mark.parametrize("registry", [Registry(), waits()], ids=["without its code", "with its code"])
async def test_a_run_whose_history_breaks_whoever_reads_it_is_given_back_and_named(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place()
    await place.begin()
    await place.send(TerminateMessage(reason="enough"))
    before = place.row.fencing_token
    async with Engine(BreakingStore(place.database), registry=registry):
        row = await place.when(lambda row: row.owner is None and row.fencing_token > before)
    assert row.status is RunStatus.RUNNING
    assert row.end_at is not None
    assert "event 1 does not fit those before it: KeyError('nobody')" in caplog.text


def damage_inbox(place: Place) -> None:
    row = place.row
    entry = Entry(data=b"{", message_id="damaged", at=row.created_at)
    place.database.inboxes.setdefault(row.run_key, {})[place.database.next_position()] = entry
