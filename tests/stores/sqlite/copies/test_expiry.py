"""Nothing that is to be kept goes because something is damaged, cannot be read, or because a clock is wrong."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import msgspec
import pytest

from perdure.copies import restore
from perdure.errors import CopyDamagedError, StoreCorruptError, StoreUnavailableError
from perdure.kernel.time import Timestamp, timestamp_to_datetime
from perdure.stores.sqlite.copies.expiry import Expiry
from perdure.stores.sqlite.copies.folder import CopyFolder
from perdure.stores.sqlite.copies.parts import encode_part
from perdure.stores.sqlite.copies.points import Point, read_contents
from perdure.stores.sqlite.copies.steady import SteadyClock
from perdure.stores.sqlite.disk import LocalDisk
from tests.damaging import lose_page
from tests.stores.sqlite.copies.live_database import (
    PATIENT,
    SECOND,
    TickingClock,
    Trail,
    create,
    generations,
    make_unreadable,
    opened,
    replicating,
    runs_in,
)

KEEP_SECONDS = 400
DAY, NIGHT = 15, 120 * SECOND


async def follow(trail: Trail, clock: TickingClock, rounds: int) -> None:
    async with opened(trail.database, settings=PATIENT) as session:
        with replicating(
            trail.database, trail.target, keep_seconds=KEEP_SECONDS, settings=PATIENT, clock=clock
        ) as replication:
            for _ in range(rounds):
                await create(session, f"at {clock.time}")
                replication.follow()


def points_in(folder: Path) -> set[tuple[str, int]]:
    return {(point.generation, point.number) for point in read_contents(folder).points}


def point_name(point: Point) -> str:
    return f"{point.generation}/{point.number}"


def change(part: Path, old: bytes, new: bytes) -> None:
    """Flip bits of what a part says of itself."""
    data = part.read_bytes()
    assert old in data
    part.write_bytes(data.replace(old, new))


@contextmanager
def unreadable_parts(folder: Path) -> Iterator[None]:
    """Let no part be readable for a moment."""
    parts = {part: part.read_bytes() for part in folder.rglob("*.part")}
    for part in parts:
        make_unreadable(part)
    yield
    for part, data in parts.items():
        part.unlink()
        part.write_bytes(data)


@pytest.mark.parametrize(
    ("victim", "old", "new"), [(-1, b'"steady_at":1', b'"steady_at":9'), (0, b'_at":17', b'_at":15')]
)
async def test_no_point_goes_for_bits_of_a_time_that_were_flipped(
    trail: Trail, victim: int, old: bytes, new: bytes
) -> None:
    """The newest part says that it is of the year 2255, or the base of that generation that it is of 2017."""
    clock = TickingClock()
    await follow(trail, clock, 110)
    newest = CopyFolder(trail.target).generations()[-1]
    assert generations(trail) == 3
    damaged = newest.files()[victim]
    known = {point for point in points_in(trail.target) if victim or point[0] != newest.name}
    change(damaged.path, old, new)
    await follow(trail, clock, 8)
    assert generations(trail) == 4
    assert points_in(trail.target) >= known - {(newest.name, damaged.last)}


@pytest.mark.parametrize("generation", [0, -1])
async def test_no_later_point_is_hidden_or_misdated_for_a_bit_of_a_time_that_was_flipped(
    trail: Trail, tmp_path: Path, generation: int
) -> None:
    """The last part of a generation says that it is of the year 2277."""
    clock = TickingClock()
    await follow(trail, clock, 110)
    damaged = CopyFolder(trail.target).generations()[generation]
    known = points_in(trail.target) - {(damaged.name, damaged.files()[-1].last)}
    change(damaged.files()[-1].path, b'"taken_at":1', b'"taken_at":9')
    await follow(trail, clock, 3)
    contents = read_contents(trail.target)
    assert points_in(trail.target) > known
    assert contents.points[-1].taken_at <= clock.time
    assert [what for what in contents.breaks.values() if damaged.files()[-1].path.name in what]
    assert (await restore(trail.target, tmp_path / "restored.db")).point == point_name(contents.points[-1])


async def test_no_point_goes_for_parts_that_cannot_be_read_for_a_moment(trail: Trail) -> None:
    """Of a machine that is on by day, so that its points are younger than the clock says."""
    clock = TickingClock()
    for _ in range(6):
        await follow(trail, clock, DAY)
        clock.time += NIGHT
    known = points_in(trail.target)
    with unreadable_parts(trail.target):
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="no part of a copy that can be read now"):
                await follow(trail, clock, 1)
    assert points_in(trail.target) == known
    await follow(trail, clock, 1)
    assert points_in(trail.target) > known


async def test_another_database_is_refused_also_while_no_part_can_be_read(trail: Trail, tmp_path: Path) -> None:
    await follow(trail, TickingClock(), 3)
    known = points_in(trail.target)
    async with opened(tmp_path / "other.db"):
        with (
            unreadable_parts(trail.target),
            pytest.raises(StoreUnavailableError),
            replicating(tmp_path / "other.db", trail.target),
        ):
            pass
    assert points_in(trail.target) == known


@pytest.mark.parametrize(("ahead", "steady_ahead", "left"), [(0, 0, 4), (9, 0, 4), (0, 9, 4), (9, 9, 1)])
async def test_a_generation_goes_when_a_later_one_is_old_by_both_clocks(
    trail: Trail, ahead: int, steady_ahead: int, left: int
) -> None:
    clock = TickingClock()
    for _ in range(4):
        await follow(trail, clock, 2)
    steady = SteadyClock(clock, every_microseconds=SECOND)
    steady.go_on_from(Timestamp(clock.time + steady_ahead * KEEP_SECONDS * SECOND), seen_at=Timestamp(clock.time))
    clock.time += ahead * KEEP_SECONDS * SECOND
    Expiry(CopyFolder(trail.target), LocalDisk(), steady, keep_microseconds=KEEP_SECONDS * SECOND).make_room()
    assert generations(trail) == left


@pytest.mark.parametrize(
    ("lacking", "damaged", "left"),
    [
        ({}, {}, [4]),
        ({4}, {}, [3, 4]),
        ({3, 4}, {}, [2, 4]),
        ({2}, {}, [4]),
        ({1, 2, 3, 4}, {}, [4]),
        ({4}, {3}, [2, 3, 4]),
    ],
)
async def test_a_base_with_lost_pages_lets_none_without_go_but_those_before_the_last(
    trail: Trail, lacking: set[int], damaged: set[int], left: list[int]
) -> None:
    """Rows may have been on these: the last base without is the one to which they can be restored."""
    clock = TickingClock()
    for _ in range(4):
        await follow(trail, clock, 2)
    for number, generation in enumerate(CopyFolder(trail.target).generations(), 1):
        header = msgspec.structs.replace(generation.begun(), lost_pages=int(number in lacking))
        generation.part(0).write_bytes(b"damaged" if number in damaged else encode_part(header, {})[0])
    steady = SteadyClock(clock, every_microseconds=SECOND)
    clock.time += 9 * KEEP_SECONDS * SECOND
    steady.go_on_from(Timestamp(clock.time), seen_at=Timestamp(clock.time))
    Expiry(CopyFolder(trail.target), LocalDisk(), steady, keep_microseconds=KEEP_SECONDS * SECOND).make_room()
    assert [int(each.name.rpartition("-")[2]) for each in CopyFolder(trail.target).generations()] == left


async def test_a_base_says_how_many_pages_are_lost_of_its_database(
    trail: Trail, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = TickingClock()
    await follow(trail, clock, 1)
    lose_page(trail.database)
    await follow(trail, clock, 1)
    assert [each.begun().lost_pages for each in CopyFolder(trail.target).generations()] == [0, 1]
    assert [record.message for record in caplog.records if f"of {trail.database}: pages that are" in record.message]
    [damaged] = (await restore(trail.target, tmp_path / "restored.db")).damaged
    assert "pages that are never used: 1" in damaged


async def test_a_database_that_nobody_could_open_makes_no_base_and_its_points_are_named(
    trail: Trail, tmp_path: Path
) -> None:
    """Who has it open works on, by the schema that he has in memory."""
    clock = TickingClock()
    async with opened(trail.database, settings=PATIENT) as session:
        with replicating(
            trail.database, trail.target, keep_seconds=KEEP_SECONDS, settings=PATIENT, clock=clock
        ) as replication:
            await create(session, "before")
            trail.follow(replication)
            rename_column(trail.database)
            await create(session, "since")
            trail.follow(replication)
            clock.time += 3 * KEEP_SECONDS * SECOND
            trail.follow(replication)
            assert replication.standing is not None
            assert "new base could not be made: " in replication.standing.error
            assert "there is no locks.requested_at" in replication.standing.error
    assert generations(trail) == 1
    trail.check()
    restored, sound = tmp_path / "restored.db", read_contents(trail.target).points[0]
    with pytest.raises(CopyDamagedError, match=r"there is no locks\.requested_at.* an earlier point.*Nothing was"):
        await restore(trail.target, restored)
    assert not (await restore(trail.target, restored, at=timestamp_to_datetime(sound.taken_at))).damaged
    assert runs_in(restored) == 1
    [damaged] = (await restore(trail.target, restored, force=True, accepts_damaged=True)).damaged
    assert (runs_in(restored), "there is no locks.requested_at" in damaged) == (2, True)


async def test_a_database_that_nobody_could_open_makes_no_first_base(trail: Trail) -> None:
    async with opened(trail.database):
        pass
    rename_column(trail.database)
    with (
        replicating(trail.database, trail.target) as replication,
        pytest.raises(StoreCorruptError, match=r"there is no locks\.requested_at"),
    ):
        replication.follow()
    assert not generations(trail)


def rename_column(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as other:
        other.execute("PRAGMA writable_schema = 1")
        other.execute("UPDATE sqlite_schema SET sql = replace(sql, 'requested_at', 'requusted_at')")


async def test_what_is_before_a_damaged_base_stays_until_a_sound_one_is_old(trail: Trail) -> None:
    clock = TickingClock()
    for _ in range(4):
        await follow(trail, clock, DAY)
    CopyFolder(trail.target).generations()[-1].part(0).write_bytes(b"damaged")
    for wrong in (10**6 * SECOND, -(10**6) * SECOND):
        clock.time += wrong
        await follow(trail, clock, 1)
    assert generations(trail) == 6
    await follow(trail, clock, 220)
    first, *_ = CopyFolder(trail.target).generations()
    assert first.name > "generation-000004"
    assert first.begun().begun_at <= clock.time - KEEP_SECONDS * SECOND
