"""Claims of tasks beside transactions that hold what these would take."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from perdure.kernel.identity import Operation
from perdure.kernel.messages import QUEUED_ATTEMPT, FailActivityMessage
from perdure.kernel.options import ActivityOptions
from perdure.ports.tasks import TaskQuery, encode_task
from perdure.ports.verification import VerificationWish
from perdure.stores.postgres.connection import Connection
from perdure.stores.postgres.task_lines import TaskLines
from perdure.stores.sql.chain import digest_of_task
from perdure.testing.store_conformance.harness import FAR, START, StoreSession, later
from perdure.testing.store_conformance.sharing import queue, tenants
from perdure.testing.store_conformance.tasks import change, claims, hear_of_queued, served, task
from perdure.torture.programs.postgres_harness import PostgresHarness
from tests.postgres_server import until_waiting

ONCE = ActivityOptions(at_most_once=True)


@pytest.fixture
async def others(harness: PostgresHarness, session: StoreSession) -> AsyncIterator[Connection]:
    """Give a connection of somebody else, which has a transaction open."""
    del session  # which makes the tables
    connection = await harness.connection()
    await connection.execute("BEGIN")
    yield connection
    await connection.close()


async def claimed(session: StoreSession, *, limit: int = 100) -> list[tuple[str, int]]:
    return [(one.task.ref.id, one.claim.operation) for one in await claims(session, limit=limit)]


async def test_a_claim_passes_over_tasks_of_a_run_that_it_would_tell_and_somebody_has_locked(
    session: StoreSession, others: Connection
) -> None:
    locked, free = await session.hold("locked"), await session.hold("free")
    tasks = [task(locked, 1, options=ONCE), task(locked, 2), task(locked, 3, options=ONCE)]
    await change(session, locked, queued=tasks)
    await change(session, free, queued=[task(free, 1, options=ONCE), task(free, 2, queue="cpu")])
    await others.execute("SELECT FROM runs WHERE run_key = $1 FOR UPDATE", locked.run_key)
    assert await claimed(session, limit=1) == [("locked", 2)]
    session.changes.clear()
    assert await claimed(session) == [("free", 1)]
    (of_another,) = await session.store.claim_tasks(now=START, limit=1, served=served("cpu"))
    assert of_another.claim.operation == 2
    await others.execute("COMMIT")
    await hear_of_queued(session)  # by a look that the store has made itself
    assert await claimed(session) == [("locked", 1), ("locked", 3)]
    assert len(await session.inbox(locked.run_key)) == 2


async def left_behind(session: StoreSession) -> None:
    """Have a claim before it that serves `a` past what `d` has had."""
    await queue(session, "a", seconds=20)
    await queue(session, "d", at=1)
    await queue(session, "a", at=2)


async def test_who_queues_a_task_while_a_claim_decides_was_idle_by_then(
    harness: PostgresHarness, session: StoreSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    await left_behind(session)
    other, forget = await harness.session("other"), TaskLines.forget_idle

    async def queue_and_forget(lines: TaskLines) -> None:
        await queue(other, "d", at=3)
        await forget(lines)

    monkeypatch.setattr(TaskLines, "forget_idle", queue_and_forget)
    assert tenants(await claims(session, limit=4)) == "ada"
    monkeypatch.undo()
    await queue(session, "a" * 9 + "d" * 9, at=4)
    assert tenants(await claims(session, limit=6)).count("d") == 3


async def test_who_has_a_task_that_somebody_has_locked_is_not_idle(session: StoreSession, others: Connection) -> None:
    await left_behind(session)
    locked = await session.hold("locked")
    await change(session, locked, queued=[task(locked, 1, tenant="d", queued_at=later(2))])
    await others.execute("SELECT FROM tasks WHERE run_key = $1 FOR UPDATE", locked.run_key)
    assert tenants(await claims(session, limit=4)) == "ada"
    await others.execute("COMMIT")
    await queue(session, "a" * 9 + "d" * 9, at=3)
    assert tenants(await claims(session, limit=6)) == "dddddd"


async def test_a_claim_passes_over_tasks_that_a_commit_is_taking_out(session: StoreSession, others: Connection) -> None:
    run = await session.hold()
    await change(session, run, queued=[task(run, number) for number in range(1, 5)])
    await others.execute("DELETE FROM tasks WHERE run_key = $1 AND operation <= 2", run.run_key)
    assert await claimed(session, limit=1) == [("run", 3)]
    assert await claimed(session) == [("run", 4)]
    await others.execute("COMMIT")
    assert await claims(session) == []


async def test_who_gives_back_what_a_dead_session_had_locks_tasks_in_their_order_as_runs_do(
    harness: PostgresHarness, session: StoreSession, others: Connection
) -> None:
    run, dying = await session.hold(), await harness.session("dying")
    await change(session, run, queued=[task(run, 2)])
    assert len(await claims(dying)) == 1
    await change(session, run, queued=[task(run, 1, sticky_to=dying.worker, sticky_until=FAR)])
    await harness.kill(dying)
    await others.execute("SELECT FROM tasks WHERE operation = 1 FOR UPDATE")
    async with asyncio.TaskGroup() as group:
        group.create_task(session.store.free_expired(now=later(1)))
        await until_waiting(harness.url, 1)
        await others.execute("SELECT FROM tasks WHERE operation = 2 FOR UPDATE NOWAIT")
        await others.execute("COMMIT")
    assert [(one.claim.operation, one.recovered) for one in await claims(session)] == [(1, False), (2, True)]


async def test_a_closed_run_is_told_of_no_claim(session: StoreSession, others: Connection) -> None:
    run = await session.hold()
    await change(session, run, queued=[task(run, 1, options=ONCE)])
    await others.execute("UPDATE runs SET closed_at = 1, status = 'terminated', wake_at = NULL, owner = NULL")
    await others.execute("COMMIT")
    assert await claimed(session) == [("run", Operation(1))]
    assert await session.inbox(run.run_key) == []


@pytest.mark.parametrize("queue", ["gpu", "gpu\0", "gpu\1\3"])
async def test_what_demands_labels_is_in_a_queue_for_which_no_library_looks_that_does_not_know_them(
    harness: PostgresHarness, session: StoreSession, queue: str
) -> None:
    run = await session.hold()
    asked = ActivityOptions(labels={"gpu": "a100"})
    other = (await harness.session("other")).worker
    demanding = [
        task(run, 1, queue=queue, options=asked),
        task(run, 2, queue=queue, options=asked),
        task(run, 3, queue=queue, options=asked, sticky_to=other, sticky_until=later(5)),
    ]
    await change(session, run, queued=[*demanding, task(run, 4)])
    assert await harness.fetchval("SELECT count(*) FROM tasks WHERE queue = $1::varchar", queue) == (queue == "gpu")
    without_mark = "UPDATE tasks SET queue = $1::varchar WHERE operation = 2"  # as the first library with labels
    await harness.execute(without_mark, queue)
    of_queue = await session.store.list_tasks(TaskQuery(queue=queue))
    assert [one.operation for one in of_queue if one.labels] == [1, 2, 3]
    assert {one.queue for one in of_queue} == {queue}
    assert await session.store.next_task_at(now=START, served=served(queue)) == later(5)
    takes = served(queue, labels={"gpu": "a100"})
    claimed = await session.store.claim_tasks(now=START, limit=9, served=takes)
    assert [one.claim.operation for one in claimed if one.task.options.labels] == [1, 2]


@pytest.mark.parametrize("damage", ["attempt = 7", "data = '{'", "digest = ''"])
async def test_whatever_of_a_task_is_damaged_its_run_learns_that_the_attempt_has_failed(
    harness: PostgresHarness, session: StoreSession, damage: str
) -> None:
    run = await session.hold()
    await change(session, run, queued=[task(run, 1), task(run, 2)])
    await harness.execute(f"UPDATE tasks SET {damage} WHERE operation = 1")
    (found,) = (await session.store.verify(VerificationWish(now=START))).damaged
    assert [defect.place for defect in found.defects] == ["tasks"]
    assert await claimed(session) == [("run", 2)]
    (entry,) = await session.inbox(run.run_key)
    assert isinstance(entry.message, FailActivityMessage)
    assert (entry.message.operation, entry.message.attempt) == (1, QUEUED_ATTEMPT)
    assert any(run.run_key in news.run_keys for news in session.changes)  # also where who claims has the run


async def test_a_task_that_names_a_run_of_another_namespace_is_nobodys(
    session: StoreSession, harness: PostgresHarness
) -> None:
    """A role that sees its namespace only could have the activities of others done in their name."""
    run = await session.hold()
    made = task(run)
    await change(session, run, queued=[made, task(run, 2)])
    fields = (run.run_key, 1, 1, "other", made.queue, made.activity, 2, made.queued_at, encode_task(made).decode(), "")
    connection = await harness.connection()
    forge = "UPDATE tasks SET namespace = 'other', digest = $1 WHERE operation = 1"
    await connection.execute(forge, digest_of_task(fields))
    await connection.close()
    assert await claimed(session) == [("run", 2)]


async def test_a_share_of_many_is_read_on_where_too_few_of_its_tasks_were_read(session: StoreSession) -> None:
    """One that has had less than the others is served more than once in one claim."""
    run = await session.hold()
    many = [task(run, number, tenant=f"t{number % 8}") for number in range(1, 81)]
    await change(session, run, queued=many)
    for _ in range(4):  # all but one of eight tenants get behind
        await session.store.claim_tasks(now=START, limit=8, served=served())
    late = await session.hold("late")
    await change(session, late, queued=[task(late, number, tenant="t8") for number in range(1, 30)])
    found = await claims(session, limit=16)
    assert len(found) == 16
    assert len({(one.claim.run_key, one.claim.operation) for one in found}) == 16
