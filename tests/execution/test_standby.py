"""Standby: warm copies of the runs of others, and what becomes of them when their owner is lost."""

import asyncio
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from perdure import Context, Engine, Run, Settings, workflow
from perdure.authoring.registry import Registry
from perdure.kernel.coroutine_program import CoroutineProgram
from perdure.kernel.identity import RunKey, WorkflowVersion
from perdure.kernel.transition import Stale
from perdure.ports.following import HistoryPart, HistoryPlace
from tests.execution.followed import STANDBY, Reads, Shared, has, is_warm, made, note, start, steps, stop, waits
from tests.execution.waiting_workflows import go, held
from tests.journeys.workflows import until


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Shared:
    url = request.getfixturevalue("emptied_postgres") if request.param == "postgres" else ""
    return Shared(request.param, tmp_path, url)


@pytest.fixture
def in_memory(tmp_path: Path) -> Shared:
    return Shared("memory", tmp_path, "")


@pytest.fixture(autouse=True)
def _forget_steps() -> Iterator[None]:
    made.clear()
    yield
    made.clear()


async def test_runs_of_a_worker_that_is_lost_go_on_by_their_warm_copies(shared: Shared) -> None:
    async with shared.engine() as owner, shared.engine(STANDBY) as standby:
        runs = await start(owner, "a", "b", "c")
        await until(lambda: is_warm(standby, runs))
        reads = Reads(standby)
        await shared.pass_on(owner, standby)
        await until(lambda: has(standby, runs))
        assert (reads.loaded, reads.events) == ([], 0)
        assert (standby.worker.standby.taken_over, standby.worker.standby.thrown_away) == (3, 0)
        assert standby.worker.standby.warm == {}
        for name in "abc":
            run = await standby.get_run(name, steps)
            await run.signal(go, 7)
            await run.signal(go, 0)
            assert await run.result() == [f"{name} 0", f"{name} 1", f"{name} 2", f"{name} after 7"]
        assert len(made) == len(set(made)) == 12


async def test_a_worker_whose_runs_were_taken_over_is_fenced(shared: Shared) -> None:
    async with shared.engine() as owner, shared.engine(STANDBY) as standby:
        (run,) = await start(owner, "a")
        await until(lambda: is_warm(standby, [run]))
        (theirs,) = owner.worker.active.values()
        await shared.pass_on(owner, standby)
        await until(lambda: has(standby, [run]))
        before = (await run.describe()).fencing_token
        assert theirs.fencing_token < before
        assert await owner.worker.committer.commit(theirs._giving_back(wake_at=None)) == Stale(theirs.run_key)
        await run.signal(go, 5)  # the owner may take it for its run
        await until(lambda: has(owner, []))
        await run.signal(go, 0)
        assert await (await standby.get_run("a", steps)).result() == ["a 0", "a 1", "a 2", "a after 5"]
        assert made.count("a after 5") == 1
        assert (await run.describe()).fencing_token == before


async def test_a_copy_that_is_behind_reads_only_what_is_missing(shared: Shared) -> None:
    async with shared.engine() as owner, shared.engine(STANDBY) as standby:
        runs = await start(owner, "a", "b", count=20)
        await until(lambda: is_warm(standby, runs))
        stop(standby, "perdure-standby")
        before = (await runs[0].describe()).sequence
        await runs[0].signal(go, 1)
        await until(lambda: waits(owner, runs[0]))
        reads = Reads(standby)
        await shared.pass_on(owner, standby)
        await until(lambda: has(standby, runs))
        missing = standby.worker.active[(await runs[0].describe()).run_key].state.sequence - before
        assert missing >= 3
        assert (reads.loaded, reads.events) == ([], missing)
        assert standby.worker.standby.taken_over == 2
        await runs[0].signal(go, 0)
        assert (await (await standby.get_run("a", steps)).result())[-2:] == ["a 19", "a after 1"]


