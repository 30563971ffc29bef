"""Histories in SQLite: whatever is done to the rows, what is read is what was written, or the damage is named."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from perdure.errors import DamagedHistoryError, HistoryError, InternalError
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.messages import SignalMessage
from perdure.kernel.transition import Applied, RunStatus
from perdure.ports.agenda import AgendaChange, AgendaQuery
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance.agenda import agenda_entry
from perdure.testing.store_conformance.harness import (
    NEVER,
    START,
    Held,
    StoreSession,
    creation,
    delivery,
    transition,
)
from tests.damaging import change_any

EVENTS = 6
Damage = Callable[[str], None]

RUN = "(SELECT run_key FROM runs WHERE id = 'run')"
OF_RUN = f"run_key = {RUN}"
OTHER = "(SELECT run_key FROM runs WHERE id = 'other')"
OF_OTHER = f"run_key = {OTHER}"
DAMAGES = {
    "data that is other valid JSON": (f"UPDATE history SET data = '{{}}' WHERE {OF_RUN} AND sequence = 3", 3),
    "data that is no text": (f"UPDATE history SET data = CAST(x'ff' AS TEXT) WHERE {OF_RUN} AND sequence = 4", 4),
    "another type": (f"UPDATE history SET type = 'run_started' WHERE {OF_RUN} AND sequence = 5", 5),
    "another version": (f"UPDATE history SET version = 2 WHERE {OF_RUN} AND sequence = 2", 2),
    "another time": (f"UPDATE history SET at = at + 1 WHERE {OF_RUN} AND sequence = 6", 6),
    "another digest": (f"UPDATE history SET digest = zeroblob(16) WHERE {OF_RUN} AND sequence = 3", 3),
    "no digest between two": (f"UPDATE history SET digest = NULL WHERE {OF_RUN} AND sequence = 3", 3),
    "no digest at the end": (
        f"UPDATE history SET at = at + 1, digest = NULL WHERE {OF_RUN} AND sequence = 6",
        6,
    ),
    "no digest at the beginning": (f"UPDATE history SET digest = NULL WHERE {OF_RUN} AND sequence = 1", 1),
    "no digests at all": (f"UPDATE history SET at = at + 1, digest = NULL WHERE {OF_RUN}", 1),
    "the first event lost": (f"DELETE FROM history WHERE {OF_RUN} AND sequence = 1", 1),
    "an event lost": (f"DELETE FROM history WHERE {OF_RUN} AND sequence = 4", 4),
    "the last event lost": (f"DELETE FROM history WHERE {OF_RUN} AND sequence = 6", 6),
    "all events lost": (f"DELETE FROM history WHERE {OF_RUN}", 1),
    "an event and what follows renumbered": (
        (
            f"DELETE FROM history WHERE {OF_RUN} AND sequence = 3;"
            f"UPDATE history SET sequence = -sequence WHERE {OF_RUN};"
            f"UPDATE history SET sequence = -sequence - (sequence < -3) WHERE {OF_RUN};"
            f"UPDATE runs SET sequence = 5 WHERE {OF_RUN}"
        ),
        3,
    ),
    "two events in each other's place": (
        (
            f"UPDATE history SET sequence = sequence - 100 WHERE {OF_RUN} AND sequence IN (3, 4);"
            f"UPDATE history SET sequence = 7 - (sequence + 100) WHERE {OF_RUN} AND sequence < 0"
        ),
        3,
    ),
    "an event of another run": (
        (
            f"DELETE FROM history WHERE {OF_RUN} AND sequence = 4;"
            f"UPDATE history SET run_key = {RUN} WHERE {OF_OTHER} AND sequence = 4;"
            f"UPDATE runs SET sequence = 3 WHERE id = 'other'; DELETE FROM history WHERE {OF_OTHER} AND sequence > 4"
        ),
        4,
    ),
    "the whole history of another run": (
        (
            f"DELETE FROM history WHERE {OF_RUN};"
            f"UPDATE history SET run_key = {RUN} WHERE {OF_OTHER};"
            f"UPDATE runs SET sequence = 0 WHERE id = 'other'"
        ),
        1,
    ),
    "another id in its row": ("UPDATE runs SET id = 'third' WHERE id = 'run'", 1),
    "another generation in its row": ("UPDATE runs SET generation = 2 WHERE id = 'run'", 1),
    "fewer events counted": ("UPDATE runs SET sequence = 4 WHERE id = 'run'", 5),
    "more events counted": ("UPDATE runs SET sequence = 9 WHERE id = 'run'", 7),
}


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[StoreSession]:
    session = StoreSession(SqliteStore(tmp_path / "runs.db"))
    await session.open(name="worker", lease_seconds=30.0)
    yield session
    await session.store.close()


@pytest.fixture
def damage(tmp_path: Path, session: StoreSession) -> Damage:
    def change(statements: str) -> None:
        with closing(apsw.Connection(str(tmp_path / "runs.db"))) as connection:
            for _ in connection.execute(statements):
                pass

    return change


async def lived(session: StoreSession, run_id: str) -> Held:
    """Return a run with six events, written by three transitions."""
    run = await session.hold(run_id)
    for events in (2, 2, 1):
        await session.advance(run, events=events)
    return run


async def whole(session: StoreSession, run_key: RunKey, *, page: int) -> list[RecordedEvent]:
    events: list[RecordedEvent] = []
    while True:
        found = await session.store.read_history(run_key, after=len(events), limit=page)
        events += found
        if len(found) < page:
            return events


@pytest.mark.parametrize("change", ["digest = 7", "digest = 'x'", "at = NULL", "type = NULL", "data = x'ff'"])
async def test_an_event_with_a_value_of_another_type_is_damaged(
    session: StoreSession, tmp_path: Path, change: str
) -> None:
    """Found by `corrupt`, seed 401175: a digest that is a number."""
    run = await lived(session, "run")
    third = f"{OF_RUN} AND sequence = 3"
    change_any(tmp_path / "runs.db", "history", f"UPDATE history NOT INDEXED SET {change} WHERE {third}")
    for after in range(4 if "digest" in change else 3):  # who begins behind it needs its digest, and nothing else
        with pytest.raises(DamagedHistoryError, match=r"event [34] of run default/run"):
            await session.store.read_history(run.run_key, after=after, limit=EVENTS)


@pytest.mark.parametrize("page", [2, 100])
@pytest.mark.parametrize("what", DAMAGES)
async def test_a_damaged_history_is_not_read_past_its_damage_which_is_named(
    session: StoreSession, damage: Damage, what: str, page: int
) -> None:
    run, other = await lived(session, "run"), await lived(session, "other")
    third = await lived(session, "untouched")
    before = [await whole(session, held.run_key, page=100) for held in (run, other, third)]
    assert [len(events) for events in before] == [EVENTS] * 3
    statement, event = DAMAGES[what]
    damage(statement)
    with pytest.raises(DamagedHistoryError, match=f"event {event} of run default/") as raised:
        await whole(session, run.run_key, page=page)
    assert raised.value.event == event
    if event > 1:
        assert await session.store.read_history(run.run_key, limit=event - 1) == before[0][: event - 1]
    assert await whole(session, third.run_key, page=page) == before[2]


async def test_the_end_of_another_runs_history_is_not_taken_for_this_ones(
    session: StoreSession, damage: Damage
) -> None:
    """Results are read from the last event alone; found by `torture corrupt`, which exchanged whole histories."""
    run, _ = await lived(session, "run"), await lived(session, "other")
    moves = [(RUN, "-1"), (OTHER, RUN), ("-1", OTHER)]
    damage("; ".join(f"UPDATE history SET run_key = {new} WHERE run_key = {old}" for old, new in moves))
    for after in range(EVENTS):
        with pytest.raises(DamagedHistoryError):
            await session.store.read_history(run.run_key, after=after)


async def test_events_that_other_sessions_wrote_in_turns_are_one_chain(session: StoreSession, tmp_path: Path) -> None:
    other = StoreSession(SqliteStore(tmp_path / "runs.db"))
    await other.open(name="other", lease_seconds=30.0)
    try:
        run = await lived(session, "run")
        for taking in (other, session, other, session):
            owner = session if taking is other else other
            await owner.give_back(run, wake_at=START)
            run = await taking.take(run.run_key)
            await taking.advance(run, events=2)
        assert len(await whole(session, run.run_key, page=3)) == EVENTS + 8
    finally:
        await other.store.close()


async def test_a_refused_transition_leaves_no_trace_in_the_chain(session: StoreSession) -> None:
    run = await lived(session, "run")
    refused = transition(run, events=1, must_not_overtake=["m1"])
    await session.commit_one(delivery(run.run_key, "m1"))
    await session.store.commit([refused, delivery(RunRef(id="nobody"))])
    await session.advance(run, events=3)
    assert len(await whole(session, run.run_key, page=2)) == EVENTS + 3


async def test_a_run_whose_last_event_is_lost_is_not_written_on_and_holds_up_no_other_write(
    session: StoreSession, damage: Damage
) -> None:
    run, other = await lived(session, "run"), await lived(session, "other")
    await session.give_back(run, wake_at=START)
    run = await session.take(run.run_key)
    damage(f"DELETE FROM history WHERE {OF_RUN} AND sequence = {EVENTS}")
    writes = (session.commit_one(transition(held, events=1)) for held in (run, other))
    refused, applied = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(refused, InternalError)
    assert f"event {EVENTS} of run {run.run_key} is missing" in str(refused)
    assert isinstance(applied, Applied)


async def test_what_an_older_perdure_wrote_is_read_and_what_follows_is_chained(
    session: StoreSession, damage: Damage
) -> None:
    run = await lived(session, "run")
    await session.give_back(run, wake_at=START)
    damage(
        "UPDATE history SET digest = NULL;"
        "UPDATE store_meta SET value = (SELECT max(position) FROM history) WHERE name = 'history_without_digests'"
    )
    run = await session.take(run.run_key)
    await session.advance(run, events=2)
    assert len(await whole(session, run.run_key, page=3)) == EVENTS + 2
    damage(f"UPDATE history SET at = at + 1 WHERE {OF_RUN} AND sequence = {EVENTS + 2}")
    with pytest.raises(DamagedHistoryError, match="event 8 of run"):
        await whole(session, run.run_key, page=3)


async def test_a_page_from_behind_the_end_on_is_empty(session: StoreSession) -> None:
    run = await lived(session, "run")
    assert await session.store.read_history(run.run_key, after=EVENTS) == []
    assert await session.store.read_history(run.run_key, after=EVENTS + 5) == []
    assert await session.store.read_history(RunKey(12345)) == []


@pytest.mark.parametrize(
    "change",
    [
        "data = json_set(data, '$.name', 'stop')",
        "message_id = 'm2'",
        "at = at + 1",
        "run_key = (SELECT run_key FROM runs WHERE id = 'other')",
        "digest = zeroblob(16)",
        "at = at + 1, digest = NULL",
    ],
)
async def test_a_message_that_was_changed_or_moved_is_not_taken(
    session: StoreSession, damage: Damage, change: str
) -> None:
    run, other = await lived(session, "run"), await lived(session, "other")
    await session.commit_one(delivery(run.run_key, "m1", message=SignalMessage(name="go")))
    damage(f"UPDATE inbox SET {change}")
    inbox = other if "run_key" in change else run
    with pytest.raises(HistoryError, match=r"the message at position 1 .* its digest differs"):
        await session.store.read_inbox(inbox.run_key)


async def test_messages_that_go_on_to_the_next_generation_stay_as_sound_as_they_were(
    session: StoreSession, damage: Damage
) -> None:
    run = await lived(session, "run")
    for name in ("sound", "damaged"):
        await session.commit_one(delivery(run.run_key, name, message=SignalMessage(name=name)))
    damage("UPDATE inbox SET at = at + 1 WHERE message_id = 'damaged'")
    following = creation(session.store.new_run_key(), "run", generation=2, wake_at=NEVER)
    moved = transition(run, status=RunStatus.CONTINUED, creations=[following], moves_inbox_to=following.run_key)
    assert isinstance(await session.commit_one(moved), Applied)
    [sound] = await session.store.read_inbox(following.run_key, limit=1)
    assert sound.message == SignalMessage(name="sound")
    with pytest.raises(HistoryError, match="the message at position 2"):
        await session.store.read_inbox(following.run_key)


@pytest.mark.parametrize("change", ["due_at = due_at + 1", "version = version + 1", "data = '[]'", "waits = 1"])
async def test_an_entry_of_the_agenda_that_was_changed_says_so(
    session: StoreSession, damage: Damage, change: str
) -> None:
    for name in ("sound", "damaged"):
        entry = agenda_entry(session.store.new_run_key(), name)
        assert await session.store.change_agenda(AgendaChange(key=entry.key, expected=None, entry=entry))
    damage(f"UPDATE agenda SET {change} WHERE id = 'damaged'")
    found = {entry.key.id: entry.damage for entry in await session.store.list_agenda(AgendaQuery())}
    assert found == {"sound": "", "damaged": "it is not what was written: its digest differs"}
