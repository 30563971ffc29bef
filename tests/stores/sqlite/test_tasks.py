"""Tasks whose rows are damaged: whoever would claim one has its attempt fail, and a verification finds it."""

from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from perdure import Context, Engine, activity, workflow
from perdure.kernel.messages import FailActivityMessage
from perdure.ports.verification import VerificationWish
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import START, StoreSession
from perdure.testing.store_conformance.tasks import change, claims, task, waiting


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[StoreSession]:
    session = StoreSession(SqliteStore(tmp_path / "data.db"))
    await session.open(name="worker", lease_seconds=30)
    yield session
    await session.store.close()


def damage(session: StoreSession, statement: str) -> None:
    connection = apsw.Connection(session.store.location)
    connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tasks SET data = json_set(data, '$.input', 7) WHERE operation = 1",
        "UPDATE tasks SET data = CAST(x'ff' AS TEXT) WHERE operation = 1",
        "UPDATE tasks SET data = '{' WHERE operation = 1",
        "UPDATE tasks SET attempt = 2 WHERE operation = 1",
        "UPDATE tasks SET digest = x'00' WHERE operation = 1",
    ],
)
async def test_a_damaged_task_is_not_begun_and_keeps_no_other_from_being_claimed(
    session: StoreSession, statement: str
) -> None:
    run = await session.hold()
    await change(session, run, queued=[task(run, 1), task(run, 2)])
    damage(session, statement)
    assert [one.claim.operation for one in await claims(session)] == [2]
    assert await waiting(session) == [2]
    (entry,) = await session.inbox(run.run_key)
    assert isinstance(entry.message, FailActivityMessage)
    assert (entry.message.operation, entry.message.failure.type) == (1, "TaskDamagedError")


async def test_a_damaged_task_of_no_run_is_forgotten(session: StoreSession) -> None:
    run = await session.hold()
    await change(session, run, queued=[task(run)])
    damage(session, "UPDATE tasks SET run_key = 77")
    assert await claims(session) == []
    connection = apsw.Connection(session.store.location)
    assert connection.execute("SELECT count(*) FROM tasks").get == 0
    connection.close()


async def test_a_verification_finds_tasks_of_runs_that_are_gone(session: StoreSession) -> None:
    run = await session.hold()
    await change(session, run, queued=[task(run)])
    damage(session, "UPDATE tasks SET run_key = 77")
    found = await session.store.verify(VerificationWish(now=START))
    assert any("tasks" in defect.what for defect in found.defects), found.defects


@activity(name="stores.far_away", queue="far")
async def far_away() -> None: ...


@workflow(name="stores.waits_far_away")
async def waits_far_away(_: Context) -> None:
    await far_away()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SELECT 1", ""),
        ("DELETE FROM tasks", "is not in the queue 'far'"),
        ("UPDATE tasks SET operation = 7", "is none that the run waits for"),
        ("UPDATE tasks SET attempt = 2", "is none that the run waits for"),
        ("UPDATE tasks SET data = '{}'", "is not what was written"),
        ("UPDATE tasks SET priority = 0", "is not what was written"),
    ],
)
async def test_a_verification_compares_tasks_with_the_histories_of_their_runs(
    tmp_path: Path, statement: str, words: str
) -> None:
    path = tmp_path / "data.db"
    async with Engine(f"sqlite:///{path}") as engine:
        run = await engine.start(waits_far_away, id="far")
        async for recorded in run.watch():
            if type(recorded.event).__name__ == "ActivityDeferred":
                break
    connection = apsw.Connection(str(path))
    for _ in connection.execute(statement):
        pass
    connection.close()
    async with Engine(f"sqlite:///{path}", works=False) as engine:
        found = await engine.verify()
    defects = [defect.what for damaged in found.damaged for defect in damaged.defects]
    assert found.is_sound is not bool(words)
    assert any(words in what for what in defects) is bool(words), defects
