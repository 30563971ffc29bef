"""Older points in time go, so that a folder does not fill up with files; those that stay are what they were."""

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from perdure.copies import restore
from perdure.errors import CopyDamagedError, StateError
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.copies import points
from perdure.stores.sqlite.copies.folder import CopyFolder, Generation, PartFile
from perdure.stores.sqlite.copies.merging import (
    MOST_MERGED_PAGES,
    SPACINGS,
    Candidate,
    Merging,
    Spacing,
    due_groups,
)
from perdure.stores.sqlite.copies.parts import Part, read_part
from perdure.stores.sqlite.copies.points import Point, read_contents
from perdure.stores.sqlite.copies.rebuilding import rebuild
from perdure.stores.sqlite.copies.replication import Replication
from perdure.stores.sqlite.disk import LocalDisk
from tests.stores.sqlite.copies.live_database import (
    PATIENT,
    SECOND,
    FailingTarget,
    TickingClock,
    create,
    opened,
    point_of,
    replicating,
    rows_at,
    rows_of,
)

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
NEVER = (Spacing(10**18, SECOND),)
SOON = (Spacing(0, 8 * SECOND), Spacing(40 * SECOND, 32 * SECOND))
NOW = Timestamp(1_700_000_000 * SECOND)
NOWHERE = Path("a part that no test reads")


# --- which -----------------------------------------------------------------------------------------------------------


def candidate(number: int, taken_at: int, *, pages: int = 1, steady_at: int | None = None) -> Candidate:
    steady = Timestamp(taken_at if steady_at is None else steady_at)
    file = PartFile(number, number, NOWHERE)
    return Candidate(file=file, taken_at=Timestamp(taken_at), steady_at=steady, pages=pages)


def merged(group: Sequence[Candidate]) -> Candidate:
    file = PartFile(group[0].file.first, group[-1].file.last, group[-1].file.path)
    return group[-1]._replace(file=file, pages=sum(each.pages for each in group))


def after_a_pass(candidates: list[Candidate], *, now: int, most_pages: int = MOST_MERGED_PAGES) -> list[Candidate]:
    groups = list(due_groups(candidates, now=Timestamp(now), spacings=SPACINGS, most_pages=most_pages))
    gone = {each.file for group in groups for each in group}
    return sorted([*(each for each in candidates if each.file not in gone), *map(merged, groups)])


def test_by_default_a_point_each_second_for_seven_days_leaves_a_few_thousand_files() -> None:
    every_second = [candidate(number, NOW + number * SECOND) for number in range(7 * 24 * 3_600)]
    now = every_second[-1].taken_at
    left = after_a_pass(every_second, now=now)
    assert len(left) < 6_000
    assert sum(each.taken_at > now - HOUR for each in left) == 3_600
    gaps = [(now - later.taken_at, later.taken_at - earlier.taken_at) for earlier, later in pairwise(left)]
    assert max(gap for age, gap in gaps if age < 24 * HOUR - 10 * MINUTE) == MINUTE
    assert max(gap for _, gap in gaps) == 10 * MINUTE


