"""The folder of a copy that follows: whose it is, what it holds, and what goes."""

import errno
import os
import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from perdure.errors import StoreFullError, StoreLockedError, StoreUnavailableError, UsageError
from perdure.stores.sqlite.copies import replication as replication_module
from perdure.stores.sqlite.copies.folder import CopyFolder
from perdure.stores.sqlite.copies.points import read_contents
from tests.stores.sqlite.copies.live_database import (
    PATIENT,
    SECOND,
    TickingClock,
    Trail,
    create,
    generations,
    opened,
    point_of,
    replicating,
)


@pytest.mark.parametrize("name", ["data.db-journal", "other.db-wal", "data.db.perdure", "data.db.perdure/copy"])
async def test_no_copy_is_kept_in_a_part_of_a_database(trail: Trail, tmp_path: Path, name: str) -> None:
    async with opened(trail.database):
        with (
            pytest.raises(UsageError, match=r"a part of the database|holds the lock files"),
            replicating(trail.database, tmp_path / name),
        ):
            pass
        assert not (tmp_path / name / "replicating.lock").exists()


async def test_the_folder_of_a_disk_that_is_mounted_late_goes_on_as_it_was_left(trail: Trail, tmp_path: Path) -> None:
    """What was copied before that lies on the disk below the place where it is mounted."""
    async with opened(trail.database, settings=PATIENT) as session:
        with replicating(trail.database, trail.target, settings=PATIENT) as replication:
            for round_ in range(8):
                await create(session, f"a{round_}")
                trail.follow(replication)
        trail.target.rename(tmp_path / "unmounted")
        with replicating(trail.database, trail.target, settings=PATIENT) as replication:
            for round_ in range(3):
                await create(session, f"b{round_}")
                replication.follow()
            trail.target.rename(tmp_path / "below")
            (tmp_path / "unmounted").rename(trail.target)
            await create(session, "c")
            trail.follow(replication)
            with (
                pytest.raises(StoreLockedError, match="another process replicates"),
                replicating(trail.database, trail.target),
            ):
                pass
            await create(session, "d")
            trail.follow(replication)
    assert list(trail.rows) == [f"generation-000001/{number}" for number in range(10)]
    trail.check()


async def test_a_folder_that_was_removed_is_made_again(trail: Trail) -> None:
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target) as replication:
            replication.follow()
            shutil.rmtree(trail.target)
            await create(session, "r")
            trail.follow(replication)
    trail.check()


@pytest.mark.parametrize("has_links", [True, False])
async def test_an_increment_that_somebody_else_wrote_is_not_replaced(
    trail: Trail, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    def refuse(*_paths: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr("os.link", refuse)
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target) as replication:
            await create(session, "a")
            trail.follow(replication)
            others = trail.target / "generation-000001" / "00000001.part"
            others.write_text("another's")
            await create(session, "b")
            trail.follow(replication)
    assert others.read_text() == "another's"
    assert point_of(replication) == "generation-000002/0"
    trail.check()


async def test_a_clock_that_is_wrong_for_a_moment_neither_removes_points_nor_keeps_all(
    trail: Trail,
) -> None:
    keep, step, moment, clock = 400 * SECOND, 20 * SECOND, 300_000_000 * SECOND, TickingClock()
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target, keep_seconds=400, every_seconds=20, clock=clock) as replication:

            async def go_on(rounds: int, prefix: str) -> None:
                for number in range(rounds):
                    clock.time += step
                    await create(session, f"{prefix}{number}")
                    trail.follow(replication)

            await go_on(40, "before")
            usual = generations(trail)
            clock.time += moment
            await go_on(1, "amid")
            assert replication.standing is not None
            assert replication.standing.error == ""
            clock.time -= moment
            await go_on(1, "after")
            assert "bears a time that has not come yet, 2033-" in replication.standing.error
            assert generations(trail) >= usual
            assert read_contents(trail.target).points[0].taken_at <= clock.time - keep
            newest = generations(trail)
            await go_on(120, "later")
            assert generations(trail) <= newest + 1
            assert int(CopyFolder(trail.target).generations()[0].name[-6:]) > newest


