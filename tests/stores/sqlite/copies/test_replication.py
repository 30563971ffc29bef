"""A copy that follows: each point in time is the database as it was, and what cannot be told becomes a new base."""

import asyncio
import contextlib
import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from perdure.errors import CopyDamagedError, StoreFullError, StoreUnavailableError
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.connection import open_reading
from perdure.stores.sqlite.copies import bases, tail
from perdure.stores.sqlite.copies.expiry import Expiry
from perdure.stores.sqlite.copies.folder import CopyFolder
from perdure.stores.sqlite.copies.points import read_contents
from perdure.stores.sqlite.copies.rebuilding import choose_point
from perdure.stores.sqlite.copies.steady import SteadyClock
from perdure.stores.sqlite.disk import LocalDisk
from perdure.stores.sqlite.log import log_of
from perdure.torture.disks.failing import failing_disk
from tests.stores.sqlite.copies.live_database import (
    PATIENT,
    SECOND,
    SETTINGS,
    FailingTarget,
    TickingClock,
    Trail,
    create,
    generations,
    opened,
    point_of,
    replicating,
    rows_at,
    rows_of,
)


async def test_every_point_is_the_database_as_it_was_over_many_beginnings_of_the_log(trail: Trail) -> None:
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target) as replication:
            for round_ in range(30):
                await create(session, f"r{round_}", runs=3)
                trail.follow(replication)
    assert generations(trail) == 1
    assert len(trail.rows) == 30
    trail.check()


async def test_a_round_in_which_nothing_was_committed_adds_nothing(trail: Trail) -> None:
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target) as replication:
            await create(session, "r")
            trail.follow(replication)
            trail.follow(replication)
            assert len(read_contents(trail.target).points) == 1
            assert replication.standing is not None
            assert replication.standing.checked_at > replication.standing.taken_at


async def test_the_log_does_not_grow_for_the_copy(trail: Trail) -> None:
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target) as replication:
            trail.follow(replication)
            sizes = []
            for round_ in range(20):
                await create(session, f"r{round_}", runs=10)
                replication.follow()
                sizes.append(log_of(trail.database).stat().st_size)
    assert sizes[-1] == sizes[0]


async def test_a_slow_reader_holds_up_the_log_and_not_the_copy(trail: Trail) -> None:
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target) as replication:
            trail.follow(replication)
            with closing(open_reading(trail.database, settings=SETTINGS)) as reader:
                reader.execute("BEGIN")
                assert reader.execute("SELECT count(*) FROM runs").get == 0
                for round_ in range(5):
                    await create(session, f"r{round_}", runs=10)
                    trail.follow(replication)
            for round_ in range(5, 10):
                await create(session, f"r{round_}", runs=10)
                trail.follow(replication)
    assert generations(trail) == 1
    trail.check()


async def test_who_comes_back_soon_goes_on_with_the_same_base(trail: Trail) -> None:
    async with opened(trail.database, settings=PATIENT) as session:
        for round_ in range(3):
            await create(session, f"r{round_}")
            with replicating(trail.database, trail.target, settings=PATIENT) as replication:
                trail.follow(replication)
    assert generations(trail) == 1
    assert len(trail.rows) == 3
    trail.check()


@pytest.mark.parametrize("runs", [2, 3, 4, 20])
async def test_who_comes_back_after_the_log_was_begun_anew_makes_a_new_base(trail: Trail, runs: int) -> None:
    """A few runs are enough for one new beginning, with some of the old log not copied; many for several."""
    async with opened(trail.database) as session:
        for round_ in range(3):
            with replicating(trail.database, trail.target) as replication:
                trail.follow(replication)
            await create(session, f"r{round_}", runs=runs)
        with replicating(trail.database, trail.target) as replication:
            trail.follow(replication)
    assert generations(trail) > 1
    trail.check()


