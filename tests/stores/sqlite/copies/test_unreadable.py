"""A file of a copy that the disk cannot read is damaged: all that does not need it is still there."""

import re
from pathlib import Path

import pytest

from perdure.copies import points_in_time, restore
from perdure.errors import CopyDamagedError
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.copies.folder import CopyFolder
from perdure.stores.sqlite.copies.merging import Merging, Spacing
from perdure.stores.sqlite.copies.points import read_contents
from tests.stores.sqlite.copies.live_database import (
    PATIENT,
    SECOND,
    Trail,
    create,
    make_unreadable,
    opened,
    point_of,
    replicating,
)


async def follow(trail: Trail, rounds: int, *, prefix: str = "r") -> str:
    async with opened(trail.database, settings=PATIENT) as session:
        with replicating(trail.database, trail.target, settings=PATIENT) as replication:
            for number in range(rounds):
                await create(session, f"{prefix}{number}")
                trail.follow(replication)
    return point_of(replication)


async def test_what_was_before_an_unreadable_part_is_listed_and_restored(trail: Trail, tmp_path: Path) -> None:
    await follow(trail, 8)
    points = read_contents(trail.target).points
    make_unreadable(trail.target / "generation-000001" / "00000005.part")
    assert [point.time for point in await points_in_time(trail.target)] == [point.time for point in points[:5]]
    told = (
        f"00000005.part cannot be read: Input/output error. Nothing was restored. The newest point before it is "
        f"{points[4].name}"
    )
    with pytest.raises(CopyDamagedError, match=re.escape(told)):
        await restore(trail.target, tmp_path / "newest.db")
    restored = await restore(trail.target, tmp_path / "before.db", at=points[3].time)
    assert restored.point == "generation-000001/3"


async def test_an_unreadable_base_leaves_the_generation_before(trail: Trail, tmp_path: Path) -> None:
    await follow(trail, 3)
    sound = read_contents(trail.target).points[-2]
    (trail.target / "generation-000001" / "00000002.part").write_bytes(b"damaged")
    async with opened(trail.database):
        with replicating(trail.database, trail.target) as replication:
            replication.follow()
    make_unreadable(trail.target / "generation-000002" / "base.db")
    with pytest.raises(CopyDamagedError, match=re.escape(f"The newest point before it is {sound.name}")):
        await restore(trail.target, tmp_path / "newest.db")


@pytest.mark.parametrize("name", ["base.db", "00000000.part", "00000002.part", "00000004.part"])
async def test_whoever_comes_back_to_what_he_cannot_read_begins_a_new_base(trail: Trail, name: str) -> None:
    await follow(trail, 5)
    make_unreadable(trail.target / "generation-000001" / name)
    trail.rows = {}
    assert await follow(trail, 2, prefix="later") == "generation-000002/1"
    trail.check()


async def test_an_unreadable_part_concerns_no_later_generation(trail: Trail, tmp_path: Path) -> None:
    await follow(trail, 5)
    make_unreadable(trail.target / "generation-000001" / "00000002.part")
    await follow(trail, 3, prefix="later")
    restored = await restore(trail.target, tmp_path / "newest.db")
    assert restored.point == "generation-000002/2"


@pytest.mark.parametrize("is_read_first", [True, False])
async def test_what_is_beside_an_unreadable_part_is_merged_and_that_is_told(trail: Trail, is_read_first: bool) -> None:
    await follow(trail, 40)
    folder, victim = CopyFolder(trail.target), trail.target / "generation-000001" / "00000020.part"
    now = read_contents(trail.target).points[-1].taken_at
    merging = Merging(folder, folder._disk, spacings=[Spacing(0, 8 * SECOND)])
    if is_read_first:
        assert merging.step(now) is not None
    make_unreadable(victim)
    while merging.step(Timestamp(now + 99 * SECOND)) is not None:
        pass
    assert merging.trouble.startswith(f"{victim} cannot be read")
    merged = [file for file in folder.generations()[0].files() if file.first != file.last]
    assert merged[0].last < 20 < merged[-1].first