async def test_bases_that_were_too_many_become_fewer_once_they_have_expired(trail: Trail) -> None:
    clock = TickingClock()
    for number in range(14):  # the last who closes empties the log, so that each begins with a base
        async with opened(trail.database) as session:
            with replicating(trail.database, trail.target, keep_seconds=400, clock=clock) as replication:
                await create(session, f"many{number}")
                replication.follow()
    assert generations(trail) == 14
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target, keep_seconds=400, every_seconds=20, clock=clock) as replication:
            for number in range(60):
                clock.time += 20 * SECOND
                await create(session, f"{number}")
                trail.follow(replication)
    assert generations(trail) <= 6
    oldest = read_contents(trail.target).points[0]
    assert clock.time - 700 * SECOND < oldest.taken_at <= clock.time - 400 * SECOND


async def test_while_no_base_comes_none_goes_for_a_clock_that_is_wrong(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TickingClock()
    for number in range(6):
        async with opened(trail.database) as session:
            with replicating(trail.database, trail.target, clock=clock) as replication:
                await create(session, f"{number}")
                replication.follow()
    (trail.target / "generation-000006" / "base.db").write_bytes(b"damaged")

    def refuse(*_arguments: object) -> None:
        raise StoreFullError("planned")

    monkeypatch.setattr(replication_module, "demand_room", refuse)
    async with opened(trail.database):
        with replicating(trail.database, trail.target, keep_seconds=10_000, clock=clock) as replication:
            clock.time += 10**9 * SECOND
            for _ in range(100):  # in which as much time passes as between two tries
                with pytest.raises(StoreFullError):
                    replication.follow()
    assert generations(trail) == 6


async def test_another_s_folder_in_the_place_for_a_moment_is_a_round_that_failed(trail: Trail, tmp_path: Path) -> None:
    """The wrong disk is mounted, then the right one again."""
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    async with opened(trail.database, settings=PATIENT) as session, opened(tmp_path / "other.db"):
        with replicating(tmp_path / "other.db", wrong) as other:
            other.follow()
        left = sorted(wrong.rglob("*"))
        with replicating(trail.database, trail.target, settings=PATIENT) as replication:
            trail.follow(replication)
            trail.target.rename(right)
            wrong.rename(trail.target)
            for _ in range(2):
                with pytest.raises(StoreUnavailableError, match="holds copies of another database"):
                    replication.follow()
            trail.target.rename(wrong)
            right.rename(trail.target)
            await create(session, "later")
            trail.follow(replication)
    assert sorted(wrong.rglob("*")) == left
    assert list(trail.rows) == ["generation-000001/0", "generation-000001/1"]
    trail.check()


async def test_whose_a_folder_is_is_known_though_its_newest_base_is_damaged(trail: Trail, tmp_path: Path) -> None:
    async with opened(trail.database) as session, opened(tmp_path / "other.db"):
        with replicating(trail.database, trail.target) as replication:
            for number in range(2):
                await create(session, f"{number}")
                replication.follow()
        (trail.target / "generation-000001" / "00000000.part").write_bytes(b"damaged")
        left = trail.target / "unfinished-000002"
        left.mkdir()
        with (
            pytest.raises(UsageError, match="holds copies of another database"),
            replicating(tmp_path / "other.db", trail.target),
        ):
            pass
        assert left.exists()


async def test_one_replicates_into_a_folder(trail: Trail) -> None:
    async with opened(trail.database):
        with (
            replicating(trail.database, trail.target),
            pytest.raises(StoreLockedError, match="another process replicates"),
            replicating(trail.database, trail.target),
        ):
            pass
        with replicating(trail.database, trail.target):
            pass


async def test_a_folder_keeps_copies_of_one_database(trail: Trail, tmp_path: Path) -> None:
    async with opened(trail.database):
        with replicating(trail.database, trail.target) as replication:
            replication.follow()
    # Made at another time, by which databases are told apart.
    with closing(apsw.Connection(str(trail.database))) as connection:
        connection.execute("UPDATE schema_migrations SET applied_at = applied_at + 1")
    with pytest.raises(UsageError, match="another database"), replicating(trail.database, trail.target):
        pass


def test_what_a_disk_does_not_tell_for_a_moment_is_not_missing(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = Path.stat

    def fail(path: Path, **options: bool) -> os.stat_result:
        if path.name == "00000000.part":
            raise OSError(errno.EIO, "planned")
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", fail)
    with pytest.raises(OSError, match="planned"):
        CopyFolder(copy).generations()
