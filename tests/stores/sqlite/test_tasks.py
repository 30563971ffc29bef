"""Tasks whose rows are damaged: whoever would claim one has its attempt fail, and a verification finds it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from msgspec import structs

from perdure import Context, Engine, Retry, Settings, activity, fixed, workflow
from perdure.kernel.messages import FailActivityMessage
from perdure.kernel.options import ActivityOptions
from perdure.ports.verification import VerificationWish
from perdure.stores.sql import tasks as statements
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import START, StoreSession
from perdure.testing.store_conformance.tasks import change, claims, task, waiting
from tests.damaging import break_leaves, break_page, change_any, pages_of, read_page, write_page


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
    assert any(run.run_key in news.run_keys for news in session.changes)  # also where who claims has the run


@pytest.mark.parametrize(
    ("columns", "listed"),
    [
        ("queue = CAST(x'ff' AS TEXT)", [1, 2]),
        ("activity = NULL", [1, 2]),
        ("attempt = NULL", [1, 2]),
        ("labels = x'ff'", [1, 2]),
        ("claims = 'x'", [1, 2]),
        ("priority = 77", [2]),  # none of these has a place in the order
        ("priority = NULL", [2]),
        ("queued_at = 'x'", [2]),
        ("operation = NULL", [2]),
    ],
)
async def test_a_damaged_task_keeps_no_other_from_being_listed(
    session: StoreSession, columns: str, listed: list[int]
) -> None:
    run = await session.hold()
    await change(session, run, queued=[task(run, 1), task(run, 2)])
    change_any(Path(session.store.location), "tasks", f"UPDATE tasks NOT INDEXED SET {columns} WHERE operation = 1")
    assert await waiting(session) == listed


@pytest.mark.parametrize(
    "columns",
    ["claims = NULL", "claims = 0.5", "namespace = CAST(namespace AS BLOB)", "sticky_to = 'x'", "recovering = 'x'"],
)
async def test_a_task_that_no_statement_can_change_has_its_attempt_fail(session: StoreSession, columns: str) -> None:
    """It kept all others from being claimed: found by `corrupt`, seed 100854."""
    run = await session.hold()
    await change(session, run, queued=[task(run, 1), task(run, 2)])
    change_any(Path(session.store.location), "tasks", f"UPDATE tasks NOT INDEXED SET {columns} WHERE operation = 1")
    assert [one.claim.operation for one in await claims(session)] == [2]
    [entry] = await session.inbox(run.run_key)
    assert isinstance(entry.message, FailActivityMessage)
    assert entry.message.operation == 1


@pytest.mark.parametrize("limit", [1, 100])
@pytest.mark.parametrize("value", ["NULL", "-1", "x'ff'"])
@pytest.mark.parametrize(
    "column", ["run_key", "queue", "labels", "priority", "share", "queued_at", "operation", "activity", "cost"]
)
async def test_a_task_that_no_index_has_in_its_place_keeps_no_other_from_being_claimed(
    session: StoreSession, column: str, value: str, limit: int
) -> None:
    """Found by `corrupt`, seed 601731: labels that are none were the least there are."""
    run = await session.hold()
    await change(session, run, queued=[task(run, 1), task(run, 2)])
    change_any(Path(session.store.location), "tasks", f"UPDATE tasks SET {column} = {value} WHERE operation = 1")
    assert [one.claim.operation for _ in range(3) for one in await claims(session, limit=limit)] == [2]


@pytest.mark.parametrize("limit", [1, 100])
async def test_what_only_an_index_says_to_wait_keeps_no_other_from_being_claimed(
    session: StoreSession, limit: int
) -> None:
    run = await session.hold()
    await change(session, run, queued=[task(run, 1), task(run, 2)])
    path = Path(session.store.location)
    [index] = pages_of(path, "tasks_to_claim")
    before = read_page(path, index)
    assert len(await claims(session, limit=1)) == 1
    pages_of(path, "tasks_to_claim")  # has the log copied
    write_page(path, index, before)
    other = StoreSession(SqliteStore(path))
    await other.open(name="other", lease_seconds=30)
    assert [one.claim.operation for one in await claims(other, limit=limit)] == [2]
    await other.store.close()


@pytest.mark.parametrize("change_of_tags", ["tag = NULL", "tag = 'x'", "clock = x''", "tag = 9e999", "at = 'x'"])
async def test_turns_that_are_damaged_begin_anew(session: StoreSession, change_of_tags: str) -> None:
    run = await session.hold()
    queued = [task(run, number, tenant="ab"[number % 2]) for number in range(1, 9)]
    await change(session, run, queued=queued)
    await claims(session, limit=2)
    change_any(Path(session.store.location), "task_shares", f"UPDATE task_shares SET {change_of_tags}")
    assert len(await claims(session)) == 6


async def test_a_damaged_page_of_tasks_keeps_no_task_on_others_from_being_claimed(
    session: StoreSession, caplog: pytest.LogCaptureFixture
) -> None:
    run = await session.hold()
    count = 400
    await change(session, run, queued=[task(run, number) for number in range(1, count + 1)])
    path = Path(session.store.location)
    lost = pages_of(path, "tasks")[1]
    break_page(path, lost)
    claimed = [one.claim.operation for _ in range(2) for one in await claims(session, limit=count)]
    assert count // 2 < len(claimed) < count
    assert len({*claimed}) == len(claimed)
    assert len([record for record in caplog.records if "is passed over" in record.message]) == count - len(claimed)


async def test_a_task_of_a_session_that_is_gone_is_given_back_though_another_cannot_be(tmp_path: Path) -> None:
    gone, session = StoreSession(SqliteStore(tmp_path / "data.db")), StoreSession(SqliteStore(tmp_path / "data.db"))
    for one in (gone, session):
        await one.open(name="worker", lease_seconds=30)
    run = await gone.hold()
    await change(gone, run, queued=[task(run, 1), task(run, 2)])
    assert len(await claims(gone)) == 2
    change_any(tmp_path / "data.db", "tasks", "UPDATE tasks NOT INDEXED SET claims = 'x' WHERE operation = 1")
    await gone.store.close()
    assert [one.claim.operation for one in await claims(session)] == [2]
    await session.store.close()


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


@activity(name="stores.far_away", queue="far", retry=Retry(attempts=3, backoff=fixed(timedelta(0))))
async def far_away() -> None: ...


@workflow(name="stores.waits_far_away")
async def waits_far_away(_: Context) -> None:
    await far_away()


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Return a database with a run that waits for its task."""
    path = tmp_path / "data.db"
    async with Engine(f"sqlite:///{path}") as engine:
        run = await engine.start(waits_far_away, id="far")
        async for recorded in run.watch():
            if type(recorded.event).__name__ == "ActivityDeferred":
                break
    return path


