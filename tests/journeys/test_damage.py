"""Damage harms the run that it strikes, and no other: it is parked and says what is damaged."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure import Context, Engine, Run, Signal, workflow
from perdure.authoring.registry import Registry
from perdure.kernel.transition import Parking

go = Signal("go", int)


@workflow(name="damage.waits")
async def waits(ctx: Context) -> int:
    return await ctx.wait_for(go) + await ctx.wait_for(go)


def registry() -> Registry:
    found = Registry()
    found.add_workflow(waits)
    return found


class Place:
    """A database with two runs that have taken one signal and wait for another."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def engine(self, *, works: bool = True) -> Engine:
        return Engine(f"sqlite:///{self.path}", registry=registry(), works=works)

    async def begin(self) -> None:
        async with self.engine() as engine:
            for name in ("damaged", "sound"):
                run = await engine.start(waits, id=name)
                await run.signal(go, 1)

    def damage(self, statement: str) -> None:
        with closing(apsw.Connection(str(self.path))) as connection:
            connection.execute(statement)
            assert connection.changes() == 1

    async def signal(self) -> None:
        async with self.engine(works=False) as engine:
            for name in ("damaged", "sound"):
                await (await engine.get_run(name)).signal(go, 2)


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    found = Place(tmp_path / "runs.db")
    await found.begin()
    return found


async def parking(run: Run[Any]) -> Parking:
    async with asyncio.timeout(10):
        while (found := (await run.describe()).parked) is None:  # noqa: ASYNC110 - it is nobody's news here
            await asyncio.sleep(0)
    return found


OF_DAMAGED = "run_key = (SELECT run_key FROM runs WHERE id = 'damaged')"


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            f"UPDATE history SET data = json_set(data, '$.payload', 5) WHERE {OF_DAMAGED} AND sequence = 3",
            (
                "event 3 of run default/damaged is damaged: it is not what was written in its place: its digest differs"
                "; events 1 to 2 can be read. `perdure verify` says what can be done."
            ),
        ),
        (
            f"DELETE FROM history WHERE {OF_DAMAGED} AND sequence = 3",
            (
                "event 3 of run default/damaged is damaged: it is missing: the run's row counts 3; events 1 to 2 can "
                "be read. `perdure verify` says what can be done."
            ),
        ),
        ("UPDATE runs SET sequence = 2 WHERE id = 'damaged'", "its history 3"),
        ("UPDATE inbox SET at = at + 1 WHERE " + OF_DAMAGED, "the message at position"),
    ],
)
async def test_a_damaged_run_is_parked_with_what_is_damaged_and_the_others_go_on(
    place: Place, statement: str, says: str
) -> None:
    await place.signal()
    place.damage(statement)
    async with place.engine() as engine:
        assert await (await engine.get_run("sound")).result() == 3
        reason = (await parking(await engine.get_run("damaged"))).reason
        assert says in reason.message


async def test_a_run_whose_row_contradicts_its_history_goes_on_and_its_row_is_written_anew(place: Place) -> None:
    await place.signal()
    place.damage("UPDATE runs SET status = 'created', stage = 'never', progress = 0.9 WHERE id = 'damaged'")
    async with place.engine() as engine:
        run = await engine.get_run("damaged")
        assert await run.result() == 3
        row = await run.describe()
        assert (row.status.value, row.stage, row.progress) == ("completed", "", 1.0)


async def test_a_run_that_has_ended_and_whose_row_says_that_it_is_open_is_parked(place: Place) -> None:
    await place.signal()
    async with place.engine() as engine:
        assert await (await engine.get_run("damaged")).result() == 3
    place.damage("UPDATE runs SET status = 'running', closed_at = NULL, wake_at = 1 WHERE id = 'damaged'")
    async with place.engine() as engine:
        reason = (await parking(await engine.get_run("damaged"))).reason
        assert reason.message == "the history of run default/damaged has ended (completed); its row says running"


async def test_a_run_whose_row_names_another_workflow_is_parked(place: Place) -> None:
    @workflow(name="damage.other")
    async def other(ctx: Context) -> int:
        return await ctx.wait_for(go)

    place.damage("UPDATE runs SET workflow = 'damage.other' WHERE id = 'damaged'")
    await place.signal()
    having = registry()
    having.add_workflow(other)
    async with Engine(f"sqlite:///{place.path}", registry=having) as engine:
        reason = (await parking(await engine.get_run("damaged"))).reason
        assert "is one of the workflow 'damage.waits'; its row says 'damage.other'" in reason.message


@pytest.mark.parametrize("column", ["stage", "tenant", "id"])
async def test_text_that_is_none_in_the_row_of_a_due_run_keeps_no_other_from_going_on(
    place: Place, column: str
) -> None:
    await place.signal()
    place.damage(f"UPDATE runs SET {column} = CAST(x'ff' AS TEXT) WHERE id = 'damaged'")
    async with place.engine() as engine:
        assert await asyncio.wait_for((await engine.get_run("sound")).result(), 60) == 3
    with closing(apsw.Connection(str(place.path))) as connection:
        [(parked, wake_at)] = connection.execute("SELECT parked, wake_at FROM runs WHERE closed_at IS NULL")
    assert "not UTF-8" in parked
    assert wake_at is None