def test_at_no_time_there_are_more_files_than_at_the_end() -> None:
    """As it goes on in real life: each minute is merged when its time has come, not all at the end."""
    left: list[Candidate] = []
    most = 0
    for second in range(0, 26 * 3_600, 10):
        left.append(candidate(second // 10, NOW + second * SECOND))
        if second % 60 == 0:
            left = after_a_pass(left, now=NOW + second * SECOND)
        most = max(most, len(left))
    assert most <= 360 + 6 + 24 * 60 + 10 + 2 * 6


def test_a_time_is_merged_once_when_all_of_it_is_old_enough() -> None:
    begun = NOW - NOW % (10 * MINUTE)
    parts = [candidate(number, begun + number * SECOND) for number in range(60)]
    assert after_a_pass(parts, now=begun + MINUTE + HOUR - 1) == parts
    assert len(after_a_pass(parts, now=begun + MINUTE + HOUR)) == 1


def test_what_is_merged_fits_into_memory() -> None:
    parts = [candidate(number, NOW + number, pages=3) for number in range(10)]
    left = after_a_pass(parts, now=NOW + 2 * HOUR, most_pages=7)
    assert [each.pages for each in left] == [6] * 5
    assert after_a_pass(left, now=NOW + 2 * HOUR, most_pages=7) == left


def test_what_does_not_follow_is_not_merged() -> None:
    parts = [candidate(number, NOW + number) for number in (1, 2, 4, 6, 7)]
    assert [each.file[:2] for each in after_a_pass(parts, now=NOW + 2 * HOUR)] == [(1, 2), (4, 4), (6, 7)]


def test_a_clock_that_is_set_makes_nothing_old_and_no_minute_long() -> None:
    """By a day ahead, and back; and by a day behind, so that points follow each other by microseconds."""
    day, every = 24 * HOUR, 10 * SECOND
    left: list[Candidate] = []
    taken_at = int(NOW)
    for number, steady in enumerate(range(NOW, NOW + 3 * day, every)):
        wrong = {10: day, 30: -day}.get((steady - NOW) // HOUR, 0)
        taken_at = max(taken_at + 1, steady + wrong)
        left.append(candidate(number, taken_at, steady_at=steady))
        if number % 60 == 0:
            left = after_a_pass(left, now=steady)
            assert len(left) < 360 + 60 + 24 * 60 + 2 * 24 * 6 + 30
            ages = [
                (steady - later.steady_at, later.steady_at - earlier.steady_at) for earlier, later in pairwise(left)
            ]
            assert all(gap == every for age, gap in ages if age < HOUR - every)
            assert all(gap <= 2 * MINUTE for age, gap in ages if age < day - 10 * MINUTE)
            assert all(gap <= 20 * MINUTE for _, gap in ages)


def test_points_of_one_time_are_one_however_often_that_is_asked() -> None:
    """Looks are late now and then, so that steady time falls behind, and the clock is set back a little."""
    taken_at, steady, parts = int(NOW), int(NOW), []
    for number in range(2_000):
        taken_at += (7 + number % 5 - (number % 97 == 0) * 6) * SECOND
        steady += min(7 + number % 5, 10) * SECOND
        parts.append(candidate(number, taken_at, steady_at=steady))
    once = after_a_pass(parts, now=steady + HOUR)
    assert len(once) < 2_000 / 3
    assert after_a_pass(once, now=steady + HOUR) == once


# --- how -------------------------------------------------------------------------------------------------------------


class Trail:
    """A copy of many points, and what the rows were at each."""

    def __init__(self, place: Path) -> None:
        self.database, self.target, self.scratch = place / "data.db", place / "copy", place / "scratch.db"
        self.rows: dict[str, bytes] = {}

    async def follow(self, rounds: int, *, spacings: Sequence[Spacing] = NEVER) -> None:
        async with opened(self.database) as session:
            with replicating(self.database, self.target, spacings=spacings) as replication:
                for _ in range(rounds):
                    await create(session, f"r{len(self.rows)}", runs=2)
                    replication.follow()
                    self.rows[point_of(replication)] = rows_of(self.database)

    @property
    def generation(self) -> Generation:
        return CopyFolder(self.target).generations()[-1]

    @property
    def points(self) -> list[Point]:
        contents = read_contents(self.target)
        assert contents.breaks == {}
        return contents.points

    def check(self) -> None:
        for point in self.points:
            assert rows_at(self.target, point, self.scratch) == self.rows[f"{point.generation}/{point.number}"]

    def merge(self, now: int, *, spacings: Sequence[Spacing] = SOON, disk: LocalDisk | None = None) -> Merging:
        """Merge all that is to be merged at a time."""
        merging = Merging(CopyFolder(self.target), disk or LocalDisk(), spacings=spacings)
        while merging.step(Timestamp(now)) is not None:
            pass
        return merging


@pytest.fixture
async def trail(tmp_path: Path) -> Trail:
    made = Trail(tmp_path)
    await made.follow(30)
    return made


async def test_while_a_copy_is_kept_its_older_points_become_fewer(tmp_path: Path) -> None:
    trail = Trail(tmp_path)
    await trail.follow(60, spacings=SOON)
    assert len(trail.rows) == 60
    assert len(trail.generation.files()) < 25
    assert sum(file.first != file.last for file in trail.generation.files()) > 5
    trail.check()


@pytest.mark.parametrize("comes_anew", [False, True])
@pytest.mark.parametrize("wrong", [10**6 * SECOND, 16 * SECOND, -(10**6) * SECOND])
async def test_no_point_goes_for_a_clock_that_is_wrong_for_a_moment(
    tmp_path: Path, wrong: int, comes_anew: bool
) -> None:
    """Nor later, when it is right again; be it that one follows the copy all the time, or another one each time."""
    trail, clock = Trail(tmp_path), TickingClock()
    spacings = [spacing._replace(after=spacing.after + 300 * SECOND) for spacing in SOON]
    async with opened(trail.database, settings=PATIENT) as session:
        with ExitStack() as following:

            def come() -> Replication:
                return following.enter_context(
                    replicating(trail.database, trail.target, spacings=spacings, clock=clock, settings=PATIENT)
                )

            replication = come()
            for number in range(60):
                clock.time += {30: wrong, 33: -wrong}.get(number, 0)
                if comes_anew and number in (30, 33):
                    following.close()
                    replication = come()
                await create(session, f"{number}")
                replication.follow()
    assert [point.number for point in trail.points] == list(range(60))


async def test_points_get_older_while_many_follow_a_copy_one_after_the_other(tmp_path: Path) -> None:
    """Each for a round, as a program that runs each minute does."""
    trail, clock = Trail(tmp_path), TickingClock()
    async with opened(trail.database) as session:
        for number in range(60):
            clock.time += 60 * SECOND
            with replicating(trail.database, trail.target, spacings=SOON, clock=clock) as replication:
                await create(session, f"{number}")
                replication.follow()
    assert len(trail.generation.files()) < 30


async def test_what_is_merged_is_byte_by_byte_what_the_parts_made(trail: Trail) -> None:
    wanted = {}
    for point in trail.points:
        rebuild(trail.target, point, trail.scratch, on_progress=lambda _done, _total: None)
        wanted[point.number] = trail.scratch.read_bytes()
    size = trail.generation.size_bytes()
    last = trail.points[-1]
    trail.merge(last.taken_at + 8 * SECOND, spacings=SOON[:1])
    assert 1 < len(trail.points) < 20
    assert trail.generation.size_bytes() < size
    trail.merge(last.taken_at + 99 * SECOND)
    assert 1 < len(trail.points) < 8
    assert trail.points[-1].taken_at == last.taken_at
    for point in trail.points:
        rebuild(trail.target, point, trail.scratch, on_progress=lambda _done, _total: None)
        assert trail.scratch.read_bytes() == wanted[point.number]


async def test_whoever_comes_back_goes_on_from_a_part_that_was_merged(trail: Trail) -> None:
    """The last part itself is in it: nothing was committed for so long."""
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target) as replication:
            for round_ in range(3):
                await create(session, f"late {round_}")
                replication.follow()
        trail.merge(trail.points[-1].taken_at + 99 * SECOND)
        before = trail.generation.files()[-1]
        assert before.first != before.last
        with replicating(trail.database, trail.target) as replication:
            await create(session, "later")
            replication.follow()
            assert point_of(replication) == f"{trail.generation.name}/{before.last + 1}"
        rows = rows_of(trail.database)
    assert rows_at(trail.target, trail.points[-1], trail.scratch) == rows


# --- whoever dies, fails or finds damage -----------------------------------------------------------------------------


class Dying(LocalDisk):
    """Dies before it removes anything more."""

    def __init__(self, removals: int) -> None:
        super().__init__()
        self._left = removals

    def remove(self, path: Path) -> None:
        if not self._left:
            raise KeyboardInterrupt
        self._left -= 1
        super().remove(path)


@pytest.mark.parametrize("removals", range(4))
async def test_what_a_dead_one_has_left_is_no_part_and_goes_with_the_next_pass(trail: Trail, removals: int) -> None:
    now = trail.points[-1].taken_at + 99 * SECOND
    with pytest.raises(KeyboardInterrupt):
        trail.merge(now, disk=Dying(removals))
    left = trail.generation.leftovers()
    assert left
    assert not {file.last for file in left[:-1]} & {point.number for point in trail.points}
    trail.check()
    trail.merge(now)
    assert trail.generation.leftovers() == []
    trail.check()


async def test_nothing_goes_for_a_merged_part_that_is_damaged(trail: Trail) -> None:
    now = trail.points[-1].taken_at + 99 * SECOND
    with pytest.raises(KeyboardInterrupt):
        trail.merge(now, disk=Dying(0))
    left = trail.generation.leftovers()
    merged_part = next(file for file in trail.generation.files() if file.first != file.last)
    damage(merged_part.path)
    assert str(merged_part.path) in trail.merge(now).trouble
    assert trail.generation.leftovers() == left


@pytest.mark.parametrize("failure", ["fails_to_write", "fails_to_sync", "fails_to_sync_folder"])
async def test_what_cannot_be_merged_stays_as_it_is_and_is_told(trail: Trail, failure: str) -> None:
    disk, before = FailingTarget(), trail.points
    setattr(disk, failure, True)
    now = trail.points[-1].taken_at + 99 * SECOND
    merging = trail.merge(now, disk=disk)
    assert "planned" in merging.trouble
    assert trail.points == before
    setattr(disk, failure, False)
    while merging.step(Timestamp(now + 8 * SECOND)) is not None:
        pass
    assert merging.trouble == ""
    assert len(trail.points) < len(before)
    trail.check()


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)


async def test_what_is_damaged_is_left_as_it_is_and_told_and_the_rest_is_merged(trail: Trail) -> None:
    victim = trail.generation.part(12)
    damage(victim)
    merging = trail.merge(trail.points[-1].taken_at + 99 * SECOND, spacings=SOON[:1])
    assert str(victim) in merging.trouble
    assert victim.exists()
    files = trail.generation.files()
    assert [file for file in files if file.first != file.last and file.last < 12]
    assert [file for file in files if file.first != file.last and file.first > 12]


async def test_trouble_with_merging_keeps_no_increment_from_being_added(trail: Trail) -> None:
    damage(trail.generation.part(12))
    async with opened(trail.database) as session:
        with replicating(trail.database, trail.target, spacings=SOON) as replication:
            replication.follow()  # a new base: the copy is damaged
            before = point_of(replication)
            await create(session, "later")
            for _ in range(40):  # piece by piece; in the end of the pass it is known what was left
                replication.follow()
                assert point_of(replication) != before
            assert replication.standing is not None
            assert "00000012.part is damaged" in replication.standing.error


@pytest.mark.parametrize("at", [9, 40, 60, 900, -40])
async def test_no_byte_of_a_merged_part_may_change(trail: Trail, tmp_path: Path, at: int) -> None:
    trail.merge(trail.points[-1].taken_at + 99 * SECOND)
    file = next(file for file in trail.generation.files() if file.first != file.last)
    data = bytearray(file.path.read_bytes())
    data[at] ^= 1
    file.path.write_bytes(data)
    with pytest.raises(CopyDamagedError):
        await restore(trail.target, tmp_path / "restored.db")


async def test_a_merged_part_that_is_missing_is_missed(trail: Trail, tmp_path: Path) -> None:
    trail.merge(trail.points[-1].taken_at + 99 * SECOND)
    file = next(file for file in trail.generation.files() if file.first != file.last)
    file.path.unlink()
    with pytest.raises(CopyDamagedError, match=rf"{file.first:08d}\.part is missing"):
        await restore(trail.target, tmp_path / "restored.db")


async def test_a_part_of_another_chain_is_not_merged_in(trail: Trail) -> None:
    """Were it, nobody would find it any more."""
    part, path = trail.generation.part(11), trail.generation.part(12)
    earlier, later = (str(trail.points[number].taken_at).encode() for number in (11, 12))
    path.write_bytes(part.read_bytes().replace(b'"number":11', b'"number":12').replace(earlier, later))
    before = trail.generation.files()
    assert path.name in trail.merge(trail.points[10].taken_at + 99 * SECOND, spacings=SOON[:1]).trouble
    assert path in {file.path for file in before}
    assert path.exists()


# --- while somebody reads --------------------------------------------------------------------------------------------


async def test_a_restore_goes_on_while_parts_are_merged(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    last = trail.points[-1]
    read: list[Path] = []

    def read_and_let_merge(path: Path) -> Part:
        if len(read) == 13:
            trail.merge(last.taken_at + 99 * SECOND)
        read.append(path)
        return read_part(path)

    monkeypatch.setattr(points, "read_part", read_and_let_merge)
    assert rows_at(trail.target, last, trail.scratch) == trail.rows[f"{last.generation}/{last.number}"]
    assert len(read) < 25


async def test_a_point_that_is_merged_away_while_it_is_restored_has_gone(trail: Trail) -> None:
    point = trail.points[11]
    trail.merge(trail.points[-1].taken_at + 99 * SECOND)
    assert point not in trail.points
    with pytest.raises(StateError, match=r"has gone from .* --list"):
        rebuild(trail.target, point, trail.scratch, on_progress=lambda _done, _total: None)


async def test_points_are_listed_while_parts_are_merged(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of what was merged has come behind the place that was read already, and the others are gone."""
    files = Generation.files
    now = trail.points[-1].taken_at + 99 * SECOND
    looks: list[int] = []

    def look_amid(generation: Generation) -> list[PartFile]:
        before = files(generation)
        looks.append(len(before))
        if looks == [31, 31]:  # the first look is one for whether the generation has parts
            trail.merge(now)
        return [file for file in before if file.path.exists()]

    monkeypatch.setattr(Generation, "files", look_amid)
    contents = read_contents(trail.target)
    assert contents.breaks == {}
    assert [point.number for point in contents.points] == [file.last for file in files(trail.generation)]
