"""Indexes that are built anew, whatever their pages hold, and not where they are the last to know what was there."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from perdure import Engine, Every
from perdure.copies import backup, restore
from perdure.errors import CopyDamagedError, StoreCorruptError
from perdure.kernel.time import Timestamp
from perdure.ports.verification import Verification
from perdure.stores.sqlite import compaction
from perdure.stores.sqlite.compaction import compact
from perdure.stores.sqlite.looking import SqliteLook
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import contents_digest
from perdure.torture.disks.sectors import dying_disk
from tests.damaging import break_leaves, break_page, lose_page, pages_of, read_page
from tests.stores.sqlite.copies.live_database import replicating
from tests.stores.sqlite.test_verification import (
    damage,
    ends,
    engine,
    go,
    path,
    places,
    registry,
    rows,
    verified,
    waits,
)

__all__ = ["path"]


@pytest.mark.parametrize(
    ("index", "holds", "instead"),
    [("runs_by_status", "latest = 1", "latest = 2"), ("locks_waiting", "granted_at IS NULL", "position > 0")],
)
async def test_an_index_that_lacks_rows_or_has_too_many_is_built_anew(
    path: Path, index: str, holds: str, instead: str
) -> None:
    for old, new in ((holds, instead), (instead, holds)):
        with closing(apsw.Connection(str(path))) as connection:
            connection.execute("PRAGMA writable_schema = 1")
            change = "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = ?"
            connection.execute(change, (old, new, index))
            connection.execute("PRAGMA writable_schema = RESET")
            if new == instead:
                connection.execute(f"REINDEX {index}")
    assert places(await verified(path)) == {("", "file")}
    async with engine(path, works=False) as client:
        assert (await client.verify(repair=True)).is_sound
    assert (await verified(path)).is_sound


NOW = Timestamp(4_000_000_000_000_000)
GARBAGE = bytes(range(256)) * 16
EMPTY_LEAF_OF_A_TABLE = b"\x0d" + bytes(4) + b"\x10" + bytes(4090)


@pytest.mark.parametrize(
    ("page", "which"),
    [(GARBAGE, "%"), (bytes(4096), "runs_by_owner"), (EMPTY_LEAF_OF_A_TABLE, "runs_by_owner")],
    ids=["garbage", "zeros", "a table"],
)
async def test_an_index_that_begins_with_a_page_of_none_is_found_and_built_anew(
    path: Path, page: bytes, which: str
) -> None:
    """Whichever it is, also one that the opening needs; SQLite's own check may find nothing, if the page is empty."""
    before = content_of(path)
    for name, root in rows(
        path, f"SELECT name, rootpage FROM sqlite_schema WHERE type = 'index' AND name LIKE '{which}'"
    ):
        put(path, with_page(before, int(str(root)), page))
        assert places(await verified(path)) >= {("", "file")}, name
        async with engine(path, works=False) as client:
            assert (await client.verify(repair=True)).is_sound, name
        assert (await verified(path)).is_sound, name
    async with engine(path) as writer:
        for run in (await writer.get_run("holds"), await writer.get_run("ends")):
            await run.signal(go, 2)
            await run.result()


async def test_an_index_of_many_pages_is_built_anew_whichever_of_them_is_damaged(path: Path) -> None:
    async with engine(path, works=False) as client:
        for number in range(60):
            await client.start(ends, id=f"{number:0200}")
    before = content_of(path)
    leaves = pages_of(path, "sqlite_autoindex_runs_1")
    assert len(leaves) > 1
    for page in leaves:
        put(path, with_page(before, page, GARBAGE))
        async with engine(path, works=False) as client:
            assert (await client.verify(repair=True)).is_sound, page
    assert rows(path, "PRAGMA integrity_check") != [("ok",)]  # pages are left over that nobody uses
    copy = path.with_name("copy.db")
    await backup(f"sqlite:///{path}", copy)
    assert (await verified(copy)).is_sound
    compact(path, now=NOW)
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