def change_rows(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    for _ in connection.execute(statement):
        pass
    connection.close()


DAMAGES = {
    "SELECT 1": "",
    "DELETE FROM tasks": "is not in the queue 'far'",
    "UPDATE tasks SET run_key = 77": "is not in the queue 'far'",
    "UPDATE tasks SET operation = 7": "is none that the run waits for",
    "UPDATE tasks SET attempt = 2": "is none that the run waits for",
    "UPDATE tasks SET queue = 'fas'": "is none that the run waits for",
    "UPDATE tasks SET queue = CAST(x'ff' AS TEXT)": "is none that the run waits for",
    "UPDATE tasks SET data = '{}'": "is not what was written",
    "UPDATE tasks SET priority = 0": "is not what was written",
    "UPDATE tasks SET activity = 'x'": "is not what was written",
}


@pytest.mark.parametrize("statement", DAMAGES)
async def test_a_verification_compares_tasks_with_the_histories_of_their_runs(path: Path, statement: str) -> None:
    words = DAMAGES[statement]
    change_rows(path, statement)
    async with Engine(f"sqlite:///{path}", works=False) as engine:
        found = await engine.verify()
    defects = [defect.what for damaged in found.damaged for defect in damaged.defects]
    assert found.is_sound is not bool(words)
    assert any(words in what for what in defects) is bool(words), defects


@pytest.mark.parametrize("statement", [*DAMAGES, "UPDATE tasks SET owner = 99, data = '{}'"])
async def test_a_repair_has_attempts_whose_tasks_are_damaged_fail_and_be_made_anew(path: Path, statement: str) -> None:
    change_rows(path, statement)
    async with Engine(f"sqlite:///{path}", works=False) as engine:
        found = await engine.verify(repair=True)
        assert all(damaged.is_repaired for damaged in found.damaged), found
        assert (await engine.verify()).is_sound is ("run_key" not in statement)  # the row of no run is left
    async with Engine(f"sqlite:///{path}", settings=Settings(queues=("far",))) as engine:
        run = await engine.get_run("far")
        await run.result()
        kinds = [type(recorded.event).__name__ async for recorded in run.history()]
    assert kinds.count("ActivityAttemptFailed") == (statement != "SELECT 1")


async def test_beside_a_message_that_cannot_be_read_no_task_is_given_up(path: Path) -> None:
    change_rows(path, "DELETE FROM tasks")
    change_rows(
        path,
        "INSERT INTO inbox (run_key, message_id, at, data, digest) SELECT run_key, 'x', 0, '{', x'00' FROM runs",
    )
    async with Engine(f"sqlite:///{path}", works=False) as engine:
        found = await engine.verify(repair=True)
    defects = [defect for damaged in found.damaged for defect in damaged.defects if defect.place == "tasks"]
    assert [defect.is_repaired for defect in defects] == [False]


async def test_what_a_living_worker_has_is_left_to_it(path: Path) -> None:
    change_rows(path, "UPDATE tasks SET owner = (SELECT max(worker_id) FROM sessions), data = '{}'")
    session = StoreSession(SqliteStore(path))
    await session.open(name="worker", lease_seconds=30)
    change_rows(path, "UPDATE tasks SET owner = (SELECT max(worker_id) FROM sessions)")
    found = await session.store.verify(VerificationWish(now=START, repairs=True))
    await session.store.close()
    assert [(one.what, one.is_repaired) for one in found.damaged[0].defects] == [
        ("the task of operation 1 is not what was written; whoever has it has read it before", False)
    ]


PATIENT = Settings(idle_seconds=600.0, lease_seconds=600.0)  # nobody looks at anything without having heard of it
SERVES = Settings(queues=("far",), idle_seconds=600.0, lease_seconds=600.0)


@pytest.mark.parametrize("column", ["attempt = 7", "data = '{'", "priority = 0", "queued_at = 7"])
async def test_a_run_whose_task_is_damaged_goes_on_with_the_next_attempt(path: Path, column: str) -> None:
    change_rows(path, f"UPDATE tasks SET {column}")
    async with Engine(f"sqlite:///{path}", settings=SERVES) as engine, asyncio.timeout(20):
        run = await engine.get_run("far")
        await run.result()
        kinds = [type(recorded.event).__name__ async for recorded in run.history()]
    assert kinds.count("ActivityAttemptFailed") == 1


async def test_who_has_a_run_in_memory_hears_that_its_task_is_damaged(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'data.db'}"
    async with Engine(url, settings=PATIENT, name="owner") as owner, asyncio.timeout(20):
        run = await owner.start(waits_far_away, id="far")
        async for recorded in run.watch():
            if type(recorded.event).__name__ == "ActivityDeferred":
                break
        change_rows(tmp_path / "data.db", "UPDATE tasks SET attempt = 7")
        async with Engine(url, settings=structs.replace(SERVES, only_queues=True), name="server"):
            await run.result()


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        (statements.LABELS_OF_TASKS, ("gpu",)),
        (statements.FIRST_SHARE, ("gpu", b"", 2, b"")),
        (statements.NEXT_SHARE, ("gpu", b"", 2, b"")),
        (statements.SHARE_WAITS, ("gpu", b"", 2, b"")),
        (statements.CLAIMABLE_TASKS, ("gpu", b"", 2, b"", '["render"]', 7, START, START, 10)),
        (statements.NEXT_TASK, ("gpu", START, 7, START)),
        (statements.LET_TASKS_GO, (7,)),
    ],
    ids=["labels", "first share", "next share", "share waits", "claimable", "next", "let go"],
)
async def test_claims_search_an_index_and_sort_nothing(
    session: StoreSession, statement: str, parameters: tuple[str | bytes | int, ...]
) -> None:
    connection = apsw.Connection(session.store.location)
    steps = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    connection.close()
    of_tasks = [step for step in steps if " tasks " in f"{step} "]
    assert of_tasks
    assert all(step.startswith("SEARCH tasks USING") for step in of_tasks), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps


async def test_a_task_whose_run_cannot_be_told_of_its_start_keeps_no_other_from_being_claimed(
    session: StoreSession,
) -> None:
    run = await session.hold()
    once = ActivityOptions(at_most_once=True)
    await change(session, run, queued=[task(run, 1, options=once), task(run, 2), task(run, 3)])
    break_leaves(Path(session.store.location), "inbox_by_run")
    assert [one.claim.operation for one in await claims(session)] == [2, 3]
