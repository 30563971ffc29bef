"""A trial: one program, one copy, and what becomes of both."""

import random
import shutil
from pathlib import Path
from typing import Final

import apsw

from perdure.errors import CopyDamagedError, StoreError, StoreLockedError
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.contents import digest_of_contents
from perdure.stores.sqlite.copies.folder import CopyFolder
from perdure.stores.sqlite.copies.points import Point, read_contents, show_time
from perdure.stores.sqlite.copies.rebuilding import rebuild
from perdure.stores.sqlite.copies.replication import Replication
from perdure.stores.sqlite.copies.visit import Visit
from perdure.stores.sqlite.copies.whole import demand_integrity, unshared
from perdure.stores.sqlite.disk import LocalDisk
from perdure.stores.sqlite.log import log_of
from perdure.stores.sqlite.settings import SqliteSettings
from perdure.torture.copies.meddling import COUNTING, MeddledVisit, Meddler
from perdure.torture.copies.spacing import SPACINGS, may_be_gone
from perdure.torture.copies.target import DeathError, TargetDisk
from perdure.torture.disks.life import DATABASE_NAME, DiskHarness, SlowReader
from perdure.torture.programs.steps import program
from perdure.torture.programs.world import World

__all__ = ["Trial"]


class Trial:
    """The trial of a seed, in an empty folder: `run`, then `judge`."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Prepare."""
        self._steps: Final = program(seed, length=_STEPS)
        self._chance: Final = random.Random(seed)
        self._folder: Final = folder
        self._database: Final = folder / DATABASE_NAME
        self._target: Final = folder / "copy"
        self._harness: Final = DiskHarness(folder, LocalDisk(), settings=_PATIENT)
        self._world: Final = World(self._harness)
        self._meddler: Final = Meddler(self._database, self._chance)
        self._reader: Final = SlowReader(folder, LocalDisk(), self._chance)
        self._disk: Final = TargetDisk()
        self._clock: Final = _Clock()
        self._keep: Final = self._chance.choice(_KEEP_SECONDS) * _SECOND
        self._visit: Visit | None = None
        self._replication: Replication | None = None
        self._expected: dict[str, set[bytes]] = {}
        self._taken_at: dict[str, Timestamp] = {}
        self._ever: set[bytes] = set()
        self.wrong: list[str] = []

    async def run(self) -> None:
        """Use the database, and copy it."""
        await self._world.open()
        for step in self._steps:
            await self._world.do(step)
            self._meddler.copy_long_log(pages=_SETTINGS.checkpoint_pages)
            self._reader.turn()
            await self._act()
        self._reader.close()
        self._disk.heal()
        self._round()
        self._leave()
        await self._harness.close()
        if self._chance.random() < _OLDER_SHARE:
            self._go_on_from_older_files()

    def judge(self) -> int:
        """Restore every point, damage and restore again, damage and go on; return how many points were looked at."""
        points = {_name(point): point for point in read_contents(self._target).points}
        self._judge_what_is_kept(points)
        for name, point in points.items():
            rows = self._restored(point)
            if isinstance(rows, CopyDamagedError):
                self.wrong.append(f"{name} cannot be restored: {rows}")
            elif rows not in self._expected.get(name, self._ever):
                self.wrong.append(f"{name} is not what the database was")
        if not self.wrong:
            self._judge_damage(list(points.values()))
            self._judge_what_goes_for_damage(list(points.values()))
        return len(points)

    # --- what happens --------------------------------------------------------------------------------------------

    async def _act(self) -> None:
        match self._chance.choices(*_ACTIONS)[0]:
            case "round":
                self._round()
            case "death":
                self._leave()
            case "failure":
                self._disk.plan("fails", after=self._chance.randrange(4))
            case "struck":
                self._disk.plan("dies", after=self._chance.randrange(6))
                self._round()
            case "healing":
                self._disk.heal()
            case "exodus":
                self._reader.close()
                self._leave()
                await self._world.leave(self._harness.kill if self._chance.random() < _HALF else self._harness.end)
                await self._world.come_back()
            case "loss":
                self._lose_a_part()
            case "mounting":
                self._begin_before_it_is_mounted()
            case _:
                pass

    def _round(self) -> None:
        """Make a round, or begin to replicate; note what the rows were meanwhile."""
        self._meddler.watch()
        try:
            self._copying().follow()
        except StoreError as error:
            if not self._disk.has_failed:
                self.wrong.append(f"a round failed, and nothing else had: {error}")
            self._disk.heal()
        except DeathError:
            self._leave()
            self._disk.heal()
            self._disk.leave_unfinished()
        else:
            self._note()
        finally:
            self._meddler.rest()
            self._ever |= self._meddler.seen  # what a point of a round that failed, say, must be one of

    def _note(self) -> None:
        assert self._replication is not None
        assert self._replication.standing is not None
        point, seen = self._replication.standing.point, self._meddler.seen
        self._taken_at[point] = self._replication.standing.taken_at
        self._expected[point] = self._expected.get(point, seen) & seen
        if not self._expected[point]:
            self.wrong.append(f"{point} was the newest after a round, and what had been committed is not in it")

    def _copying(self) -> Replication:
        if self._replication is None:
            self._visit = visit = MeddledVisit(self._database, settings=_SETTINGS, meddler=self._meddler)
            visit.__enter__()
            self._replication = Replication(
                visit,
                self._target,
                clock=self._clock,
                every_microseconds=_SECOND,
                keep_microseconds=self._keep,
                target_disk=self._disk,
                longest_log_pages=_SETTINGS.checkpoint_pages,
                spacings=SPACINGS,
            )
            self._replication.begin()
        return self._replication

    def _leave(self) -> None:
        """Let go as a dead process does: what is done in good order has no effect on the copy."""
        if self._replication is not None and self._visit is not None:
            self._replication.end()
            self._visit.__exit__(None, None, None)
        self._replication = self._visit = None

    def _lose_a_part(self) -> None:
        """Remove an increment while nobody replicates: what comes later must not rely on it."""
        self._leave()
        generations = CopyFolder(self._target).generations() if self._target.exists() else []
        if not generations:
            return
        files = generations[-1].files()
        lost = self._chance.choice(files)
        lost.path.unlink()
        for number in range(lost.first, files[-1].last + 1):
            self._expected.pop(f"{generations[-1].name}/{number}", None)

    def _begin_before_it_is_mounted(self) -> None:
        """Replicate while the disk of the copy is not there, and go on when it is: with what it holds."""
        self._leave()
        self._disk.heal()
        if not self._target.exists():
            return
        known, away = (self._expected, self._taken_at), self._folder / "not-mounted"
        self._expected, self._taken_at = {}, {}
        self._target.rename(away)
        for _ in range(self._chance.randrange(1, _ROUNDS_BELOW)):
            self._round()
        shutil.rmtree(self._target)
        away.rename(self._target)
        self._expected, self._taken_at = known
        self._round()
        if self._is_free_for_another():
            self.wrong.append("another process can replicate into the folder at the same time")

    def _is_free_for_another(self) -> bool:
        other = CopyFolder(self._target)
        try:
            other.take()
        except StoreLockedError:
            return False
        other.leave()
        return True

    def _go_on_from_older_files(self) -> None:
        """Put older files of the database in the place of the newer ones, as somebody who knows no better."""
        self._write_and_copy(COUNTING, times=1)  # the last who closed has emptied the log: now it is the same for both
        files = [self._database, log_of(self._database)]
        for file in files:
            shutil.copyfile(file, self._folder / f"older-{file.name}")
        self._write_and_copy(_LOST, times=1)
        for file in files:
            shutil.copyfile(self._folder / f"older-{file.name}", file)
        self._write_and_copy(COUNTING, times=self._chance.randrange(1, _WRITES))

    def _write_and_copy(self, statement: str, *, times: int) -> None:
        for _ in range(times):
            with Visit(self._database, settings=_SETTINGS):
                self._meddler.write(statement)
        self._round()
        self._leave()

    # --- what must be --------------------------------------------------------------------------------------------

    def _judge_what_is_kept(self, points: dict[str, Point]) -> None:
        known = {generation.name for generation in CopyFolder(self._target).generations()}
        now = self._clock.time
        lost = [name for name in self._expected if name.partition("/")[0] in known and name not in points]
        self.wrong += [
            f"{name} is gone, and its generation is not"
            for name in lost
            if not self._is_overtaken(name, points)
            and not _may_be_merged(name.partition("/")[0], self._taken_at.get(name, now), points, now=now)
        ]
        oldest = min((point.taken_at for point in points.values()), default=self._clock.time)
        has_all = f"{_FIRST}/0" in points or _FIRST not in {name.partition("/")[0] for name in self._expected}
        if oldest > self._clock.time - self._keep and not has_all:
            self.wrong.append("points in time are gone that were to be kept")

    def _is_overtaken(self, name: str, points: dict[str, Point]) -> bool:
        """Whether it is a base, and the generation before it, which went on meanwhile, has a point that is newer."""
        generation, _, number = name.partition("/")
        taken_at = self._taken_at.get(name, self._clock.time)
        newer = (point for point in points.values() if point.generation < generation and point.taken_at >= taken_at)
        return number == "0" and any(newer)

    def _restored(self, point: Point) -> bytes | CopyDamagedError:
        """Return a digest of the rows that a point is restored to."""
        scratch = self._folder / "scratch.db"
        try:
            rebuild(self._target, point, scratch, on_progress=_ignore)
        except CopyDamagedError as error:
            return error
        except OSError as error:
            self.wrong.append(f"{_name(point)} is neither restored nor refused: {error}")
            return CopyDamagedError(str(error))
        try:
            with unshared(scratch) as connection:
                if demand_integrity(connection, scratch):
                    return CopyDamagedError("what was restored has pages that are never used")
                return digest_of_contents(connection)
        except (apsw.Error, StoreError) as error:
            return CopyDamagedError(f"what was restored is damaged: {error}")

    def _judge_damage(self, points: list[Point]) -> None:
        known = {_name(point): self._restored(point) for point in points}
        for _ in range(_DAMAGES):
            generation = self._target / self._chance.choice(points).generation
            victim = self._chance.choice(sorted(generation.iterdir()))
            data = victim.read_bytes()
            self._judge_what_is_damaged(points, known, self._damage(victim))
            victim.unlink()
            victim.write_bytes(data)

    def _judge_what_is_damaged(
        self, points: list[Point], known: dict[str, bytes | CopyDamagedError], damaged: str
    ) -> None:
        whole: list[Point] = []
        for point in points:
            rows = self._restored(point)
            if isinstance(rows, bytes):
                whole.append(point)
                if rows != known[_name(point)]:
                    self.wrong.append(f"{_name(point)} is restored to something else, since {damaged}")
                continue
            if "damaged: " in str(rows) and "what was restored" in str(rows):
                self.wrong.append(f"{_name(point)} is restored though {damaged}")
            named = [_name(each) for each in points if f"--at {show_time(each.taken_at)}" in str(rows)]
            newest = [_name(each) for each in whole[-1:]]
            if [known[name] for name in named] != [known[name] for name in newest]:  # two may be of the same content
                self.wrong.append(f"{named} is named as whole, and {newest} is, since {damaged}: {rows}")

    def _judge_what_goes_for_damage(self, points: list[Point]) -> None:
        """Go on with a damaged copy, be it with a clock that is ahead: no sound point goes before its time."""
        damaged, number, how = self._damage_a_time(points)
        sound = [point for point in points if point.generation != damaged or point.number < number]
        ahead = self._chance.choice((0, _YEAR))
        self._clock.time = Timestamp(self._clock.time + ahead)
        for _ in range(_ROUNDS_AFTER):
            self._write_and_copy(COUNTING, times=1)
        now = Timestamp(self._clock.time - ahead + _LEAP)
        there = {_name(point): point for point in read_contents(self._target).points}
        begun = [point.generation for point in sound if point.taken_at <= now - self._keep]  # its first may be merged
        needed = [point for point in sound if point.generation >= max(begun, default="")]
        self.wrong += [
            f"{_name(point)} has gone before its time, since {how}, by a clock that was {ahead // _SECOND} s ahead"
            for point in needed
            if _name(point) not in there and not _may_be_merged(point.generation, point.taken_at, there, now=now)
        ]

    def _damage_a_time(self, points: list[Point]) -> tuple[str, int, str]:
        """Flip a bit of the time in what the newest part, or some base, says of itself.

        Return of which generation that is, the number of its first increment, and what was done.
        """
        folder = CopyFolder(self._target)
        newest, some = folder.generations()[-1], folder.generation(self._chance.choice(points).generation)
        generation, file = self._chance.choice(((newest, newest.files()[-1]), (some, some.files()[0])))
        data = bytearray(file.path.read_bytes())
        time = self._chance.choice(_TIMES)
        data[data.index(time) + len(time) + self._chance.randrange(2)] ^= 1 << self._chance.randrange(4)
        file.path.write_bytes(data)
        return generation.name, file.first, f"a bit of the time in {generation.name}/{file.path.name} was flipped"

    def _damage(self, victim: Path) -> str:
        """Damage a file; return what was done."""
        name, data = f"{victim.parent.name}/{victim.name}", bytearray(victim.read_bytes())
        match self._chance.choice(("bit", "bit", "cut", "swap", "bad sector")):
            case "bad sector":
                victim.unlink()
                victim.symlink_to(_UNREADABLE)
                return f"{name} cannot be read"
            case "bit":
                place = self._chance.randrange(len(data))
                data[place] ^= 1 << self._chance.randrange(8)
                what = f"byte {place}"
            case "cut":
                del data[self._chance.randrange(len(data)) :]
                what = f"what came after byte {len(data)}"
            case _:
                another = self._chance.choice(sorted(self._target.glob(f"*/{victim.name}")))
                data = bytearray(another.read_bytes())
                what = f"all of it, by {another.parent.name}'s,"
        victim.write_bytes(data)
        return f"{what} of {name} was changed"


