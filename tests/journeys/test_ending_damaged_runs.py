"""A run whose history or inbox is damaged can be ended: it holds nothing and nobody up for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure import (
    Context,
    Engine,
    Run,
    RunClosedError,
    RunStatus,
    RunTerminatedError,
    Signal,
    Update,
    activity,
    workflow,
)
from perdure.authoring.registry import Registry
from perdure.errors import ChildRunError, HistoryError, ResultTimeoutError, UpdateFailedError
from perdure.ports.store import LockQuery
from tests.damaging import break_leaves

go = Signal("go", int)


@workflow(name="ending.child")
async def child(ctx: Context) -> int:
    async with ctx.lock("shelf"):
        return await ctx.wait_for(go)


@workflow(name="ending.parent")
async def parent(ctx: Context) -> str:
    try:
        return str(await ctx.run_child(child, id="damaged"))
    except ChildRunError as error:
        return str(error.outcome)


@workflow(name="ending.grandparent")
async def grandparent(ctx: Context) -> int:
    ctx.start_child(child, id="damaged's child")
    return await ctx.wait_for(go)


@workflow(name="ending.asks_twice")
async def asks_twice(ctx: Context) -> str:
    first = ctx.start_child(child, id="damaged")
    with suppress(ChildRunError):
        await ctx.run_child(child, id="damaged")
    try:
        return str(await first.result())
    except ChildRunError as error:
        return str(error.outcome)


@workflow(name="ending.continues_childless")
async def continues_childless(ctx: Context, generation: int) -> int:
    got = await ctx.wait_for(go)
    if generation == 1:
        ctx.continue_as_new(2)
    return got


@workflow(name="ending.asks_again")
async def asks_again(ctx: Context) -> str:
    first = ctx.start_child(continues_childless, 1, id="damaged")
    await ctx.wait_for(go)
    ctx.start_child(continues_childless, 1, id="damaged")
    try:
        return str(await first.result())
    except ChildRunError as error:
        return str(error.outcome)


amount = Update("amount", int, int)


@workflow(name="ending.takes_amounts")
async def takes_amounts(ctx: Context) -> int:
    async def take(taken: int) -> int:
        await ctx.sleep(timedelta(days=1))
        return taken

    ctx.on_update(amount, take)
    return await ctx.wait_for(go)


@workflow(name="ending.continues")
async def continues(ctx: Context, generation: int) -> int:
    if generation == 1:
        ctx.start_child(child, id="damaged's child")
        await ctx.wait_for(go)
        ctx.continue_as_new(2)
    return await ctx.wait_for(go)


@workflow(name="ending.waits")
async def waits(ctx: Context) -> int:
    return await ctx.wait_for(go)


@activity(name="ending.elsewhere", queue="elsewhere")
async def elsewhere() -> int:
    return 1


@workflow(name="ending.asks_elsewhere")
async def asks_elsewhere(_: Context) -> int:
    return await elsewhere()


def registry() -> Registry:
    found = Registry()
    found.add_activity(elsewhere)
    for definition in (
        child, parent, asks_twice, asks_again, grandparent, continues, waits, continues_childless, takes_amounts,
        asks_elsewhere,
    ):  # fmt: skip
        found.add_workflow(definition)
    return found


class Place:
    """A database in a file, to whose rows something is done between the lives of engines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def engine(self, *, works: bool = True, code: Registry | None = None) -> Engine:
        return Engine(f"sqlite:///{self.path}", registry=registry() if code is None else code, works=works)

    def change(self, *statements: str) -> None:
        with closing(apsw.Connection(str(self.path))) as connection:
            for statement in statements:
                connection.execute(statement)
                assert connection.changes() > 0, statement

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(apsw.Connection(str(self.path))) as connection:
            return list(connection.execute(query))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "runs.db")


async def described(run: Run[Any], is_so: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(20):
        while not is_so(found := await run.describe()):  # noqa: ASYNC110 - it is nobody's news here
            await asyncio.sleep(0)
    return found


async def when_it_waits(run: Run[Any], event: str, *, times: int = 1) -> None:
    async with asyncio.timeout(20):
        while [recorded.type async for recorded in run.history()].count(event) < times:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)