async def test_pages_to_which_nothing_leads_are_told_until_they_are_given_up(path: Path) -> None:
    """They may have been those of rows: an index that is built anew does not say so."""
    async with engine(path, works=False) as client:
        for number in range(60):
            await client.start(ends, id=f"{number:0200}")
    content = content_of(path)
    put(path, with_page(content, root_of(path, "sqlite_autoindex_runs_1"), GARBAGE))
    async with engine(path, works=False) as client:
        assert_only_unused_pages(await client.verify(repair=True))
    before = content_of(path)
    with pytest.raises(StoreCorruptError, match=r"never used.* Rows may have been on them.* --accept-lost-pages"):
        compact(path, now=NOW)
    assert content_of(path) == before
    compact(path, now=NOW, accepts_lost_pages=True)
    assert (await verified(path)).is_sound


async def test_a_compaction_that_is_ended_amid_forgets_no_unused_pages(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine(path, works=False) as client:
        for number in range(60):
            await client.start(ends, id=f"{number:0200}")
    put(path, with_page(content_of(path), pages_of(path, "sqlite_autoindex_runs_1")[0], GARBAGE))
    async with engine(path, works=False) as client:
        assert (await client.verify(repair=True)).is_sound
    known = "SELECT value FROM store_meta WHERE name = 'unused_pages'"
    before = rows(path, known)
    assert before

    def end_vacuum(_done: int, _total: int) -> None:
        if not rows(path, known):
            raise KeyboardInterrupt

    monkeypatch.setattr(compaction, "_STEPS_BETWEEN_REPORTS", 50)
    with pytest.raises(KeyboardInterrupt):
        compact(path, now=NOW, on_progress=end_vacuum)
    assert rows(path, known) == before
    assert (await verified(path)).is_sound


@pytest.mark.parametrize("table", ["agenda", "message_requests"])
async def test_a_database_whose_rows_are_lost_is_not_compacted_unless_an_index_has_no_more_of_them(
    path: Path, table: str
) -> None:
    """The pages to which nothing leads are the only sign of it in a table without another index."""
    await fill(path)
    cut_root(path, table)
    before = content_of(path)
    with pytest.raises(StoreCorruptError, match="not compacted"):
        compact(path, now=NOW)
    assert content_of(path) == before
    if table == "agenda":
        with pytest.raises(StoreCorruptError, match=r"agenda_by_time has 61 entries for .* not compacted"):
            compact(path, now=NOW, accepts_lost_pages=True)
        assert content_of(path) == before


async def test_a_database_with_a_damaged_index_is_not_compacted_before_it_is_built_anew(path: Path) -> None:
    put(path, with_page(content_of(path), root_of(path, "inbox_by_run"), GARBAGE))
    with pytest.raises(StoreCorruptError, match=r"not compacted.* verify --repair"):
        compact(path, now=NOW, accepts_lost_pages=True)
    async with engine(path, works=False) as client:
        await client.verify(repair=True)
    compact(path, now=NOW)
    assert (await verified(path)).is_sound


async def test_a_database_with_an_index_whose_definition_is_no_text_is_not_compacted(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute("UPDATE sqlite_schema SET sql = sql || CAST(x'2d2dff' AS TEXT) WHERE name = 'locks_held'")
    with pytest.raises(StoreCorruptError, match=r"compacting failed.* decode"):
        compact(path, now=NOW)


async def test_rows_whose_pages_are_lost_are_not_given_up_for_an_index_that_has_them(path: Path) -> None:
    """Nothing else says any more that they were there."""
    await fill(path)
    cut_root(path, "agenda")
    entries = "SELECT count(*) FROM agenda INDEXED BY agenda_by_time WHERE due_at IS NOT NULL"
    before = rows(path, entries)
    async with engine(path, works=False) as client:
        assert not (await client.verify(repair=True)).is_sound
    assert rows(path, entries) == before


@pytest.mark.parametrize(
    ("table", "index", "change", "goes_back"),
    [
        ("inbox", "inbox_by_run", "DELETE FROM inbox", False),
        ("inbox", "inbox_by_run", "DELETE FROM inbox", True),
        ("agenda", "agenda_by_time", "DELETE FROM agenda", False),
        ("agenda", "agenda_by_time", "DELETE FROM agenda", True),
        ("agenda", "agenda_by_time", "UPDATE agenda SET due_at = due_at + 1", True),
        ("runs", "sqlite_autoindex_runs_1", "DELETE FROM runs WHERE id = 'ends'", True),
    ],
    ids=["a message read", "a message come", "an entry gone", "an entry come", "an entry changed", "a run come"],
)
async def test_of_a_table_that_may_be_older_than_its_index_nothing_is_built(
    path: Path, table: str, index: str, change: str, goes_back: bool
) -> None:
    """As after a write that the disk has lost: a message would be read twice, or never, an id be given twice."""
    [leaf] = pages_of(path, table)
    one = content_of(path)
    damage(path, change)
    other = content_of(path)
    older, newer = (other, one) if goes_back else (one, other)
    put(path, with_page(newer, leaf, page_in(older, leaf)))
    entries = f"SELECT count(*) FROM {table} INDEXED BY {index}" + " WHERE due_at IS NOT NULL" * (table == "agenda")
    before = rows(path, entries)
    async with engine(path, works=False) as client:
        found = await client.verify(repair=True)
    assert not any(defect.is_repaired for defect in found.defects if defect.what.startswith(f"{table}: "))
    assert not (await verified(path)).is_sound
    assert rows(path, entries) == before
    async with engine(path, works=False) as client:
        found = await client.verify(repair=True, accept_older_tables=True)
    assert any(defect.is_repaired for defect in found.defects if defect.what.startswith(f"{table}: "))


@pytest.mark.parametrize("index", ["inbox_by_run", "inbox_by_message"])
async def test_an_index_of_messages_that_another_index_contradicts_is_built_anew(path: Path, index: str) -> None:
    [leaf] = pages_of(path, index)
    sound = content_of(path)
    damage(path, "DELETE FROM inbox")
    put(path, with_page(sound, leaf, page_in(content_of(path), leaf)))
    async with engine(path, works=False) as client:
        assert (await client.verify(repair=True)).is_sound
    where = "WHERE message_id <> ''" if index == "inbox_by_message" else ""
    assert rows(path, f"SELECT count(*) FROM inbox INDEXED BY {index} {where}") == [(1,)]


async def test_an_index_that_has_a_message_without_an_id_too_many_may_be_the_last_to_know_of_it(path: Path) -> None:
    """An older Perdure delivered some so: no other index would have it."""
    [leaf] = pages_of(path, "inbox")
    before = page_in(content_of(path), leaf)
    damage(path, "INSERT INTO inbox (run_key, message_id, data, at) VALUES (7, '', '{}', 1)")
    put(path, with_page(content_of(path), leaf, before))
    async with engine(path, works=False) as client:
        assert not (await client.verify(repair=True)).is_sound
    assert rows(path, "SELECT count(*) FROM inbox INDEXED BY inbox_by_run WHERE run_key = 7") == [(1,)]


async def test_a_message_without_an_id_that_only_the_table_has_may_have_been_read(path: Path) -> None:
    """No other index would have it: that all others agree with the table says nothing of it."""
    [leaf] = pages_of(path, "inbox")
    damage(path, "UPDATE store_meta SET value = 99 WHERE name = 'inbox_without_digests'")
    damage(path, "INSERT INTO inbox (run_key, message_id, data, at) SELECT run_key, '', data, at FROM inbox")
    before = page_in(content_of(path), leaf)
    damage(path, "DELETE FROM inbox WHERE message_id = ''")
    put(path, with_page(content_of(path), leaf, before))
    async with engine(path, works=False) as client:
        assert not (await client.verify(repair=True)).is_sound
    assert rows(path, "SELECT count(*) FROM inbox INDEXED BY inbox_by_run") == [(1,)]


async def test_indexes_of_several_tables_are_built_anew_beside_a_damaged_row(path: Path) -> None:
    content = content_of(path)
    for name in ("runs_by_status", "inbox_by_run", "agenda_by_time"):
        content = with_page(content, root_of(path, name), GARBAGE)
    [(leaf,)] = rows(path, "SELECT max(pageno) FROM dbstat WHERE name = 'locks'")
    put(path, with_page(content, int(str(leaf)), GARBAGE))
    async with engine(path, works=False) as client:
        found = (await client.verify(repair=True)).defects
    assert {defect.what.partition(":")[0] for defect in found if defect.is_repaired} == {"runs", "inbox", "agenda"}
    left = {defect.what.partition(":")[0] for defect in found if not defect.is_repaired}
    assert "locks" in left
    assert left.isdisjoint({"runs", "inbox", "agenda"})


async def test_an_index_that_leads_to_pages_of_another_table_is_built_anew_without_touching_these(path: Path) -> None:
    async with engine(path, works=False) as client:
        for number in range(60):
            await client.start(ends, id=f"{number:0200}")
    before, agenda = content_of(path), rows(path, "SELECT * FROM agenda")
    root = root_of(path, "sqlite_autoindex_runs_1")
    begin = (root - 1) * 4096
    page = bytearray(before[begin : begin + 4096])
    assert page[0] == 2, "the root has children"
    page[8:12] = root_of(path, "agenda").to_bytes(4)
    put(path, with_page(before, root, bytes(page)))
    async with engine(path, works=False) as client:
        await client.verify(repair=True)
    assert rows(path, "SELECT * FROM agenda") == agenda
    assert_only_unused_pages(await verified(path))
    compact(path, now=NOW, accepts_lost_pages=True)
    assert (await verified(path)).is_sound


async def test_pages_that_nobody_uses_are_told_by_whoever_copies_unless_a_repair_has_left_them(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They may be all that shows of rows that are lost, where no index has them too; what is there can be used."""
    copy, restored = path.with_name("copy.db"), path.with_name("restored.db")
    lose_page(path)
    for made in (await backup(f"sqlite:///{path}", copy), await restore(copy, restored, accepts_damaged=True)):
        [damaged] = made.damaged
        assert "pages that are never used: 1, more than repairs have left" in damaged
    assert [record.message for record in caplog.records if "pages that are never used" in record.message][1:]
    assert_only_unused_pages(await verified(restored))


async def test_a_whole_copy_that_has_lost_pages_where_it_lies_is_refused_unless_that_is_accepted(path: Path) -> None:
    """It has no digest that would say so: rows may have been on them."""
    copy, restored = path.with_name("copy.db"), path.with_name("restored.db")
    assert not (await backup(f"sqlite:///{path}", copy)).damaged
    lose_page(copy)
    with pytest.raises(CopyDamagedError, match=r"never used: 1.*--accept-damaged.*Nothing was restored"):
        await restore(copy, restored)
    assert not restored.exists()
    [damaged] = (await restore(copy, restored, accepts_damaged=True)).damaged
    assert "never used: 1" in damaged


async def test_lost_pages_do_not_hide_what_else_is_damaged_from_whoever_copies(path: Path) -> None:
    lose_page(path)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("UPDATE history SET data = replace(data, 'shelf', 'table')")
    copy, restored = path.with_name("copy.db"), path.with_name("restored.db")
    copied = await backup(f"sqlite:///{path}", copy)
    assert "never used" in copied.damaged[0]
    with pytest.raises(CopyDamagedError, match=r"never used.*, and 3 more\. .* --accept-damaged"):
        await restore(copy, restored)
    assert (await restore(copy, restored, accepts_damaged=True)).damaged == copied.damaged
    break_leaves(path, "locks_held")
    with pytest.raises(StoreCorruptError, match="damaged"):
        await backup(f"sqlite:///{path}", copy, force=True)


async def test_what_came_after_an_index_was_built_anew_can_be_restored_from_a_copy_that_follows(path: Path) -> None:
    """The index was damaged on the disk only, so what it led to is the index still in the copy, and nobody's then."""
    async with engine(path, works=False) as client:
        for number in range(60):
            await client.start(ends, id=f"{number:0200}")
    root = root_of(path, "sqlite_autoindex_runs_1")
    rows(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    folder, restored = path.with_name("copy"), path.with_name("restored.db")
    async with engine(path, works=False) as client:
        with replicating(path, folder) as replication:
            replication.follow()
            break_page(path, root)
            await client.verify(repair=True)
            await (await client.get_run("ends")).signal(go, 2)
            replication.follow()
    [damaged] = (await restore(folder, restored)).damaged
    assert "never used" in damaged
    assert rows(restored, "SELECT * FROM inbox") == rows(path, "SELECT * FROM inbox") != []


async def test_a_free_page_that_is_a_tables_is_found_and_nothing_is_built_there(path: Path) -> None:
    """SQLite would write over the rows that lie on it."""
    for statement in ("CREATE TABLE spare AS SELECT zeroblob(40000) AS bytes", "DROP TABLE spare"):
        rows(path, statement)
    content = content_of(path)
    trunk, table = int.from_bytes(content[32:36]), root_of(path, "message_requests")
    first_entry = (trunk - 1) * 4096 + 8
    content = content[:first_entry] + table.to_bytes(4) + content[first_entry + 4 :]
    put(path, with_page(content, root_of(path, "runs_by_status"), GARBAGE))
    requests = rows(path, "SELECT * FROM message_requests")
    async with engine(path, works=False) as client:
        found = await client.verify(repair=True)
    assert any("2nd reference to page" in defect.what for defect in found.defects)
    assert not any(defect.is_repaired for defect in found.defects)
    assert rows(path, "SELECT * FROM message_requests") == requests != []


async def test_a_column_of_another_name_has_the_file_refused(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'requested_at', 'requusted_at')")
    for reading in (engine(path), SqliteLook(path)):
        with pytest.raises(StoreCorruptError, match=r"there is no locks\.requested_at"):
            async with reading:
                pass


async def test_what_a_flipped_bit_calls_a_table_in_a_blob_is_one(path: Path) -> None:
    """As it is to SQLite."""
    call(path, "inbox", b"table")
    [leaf] = pages_of(path, "inbox_by_run")
    index, digest = read_page(path, leaf), contents_digest(path)
    async with engine(path, works=False) as client:
        await (await client.get_run("ends")).signal(go, 1)
        [defect] = (await client.verify()).defects
        assert defect.what == "the schema says in no text whether inbox is a table or an index"
    assert contents_digest(path) != digest
    put(path, with_page(content_of(path), leaf, index))
    assert any("wrong # of entries in index inbox_by_run" in defect.what for defect in (await verified(path)).defects)


@pytest.mark.parametrize(("name", "kind"), [("message_requests", b"table"), ("runs_by_status", b"index")])
async def test_no_table_or_index_is_lost_to_a_compaction_since_a_flipped_bit_calls_it_one_in_a_blob(
    path: Path, name: str, kind: bytes
) -> None:
    """SQLite reads and writes it, and VACUUM leaves it out."""
    call(path, name, kind)
    with pytest.raises(StoreCorruptError, match=f"whether {name} is a table or an index.*not compacted"):
        compact(path, now=NOW, accepts_lost_pages=True)
    assert rows(path, f"SELECT name FROM sqlite_schema WHERE name = '{name}'")
    assert rows(path, "SELECT count(*) FROM message_requests") != [(0,)]


def call(path: Path, name: str, kind: bytes) -> None:
    """Let the schema say that something is of a kind."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute("UPDATE sqlite_schema SET type = ? WHERE name = ?", (kind, name))


@pytest.mark.parametrize("is_called_so_in_a_blob", [False, True])
async def test_an_index_that_has_more_than_a_table_without_row_numbers_is_found(
    path: Path, *, is_called_so_in_a_blob: bool
) -> None:
    if is_called_so_in_a_blob:
        call(path, "agenda_by_time", b"index")
    [leaf] = pages_of(path, "agenda_by_time")
    before = content_of(path)[(leaf - 1) * 4096 : leaf * 4096]
    damage(path, "DELETE FROM agenda WHERE due_at IS NOT NULL")
    put(path, with_page(content_of(path), leaf, before))
    assert places(await verified(path)) == {("", "file")}


async def test_what_an_index_has_too_many_is_found_beside_a_table_that_cannot_be_read(path: Path) -> None:
    [leaf] = pages_of(path, "agenda_by_time")
    before = page_in(content_of(path), leaf)
    damage(path, "DELETE FROM agenda WHERE due_at IS NOT NULL")
    content = with_page(content_of(path), leaf, before)
    for of_history in pages_of(path, "inbox_by_message"):
        content = with_page(content, of_history, GARBAGE)
    put(path, content)
    assert any(defect.what.startswith("agenda: ") for defect in (await verified(path)).defects)


async def test_only_the_pages_of_an_index_that_is_built_anew_are_known_to_be_nobodys_then(path: Path) -> None:
    """Others may be as well, where a tree is damaged: SQLite does not say so, and they may be needed as a sign."""
    for number in range(200):
        damage(path, f"INSERT INTO message_requests VALUES ('default', 'run', '{number:0100}', 7)")
    [(own,)] = rows(path, "SELECT count(*) FROM dbstat WHERE name LIKE 'runs_%' OR name LIKE '%autoindex_runs%'")
    content = bytearray(content_of(path))
    begin = (root_of(path, "message_requests") - 1) * 4096
    assert content[begin] == 2, "the root has children"
    content[begin + 12 : begin + 14] = b"\xff\xf0"  # where its first entry is
    put(path, with_page(bytes(content), root_of(path, "runs_by_owner"), GARBAGE))
    async with engine(path, works=False) as client:
        found = await client.verify(repair=True)
    assert {defect.what.partition(":")[0] for defect in found.defects if defect.is_repaired} == {"runs"}
    assert rows(path, "SELECT value FROM store_meta WHERE name = 'unused_pages'") == [(own,)]


async def test_an_index_on_a_sector_that_cannot_be_read_is_built_anew(path: Path) -> None:
    with dying_disk() as disk:
        disk.bad.add(root_of(path, "runs_by_owner"))
        async with Engine(SqliteStore(path, disk=disk), registry=registry(), works=False) as client:
            assert not (await client.verify()).is_sound
            await client.verify(repair=True)
            assert_only_unused_pages(await client.verify())


async def test_an_index_is_not_built_anew_of_a_damaged_table(path: Path) -> None:
    before = content_of(path)
    [(page,)] = rows(path, "SELECT max(pageno) FROM dbstat WHERE name = 'locks'")
    [(root,)] = rows(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'locks_held'")
    damaged = with_page(with_page(before, int(str(page)), GARBAGE), int(str(root)), GARBAGE)
    put(path, damaged)
    async with engine(path, works=False) as client:
        assert not (await client.verify(repair=True)).is_sound
    assert rows(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'locks_held'") == [(root,)]


async def fill(path: Path) -> None:
    """Have two tables that need more than a page."""
    async with engine(path, works=False) as client:
        run = await client.get_run("ends")
        for number in range(60):
            await client.schedules.create(f"{number:0100}", waits, when=Every(timedelta(days=1)))
            await run.signal(go, 1, request_id=f"{number:0100}")


def cut_root(path: Path, table: str) -> None:
    """Let the root of a table be an older page, that is as well formed and leads to half of the others."""
    content, root = bytearray(content_of(path)), root_of(path, table)
    begin = (root - 1) * 4096
    cells = int.from_bytes(content[begin + 3 : begin + 5])
    assert content[begin] == 2, "the root has children"
    content[begin + 3 : begin + 5] = (cells // 2).to_bytes(2)
    put(path, bytes(content))


def content_of(path: Path) -> bytes:
    """Return the bytes of a database that nobody has open, without a log beside it."""
    rows(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


def assert_only_unused_pages(found: Verification) -> None:
    """Assert that nothing is damaged, or left so, but that nothing leads to some pages."""
    left = [defect.what for defect in found.defects if not defect.is_repaired]
    assert left
    assert all(line.endswith(": never used") for line in left)
    assert not found.damaged


def root_of(path: Path, name: str) -> int:
    [(page,)] = rows(path, f"SELECT rootpage FROM sqlite_schema WHERE name = '{name}'")
    return int(str(page))


def put(path: Path, content: bytes) -> None:
    path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
    path.write_bytes(content)


def page_in(content: bytes, number: int) -> bytes:
    return content[(number - 1) * 4096 : number * 4096]


def with_page(content: bytes, number: int, page: bytes) -> bytes:
    begin = (number - 1) * len(page)
    return content[:begin] + page + content[begin + len(page) :]