class _Clock:
    """Goes on by a second at each look."""

    def __init__(self) -> None:
        self.time = Timestamp(1_700_000_000 * _SECOND)

    def now(self) -> Timestamp:
        self.time = Timestamp(self.time + _SECOND)
        return self.time


def _may_be_merged(generation: str, taken_at: Timestamp, points: dict[str, Point], *, now: Timestamp) -> bool:
    """Whether a point that was taken then, and is none of those that are there, may be one of these now."""
    others = [point.taken_at for point in points.values() if point.generation == generation]
    return may_be_gone(taken_at, others, now=now)


def _name(point: Point) -> str:
    return f"{point.generation}/{point.number}"


def _ignore(_done: int, _total: int) -> None:
    pass


_SECOND: Final = 1_000_000
_SETTINGS: Final = SqliteSettings(checkpoint_pages=12, settling_pause_seconds=0.002)
_PATIENT: Final = SqliteSettings(checkpoint_pages=1_000_000, settling_pause_seconds=0.002)
"""Of the stores: their threads would copy the log after an answer, at no moment that a seed repeats."""
_STEPS: Final = 40
_KEEP_SECONDS: Final = (60, 10_000)
_ACTIONS: Final = (
    ("round", "nothing", "death", "failure", "struck", "healing", "exodus", "loss", "mounting"),
    (60, 15, 5, 4, 5, 3, 5, 2, 2),
)
_ROUNDS_BELOW: Final = 4
_HALF: Final = 0.5
_DAMAGES: Final = 3
_OLDER_SHARE: Final = 0.5
_WRITES: Final = 10
_LOST: Final = "UPDATE inbox SET at = at + 1 WHERE position = (SELECT max(position) FROM inbox)"
_UNREADABLE: Final = "/proc/self/mem"
"""A file that is there, and of which no byte can be read where it begins: an error of input and output (on Linux)."""
_FIRST: Final = "generation-000001"
_TIMES: Final = (b'"steady_at":', b'"taken_at":')
_YEAR: Final = 31_557_600 * _SECOND
_LEAP: Final = 2 * _SECOND
"""By so much, at most, everything gets older when a clock leaps."""
_ROUNDS_AFTER: Final = 4
