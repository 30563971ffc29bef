"""Entries of the agenda that cannot be read: left aside, named, and no hindrance to any other."""

import asyncio
import logging
import re
from collections import Counter
from pathlib import Path

import apsw
import msgspec
import pytest

from perdure import Cron, Debounce, Deduplicate, Engine, Every, Singleton
from perdure.cli.collecting import collect
from perdure.errors import HistoryError
from perdure.kernel.identity import RunKey
from perdure.ports.agenda import AgendaEntry, AgendaKey, AgendaQuery
from perdure.stores.memory import MemoryDatabase
from perdure.timekeeping.kinds import read_whole
from tests.timekeeping.test_keyed_starts import SECOND, of_a_key, of_another_key
from tests.timekeeping.virtual import Stage

OFTEN = Every(7.3 * SECOND)


def damage(database: MemoryDatabase, id: str, **changes: object) -> None:
    """Write something unreadable into an entry, as a broken disk or a careless hand does."""
    (entry,) = [entry for entry in database.agenda.entries() if entry.key.id == id]
    database.agenda._entries[entry.key] = msgspec.structs.replace(entry, **changes)


@pytest.mark.parametrize("broken", [{"data": "{"}, {"data": "{}"}, {"inputs": ()}, {"data": "", "damage": "torn"}])
def test_a_schedule_that_cannot_be_read_keeps_no_other_from_its_times(
    broken: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()

    async def process(stage: Stage) -> None:
        async with stage.engine() as engine:
            for name in ("a", "b", "c"):
                await engine.schedules.create(name, of_another_key, name, when=OFTEN)
            damage(stage.database, "b", **broken)
            await asyncio.sleep(60)

    with caplog.at_level(logging.ERROR, "perdure.timekeeping"):
        stage.play(process)
    runs = stage.database.runs.values()
    assert Counter(run.ref.id[0] for run in runs) == {"a": 8, "c": 8}
    assert max(run.created_at % 7_300_000 for run in runs) < 10_000  # microseconds: each in its time
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "the schedule default/b could not be settled and is tried again" in told[0]


def test_a_schedule_whose_time_zone_is_not_known_here_keeps_no_other_from_being_listed() -> None:
    stage = Stage()

    async def process(stage: Stage) -> None:
        async with stage.engine(works=False) as engine:
            for name in ("a", "b", "c"):
                await engine.schedules.create(name, of_another_key, name, when=Cron("@daily"))
            (entry,) = [one for one in stage.database.agenda.entries() if one.key.id == "b"]
            damage(stage.database, "b", data=entry.data.replace('"@daily"', '"@daily","tz":"Moon/Tycho"'))
            listed, unreadable = await collect(engine.schedules.all())
            assert [description.id for description in listed] == ["a", "c"]
            assert re.search(r"the schedule b .* cannot be read .*Moon/Tycho.* delete it", str(unreadable))
            await (await engine.schedules.get("b")).delete()
            assert [description.id async for description in engine.schedules.all()] == ["a", "c"]

    stage.play(process)


def test_starts_by_a_key_whose_entry_cannot_be_read_say_so_and_those_of_other_keys_go_on() -> None:
    stage = Stage()

    async def process(stage: Stage) -> None:
        async with stage.engine() as engine:
            for rule in (
                {"debounce": Debounce("k", wait=SECOND)},
                {"deduplicate": Deduplicate("k", window=SECOND)},
                {"singleton": Singleton("k")},
            ):
                await engine.start(of_a_key, "a", **rule)
                damage(stage.database, '["of_a_key","k"]', data="null")
                with pytest.raises(HistoryError, match=r'the [a-z]+ \["of_a_key","k"\] of the namespace default'):
                    await engine.start(of_a_key, "b", **rule)
                (key,) = [one.key for one in stage.database.agenda.entries() if one.key.id == '["of_a_key","k"]']
                del stage.database.agenda._entries[key]
            damaged = await engine.start(of_a_key, "c", debounce=Debounce("a", wait=SECOND))
            healthy = await engine.start(of_a_key, "d", debounce=Debounce("b", wait=SECOND))
            damage(stage.database, '["of_a_key","a"]', data="{")
            with pytest.raises(HistoryError, match="cannot be read"):
                await damaged.result()
            waiting, unreadable = await collect(engine.waiting_runs())
            assert [one.key for one in waiting] == ["b"]
            assert 'the debounce ["of_a_key","a"] of the namespace default cannot be read' in str(unreadable)
            assert await healthy.result() == "d"

    stage.play(process)


def test_a_start_whose_entry_is_of_no_key_hides_no_other() -> None:
    stage = Stage()

    async def process(stage: Stage) -> None:
        async with stage.engine(works=False) as engine:
            for key in ("a", "b"):
                await engine.start(of_a_key, key, debounce=Debounce(key, wait=SECOND))
            entries = stage.database.agenda._entries
            (entry,) = [one for one in entries.values() if one.key.id == '["of_a_key","a"]']
            misnamed = msgspec.structs.replace(entry.key, id="[" * 100_000)
            entries[misnamed] = msgspec.structs.replace(entries.pop(entry.key), key=misnamed)
            waiting, unreadable = await collect(engine.waiting_runs())
            assert [one.key for one in waiting] == ["b"]
            assert "is of no workflow and key" in str(unreadable)

    stage.play(process)


@pytest.mark.parametrize(
    ("column", "value"),
    [("inputs", "'['"), ("inputs", "CAST(x'5bff5d' AS TEXT)"), ("data", "CAST(x'7bff7d' AS TEXT)")],
)
async def test_a_damaged_row_of_a_database_hides_no_other(column: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    async with Engine(f"sqlite:///{path}", works=False) as engine:
        for name in ("a", "b", "c"):
            await engine.schedules.create(name, of_another_key, name, when=Cron("@daily"))
        connection = apsw.Connection(str(path))
        connection.execute(f"UPDATE agenda SET {column} = {value} WHERE id = 'b'")
        connection.close()
        store = engine.worker.store
        entries = await store.list_agenda(AgendaQuery())
        assert [bool(entry.damage) for entry in entries] == [False, True, False]
        key = AgendaKey(kind="schedule", namespace="default", id="b")
        assert await store.find_agenda(key) == entries[1]
        with pytest.raises(HistoryError, match="the schedule b of the namespace default cannot be read"):
            await (await engine.schedules.get("b")).pause()
        await (await engine.schedules.get("b")).delete()
        assert [description.id async for description in engine.schedules.all()] == ["a", "c"]


def test_an_entry_of_an_unknown_kind_is_named_as_such() -> None:
    key = AgendaKey(kind="tides", namespace="default", id="x")
    entry = AgendaEntry(key=key, version=RunKey(1), due_at=None, waits=False, data="{}")
    with pytest.raises(HistoryError, match="the tides x is of a kind that this version of Perdure does not know"):
        read_whole(entry)