async def test_copies_follow_runs_as_these_go_on(shared: Shared) -> None:
    async with shared.engine() as owner, shared.engine(STANDBY) as standby:
        runs = await start(owner, "a", "b")
        await until(lambda: is_warm(standby, runs))
        reads = Reads(standby)
        before = (await runs[1].describe()).sequence
        for number in (1, 2, 3):
            await runs[1].signal(go, number)
            await until(lambda: waits(owner, runs[1]))
        await until(lambda: is_warm(standby, runs))
        assert (reads.loaded, reads.events) == ([], (await runs[1].describe()).sequence - before)


async def test_copies_of_runs_that_have_ended_or_wait_are_let_go(shared: Shared) -> None:
    quick = Settings(idle_seconds=0.01, shutdown_grace_seconds=0.2)
    async with shared.engine() as owner, shared.engine(STANDBY) as standby:
        runs = await start(owner, "a", "b")
        await until(lambda: is_warm(standby, runs))
        await runs[0].signal(go, 0)
        await runs[0].result()
        await until(lambda: is_warm(standby, runs[1:]))
        owner.worker.idle.release_oldest(1)
        await until(lambda: has(owner, []))
        standby.worker.standby.hear(None)  # nobody tells of it: it is looked for now and then
        await until(lambda: is_warm(standby, []))
    async with shared.engine(quick) as owner:
        await (await owner.get_run("b", steps)).signal(go, 0)
        assert await (await owner.get_run("b", steps)).result() == ["b 0", "b 1", "b 2"]


async def test_a_copy_of_another_history_is_thrown_away(shared: Shared) -> None:
    async with shared.engine() as owner, shared.engine(STANDBY) as standby:
        runs = await start(owner, "a", "b")
        await until(lambda: is_warm(standby, runs))
        stop(standby, "perdure-standby")
        key = (await runs[0].describe()).run_key
        warm = standby.worker.standby._warm.find(key)
        assert warm is not None
        warm.place = HistoryPlace(warm.place.sequence, b"of some other event")
        reads = Reads(standby)
        await shared.pass_on(owner, standby)
        await until(lambda: has(standby, runs))
        assert reads.loaded == [key]
        assert (standby.worker.standby.taken_over, standby.worker.standby.thrown_away) == (1, 1)
        await runs[0].signal(go, 0)
        assert await (await standby.get_run("a", steps)).result() == ["a 0", "a 1", "a 2"]


@pytest.mark.parametrize("differs", ["sequence", "definition_version", "code"])
async def test_a_copy_is_thrown_away_that_is_not_of_the_claimed_run(in_memory: Shared, differs: str) -> None:
    async with in_memory.engine() as owner, in_memory.engine(STANDBY) as standby:
        (run,) = await start(owner, "a")
        await until(lambda: is_warm(standby, [run]))
        row = await run.describe()
        if differs == "sequence":
            row = structs.replace(row, sequence=row.sequence + 1)
        elif differs == "definition_version":
            row = structs.replace(row, definition_version="2")
        else:
            standby.worker.code = "of a module that came since"
        warm = standby.worker.standby._warm.find(row.run_key)
        assert warm is not None
        assert await standby.worker.standby.take(row) is None
        assert (standby.worker.standby.taken_over, standby.worker.standby.thrown_away) == (0, 1)
        assert warm._replay is not None
        program = warm._replay.feed.program
        assert isinstance(program, CoroutineProgram)
        assert program.journal.main is None  # closed


async def test_runs_are_loaded_where_what_comes_next_cannot_be_read_whatever_the_error(in_memory: Shared) -> None:
    async with in_memory.engine() as owner, in_memory.engine(STANDBY) as standby:
        runs = await start(owner, "a", "b")
        await until(lambda: is_warm(standby, runs))
        store: Any = standby.worker.store

        async def fail(places: object, **limits: int) -> list[HistoryPart]:
            raise ConnectionResetError("the blobs are away")

        store.read_on = fail
        await in_memory.pass_on(owner, standby)
        await until(lambda: has(standby, runs))
        assert (standby.worker.standby.taken_over, standby.worker.standby.thrown_away) == (0, len(runs))


