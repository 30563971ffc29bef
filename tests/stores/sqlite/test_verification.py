"""Verification: whatever is done to the tables is found and named; repairs bring back what was, or nothing changes."""

from contextlib import aclosing, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure import Context, Engine, Every, RunNotFoundError, Signal, workflow
from perdure.authoring.registry import Registry
from perdure.errors import DamagedHistoryError, StoreCorruptError, UsageError
from perdure.kernel.time import Timestamp
from perdure.ports.verification import Verification, VerificationWish
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite.contents import digest_of_contents
from perdure.stores.sqlite.looking import SqliteLook
from perdure.stores.sqlite.verification import verifier

go = Signal("go", int)


@workflow(name="verification.waits")
async def waits(ctx: Context) -> int:
    ctx.set_labels(colour="red")
    async with ctx.stage("first"), ctx.lock("shelf"):
        return await ctx.wait_for(go)


@workflow(name="verification.ends")
async def ends(ctx: Context) -> int:
    return await ctx.wait_for(go)


def registry() -> Registry:
    found = Registry()
    found.add_workflow(waits)
    found.add_workflow(ends)
    return found


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A database with a run that holds a lock, one that waits for it and has a message, and one that has ended."""
    path = tmp_path / "runs.db"
    async with engine(path) as writer:
        closed = await writer.start(waits, id="closed", labels={"number": "1"})
        await closed.signal(go, 1)
        await closed.result()
        holds = await writer.start(waits, id="holds", tenant="ada", request_id="r1")
        async with aclosing(holds.watch()) as events:
            async for recorded in events:
                if recorded.type == "lock_acquired":
                    break
        await writer.start(waits, id="waits")
        await writer.start(ends, id="ends", execution_timeout=timedelta(days=1))
        await writer.schedules.create("nightly", waits, when=Every(timedelta(days=1)))
    async with engine(path, works=False) as client:
        await (await client.get_run("waits")).signal(go, 1, request_id="r2")
    return path


def engine(path: Path, *, works: bool = True) -> Engine:
    return Engine(f"sqlite:///{path}", registry=registry(), works=works)


async def verified(path: Path) -> Verification:
    async with SqliteLook(path) as look:
        return await look.verify(VerificationWish(now=Timestamp(4_000_000_000_000_000)))


def damage(path: Path, *statements: str) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.set_busy_timeout(10_000)
        for statement in statements:
            connection.execute(statement)
            assert connection.changes() > 0, statement


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(apsw.Connection(str(path))) as connection:
        return list(connection.execute(query))


def places(found: Verification) -> set[tuple[str, str]]:
    """Return whose defects were found, and where: of no run by an empty name."""
    of_runs = {(run.ref.id if run.ref else "?", defect.place) for run in found.damaged for defect in run.defects}
    return of_runs | {("", defect.place) for defect in found.defects}


CLOSED_KEY = "(SELECT run_key FROM runs WHERE id = 'closed')"
KEY = "(SELECT run_key FROM runs WHERE id = '{}')"
HOLDS, WAITS = KEY.format("holds"), KEY.format("waits")

CERTAIN = {
    "status": ("UPDATE runs SET status = 'failed' WHERE id = 'holds'", {("holds", "row")}),
    "status that is none": ("UPDATE runs SET status = 'dancing' WHERE id = 'closed'", {("closed", "row")}),
    "a text that is none": ("UPDATE runs SET stage = CAST(x'ff' AS TEXT) WHERE id = 'holds'", {("holds", "row")}),
    "an ended run that is open": (
        "UPDATE runs SET closed_at = NULL, wake_at = 1 WHERE id = 'closed'",
        {("closed", "row")},
    ),
    "an open run that has ended": (
        "UPDATE runs SET closed_at = 9, status = 'failed' WHERE id = 'holds'",
        {("holds", "row")},
    ),
    "fewer events counted": ("UPDATE runs SET sequence = 2 WHERE id = 'holds'", {("holds", "row")}),
    "another id": ("UPDATE runs SET id = 'third' WHERE id = 'closed'", {("third", "row")}),
    "another generation": ("UPDATE runs SET generation = 3 WHERE id = 'closed'", {("closed", "row")}),
    "another workflow": ("UPDATE runs SET workflow = 'other' WHERE id = 'holds'", {("holds", "row")}),
    "another tenant": ("UPDATE runs SET tenant = 'bob' WHERE id = 'holds'", {("holds", "row")}),
    "another creation": ("UPDATE runs SET created_at = 5 WHERE id = 'holds'", {("holds", "row")}),
    "not the latest": ("UPDATE runs SET latest = 0 WHERE id = 'holds'", {("holds", "row")}),
    "never due": ("UPDATE runs SET wake_at = NULL WHERE id = 'waits'", {("waits", "row")}),
    "an owner that is none": ("UPDATE runs SET owner = 77, wake_at = NULL WHERE id = 'holds'", {("holds", "row")}),
    "a label changed": (
        "UPDATE run_labels SET value = 'blue' WHERE name = 'colour' AND run_key = " + HOLDS,
        {("holds", "labels")},
    ),
    "a label lost": ("DELETE FROM run_labels WHERE name = 'number'", {("closed", "labels")}),
    "an end that comes too late": ("UPDATE runs SET end_at = NULL WHERE id = 'ends'", {("ends", "row")}),
    "parked after its end": ("UPDATE runs SET parked = '{}' WHERE id = 'closed'", {("closed", "row")}),
    "a counter lost": ("DELETE FROM sqlite_sequence WHERE name = 'locks'", {("", "counters")}),
    "a counter behind": ("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'locks'", {("", "counters")}),
}
UNCERTAIN = {
    "an event changed": (
        f"UPDATE history SET at = at + 1 WHERE sequence = 2 AND run_key = {HOLDS}",
        {("holds", "history")},
    ),
    "the last event lost": (
        f"DELETE FROM history WHERE run_key = {HOLDS} AND sequence = (SELECT sequence FROM runs WHERE id = 'holds')",
        {("holds", "history")},
    ),
    "the history lost": (f"DELETE FROM history WHERE run_key = {HOLDS}", {("holds", "history")}),
    "a message changed": ("UPDATE inbox SET data = json_set(data, '$.name', 'x')", {("waits", "inbox")}),
    "a message at a place from which none is read": ("UPDATE inbox SET position = 0", {("waits", "inbox")}),
    "a message whose digest is lost": ("UPDATE inbox SET digest = NULL", {("waits", "inbox")}),
    "digests lost": (f"UPDATE history SET digest = NULL WHERE run_key = {HOLDS}", {("holds", "history")}),
    "a message that is none": ("UPDATE inbox SET data = CAST(x'ff' AS TEXT)", {("waits", "inbox")}),
    "a lock lost": (f"DELETE FROM locks WHERE run_key = {HOLDS}", {("holds", "locks")}),
    "a lock of another": (
        f"UPDATE locks SET run_key = {CLOSED_KEY} WHERE run_key = {HOLDS}",
        {("holds", "locks"), ("closed", "locks")},
    ),
    "a lock of another key": (f"UPDATE locks SET key = 'x' WHERE run_key = {HOLDS}", {("holds", "locks")}),
    "a lock not held": (f"UPDATE locks SET granted_at = NULL WHERE run_key = {HOLDS}", {("holds", "locks")}),
    "why it is parked": ("UPDATE runs SET parked = '{' WHERE id = 'holds'", {("holds", "row")}),
    "a lock within others": (f"UPDATE locks SET holding = '[' WHERE run_key = {HOLDS}", {("holds", "locks")}),
    "a run's row lost": ("DELETE FROM runs WHERE id = 'holds'", {("", "row")}),
    "a request of another": ("UPDATE message_requests SET id = 'closed'", {("", "requests")}),
    "a schedule changed": ("UPDATE agenda SET due_at = due_at + 1", {("", "agenda")}),
}


UNDO_EVENT_CHANGED = f"UPDATE history SET at = at - 1 WHERE sequence = 2 AND run_key = {HOLDS}"


async def test_what_nobody_has_damaged_is_sound(path: Path) -> None:
    found = await verified(path)
    assert (found.damaged, found.defects) == ((), ())
    assert (found.runs, found.messages, found.without_digest) == (4, 1, 0)
    assert found.events == sum(count for (count,) in rows(path, "SELECT sequence FROM runs"))  # type: ignore[misc]


@pytest.mark.parametrize("what", [*CERTAIN, *UNCERTAIN])
async def test_damage_is_found_where_it_is_and_a_look_changes_nothing(path: Path, what: str) -> None:
    statement, expected = {**CERTAIN, **UNCERTAIN}[what]
    damage(path, statement)
    before = contents(path)
    found = await verified(path)
    assert not found.is_sound
    assert places(found) == expected
    assert contents(path) == before


@pytest.mark.parametrize("what", CERTAIN)
async def test_what_is_certain_is_repaired_and_the_runs_go_on(path: Path, what: str) -> None:
    before = rows(path, BY_HISTORY), rows(path, LABELS)
    damage(path, CERTAIN[what][0])
    async with engine(path, works=False) as client:
        repaired = await client.verify(repair=True)
    assert repaired.is_sound, repaired
    assert (rows(path, BY_HISTORY), rows(path, LABELS)) == before
    assert (await verified(path)).is_sound
    async with engine(path) as writer:
        await (await writer.get_run("holds")).signal(go, 4)
        assert await (await writer.get_run("holds")).result() == 4
        assert await (await writer.get_run("waits")).result() == 1


@pytest.mark.parametrize("what", UNCERTAIN)
async def test_what_is_not_certain_stays_as_it_is(path: Path, what: str) -> None:
    damage(path, UNCERTAIN[what][0])
    tables = [f"SELECT * FROM {table}" for table in ("history", "locks", "agenda", "message_requests")]
    tables.append("SELECT position, run_key, CAST(data AS BLOB) FROM inbox")
    before = [rows(path, table) for table in tables]
    async with engine(path, works=False) as client:
        assert not (await client.verify(repair=True)).is_sound
    assert [rows(path, table) for table in tables] == before
    assert places(await verified(path)) == UNCERTAIN[what][1]


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("UPDATE schema_migrations SET checksum = 'x' WHERE number = 2", "file"),
        ("UPDATE schema_migrations SET checksum = CAST(x'ff' AS TEXT) WHERE number = 2", "file"),
        ("DELETE FROM store_meta", "counters"),
    ],
)
async def test_what_no_engine_opens_is_verified_all_the_same(path: Path, statement: str, place: str) -> None:
    damage(path, statement)
    with pytest.raises(StoreCorruptError):
        async with engine(path):
            pass
    assert places(await verified(path)) == {("", place)}


async def test_what_a_run_was_told_of_its_lock_is_compared_with_the_lines(path: Path) -> None:
    damage(path, f"DELETE FROM locks WHERE run_key = {WAITS}")
    assert places(await verified(path)) == {("waits", "locks")}


async def test_a_damaged_run_that_nobody_has_loaded_is_parked(path: Path) -> None:
    damage(path, UNCERTAIN["an event changed"][0])
    async with engine(path, works=False) as client:
        [found] = (await client.verify(quarantine=True)).damaged
        assert found.is_parked
        parked = (await (await client.get_run("holds")).describe()).parked
        assert parked is not None
        assert parked.reason.message.startswith("event 2 of run default/holds is damaged: it is not what was written")
        assert (await (await client.get_run("waits")).describe()).parked is None
        assert found.readable == 1


async def test_a_run_that_is_repaired_and_cannot_be_parked_for_damage_is_told_as_repaired(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meet_damage(*_: object, **__: object) -> None:
        raise StoreCorruptError("a page is damaged")

    damage(path, "UPDATE runs SET tenant = 'bob' WHERE id = 'holds'")
    monkeypatch.setattr(verifier, "quarantine_run", meet_damage)
    async with engine(path, works=False) as client:
        [found] = (await client.verify(repair=True, quarantine=True)).damaged
    assert found.is_repaired


@pytest.mark.parametrize("wish", [{}, {"id": "holds", "repair": True}])
async def test_to_accept_older_tables_is_to_repair_the_whole_database(path: Path, wish: dict[str, Any]) -> None:
    async with engine(path, works=False) as client:
        with pytest.raises(UsageError, match="repair=True, and name no run"):
            await client.verify(accept_older_tables=True, **wish)


async def test_a_parked_run_stays_parked_for_its_reason_when_its_row_is_repaired(path: Path) -> None:
    damage(path, UNCERTAIN["an event changed"][0])
    async with engine(path, works=False) as client:
        await client.verify(quarantine=True)
    damage(path, UNDO_EVENT_CHANGED, "UPDATE runs SET tenant = 'bob' WHERE id = 'holds'")
    before = rows(path, "SELECT parked, wake_at FROM runs WHERE id = 'holds'")
    async with engine(path, works=False) as client:
        assert (await client.verify(repair=True)).is_sound
    assert rows(path, "SELECT parked, wake_at FROM runs WHERE id = 'holds'") == before
    assert before[0][0] is not None


async def test_the_id_that_a_row_bore_wrongly_has_its_own_latest_generation_again(path: Path) -> None:
    damage(
        path,
        "UPDATE runs SET latest = 0 WHERE id = 'holds'",
        "UPDATE runs SET id = 'holds', generation = 2 WHERE id = 'waits'",
    )
    async with engine(path, works=False) as client:
        await client.verify(repair=True)
    assert (await verified(path)).is_sound


async def test_a_run_whose_end_cannot_be_read_is_shown_as_its_row_says(path: Path) -> None:
    damage(path, f"UPDATE history SET at = at + 1 WHERE sequence = 2 AND run_key IN ({CLOSED_KEY}, {HOLDS})")
    assert {run.ref.id: run.is_open for run in (await verified(path)).damaged if run.ref} == {
        "closed": False,
        "holds": True,
    }


async def test_a_run_that_a_process_has_in_memory_is_not_repaired(path: Path) -> None:
    async with engine(path) as writer:
        run = await writer.start(waits, id="here")
        damage(path, "UPDATE runs SET tenant = 'bob' WHERE id = 'here'")
        found = await writer.verify(repair=True)
        assert {run.ref.id for run in found.damaged if run.ref} == {"here"}
        assert not found.is_sound
        await run.terminate()


async def test_one_run_is_verified_by_itself(path: Path) -> None:
    damage(path, UNCERTAIN["an event changed"][0])
    async with engine(path, works=False) as client:
        assert (await client.verify("waits")).is_sound
        assert not (await client.verify("holds")).is_sound
        with pytest.raises(RunNotFoundError):
            await client.verify("nobody")


async def test_progress_is_told(path: Path) -> None:
    told: list[tuple[int, int]] = []
    async with engine(path, works=False) as client:
        await client.verify(on_progress=lambda done, total: told.append((done, total)))
    total = told[0][1]
    assert told == [(done, total) for done in range(4, total + 1)]
    one: list[tuple[int, int]] = []
    async with engine(path, works=False) as client:
        await client.verify("waits", on_progress=lambda done, total: one.append((done, total)))
    assert one == [(1, 1)]


async def test_events_of_older_versions_are_counted_and_nothing_is_repaired_by_them(path: Path) -> None:
    mark = "UPDATE store_meta SET value = (SELECT max(position) FROM history) WHERE name = 'history_without_digests'"
    damage(path, "UPDATE history SET digest = NULL", mark, "UPDATE runs SET tenant = 'bob' WHERE id = 'holds'")
    async with engine(path, works=False) as client:
        found = await client.verify(repair=True)
    assert found.without_digest == found.events
    assert places(found) == {("holds", "row")}
    assert not found.is_sound


def break_history(path: Path) -> None:
    pages = rows(path, "SELECT pageno FROM dbstat WHERE name = 'history' AND pagetype = 'leaf'")
    rows(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        for (page,) in pages:
            assert isinstance(page, int)
            file.seek((page - 1) * 4096)
            file.write(b"\xff" * 4096)


async def test_a_damaged_page_hides_no_other_run(path: Path) -> None:
    break_history(path)
    found = await verified(path)
    assert not found.is_sound
    assert found.runs == 4
    assert ("", "file") in places(found)
    assert {run.ref.id for run in found.damaged if run.ref} == {"closed", "holds", "waits", "ends"}


async def test_runs_on_a_damaged_page_are_parked_and_shown_as_open(path: Path) -> None:
    break_history(path)
    async with engine(path, works=False) as client:
        found = await client.verify(quarantine=True)
        shown = {run.ref.id: (run.is_open, run.is_parked) for run in found.damaged if run.ref}
        assert shown == {"closed": (False, False)} | dict.fromkeys(("holds", "waits", "ends"), (True, True))
        parked = (await (await client.get_run("holds")).describe()).parked
        assert parked is not None
        assert parked.reason.message.startswith("pages that hold events of run default/holds after event 0 are damaged")


async def test_of_a_run_whose_row_is_lost_is_told_what_its_history_says(path: Path) -> None:
    damage(
        path,
        "DELETE FROM runs WHERE id = 'holds'",
        f"UPDATE history SET at = at + 1 WHERE run_key = {WAITS} AND sequence = 4",
        "DELETE FROM runs WHERE id = 'waits'",
    )
    told = [defect.what.partition("no such run: ")[2] for defect in (await verified(path)).defects]
    [holds] = [one for one in told if "holds" in one]
    assert holds == "they are of run default/holds, running after event 6, up to which they are sound"
    assert "they are of run default/waits, running after event 3, up to which they are sound" in told


async def test_a_count_of_sessions_that_is_behind_is_found(path: Path) -> None:
    async with engine(path):
        damage(path, "UPDATE store_meta SET value = 0 WHERE name = 'last_worker_id'")
        assert ("", "counters") in places(await verified(path))


async def test_a_count_of_sessions_that_have_ended_is_found_behind_and_gives_no_number_twice(path: Path) -> None:
    damage(path, "UPDATE store_meta SET value = 0 WHERE name = 'last_worker_id'")
    assert places(await verified(path)) == {("", "counters")}
    with pytest.raises(StoreCorruptError, match="lost the count of its sessions"):
        async with engine(path):
            pass


async def test_a_name_that_is_no_text_any_more_keeps_nothing_from_being_verified(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET name = CAST(name AS BLOB) WHERE name IN ('runs', 'runs_to_end')")
    assert (await verified(path)).runs == 4


async def test_a_fork_goes_on_from_before_the_damage(path: Path) -> None:
    damage(path, f"UPDATE history SET at = at + 1 WHERE sequence = 4 AND run_key = {CLOSED_KEY}")
    async with engine(path) as writer:
        closed = await writer.get_run("closed")
        with pytest.raises(DamagedHistoryError):
            await closed.fork(id="late", event=5)
        copy = await closed.fork(id="copy", event=2)
        assert (await copy.describe()).status.is_closed is False
        await copy.terminate()


async def test_a_store_in_memory_counts_what_it_holds() -> None:
    async with Engine(MemoryStore(), registry=registry()) as writer:
        run = await writer.start(waits, id="one")
        found = await writer.verify("one")
        assert (found.runs, found.is_sound) == (1, True)
        await run.terminate()


BY_HISTORY = """
SELECT run_key, namespace, id, generation, latest, workflow, definition_version, status, stage, progress, tenant,
    created_at, started_at, updated_at, closed_at, sequence, owner FROM runs ORDER BY run_key
"""
LABELS = "SELECT * FROM run_labels ORDER BY run_key, name"


def contents(path: Path) -> bytes:
    with closing(apsw.Connection(str(path))) as connection:
        return digest_of_contents(connection)
