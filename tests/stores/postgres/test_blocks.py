"""Rows of a history that hold several events: who writes them, and who finds what in them."""

from typing import Any

import asyncpg
import msgspec
import pytest
from msgspec import structs

from perdure.kernel.events import ActivityCompleted, ActivityScheduled
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import Operation
from perdure.kernel.transition import Applied, Stale
from perdure.testing.store_conformance import StoreSession
from perdure.testing.store_conformance.harness import LEASE_SECONDS, START, Held, delivery, later, transition
from perdure.torture.programs.postgres_harness import PostgresHarness
from tests.stores.postgres.test_transactions import step

OLDER = """
INSERT INTO sessions (worker_id, name, host, pid, started_at, lease_until, lease_microseconds, reads_blocks)
VALUES ($1, '', '', 0, 0, $2, 1, false)
"""


async def rows_of(harness: PostgresHarness, run: Held) -> Any:
    statement = "SELECT array_agg(events ORDER BY sequence) FROM history WHERE run_key = $1"
    return await harness.fetchval(statement, run.run_key)


async def test_events_of_a_transition_are_one_row_once_all_sessions_read_that(harness: PostgresHarness) -> None:
    before = await harness.session("before")
    run = await before.hold()
    await harness.execute(OLDER, 999, START - 1)
    await before.advance(run, events=2)
    assert await rows_of(harness, run) == [1, 2], "it has not heard of the older one"
    assert await before.store.renew_lease(now=START)
    await before.advance(run, events=2)
    after = await harness.session("after")
    other = await after.hold("other")
    await after.advance(other, events=2)
    assert await rows_of(harness, other) == [1, 1, 1]
    await harness.execute("DELETE FROM sessions WHERE worker_id = 999")
    assert await before.store.renew_lease(now=START)
    await before.advance(run, events=3)
    assert await rows_of(harness, run) == [1, 2, 1, 1, 3]
    assert [event.sequence for event in await after.store.read_history(run.run_key)] == list(range(1, 9))


async def test_a_session_whose_lease_had_passed_still_says_what_it_reads(
    harness: PostgresHarness, session: StoreSession
) -> None:
    await harness.execute("DELETE FROM sessions")
    assert not await session.store.renew_lease(now=later(2 * LEASE_SECONDS))
    assert await harness.fetchval("SELECT bool_and(reads_blocks) FROM sessions")


async def test_an_older_library_that_has_looked_at_the_versions_before_begins_no_session(
    harness: PostgresHarness, session: StoreSession
) -> None:
    del session
    text = OLDER.replace(", reads_blocks", "").replace(", false", "")
    with pytest.raises(asyncpg.NotNullViolationError):
        await harness.execute(text, 999, START)


async def test_whatever_is_decided_on_loaded_rows_is_written_so_too(
    harness: PostgresHarness, session: StoreSession
) -> None:
    run, other = await session.hold(), await session.hold("other")
    await session.advance(run, events=2, deliveries=[delivery(other.run_key, "told")])
    await session.finish(run)
    assert await rows_of(harness, run) == [1, 2, 1]
    whole = await session.store.read_whole(run.run_key)
    assert whole is not None
    assert await session.store.remove_runs([run.run_key]) == [run.run_key]
    await session.store.bring_in(whole, sealed_as=run.run_key)
    assert await rows_of(harness, run) == [4]
    assert await session.store.read_whole(run.run_key) == whole


async def together(session: StoreSession, run: Held, *events: ActivityCompleted | ActivityScheduled) -> None:
    write = transition(run, events=len(events))
    recorded = [RecordedEvent(one.sequence, one.at, what) for one, what in zip(write.events, events, strict=True)]
    assert isinstance(await session.commit_one(structs.replace(write, events=recorded)), Applied)
    run.sequence += len(events)


def completed(operation: int, result: object = None) -> ActivityCompleted:
    raw = msgspec.Raw(msgspec.json.encode(result))
    return ActivityCompleted(operation=Operation(operation), result=raw, attempt=1)


def scheduled(operation: int) -> ActivityScheduled:
    return ActivityScheduled(operation=Operation(operation), activity="step", input=msgspec.Raw(b"null"))


@pytest.mark.parametrize(
    ("others", "is_stale"),
    [
        ((scheduled(7), completed(1)), True),
        ((completed(1), scheduled(7)), True),
        ((completed(7, {"operation": 1}), scheduled(8)), False),
        ((completed(7, [["activity_completed", {"operation": 1}]]), scheduled(8)), False),
        ((completed(11), scheduled(12)), False),
        ((scheduled(1), completed(7)), False),
    ],
)
async def test_whether_an_attempt_has_ended_is_asked_of_the_events_of_a_row_each(
    session: StoreSession, others: tuple[ActivityCompleted | ActivityScheduled, ...], *, is_stale: bool
) -> None:
    run = await session.hold()

    async def perform(_: object) -> Any:
        return delivery(run.run_key, "outcome", message_id="outcome:1:1:1")

    begun = structs.replace(step(run), perform=perform)
    await together(session, run, *others)
    outcome = await session.store.transact(begun)
    assert outcome == (Stale(run.run_key) if is_stale else Applied(run.run_key, session.worker))
    assert len(await session.signals(run.run_key)) == int(not is_stale)