@pytest.mark.parametrize("dies", [False, True])
async def test_who_comes_back_goes_on_though_all_others_had_died(trail: Trail, *, dies: bool) -> None:
    """Whoever leaves last in good order takes the log with it: then there is nothing to go on from."""
    for round_ in range(3):
        async with opened(trail.database, settings=PATIENT) as session:
            await create(session, f"r{round_}")
            if dies:
                session.store.abandon()  # type: ignore[attr-defined]
        with replicating(trail.database, trail.target, settings=PATIENT) as replication:
            trail.follow(replication)
    assert (generations(trail) == 1) is dies
    trail.check()


async def test_an_older_state_of_the_same_database_is_noticed(trail: Trail, tmp_path: Path) -> None:
    older = tmp_path / "older.db"
    async with opened(trail.database, settings=PATIENT) as session:
        await create(session, "r")
        session.store.abandon()  # type: ignore[attr-defined]  # who closes in good order takes the log along
    shutil.copyfile(trail.database, older)
    shutil.copyfile(log_of(trail.database), log_of(older))
    async with opened(trail.database, settings=PATIENT) as session:
        await create(session, "later")
        with replicating(trail.database, trail.target, settings=PATIENT) as replication:
            trail.follow(replication)
        session.store.abandon()  # type: ignore[attr-defined]
    shutil.copyfile(older, trail.database)
    shutil.copyfile(log_of(older), log_of(trail.database))
    async with opened(trail.database, settings=PATIENT) as session:
        await create(session, "otherwise", runs=2)
        with replicating(trail.database, trail.target, settings=PATIENT) as replication:
            trail.follow(replication)
    assert generations(trail) == 2
    trail.check()


def damage(path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[-40] ^= 1
    path.write_bytes(damaged)


LOSSES = ["missing", "empty", "the last one damaged", "the first one damaged", "one amid them damaged"]


@pytest.mark.parametrize("loss", [*LOSSES, "damaged base", "missing base"])
async def test_a_copy_that_is_not_whole_is_not_gone_on_with(trail: Trail, loss: str) -> None:
    async with opened(trail.database, settings=PATIENT) as session:
        with replicating(trail.database, trail.target, settings=PATIENT) as replication:
            for round_ in range(4):
                await create(session, f"r{round_}")
                replication.follow()
        (generation,) = CopyFolder(trail.target).generations()
        match loss:
            case "missing":
                generation.part(2).unlink()
            case "missing base":
                generation.base.unlink()
            case "damaged base":
                damage(generation.base)
            case "empty":
                generation.part(1).write_bytes(b"")
            case "the first one damaged":
                generation.part(0).write_bytes(b"PERDCPY1")
            case "one amid them damaged":
                damage(generation.part(2))
            case _:
                damage(generation.part(3))
        with replicating(trail.database, trail.target) as replication:
            trail.follow(replication)
    assert generations(trail) == 2
    trail.check()


async def test_a_generation_whose_first_part_is_lost_is_damaged_until_its_time_is_over(trail: Trail) -> None:
    async with opened(trail.database) as session:
        for round_ in range(3):
            with replicating(trail.database, trail.target) as replication:
                for number in range(3):
                    await create(session, f"r{round_} {number}")
                    trail.follow(replication)
            newest = CopyFolder(trail.target).generations()[-1]
            newest.part(2 if round_ == 0 else 0).unlink()
            del trail.rows[f"{newest.name}/2"]
            if round_ > 0:
                del trail.rows[f"{newest.name}/0"], trail.rows[f"{newest.name}/1"]
    trail.check()
    folder = CopyFolder(trail.target)
    assert [generation.is_whole for generation in folder.generations()] == [True, False, False]
    contents = read_contents(trail.target)
    assert len(contents.points) == 2
    assert "00000000.part is missing" in contents.breaks[2]
    with pytest.raises(CopyDamagedError, match=r"00000000\.part is missing"):
        choose_point(trail.target, at=None)
    with replicating(trail.database, trail.target) as replication:
        trail.follow(replication)
        assert replication.standing is not None
        later = replication.standing.taken_at
    assert generations(trail) == 4
    ticking = TickingClock()
    ticking.time = later + 1_000 * SECOND
    clock = SteadyClock(ticking, every_microseconds=SECOND)
    clock.go_on_from(Timestamp(later + 1_000 * SECOND), seen_at=later)
    Expiry(folder, LocalDisk(), clock, keep_microseconds=0).make_room()
    assert [generation.is_whole for generation in folder.generations()] == [True]


@pytest.mark.parametrize("failure", ["fails_to_write", "fails_to_sync", "fails_to_sync_folder"])
async def test_what_a_failing_target_did_not_take_comes_with_the_next_increment(trail: Trail, failure: str) -> None:
    disk = FailingTarget()
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target, disk=disk) as replication:
            trail.follow(replication)
            setattr(disk, failure, True)
            sizes = []
            for round_ in range(12):
                await create(session, f"r{round_}", runs=4)
                error = StoreFullError if failure == "fails_to_write" else StoreUnavailableError
                with pytest.raises(error):
                    replication.follow()
                assert replication.standing is not None
                assert "planned" in replication.standing.error
                sizes.append(log_of(trail.database).stat().st_size)
            assert sizes[-1] == sizes[0]
            setattr(disk, failure, False)
            trail.follow(replication)
            assert replication.standing is not None
            assert replication.standing.error == ""
    assert generations(trail) == 1
    assert [point.number for point in read_contents(trail.target).points] == [0, 1]
    trail.check()


