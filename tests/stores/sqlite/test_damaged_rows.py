"""A damaged row names itself, and hides or holds up no other."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import apsw
import pytest

from perdure.errors import DamagedHistoryError, StoreCorruptError
from perdure.execution.codeless import giving_back
from perdure.kernel.identity import RunKey
from perdure.kernel.messages import SignalMessage, TerminateMessage
from perdure.kernel.transition import Applied, Closed, RunStatus
from perdure.ports.following import BEGINNING, HistoryPlace
from perdure.ports.store import ClaimedRun, LockQuery, RunQuery, RunSummary
from perdure.ports.tasks import TaskQuery
from perdure.ports.verification import VerificationWish
from perdure.stores.sqlite.rows import parking_of
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.store_conformance import tasks
from perdure.testing.store_conformance.harness import (
    FAR,
    NEVER,
    START,
    StoreSession,
    code_of,
    creation,
    delivery,
    parks,
    transition,
)
from perdure.testing.store_conformance.locking import asks
from tests.damaging import change_any

Damage = Callable[[str], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
async def session(path: Path) -> AsyncIterator[StoreSession]:
    """A session on a database with a run that waits, one that is parked, and one with labels."""
    session = StoreSession(SqliteStore(path))
    await session.open(name="worker", lease_seconds=30.0)
    await session.commit_one(parks(await session.hold("parked", labels={"colour": "red"})))
    await session.create("waiting")
    yield session
    await session.store.close()


@pytest.fixture
def damage(path: Path, session: StoreSession) -> Damage:
    def change(statement: str) -> None:
        connection = apsw.Connection(str(path))
        connection.execute(statement)
        connection.close()

    return change


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE runs SET parked = '{\"since\": ' WHERE id = 'parked'", "parked cannot be read: "),
        ("UPDATE runs SET parked = CAST(x'ff00' AS TEXT) WHERE id = 'parked'", "parked cannot be read: "),
        ("UPDATE run_labels SET value = CAST(x'ff' AS TEXT)", "labels cannot be read: "),
        ("UPDATE runs SET priority = 77 WHERE id = 'parked'", "priority cannot be read: 77 is not a valid Priority"),
    ],
)
async def test_a_damaged_row_is_listed_with_the_others_and_names_what_is_damaged(
    session: StoreSession, damage: Damage, statement: str, says: str
) -> None:
    damage(statement)
    rows = await _rows(session)
    assert sorted(rows) == ["parked", "waiting"]
    assert rows["waiting"].damage == ""
    assert rows["parked"].damage.startswith(says)
    assert (await session.row(rows["parked"].run_key)).damage == rows["parked"].damage


async def test_a_status_that_nobody_knows_leaves_a_run_open_or_closed_as_it_was(
    session: StoreSession, damage: Damage
) -> None:
    keys = {row.id: row.run_key for row in (await _rows(session)).values()}
    await session.finish(await session.take(keys["waiting"]))
    damage("UPDATE runs SET status = 'dancing'")
    found = {name: await session.row(run_key) for name, run_key in keys.items()}
    assert {name: row.status for name, row in found.items()} == {
        "parked": RunStatus.RUNNING,
        "waiting": RunStatus.FAILED,
    }
    assert found["parked"].damage == "status cannot be read: 'dancing' is not a valid RunStatus"


async def test_a_run_that_is_parked_nobody_knows_why_is_tried_and_holds_up_no_other_claim(
    session: StoreSession, damage: Damage
) -> None:
    damage("UPDATE runs SET parked = '{' WHERE id = 'parked'")
    claimed = await session.store.claim(now=FAR, limit=9, workflows=code_of("order"), code="a")
    assert [run.summary.id for run in claimed] == ["waiting", "parked"]
    assert claimed[0].parked is None
    parked = claimed[1].parked
    assert parked is not None
    assert str(parked.reason) == "StoreError: why it is parked is not known: the row is damaged"
    assert parked.tried == ()
    assert (await _rows(session))["parked"].damage == ""


async def test_a_look_without_code_leaves_a_run_parked_that_is_parked_nobody_knows_why(
    session: StoreSession, damage: Damage
) -> None:
    damage("UPDATE runs SET parked = '{', end_at = 1 WHERE id = 'parked'")
    [claimed] = await session.store.claim(now=FAR, limit=9, workflows=frozenset())
    assert claimed.parked is not None
    await session.commit_one(giving_back(claimed, now=START, wake_at=claimed.due_at, end_at=None))
    assert (await session.row(claimed.summary.run_key)).parked == claimed.parked


async def test_a_status_that_nobody_knows_keeps_no_other_write_from_being_committed(
    session: StoreSession, damage: Damage
) -> None:
    keys = {row.id: row.run_key for row in (await _rows(session)).values()}
    closed = await session.take(keys["waiting"])
    await session.finish(closed)
    sound = await session.create("sound")
    damage("UPDATE runs SET status = 'dancing' WHERE id <> 'sound'")
    assert await session.store.commit([delivery(keys["parked"]), delivery(sound), delivery(closed.ref)]) == [
        Applied(keys["parked"]),
        Applied(sound),
        Closed(closed.run_key, RunStatus.FAILED),
    ]


async def test_a_damaged_message_goes_on_to_the_next_generation_with_the_others(
    session: StoreSession, damage: Damage
) -> None:
    await session.claim()
    run = await session.hold("continuing")
    for message in (SignalMessage(name="damaged"), TerminateMessage()):
        await session.commit_one(delivery(run.run_key, type(message).__name__, message=message))
    damage("UPDATE inbox SET data = '{' WHERE message_id = 'SignalMessage'")
    following = creation(session.store.new_run_key(), generation=2, wake_at=NEVER, run_id="continuing")
    moved = transition(run, status=RunStatus.CONTINUED, creations=[following], moves_inbox_to=following.run_key)
    assert isinstance(await session.commit_one(moved), Applied)
    [claimed] = await session.store.claim(now=START, limit=9, workflows=frozenset())
    assert claimed.summary.run_key == following.run_key


@pytest.mark.parametrize("column", ["id", "workflow", "tenant"])
async def test_a_row_that_no_write_can_change_holds_up_no_other(session: StoreSession, path: Path, column: str) -> None:
    """As after a flipped bit that makes a text a BLOB: found by `corrupt --count 1 --seed 750020`."""
    sound = [await session.create(f"sound {number}") for number in range(5)]
    damaged = (await _rows(session))["waiting"].run_key
    change_any(path, "runs", f"UPDATE runs NOT INDEXED SET {column} = CAST({column} AS BLOB) WHERE id = 'waiting'")
    claimed: dict[RunKey, ClaimedRun] = {}
    while claimed.keys() != {*sound}:
        more = await session.store.claim(now=FAR, limit=9, workflows=code_of("order"))
        assert more
        claimed |= {run.summary.run_key: run for run in more}
    with pytest.raises(StoreCorruptError, match=rf"cannot store BLOB value in TEXT column runs\.{column}\. "):
        await session.commit_one(delivery(damaged))
    assert await session.commit_one(delivery(sound[0])) == Applied(sound[0], owner=claimed[sound[0]].summary.owner)
    row = await session.row(damaged)
    assert row.damage.startswith(f"{column} cannot be read: it is b'")
    verification = await session.store.verify(VerificationWish(now=START, repairs=True))
    assert [(run.run_key, run.is_repaired) for run in verification.damaged] == [(damaged, True)]
    assert (await session.row(damaged)).damage == ""
    while not (repaired := await session.store.claim(now=FAR, limit=9, workflows=code_of("order"))):
        pass  # what is passed over is tried again meanwhile
    assert [run.summary.run_key for run in repaired] == [damaged]


async def test_a_run_without_a_fencing_token_holds_up_no_other(session: StoreSession, path: Path) -> None:
    """Found by `corrupt`, seed 100839: a claim would give it a token one greater, which is none."""
    change_any(path, "runs", "UPDATE runs NOT INDEXED SET fencing_token = NULL WHERE id = 'waiting'")
    sound = await session.create("sound")
    claimed: list[ClaimedRun] = []
    while not claimed:
        claimed = await session.store.claim(now=FAR, limit=9, workflows=code_of("order"))
    assert [run.summary.run_key for run in claimed] == [sound]


@pytest.mark.parametrize("change", ["value = x'ff'", "value = NULL", "name = x'00'"])
async def test_a_label_of_another_type_is_named_and_hides_no_other_run(
    session: StoreSession, path: Path, change: str
) -> None:
    """Found by `corrupt`, seed 400533: JSON holds no bytes."""
    change_any(path, "run_labels", f"UPDATE run_labels SET {change}")
    rows = await _rows(session)
    assert rows["waiting"].damage == ""
    assert rows["parked"].damage.startswith("labels cannot be read: ") is ("value" in change)
    assert rows["parked"].labels.get("colour") is None


_OF_NO_RUN: Final = ["generation = NULL", "generation = 'x'", "id = NULL", "namespace = x'ff'", "sequence = NULL"]


@pytest.mark.parametrize("change", _OF_NO_RUN)
async def test_whoever_reads_of_a_run_by_its_key_gets_it_or_an_error_that_names_it(
    session: StoreSession, path: Path, change: str
) -> None:
    """A reference that was made of what such a row says could not be printed: `corrupt`, seed 272801."""
    await session.claim()
    run = await session.hold("damaged")
    await session.advance(run, locks=[asks("key")])
    await tasks.change(session, run, queued=[tasks.task(run)])
    change_any(path, "runs", f"UPDATE runs NOT INDEXED SET {change} WHERE id = 'damaged'")
    for after in (0, 1):
        with pytest.raises(DamagedHistoryError) as caught:
            await session.store.read_history(run.run_key, after=after, limit=100)
        assert caught.value.run in str(caught.value)
    for place in (BEGINNING, HistoryPlace(1, b"")):
        assert await session.store.read_on({run.run_key: place}, limit=100) == []
    [task] = await session.store.list_tasks(TaskQuery())
    assert (task.run_key, str(task.run) == "default/damaged") == (run.run_key, "sequence" in change)
    if "namespace" not in change:  # whose locks are found by the run's own
        [lock] = await session.store.list_locks(LockQuery())
        assert (lock.run_key, lock.run) == (run.run_key, task.run)
    [found] = (await session.store.verify(VerificationWish(now=START))).damaged
    assert (found.run_key, str(found.ref) == "default/damaged") == (run.run_key, "sequence" in change)


async def _rows(session: StoreSession) -> dict[str, RunSummary]:
    return {row.id: row for row in (await session.store.list_runs(RunQuery())).runs}


@pytest.mark.parametrize(
    "stored",
    [b"", b"{", b"\xff", b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"],
    ids=["", "half", "no text", "deep"],
)
def test_why_a_run_is_parked_may_be_unreadable_whoever_asks(stored: bytes) -> None:
    assert parking_of(stored) is None