KEY = "(SELECT run_key FROM runs WHERE id = 'damaged')"
DAMAGES = {
    "an event in the middle": (f"UPDATE history SET at = at + 1 WHERE sequence = 2 AND run_key = {KEY}",),
    "the creation": (f"UPDATE history SET at = at + 1 WHERE sequence = 1 AND run_key = {KEY}",),
    "the last event": (f"UPDATE history SET at = at + 1 WHERE sequence = 4 AND run_key = {KEY}",),
    "the last event lost": (f"DELETE FROM history WHERE sequence = 4 AND run_key = {KEY}",),
    "all events lost": (f"DELETE FROM history WHERE run_key = {KEY}",),
    "an event without a digest": (
        "UPDATE store_meta SET value = 1000000 WHERE name = 'history_without_digests'",
        f"UPDATE history SET digest = NULL, data = iif(sequence = 2, '{{', data) WHERE run_key = {KEY}",
    ),
    "a message": (
        f"INSERT INTO inbox (run_key, message_id, data, at, digest) SELECT {KEY}, 'x', CAST(x'ff' AS TEXT), 1, x'00'",
    ),
}


@pytest.mark.parametrize("code", [registry(), Registry()], ids=["with its code", "without its code"])
@pytest.mark.parametrize("what", DAMAGES)
async def test_a_termination_ends_a_damaged_run_frees_its_lock_and_tells_its_parent(
    place: Place, what: str, code: Registry
) -> None:
    async with place.engine() as engine:
        above = await engine.start(parent, id="above")
        await described(above, lambda row: row.sequence > 3)
        await when_it_waits(await engine.get_run("damaged"), "lock_acquired")
        await engine.start(child, id="next in line")
    place.change(*DAMAGES[what])
    async with place.engine(code=code, works=True) as engine:
        damaged = await engine.get_run("damaged")
        await damaged.terminate("enough")
        row = await described(damaged, lambda row: row.status.is_closed)
        assert (row.status, row.owner, row.parked, row.wake_at) == (RunStatus.TERMINATED, None, None, None)
        with pytest.raises(RunClosedError):
            await damaged.signal(go, 1)
    async with place.engine() as engine:
        with pytest.raises(RunTerminatedError, match="enough"):
            await (await engine.get_run("damaged")).result()
        assert await (await engine.get_run("above")).result() == "terminated"
        follower = await engine.get_run("next in line")
        await follower.signal(go, 7)
        assert await follower.result() == 7
        assert await engine.worker.store.list_locks(LockQuery()) == []
        found = await engine.verify("damaged")
        assert [run.is_open for run in found.damaged] == [False]


@pytest.mark.parametrize(
    "send", [Run.terminate, Run.cancel, Run.suspend, lambda run: run.signal(go, 1)],
    ids=["termination", "cancellation", "suspension", "signal"],
)  # fmt: skip
async def test_a_run_in_memory_whose_inbox_is_damaged_takes_what_is_sent_beside_others_and_can_be_ended(
    place: Place, send: Callable[[Run[int]], Awaitable[object]]
) -> None:
    async with place.engine() as engine, place.engine(works=False):
        damaged = await engine.start(child, id="damaged")
        await when_it_waits(damaged, "lock_acquired")
        place.change(*DAMAGES["a message"])
        await send(damaged)
        row = await described(damaged, lambda row: row.parked is not None or row.status.is_closed)
        if not row.status.is_closed:
            await damaged.terminate()
        row = await described(damaged, lambda row: row.status.is_closed)
        assert row.status is RunStatus.TERMINATED


async def test_a_message_that_is_damaged_after_it_was_taken_keeps_no_other_from_its_run(place: Place) -> None:
    async with place.engine() as engine, place.engine(works=False):
        run = await engine.start(waits, id="damaged")
        with pytest.raises(ResultTimeoutError):
            await run.update(Update("nobody's", int, int), 1, timeout=timedelta(milliseconds=20))
        place.change(f"UPDATE inbox SET at = at + 1 WHERE run_key = {KEY}")
        await run.signal(go, 7)
        assert await run.result() == 7


