"""What is restored is what was there, or nothing is; and it takes no database's place that is open."""

import shutil
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import apsw
import msgspec
import pytest

from perdure.copies import points_in_time, restore
from perdure.errors import CopyDamagedError, StateError, StoreLockedError, UsageError
from perdure.kernel.time import Timestamp, timestamp_to_datetime
from perdure.stores.sqlite.contents import digest_of_contents
from perdure.stores.sqlite.copies import operations
from perdure.stores.sqlite.copies.parts import encode_part, read_part
from perdure.stores.sqlite.copies.points import read_contents
from perdure.stores.sqlite.copies.rebuilding import SKIPPED_NUMBERS, become_another, rebuild
from perdure.stores.sqlite.copies.unfinished import unfinished
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.locks import FileLock
from perdure.stores.sqlite.log import log_of
from tests.stores.sqlite.copies.live_database import (
    NOW,
    POINTS,
    create,
    files_in,
    opened,
    replicating,
    rows_of,
    runs_in,
)


def damage(path: Path, *, at: int = -40) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


async def test_the_newest_point_is_restored(original: Path, copy: Path, tmp_path: Path) -> None:
    restored = await restore(copy, tmp_path / "restored.db")
    assert restored.point == f"generation-000001/{POINTS - 1}"
    assert runs_in(tmp_path / "restored.db") == 3 * POINTS


async def test_a_point_in_time_is_the_last_one_taken_at_or_before_it(copy: Path, tmp_path: Path) -> None:
    points = await points_in_time(copy)
    assert len(points) == POINTS
    for number, point in enumerate(points):
        taken_at = timestamp_to_datetime(point.taken_at)
        for at in (taken_at, taken_at + timedelta(microseconds=1)):
            restored = await restore(copy, tmp_path / "restored.db", at=at, force=True)
            assert restored.taken_at == point.taken_at
            assert runs_in(tmp_path / "restored.db") == 3 * (number + 1)


async def test_before_the_oldest_point_there_is_none(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"the oldest point in .* is 2023-11-14T22:13"):
        await restore(copy, tmp_path / "restored.db", at=datetime(2020, 1, 1, tzinfo=UTC))
    assert not (tmp_path / "restored.db").exists()


async def test_a_restored_database_goes_on(copy: Path, tmp_path: Path) -> None:
    await restore(copy, tmp_path / "restored.db")
    async with opened(tmp_path / "restored.db") as session:
        await create(session, "later")
        assert [run.summary.ref.id for run in await session.claim(limit=1)]


async def test_sessions_and_keys_of_runs_are_none_that_were_there_before(
    original: Path, copy: Path, tmp_path: Path
) -> None:
    async with opened(original / "data.db") as session:
        lost = session.store.new_run_key()
        number = session.worker
    await restore(copy, tmp_path / "restored.db")
    async with opened(tmp_path / "restored.db") as session:
        assert session.worker >= number + SKIPPED_NUMBERS - 1
        assert session.store.new_run_key() > lost


async def test_but_for_the_numbers_of_sessions_all_rows_are_as_they_were(copy: Path, tmp_path: Path) -> None:
    await restore(copy, tmp_path / "restored.db")
    with closing(apsw.Connection(str(tmp_path / "restored.db"))) as connection:
        connection.execute("DELETE FROM store_meta WHERE name IN ('last_worker_id', 'restored_at')")
        found = digest_of_contents(connection)
    rebuild(copy, read_contents(copy).points[-1], tmp_path / "scratch.db", on_progress=_ignore)
    with closing(apsw.Connection(str(tmp_path / "scratch.db"))) as connection:
        connection.execute("DELETE FROM store_meta WHERE name = 'last_worker_id'")
        assert digest_of_contents(connection) == found


async def test_nothing_that_is_restored_twice_gives_out_the_same_names(copy: Path, tmp_path: Path) -> None:
    """Be it a second later, when the first has some sessions already; and be it of a copy of what was restored."""
    numbers: list[int] = []
    for number, source in enumerate([copy, copy, tmp_path / "again.db", tmp_path / "again.db"]):
        path, now = tmp_path / f"{number}.db", Timestamp(NOW + number * 1_000_000)
        operations.restore(source, path, at=None, is_forced=False, now=now, on_progress=_ignore)
        async with opened(path) as session:
            numbers.append(session.worker)
        if not number:
            operations.back_up(path, tmp_path / "again.db", is_forced=False, on_progress=_ignore)
    assert min(later - earlier for earlier, later in pairwise(sorted(numbers))) > 1_000