async def test_a_base_that_could_not_be_made_leaves_nothing(trail: Trail) -> None:
    disk = FailingTarget()
    disk.fails_to_sync_folder = True
    async with opened(trail.database):
        with replicating(trail.database, trail.target, disk=disk) as replication:
            with pytest.raises(StoreUnavailableError):
                replication.follow()
            assert list(trail.target.glob("generation-*")) == []
            disk.fails_to_sync_folder = False
            trail.follow(replication)
    trail.check()


async def test_what_another_program_writes_is_copied_too(trail: Trail) -> None:
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target) as replication:
            trail.follow(replication)
            with closing(apsw.Connection(str(trail.database))) as other:
                for round_ in range(5):
                    other.execute("UPDATE store_meta SET value = value + 1")
                    await create(session, f"r{round_}", runs=4)
                    trail.follow(replication)
                for _ in other.execute("VACUUM"):
                    pass
                trail.follow(replication)
    assert generations(trail) == 1
    trail.check()


async def test_what_is_not_durable_yet_is_not_copied(trail: Trail) -> None:
    """Its frames are in the log, whole and with their checksums; that they are synced nobody has said."""
    with failing_disk() as disk:
        async with opened(trail.database, disk=disk) as session:
            await create(session, "kept")
            with replicating(trail.database, trail.target) as replication:
                trail.follow(replication)
                disk.after = True
                disk.plan("sync log", first=1, length=1_000_000)
                committing = asyncio.create_task(create(session, "unknown"))
                await disk.has_failed(1)
                trail.follow(replication)
                disk.heal()
                with pytest.raises(StoreUnavailableError):
                    await committing
                await create(session, "later")
                trail.follow(replication)
    assert len(trail.rows) == 2
    trail.check()


async def test_old_bases_go_when_no_point_needs_them(trail: Trail) -> None:
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target, keep_seconds=40) as replication:
            for round_ in range(60):
                await create(session, f"r{round_}")
                replication.follow()
                trail.rows.clear()
                trail.rows[point_of(replication)] = rows_of(trail.database)
                assert generations(trail) <= 6
    points = read_contents(trail.target).points
    assert points[-1].taken_at - points[0].taken_at >= 40 * SECOND
    assert points[0].generation != "generation-000001"
    trail.check()


async def test_a_base_that_its_increments_have_outgrown_is_followed_by_another(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases, "_INCREMENTS_PER_BASE", 0)
    monkeypatch.setattr(bases, "_LEAST_INCREMENTS_BYTES", 10_000)
    async with opened(trail.database) as session:
        for begin in range(2):
            with replicating(trail.database, trail.target) as replication:
                for round_ in range(10):
                    await create(session, f"r{begin}-{round_}", runs=2)
                    replication.follow()
    assert generations(trail) > 2
    sizes = [
        generation.size_bytes() - generation.base.stat().st_size
        for generation in CopyFolder(trail.target).generations()
    ]
    assert max(sizes) < 20_000