async def test_the_tasks_of_a_damaged_run_leave_their_queues_when_it_is_ended(place: Place) -> None:
    async with place.engine() as engine:
        run = await engine.start(asks_elsewhere, id="damaged")
        await when_it_waits(run, "activity_deferred")
        assert len(await engine.tasks()) == 1
    place.change("UPDATE history SET data = data || ' ' WHERE type = 'activity_deferred'")
    async with place.engine() as engine:
        run = await engine.get_run("damaged")
        await run.terminate("broken")
        await described(run, lambda row: row.status is RunStatus.TERMINATED)
        assert await engine.tasks() == []


async def test_the_children_of_a_damaged_run_are_ended_as_they_say_when_it_is(place: Place) -> None:
    async with place.engine() as engine:
        above = await engine.start(grandparent, id="damaged")
        below = (
            await engine.get_run("damaged's child") if await described(above, lambda row: row.sequence > 3) else None
        )
        assert below is not None
        await when_it_waits(below, "lock_acquired")
    place.change(DAMAGES["the creation"][0])
    async with place.engine() as engine:
        await (await engine.get_run("damaged")).terminate()
        row = await described(await engine.get_run("damaged's child"), lambda row: row.status.is_closed)
        assert row.status is RunStatus.CANCELLED


async def test_a_child_that_is_damaged_itself_further_on_is_ended_when_its_damaged_parent_is(place: Place) -> None:
    async with place.engine() as engine:
        above = await engine.start(grandparent, id="damaged")
        await described(above, lambda row: row.sequence > 3)
        await when_it_waits(await engine.get_run("damaged's child"), "lock_acquired")
    of_child = "run_key = (SELECT run_key FROM runs WHERE id = 'damaged''s child')"
    place.change(DAMAGES["the creation"][0], f"UPDATE history SET at = at + 1 WHERE sequence = 4 AND {of_child}")
    async with place.engine() as engine:
        await (await engine.get_run("damaged")).terminate()
        await described(await engine.get_run("damaged"), lambda row: row.status.is_closed)
        below = await engine.get_run("damaged's child")
        async with asyncio.timeout(20):
            while not await engine.worker.store.read_rest_of_inbox((await below.describe()).run_key):  # noqa: ASYNC110
                await asyncio.sleep(0)


async def test_children_that_came_along_are_ended_when_a_damaged_generation_is(place: Place) -> None:
    async with place.engine() as engine:
        above = await engine.start(continues, 1, id="damaged")
        await described(above, lambda row: row.sequence > 3)
        await when_it_waits(await engine.get_run("damaged's child"), "lock_acquired")
        await above.signal(go, 1)
        await described(await engine.get_run("damaged"), lambda row: row.ref.generation == 2 and row.sequence > 1)
    of_second = "run_key = (SELECT run_key FROM runs WHERE id = 'damaged' AND generation = 2)"
    place.change(f"UPDATE history SET at = at + 1 WHERE sequence = 1 AND {of_second}")
    async with place.engine() as engine:
        await (await engine.get_run("damaged")).terminate()
        row = await described(await engine.get_run("damaged's child"), lambda row: row.status.is_closed)
        assert row.status is RunStatus.CANCELLED


async def test_a_parent_that_asked_twice_for_a_damaged_child_is_told_of_its_end(place: Place) -> None:
    async with place.engine() as engine:
        above = await engine.start(asks_twice, id="above")
        await when_it_waits(above, "child_failed")
        await when_it_waits(await engine.get_run("damaged"), "lock_acquired")
    place.change(*DAMAGES["the creation"])
    async with place.engine() as engine:
        await (await engine.get_run("damaged")).terminate()
        async with asyncio.timeout(20):
            assert await (await engine.get_run("above")).result() == "terminated"


@pytest.mark.parametrize("generation", [1, 2])
async def test_the_call_that_started_a_damaged_child_learns_of_its_end_though_a_later_one_was_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch, generation: int
) -> None:
    async with place.engine() as engine:
        above = await engine.start(asks_again, id="above")
        await when_it_waits(above, "child_started")
        damaged = await engine.get_run("damaged")
        if generation == 2:
            await damaged.signal(go, 1)
        await described(damaged, lambda row: row.ref.generation == generation and row.sequence > 1)
        monkeypatch.setattr(engine.worker.mail, "read_inbox_of", lambda _run: None)
        await above.signal(go, 1)
        await when_it_waits(above, "child_started", times=2)
    key = KEY.replace(")", f" AND generation = {generation})")
    place.change(f"UPDATE history SET at = at + 1 WHERE sequence = 1 AND run_key = {key}")
    children_only = Registry()
    children_only.add_workflow(continues_childless)
    async with place.engine(code=children_only) as engine:
        damaged = await engine.get_run("damaged")
        await damaged.terminate()
        await described(damaged, lambda row: row.status.is_closed)
    async with place.engine() as engine, asyncio.timeout(20):
        assert await (await engine.get_run("above")).result() == "terminated"