async def test_a_restored_database_goes_on_with_no_copy_of_the_original(copy: Path, tmp_path: Path) -> None:
    await restore(copy, tmp_path / "data.db")
    async with opened(tmp_path / "data.db"):
        with (
            pytest.raises(UsageError, match="holds copies of another database"),
            replicating(tmp_path / "data.db", copy),
        ):
            pass


async def test_so_it_does_when_the_clock_was_behind_as_it_was_restored(copy: Path, tmp_path: Path) -> None:
    longest_ago = Timestamp(1_000_000_000_000_000)
    operations.restore(copy, tmp_path / "data.db", at=None, is_forced=False, now=longest_ago, on_progress=_ignore)
    async with opened(tmp_path / "data.db"):
        with (
            pytest.raises(UsageError, match="holds copies of another database"),
            replicating(tmp_path / "data.db", copy),
        ):
            pass


async def test_a_database_that_has_come_to_be_meanwhile_is_not_replaced(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "restored.db"

    def late(database: Path, disk: Disk, *, now: Timestamp) -> None:
        become_another(database, disk, now=now)
        path.write_text("a database at work")

    monkeypatch.setattr(operations, "become_another", late)
    with pytest.raises(StateError, match="has come to be"):
        await restore(copy, path, force=True)
    assert path.read_text() == "a database at work"
    assert not {name for name in files_in(tmp_path) if name.startswith(".")}


async def test_what_killed_makers_of_copies_left_is_cleared_away_by_the_next(copy: Path, tmp_path: Path) -> None:
    for left in ("", "-wal", ".lock"):
        (tmp_path / f".monday.db.perdure-unfinished{left}").touch()
    await restore(copy, tmp_path / "restored.db")
    assert files_in(tmp_path) == {"copy", "restored.db"}


async def test_a_log_that_a_loss_of_power_has_left_is_not_taken_for_that_of_the_new_file(
    copy: Path, tmp_path: Path
) -> None:
    async with opened(tmp_path / "old.db") as session:
        await create(session, "old", runs=5)
        shutil.copyfile(log_of(tmp_path / "old.db"), tmp_path / ".restored.db.perdure-unfinished-wal")
    await restore(copy, tmp_path / "restored.db")
    assert runs_in(tmp_path / "restored.db") == 3 * POINTS
    assert not {name for name in files_in(tmp_path) if name.startswith(".")}


async def test_a_journal_that_a_killed_restoring_has_left_is_not_rolled_back_into_the_next_one(
    copy: Path, tmp_path: Path
) -> None:
    left = tmp_path / ".restored.db.perdure-unfinished"
    with closing(apsw.Connection(str(left))) as killed:
        killed.execute("CREATE TABLE pages (content)")
        killed.executemany("INSERT INTO pages VALUES (zeroblob(?))", [(3_000,)] * 20)
        killed.execute("PRAGMA cache_size = 5")
        killed.execute("BEGIN")
        killed.execute("UPDATE pages SET content = 1 || content")
        shutil.copyfile(f"{left}-journal", tmp_path / "journal")
    left.unlink()
    (tmp_path / "journal").rename(f"{left}-journal")
    await restore(copy, tmp_path / "restored.db")
    assert runs_in(tmp_path / "restored.db") == 3 * POINTS
    assert files_in(tmp_path) == {"copy", "restored.db"}


async def test_a_copy_that_another_tool_gave_a_journal_is_restored_with_a_log(copy: Path, tmp_path: Path) -> None:
    await restore(copy, tmp_path / "monday.db")
    with closing(apsw.Connection(str(tmp_path / "monday.db"))) as tool:
        assert tool.execute("PRAGMA journal_mode = DELETE").get == "delete"
    await restore(tmp_path / "monday.db", tmp_path / "restored.db")
    with closing(apsw.Connection(str(tmp_path / "restored.db"))) as connection:
        assert connection.execute("PRAGMA journal_mode").get == "wal"


async def test_what_gets_the_name_is_what_was_checked(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what is changed of it so that it is another database."""

    def spoil(database: Path, disk: Disk, *, now: Timestamp) -> None:
        become_another(database, disk, now=now)
        damage(database, at=4_096)

    monkeypatch.setattr(operations, "become_another", spoil)
    with pytest.raises(CopyDamagedError, match="Nothing was restored"):
        await restore(copy, tmp_path / "restored.db")
    assert files_in(tmp_path) == {"copy"}


async def test_files_of_other_programs_are_not_cleared_away(copy: Path, tmp_path: Path) -> None:
    others = {".thesis.unfinished", ".thesis.unfinished.lock", ".notes.unfinished-2026.md", ".a.perdure-unfinished.txt"}
    for name in others:
        (tmp_path / name).write_text("three years of work")
    await restore(copy, tmp_path / "restored.db")
    assert files_in(tmp_path) == {"copy", "restored.db", *others}


async def test_whoever_is_overtaken_by_one_who_clears_away_makes_the_file_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken: list[Path] = []

    class OvertakenLock(FileLock):
        def _try(self, mode: int) -> bool:
            if not overtaken:
                overtaken.append(self.path)
                self.path.unlink()
            return super()._try(mode)

    monkeypatch.setattr(f"{unfinished.__module__}.FileLock", OvertakenLock)
    with unfinished(tmp_path / "restored.db", LocalDisk()) as unnamed:
        assert files_in(tmp_path) == {overtaken[0].name}
        assert overtaken[0].name == f"{unnamed.name}.lock"
    assert files_in(tmp_path) == set()


async def test_two_do_not_make_the_same_file_at_once(copy: Path, tmp_path: Path) -> None:
    with unfinished(tmp_path / "restored.db", LocalDisk()) as unnamed:
        unnamed.touch()
        with pytest.raises(StoreLockedError, match="another process is making"):
            await restore(copy, tmp_path / "restored.db")
        await restore(copy, tmp_path / "another.db")
        assert unnamed.exists()


@pytest.mark.parametrize("damaged", range(1, POINTS))
async def test_a_damaged_increment_is_refused_and_the_newest_whole_point_before_it_named(
    copy: Path, tmp_path: Path, damaged: int
) -> None:
    points = await points_in_time(copy)
    damage(copy / "generation-000001" / f"{damaged:08d}.part")
    with pytest.raises(CopyDamagedError, match="Nothing was restored") as refused:
        await restore(copy, tmp_path / "restored.db")
    sound = timestamp_to_datetime(points[damaged - 1].taken_at).isoformat(timespec="microseconds")
    assert f"restore it with --at {sound}" in str(refused.value)
    assert files_in(tmp_path) == {"copy"}
    await restore(copy, tmp_path / "restored.db", at=datetime.fromisoformat(sound))
    assert runs_in(tmp_path / "restored.db") == 3 * damaged


@pytest.mark.parametrize("at", [0, 9, 14, 40, 400, -1])
async def test_no_byte_of_an_increment_may_change(copy: Path, tmp_path: Path, at: int) -> None:
    points = await points_in_time(copy)
    damage(copy / "generation-000001" / "00000002.part", at=at)
    with pytest.raises(CopyDamagedError, match=r"The newest point before it is 2023-.*increment 1\)"):
        await restore(copy, tmp_path / "restored.db")
    await restore(copy, tmp_path / "restored.db", at=timestamp_to_datetime(points[1].taken_at))
    assert runs_in(tmp_path / "restored.db") == 6


async def test_a_damaged_base_is_refused(copy: Path, tmp_path: Path) -> None:
    damage(copy / "generation-000001" / "base.db", at=9_000)
    with pytest.raises(CopyDamagedError, match=r"base\.db is damaged.* None before it is whole\."):
        await restore(copy, tmp_path / "restored.db")


async def test_a_missing_increment_is_not_passed_over_in_silence(copy: Path, tmp_path: Path) -> None:
    points = await points_in_time(copy)
    (copy / "generation-000001" / "00000003.part").unlink()
    for at in (None, timestamp_to_datetime(points[3].taken_at)):
        with pytest.raises(CopyDamagedError, match=r"00000003\.part is missing.*increment 2\)"):
            await restore(copy, tmp_path / "restored.db", at=at)
    await restore(copy, tmp_path / "restored.db", at=timestamp_to_datetime(points[2].taken_at))


async def test_an_increment_under_another_number_is_refused(copy: Path, tmp_path: Path) -> None:
    parts = copy / "generation-000001"
    shutil.copyfile(parts / "00000002.part", parts / "00000003.part")
    with pytest.raises(CopyDamagedError, match="the part of another number"):
        await restore(copy, tmp_path / "restored.db")


async def test_points_in_time_end_where_their_times_do_not_grow(copy: Path, tmp_path: Path) -> None:
    points = await points_in_time(copy)
    change(copy, 3, taken_at=points[1].taken_at)
    assert await points_in_time(copy) == points[:3]
    with pytest.raises(CopyDamagedError, match=r"00000003\.part was taken before the part that it follows"):
        await restore(copy, tmp_path / "restored.db")


async def test_a_point_is_not_taken_for_the_one_before_an_increment_that_does_not_follow_it(
    copy: Path, tmp_path: Path
) -> None:
    """Another's increment with a later time stands where the one was that was asked for."""
    points = await points_in_time(copy)
    later = Timestamp(points[3].taken_at + 1)
    change(copy, 3, taken_at=later, previous="00" * 32)
    with pytest.raises(CopyDamagedError, match=r"generation-000001/3 does not follow"):
        await restore(copy, tmp_path / "restored.db", at=timestamp_to_datetime(points[3].taken_at))


def change(copy: Path, number: int, **changes: object) -> None:
    """Let another increment stand in the place of one."""
    path = copy / "generation-000001" / f"{number:08d}.part"
    part = read_part(path)
    path.write_bytes(encode_part(msgspec.structs.replace(part.header, **changes), part.pages)[0])


async def test_an_increment_that_follows_another_one_is_refused(copy: Path, tmp_path: Path) -> None:
    part = read_part(copy / "generation-000001" / "00000002.part")
    header = msgspec.structs.replace(part.header, page_count=part.header.page_count + 1)
    data, _ = encode_part(header, part.pages)
    (copy / "generation-000001" / "00000002.part").write_bytes(data)
    with pytest.raises(CopyDamagedError, match=r"00000003\.part does not follow the part before it"):
        await restore(copy, tmp_path / "restored.db")


async def test_nothing_is_replaced_unasked(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "restored.db").write_text("precious")
    with pytest.raises(StateError, match="exists; nothing was changed"):
        await restore(copy, tmp_path / "restored.db")
    assert (tmp_path / "restored.db").read_text() == "precious"
    await restore(copy, tmp_path / "restored.db", force=True)
    assert runs_in(tmp_path / "restored.db") == 3 * POINTS


async def test_a_log_that_was_left_alone_is_not_taken_for_that_of_the_new_file(copy: Path, tmp_path: Path) -> None:
    async with opened(tmp_path / "restored.db") as session:
        await create(session, "old", runs=5)
    (tmp_path / "restored.db").unlink()
    assert log_of(tmp_path / "restored.db").exists()
    with pytest.raises(StateError, match=r"restored\.db-wal exists"):
        await restore(copy, tmp_path / "restored.db")
    await restore(copy, tmp_path / "restored.db", force=True)
    assert not log_of(tmp_path / "restored.db").exists()
    async with opened(tmp_path / "restored.db"):
        assert runs_in(tmp_path / "restored.db") == 3 * POINTS


async def test_a_database_that_is_open_is_not_replaced(copy: Path, tmp_path: Path) -> None:
    async with opened(tmp_path / "restored.db") as session:
        await create(session, "kept")
        before = rows_of(tmp_path / "restored.db")
        with pytest.raises(StoreLockedError, match="is open"):
            await restore(copy, tmp_path / "restored.db", force=True)
        assert rows_of(tmp_path / "restored.db") == before
    await restore(copy, tmp_path / "restored.db", force=True)


async def test_a_database_that_another_program_reads_is_not_replaced(copy: Path, tmp_path: Path) -> None:
    async with opened(tmp_path / "restored.db"):
        pass
    with closing(apsw.Connection(str(tmp_path / "restored.db"))) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM runs").get == 0
        with pytest.raises(StoreLockedError, match="is open"):
            await restore(copy, tmp_path / "restored.db", force=True)
    await restore(copy, tmp_path / "restored.db", force=True)


@pytest.mark.parametrize("content", [b"", b"no database at all", bytes(4096)])
async def test_a_file_that_is_no_copy_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(CopyDamagedError):
        await restore(tmp_path / "file", tmp_path / "restored.db")
    assert not (tmp_path / "restored.db").exists()


async def test_another_program_s_database_is_refused(tmp_path: Path) -> None:
    with closing(apsw.Connection(str(tmp_path / "other.db"))) as other:
        other.execute("CREATE TABLE mine (x)")
    with pytest.raises(CopyDamagedError, match="another program"):
        await restore(tmp_path / "other.db", tmp_path / "restored.db")


async def test_a_database_in_use_is_no_copy(original: Path, tmp_path: Path) -> None:
    async with opened(original / "data.db"):
        with pytest.raises(UsageError, match="a database in use"):
            await restore(original / "data.db", tmp_path / "restored.db")


@pytest.mark.parametrize(
    ("source", "target", "error"),
    [("nowhere", "restored.db", StateError), ("empty", "restored.db", StateError), ("copy", "no/folder.db", StateError),
     ("copy", "empty", StateError)],
)  # fmt: skip
async def test_a_place_that_is_not_there_is_named(
    copy: Path, tmp_path: Path, source: str, target: str, error: type[Exception]
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=r"there is no|does not exist|is a folder"):
        await restore(tmp_path / source, tmp_path / target)


def _ignore(_done: int, _total: int) -> None:
    pass