async def test_while_another_base_cannot_be_made_increments_go_on(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(trail.database, settings=PATIENT) as session:
        with replicating(trail.database, trail.target, settings=PATIENT, keep_seconds=100) as replication:
            trail.follow(replication)
            monkeypatch.setattr(bases, "copy_whole", fail)
            for round_ in range(30):
                await create(session, f"r{round_}")
                trail.follow(replication)
                assert point_of(replication) == f"generation-000001/{round_ + 1}"
            assert replication.standing is not None
            assert "generation-000001 goes on" in replication.standing.error
            assert "planned" in replication.standing.error
            assert replication.standing.checked_at >= replication.standing.taken_at - SECOND
            monkeypatch.undo()
            while replication.standing.error:
                trail.follow(replication)
    assert generations(trail) == 2
    trail.check()


async def test_a_base_that_failed_while_the_clock_was_ahead_is_tried_again_soon(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, ahead = TickingClock(), 10**7 * SECOND
    async with opened(trail.database, settings=PATIENT):
        with replicating(trail.database, trail.target, settings=PATIENT, keep_seconds=100, clock=clock) as replication:
            replication.follow()
            clock.time += ahead
            with monkeypatch.context() as full:
                full.setattr(bases, "copy_whole", fail)
                replication.follow()
            clock.time -= ahead
            for _ in range(25):
                replication.follow()
    assert generations(trail) > 1


async def test_while_another_base_is_made_a_clock_that_is_set_back_holds_nothing_up(trail: Trail) -> None:
    clock = TickingClock()
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target, clock=clock) as replication:
            trail.follow(replication)
            await create(session, "later")
            clock.time -= 10**7 * SECOND
            for _ in range(2):
                replication._go_on()
    assert [point.number for point in read_contents(trail.target).points] == [0, 1]


async def test_while_another_base_is_made_what_is_committed_is_added_to_the_one_before(
    trail: Trail, tmp_path: Path
) -> None:
    """The newest point is never older than an interval, whenever somebody looks; then the new base takes over."""
    amid: list[tuple[str, bytes]] = []

    def look_and_write(_done: int, _total: int) -> None:
        if generations(trail):
            with closing(apsw.Connection(str(trail.database))) as other:
                other.execute("UPDATE store_meta SET value = value + 1")
            rows = rows_of(trail.database)
            replication._go_on()
            newest = read_contents(trail.target).points[-1]
            amid.append((newest.generation, rows_at(trail.target, newest, tmp_path / "amid.db")))
            assert amid[-1][1] == rows

    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target, keep_seconds=40) as replication:
            replication._on_progress = look_and_write  # type: ignore[misc]
            for round_ in range(12):
                await create(session, f"r{round_}", runs=2)
                trail.follow(replication)
    assert len(amid) > 2
    assert {generation for generation, _ in amid} >= {"generation-000001", "generation-000002"}
    points = read_contents(trail.target).points
    assert [point.taken_at for point in points] == sorted({point.taken_at for point in points})
    trail.rows = {name: rows for name, rows in trail.rows.items() if name.partition("/")[0] in str(points)}
    trail.check()


async def test_without_room_for_another_base_what_has_expired_goes_all_the_same(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target, keep_seconds=40) as replication:
            for round_ in range(20):
                await create(session, f"r{round_}")
                replication.follow()
            assert generations(trail) > 2
            usage = shutil.disk_usage(trail.target)
            monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
            for round_ in range(20):
                await create(session, f"s{round_}")
                trail.follow(replication)
            assert replication.standing is not None
            assert "0.0 MB free" in replication.standing.error
    assert generations(trail) == 1
    names = {f"{point.generation}/{point.number}" for point in read_contents(trail.target).points}
    trail.rows = {name: rows for name, rows in trail.rows.items() if name in names}
    trail.check()