async def test_an_update_that_a_damaged_run_had_accepted_when_it_was_ended_is_not_said_to_have_had_no_effect(
    place: Place,
) -> None:
    async with place.engine(works=False) as client:
        async with place.engine() as engine:
            await engine.start(takes_amounts, id="damaged")
            run = await client.get_run("damaged")
            asked = asyncio.create_task(run.update(amount, 1))
            await when_it_waits(run, "update_accepted")
        place.change(*DAMAGES["the creation"])
        async with place.engine() as engine:
            await (await engine.get_run("damaged")).terminate()
            async with asyncio.timeout(20):
                with pytest.raises(UpdateFailedError, match="damaged, has ended before the update's handler did"):
                    await asked


async def test_who_waits_for_a_damaged_run_that_was_parked_long_ago_learns_that_it_is_damaged(place: Place) -> None:
    async with place.engine() as engine:
        await when_it_waits(await engine.start(child, id="damaged"), "lock_acquired")
    place.change(*DAMAGES["an event in the middle"])
    async with place.engine() as engine:
        run = await engine.get_run("damaged")
        await run.signal(go, 1)
        row = await described(run, lambda row: row.parked is not None)
        assert row.parked.reason.type == "DamagedHistoryError"
        engine.worker.endings.unpark(row.run_key)
        async with asyncio.timeout(20):
            with pytest.raises(HistoryError, match="event 2"):
                await run.result()


async def test_a_damaged_run_whose_row_counts_too_few_events_stays_parked_and_is_not_looked_at_without_end(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with place.engine() as engine:
        await when_it_waits(await engine.start(child, id="damaged"), "lock_acquired")
    place.change(DAMAGES["the creation"][0], "UPDATE runs SET sequence = 3 WHERE id = 'damaged'")
    async with place.engine() as engine:
        damaged = await engine.get_run("damaged")
        await damaged.terminate()
        row = await described(damaged, lambda row: row.parked is not None and row.owner is None)
        assert row.status is RunStatus.RUNNING
        assert "cannot be ended by its rows, either: event 4 of run default/damaged is damaged" in caplog.text
    [(ends_in,)] = place.rows("SELECT end_at - updated_at FROM runs")
    assert ends_in > 30_000_000


async def test_a_run_on_a_damaged_page_is_parked_when_it_is_first_loaded_and_others_go_on(place: Place) -> None:
    async with place.engine() as engine:
        for number in range(40):
            await engine.start(waits, id=f"run {number:02}")
    break_leaves(place.path, "history", keeping_last=True)
    async with place.engine(works=False) as client:
        for number in range(40):
            await (await client.get_run(f"run {number:02}")).signal(go, number)
    async with place.engine() as engine:
        runs = [await engine.get_run(f"run {number:02}") for number in range(40)]
        rows = [await described(run, lambda row: row.status.is_closed or row.parked is not None) for run in runs]
        parked = [row for row in rows if row.parked is not None]
        assert 0 < len(parked) < 40
        assert {row.parked.reason.type for row in parked} == {"StoreCorruptError"}
        assert all(row.owner is None and row.wake_at is None for row in parked)
        tokens = place.rows("SELECT run_key, fencing_token FROM runs WHERE parked IS NOT NULL")
        [found] = [run for run in runs if run.id == parked[0].id]
        await found.terminate("enough")
        assert (await described(found, lambda row: row.status.is_closed)).status is RunStatus.TERMINATED
        assert set(tokens) - set(place.rows("SELECT run_key, fencing_token FROM runs")) == {
            (row.run_key, row.fencing_token) for row in parked if row.id == found.id
        }