async def test_a_copy_does_nothing_and_writes_nothing(in_memory: Shared) -> None:
    async with in_memory.engine() as owner:
        runs = await start(owner, "a", "b", "c")
        (sleeper,) = [await owner.start(sleeping, id="sleeper")]
        await until(lambda: waits(owner, sleeper))
        before, steps_before = in_memory.database.dump(), list(made)
        async with in_memory.engine(STANDBY) as standby:
            await until(lambda: is_warm(standby, [*runs, sleeper]))
            after = in_memory.database.dump()
            assert standby.worker.active == {}
            assert not standby.worker.dispatcher.running
        del before["sessions"], after["sessions"]
        assert after == before
        assert made == steps_before


@workflow(name="followed_sleep")
async def sleeping(ctx: Context) -> None:
    await note("before sleep")
    await asyncio.sleep(3_600)
    await note("after sleep")
    del ctx


async def test_messages_that_came_while_nobody_owned_the_run_are_taken(in_memory: Shared) -> None:
    async with in_memory.engine() as owner, in_memory.engine(STANDBY) as standby:
        runs = await start(owner, "a")
        await until(lambda: is_warm(standby, runs))
        in_memory.database.kill(owner.worker.worker_id)
        run = await standby.get_run("a", steps)
        await run.signal(go, 3)
        await run.signal(go, 0)
        assert await standby.worker.store.free_expired(now=standby.worker.clock.now()) == 1
        standby.worker.claims.wake()
        assert await run.result() == ["a 0", "a 1", "a 2", "a after 3"]
        assert standby.worker.standby.taken_over == 1


async def test_runs_whose_code_a_worker_lacks_are_not_copied(in_memory: Shared) -> None:
    only_waiting = Registry()
    only_waiting.add_workflow(held)
    async with in_memory.engine() as owner, in_memory.engine(STANDBY, registry=only_waiting) as standby:
        await start(owner, "a")
        other = await owner.start(held, id="waits")
        await until(lambda: is_warm(standby, [other]))
        reads = Reads(standby)
        await (await owner.get_run("a", steps)).signal(go, 1)
        await other.signal(go, 0)
        await until(lambda: is_warm(standby, []))
        assert reads.events == 0


async def test_copies_are_made_anew_when_other_code_comes(in_memory: Shared) -> None:
    async with in_memory.engine() as owner, in_memory.engine(STANDBY) as standby:
        runs = await start(owner, "a")
        await until(lambda: is_warm(standby, runs))
        key = (await runs[0].describe()).run_key
        standby.worker._use_new_code()
        assert standby.worker.standby.warm == {}
        await until(lambda: is_warm(standby, runs))
        warm = standby.worker.standby._warm.find(key)
        assert warm is not None
        assert warm.code == standby.worker.code


async def test_a_copy_whose_code_fits_no_more_is_not_made_again_and_again(in_memory: Shared) -> None:
    changed, definition = Registry(), copy(other_steps)
    definition.name = steps.name
    changed.add_workflow(definition)
    async with in_memory.engine() as owner, in_memory.engine(STANDBY, registry=changed) as standby:
        assert changed.workflow_versions == {WorkflowVersion("followed_steps", "1")}
        (run,) = await start(owner, "a")
        key = (await run.describe()).run_key
        await until(lambda: is_unfit(standby, key))
        reads = Reads(standby)
        await run.signal(go, 1)
        other = await owner.start(held, id="waits")
        await until(lambda: waits(owner, other))
        assert (reads.events, standby.worker.standby.warm) == (0, {})
        await in_memory.pass_on(owner, standby)
        await until(lambda: is_parked(run))


@workflow(name="followed_steps_changed")
async def other_steps(ctx: Context, name: str, count: int) -> None:
    del ctx, name, count
    await asyncio.sleep(1)


async def is_unfit(standby: Engine, key: RunKey) -> bool:
    return key in standby.worker.standby._unfit


async def is_parked(run: Run[Any]) -> bool:
    return (await run.describe()).parked is not None


async def test_a_worker_without_standby_copies_nothing(in_memory: Shared) -> None:
    async with in_memory.engine() as owner, in_memory.engine() as other:
        runs = await start(owner, "a")
        reads = Reads(other)
        await in_memory.pass_on(owner, other)
        await until(lambda: has(other, runs))
        assert (len(reads.loaded), other.worker.standby.warm) == (1, {})