async def test_a_base_that_is_given_up_leaves_the_one_before_as_it_is(trail: Trail) -> None:
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target, keep_seconds=40) as replication:
            trail.follow(replication)
            for round_ in range(8):
                await create(session, f"r{round_}", runs=2)
                replication._on_progress = stop  # type: ignore[misc]
                with contextlib.suppress(KeyboardInterrupt):
                    replication.follow()
                replication._on_progress = lambda _done, _total: None  # type: ignore[misc]
                await create(session, f"s{round_}", runs=2)
                replication.follow(renews=False)
                trail.rows[f"generation-000001/{len(read_contents(trail.target).points) - 1}"] = rows_of(trail.database)
    assert generations(trail) == 1
    assert not [*trail.target.glob("unfinished*")]
    trail.check()


async def test_a_base_that_lost_track_is_made_again_at_once(trail: Trail) -> None:
    """Other programs have cut the log off and begun it anew: by its salts nobody can tell whether only once."""
    bases_begun: list[int] = []

    def begin_log_anew(done: int, total: int) -> None:
        if done == total:
            bases_begun.append(total)
        if bases_begun == [total]:
            with closing(apsw.Connection(str(trail.database))) as other:
                other.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                other.execute("SELECT count(*) FROM runs").fetchall()
                other.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_TRUNCATE)
            with closing(apsw.Connection(str(trail.database))) as another:
                another.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                another.execute("UPDATE store_meta SET value = value + 1")

    async with opened(trail.database, settings=PATIENT) as session:
        await create(session, "r")
        with closing(apsw.Connection(str(trail.database))) as other:
            other.execute("SELECT count(*) FROM runs").fetchall()
            other.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_PASSIVE)
        with replicating(trail.database, trail.target, settings=PATIENT) as replication:
            replication._on_progress = begin_log_anew  # type: ignore[misc]
            trail.follow(replication)
    assert len(bases_begun) == 2
    trail.check()


async def test_more_than_an_increment_holds_is_added_in_several(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MOST_PAGES", 16)
    async with opened(trail.database, settings=PATIENT) as session:
        with replicating(trail.database, trail.target, settings=PATIENT) as replication:
            trail.follow(replication)
            await create(session, "r", runs=100)
            trail.follow(replication)
            assert int(point_of(replication).partition("/")[2]) > 1
    assert generations(trail) == 1
    trail.check()


async def test_points_are_told_apart_though_the_clock_is_set_back(trail: Trail) -> None:
    async with opened(trail.database) as session:
        for begin in range(2):
            clock = TickingClock()
            with replicating(trail.database, trail.target, clock=clock) as replication:
                for round_ in range(4):
                    clock.time -= 3_600 * SECOND
                    await create(session, f"{begin}-{round_}")
                    trail.follow(replication)
    taken_at = [point.taken_at for point in read_contents(trail.target).points]
    assert taken_at == sorted(set(taken_at))
    trail.check()


async def test_a_log_that_was_begun_anew_is_pressed_as_soon_as_it_is_long(trail: Trail) -> None:
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target) as replication:
            trail.follow(replication)
            pressed = []
            for round_ in range(100):
                await create(session, f"r{round_}")
                if replication.is_pressed:
                    pressed.append(replication._tail.end().frames)
                    replication.follow()
    # The first may still be the log in which the tables were made, which is long.
    assert max(pressed[1:]) < 4 * SETTINGS.checkpoint_pages


def stop(_done: int, _total: int) -> None:
    raise KeyboardInterrupt


def fail(*_arguments: object, **_options: object) -> None:
    raise OSError(5, "planned")


async def test_a_target_without_room_for_a_base_does_not_hold_up_the_log(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FailingTarget()
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target, disk=disk) as replication:
            trail.follow(replication)
            disk.fails_to_write = True
            usage = shutil.disk_usage(trail.target)
            monkeypatch.setattr(tail, "MOST_PAGES", 20)
            monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
            sizes = []
            for round_ in range(15):
                await create(session, f"r{round_}", runs=10)
                with pytest.raises(StoreFullError):
                    replication.follow()
                sizes.append(log_of(trail.database).stat().st_size)
            assert sizes[-1] == sizes[2]
            monkeypatch.undo()
            disk.fails_to_write = False
            trail.follow(replication)
    trail.check()


def test_there_must_be_a_database(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreUnavailableError, match="there is no database"),
        replicating(tmp_path / "data.db", tmp_path / "copy"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
