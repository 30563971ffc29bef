"""Replication: rounds that each add to a copy what has been committed since the round before.

**A round.** A further read transaction is begun, the log's durable end is asked for, what came after the last place is
read into memory, the older transaction ended. Then the increment is written. A target that fails costs nothing but
memory: what was read is kept and goes with the next increment, until it is as much as a new base; the database's log
is not kept long for it.

**The log's turn.** A transaction that is always held would keep the log from ever beginning anew. When it is long, all
of it is read and copied into the database under the writer's lock, without a transaction of ours in the way; the next
one begins before the lock is given back. Then the next writer may begin the log anew, exactly there.

**A new base** is made where the track is lost (see the package); when the last one is older than a quarter of what is
kept, so that older ones can go; and when its increments have outgrown it, so that it can be restored soon. In the last
two cases rounds go on meanwhile and add to the generation before, by a transaction of their own; the base's is held
until the new generation has what came since, and takes over. A base that cannot be made is tried again later, and is
no round that failed.

**Merging**, of what is older (`merging`), is done piece by piece, one in a round, behind its increment.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw
import msgspec

from perdure.errors import CopyDamagedError, PerdureError, StoreLockedError, StoreUnavailableError, UsageError
from perdure.kernel.time import Timestamp
from perdure.logs import logger_named
from perdure.ports.clock import Clock
from perdure.ports.database_files import demand_no_part
from perdure.stores.sqlite.copies.bases import Last, copy_base, hold_exactly
from perdure.stores.sqlite.copies.durable import write_durably
from perdure.stores.sqlite.copies.expiry import BASES_KEPT, Expiry
from perdure.stores.sqlite.copies.folder import CopyFolder, Generation
from perdure.stores.sqlite.copies.hold import Hold
from perdure.stores.sqlite.copies.identity import demand_own, identity_of
from perdure.stores.sqlite.copies.merging import SPACINGS, Merging, Spacing
from perdure.stores.sqlite.copies.parts import Part, PartHeader, encode_part, read_part
from perdure.stores.sqlite.copies.points import checked_parts
from perdure.stores.sqlite.copies.standing import Standing, write_standing
from perdure.stores.sqlite.copies.steady import SteadyClock, clock_trouble
from perdure.stores.sqlite.copies.tail import Change, LogPlace, LogTail, LostTrackError
from perdure.stores.sqlite.copies.visit import Visit, faults_named
from perdure.stores.sqlite.copies.whole import Progress, demand_room, size_of
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.faults import store_error

__all__ = ["Replication"]


class Replication:
    """Copies one database into one folder. Blocks; not safe for use by several threads at once."""

    def __init__(
        self,
        visit: Visit,
        target: Path,
        *,
        clock: Clock,
        every_microseconds: int,
        keep_microseconds: int,
        target_disk: Disk | None = None,
        longest_log_pages: int = 4_000,
        spacings: Sequence[Spacing] = SPACINGS,
        on_progress: Progress = lambda _done, _total: None,
    ) -> None:
        """Prepare. `longest_log_pages`: with more the log has its turn. `spacings`: how far apart older points stay.
        `on_progress` is told how far a base is; what it raises ends the round."""
        self._visit: Final = visit
        self._folder: Final = CopyFolder(target.resolve(), target_disk)
        self._clock: Final = SteadyClock(clock, every_microseconds=every_microseconds)
        self._every: Final = every_microseconds
        self._keep: Final = keep_microseconds
        self._disk: Final = target_disk or LocalDisk()
        self._longest_log_pages: Final = longest_log_pages
        self._expiry: Final = Expiry(self._folder, self._disk, self._clock, keep_microseconds=keep_microseconds)
        self._merging: Final = Merging(self._folder, self._disk, spacings=spacings)
        self._on_progress: Final = on_progress
        self._hold = Hold(visit)
        self._tail: Final = LogTail(visit.database)
        self._store = 0
        self._last: Last | None = None
        self._place = LogPlace(salts="", frames=0)
        self._pending: Change | None = None
        self._taken_at = self._steady_at = Timestamp(0)
        self._checked = ""
        self._tried_at = self._added_at = Timestamp(0)
        self._makes_base = False
        self._next_base_at = Timestamp(0)
        self._trouble = ""
        self.standing: Standing | None = None

    def begin(self) -> None:
        """Take the folder, and find where the copy in it ends.

        Raises StoreLockedError if another replicates into it, UsageError if it holds copies of another database or
        would be taken for a part of one, and StoreErrors.
        """
        demand_no_part(self._folder.path)
        with faults_named(self._folder.path, "replicating"):
            self._store = identity_of(self._visit)
            self._take_folder()

    def _take_folder(self) -> None:
        self._folder.take()
        try:
            demand_own(self._folder, self._visit)
            self._folder.clear_away()
            if (newest := self._folder.newest()) is not None:
                self._taken_at = max(self._taken_at, newest.taken_at)
                self._clock.go_on_from(newest.steady, seen_at=newest.taken_at)
            self._tried_at = self._next_base_at = self._clock.time
            self._resume()
        except BaseException:
            self._folder.leave()
            raise

    def end(self) -> None:
        """Let go of the folder and of the log."""
        self._hold.let_go()
        self._folder.leave()

    def follow(self, *, renews: bool = True) -> None:
        """Make one round, and, if it is time for that and the caller `renews`, another base, amid further rounds.

        Raises StoreErrors: then the next round takes what this one did not.
        """
        began_at = self._clock.now()
        self._tried_at = self._clock.time
        try:
            self._follow(began_at, renews=renews)
        except PerdureError as error:
            self._tell(error=str(error))
            raise
        except (apsw.Error, OSError) as error:
            failure = self._failure(error)
            self._tell(error=str(failure))
            raise failure from error
        trouble = self._trouble or self._merging.trouble or clock_trouble(self._taken_at, now=began_at)
        self._tell(checked_at=self._added_at, error=trouble)

    @property
    def is_pressed(self) -> bool:
        """Whether the log is so long that a round should not wait."""
        with faults_named(self._visit.path, "replicating"):
            end = self._tail.end()
        taken = self._place.frames if end.salts == self._place.salts else 0
        return end.frames - taken >= self._longest_log_pages

    def _follow(self, now: Timestamp, *, renews: bool) -> None:
        if not self._folder.is_taken:
            self._lose_track()
            self._merging.begin_anew()
            self._folder.leave()
            self._take_folder_again()
        elif self._last is None:
            self._resume()
        self._add()
        self._added_at = now
        if self._last is None:
            self._make_base()
        elif renews:
            self._last = last = self._merge(self._last)
            if self._clock.time >= self._next_base_at and self._is_base_due(last, now):
                self._renew_base(last)

    def _take_folder_again(self) -> None:
        """Take what is in the folder's place now. Raises StoreErrors: another's may be there for a moment only."""
        try:
            self._take_folder()
        except UsageError as error:
            raise StoreUnavailableError(str(error)) from error

    def _merge(self, last: Last) -> Last:
        """Do a piece of merging; return what is known of the last part then."""
        merged = self._merging.step(self._clock.time)
        if merged is None or merged.generation != last.generation.name:
            return last
        return msgspec.structs.replace(last, increments_bytes=last.increments_bytes - merged.freed_bytes)

    def _is_base_due(self, last: Last, now: Timestamp) -> bool:
        return last.is_outgrown or abs(now - last.begun_at) >= self._keep // BASES_KEPT

    def _failure(self, error: Exception) -> PerdureError:
        """Return the StoreError for what came from the disk of the copy, or from that of the database."""
        kind = type(store_error(error, path=self._visit.path, doing="copying"))
        return kind(
            f"copying {self._visit.path} into {self._folder.path} failed: {error}. What is new is kept in memory, or "
            f"in the log, and comes with the next attempt; if the disk is full, make room."
        )

    # --- where the copy ends -------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Go on from the last part in the folder, if nothing is missing and nothing damaged before it."""
        known = self._folder.generations()
        if not known:
            return
        generation = known[-1]
        try:
            begun = generation.begun()
            last = self._checked_last(generation)
        except (CopyDamagedError, FileNotFoundError):
            return  # what is left of it is kept, and a new base begun
        base_bytes = generation.base.stat().st_size
        self._last = Last(
            generation=generation,
            begun_at=begun.begun_at,
            base_bytes=base_bytes,
            increments_bytes=generation.size_bytes() - base_bytes,
            header=last.header,
            digest=last.link,
        )
        self._place = last.header.place

    def _checked_last(self, generation: Generation) -> Part:
        """Return the last part, once all before it and the base are found sound. Raises CopyDamagedError, OSError.

        Who has checked them does not read them again as long as nothing was added.
        """
        file = generation.files()[-1]
        last = read_part(file.path)
        if last.link != self._checked:
            for _ in checked_parts(generation, upto=file.last):
                pass
            self._checked = last.link
        return last

    def _lose_track(self) -> None:
        self._hold.let_go()
        self._last = self._pending = None

    # --- increments ----------------------------------------------------------------------------------------------

    def _add(self) -> None:
        """Add to the generation what has come since the last place; without one afterwards if the track is lost."""
        if self._last is None:
            return
        try:
            while not self._take():
                self._publish()
            self._give_log_its_turn()
            self._publish()
        except LostTrackError:
            self._lose_track()  # also if there is no room for a base: the database's log must not be held for it

    def _take(self) -> bool:
        """Read what has come since the last place, and go on holding from here; return whether that was all.

        Raises LostTrackError.
        """
        is_held = self._hold.is_held
        self._hold.renew()
        is_all = False
        try:
            is_all = self._read_on(is_held=is_held)
        finally:
            if is_all:
                self._hold.hand_over()
            elif is_held:
                self._hold.keep()  # the newer one does not keep the log from beginning anew before its own beginning
            else:
                self._hold.let_go()
        return is_all

    def _read_on(self, *, is_held: bool) -> bool:
        end = self._tail.end()
        now = self._clock.now()
        if frames := self._tail.frames_after(self._place, end, is_held=is_held):
            self._pending = self._tail.read(frames, end, known=self._pending)
            self._place = self._pending.end
            self._stamp(now)
        return not frames or self._place == end

    def _stamp(self, now: Timestamp) -> Timestamp:
        """Return when something was taken: later than all before, also by a clock that was set back. `now`: what the
        clock said at the last look."""
        self._taken_at, self._steady_at = max(now, Timestamp(self._taken_at + 1)), self._clock.time
        return self._taken_at

    def _publish(self) -> None:
        """Write what was read as the next increment. Raises LostTrackError if there is one that somebody else wrote."""
        change, last = self._pending, self._last
        if change is None or last is None:
            return
        header = PartHeader(
            store=self._store,
            number=last.header.number + 1,
            previous=last.digest,
            taken_at=self._taken_at,
            steady_at=self._steady_at,
            place=self._place,
            page_count=change.page_count,
            pages=len(change.pages),
        )
        data, digest = encode_part(header, change.pages)
        try:
            write_durably(self._disk, last.generation.part(header.number), data, is_new=True)
        except FileExistsError as error:
            raise LostTrackError(str(error)) from error
        increments_bytes = last.increments_bytes + len(data)
        self._last = msgspec.structs.replace(last, header=header, digest=digest, increments_bytes=increments_bytes)
        self._pending = None

    # --- the log's turn ------------------------------------------------------------------------------------------

    def _give_log_its_turn(self) -> None:
        """Let a long log begin anew, unless a base is being made of it. Raises LostTrackError."""
        if self._place.frames < self._longest_log_pages or self._makes_base:
            return
        try:
            with self._visit.turn(patience_seconds=_PATIENCE_SECONDS):
                self._copy_log()
        except StoreLockedError:
            return  # there is a next round

    def _copy_log(self) -> None:
        if not self._read_on(is_held=True):
            return
        self._hold.let_go()
        self._visit.database.copy_log()
        self._hold.renew()
        if self._tail.end() != self._place:
            self._hold.let_go()
            raise LostTrackError("another program has written while the log was copied")

    # --- bases ---------------------------------------------------------------------------------------------------

    def _renew_base(self, before: Last) -> None:
        """Begin a new generation while `before` goes on; note it if that cannot be done."""
        try:
            self._make_base()
        except (PerdureError, apsw.Error, OSError) as error:
            self._next_base_at = Timestamp(self._clock.time + self._expiry.pause)
            self._trouble = f"{before.generation.name} goes on, since a new base could not be made: {error}"
            _LOGGER.warning("the copy of %s in %s: %s", self._visit.path, self._folder.path, self._trouble)
        else:
            self._trouble = ""

    def _make_base(self) -> None:
        """Begin a new generation with a whole copy. Raises StoreErrors, apsw's errors, OSError; then it is not.

        It is made again at once if other programs let the log begin anew meanwhile so that it cannot be told whether
        that was so only once.
        """
        for left in reversed(range(_BASE_ATTEMPTS)):
            try:
                self._make_one_base()
            except LostTrackError as error:
                if not left:
                    message = f"what came while a base was made is lost track of: {error}"
                    raise StoreUnavailableError(message) from error
            else:
                return

    def _make_one_base(self) -> None:
        self._expiry.make_room()
        demand_room(self._folder.path, size_of(self._visit.database.connection()))
        generation, hold, self._makes_base = self._folder.begin_generation(), Hold(self._visit), True
        try:
            with self._visit.turn():
                place = hold_exactly(hold, self._tail, self._visit.path)
            self._take_over(hold, self._copy_base(generation, hold, place))
        except BaseException:
            hold.let_go()
            with suppress(OSError):  # it is cleared away later, then
                generation.remove(self._disk)
            raise
        finally:
            self._makes_base = False

    def _copy_base(self, generation: Generation, hold: Hold, place: LogPlace) -> Last:
        now = self._clock.now()
        plan = PartHeader(
            store=self._store,
            number=0,
            previous="",
            taken_at=self._stamp(now),
            steady_at=self._clock.time,
            place=place,
            page_count=0,
            clock_at=now,
        )
        return copy_base(
            hold,
            generation,
            plan,
            self._disk,
            database=self._visit.path,
            on_progress=self._tell_and_go_on,
            meanwhile=self._go_on,
        )

    def _tell_and_go_on(self, done: int, total: int) -> None:
        self._on_progress(done, total)
        self._go_on()

    def _go_on(self) -> None:
        """Make a round of the generation before while a base is made, if it is time for one."""
        now = self._clock.now()
        if self._last is None or self._clock.time < self._tried_at + self._every:
            return
        self._tried_at = self._clock.time
        try:
            self._add()
        except (PerdureError, apsw.Error, OSError) as error:
            self._tell(error=str(error))
        else:
            self._added_at = now
            self._tell(checked_at=now)

    def _take_over(self, hold: Hold, first: Last) -> None:
        """Go on with the generation that begins with `first`, once it has what came since its base was taken."""
        before = self._hold, self._last, self._place, self._pending
        self._hold, self._last, self._place, self._pending = hold, first, first.header.place, None
        try:
            while not self._take():
                self._publish()
            self._be_newer_than_before(first)
            self._publish()
            generation = self._folder.finish(first.generation)
        except BaseException:
            self._hold, self._last, self._place, self._pending = before
            raise
        before[0].let_go()
        self._last = msgspec.structs.replace(self._last, generation=generation)

    def _be_newer_than_before(self, first: Last) -> None:
        """Add an increment without a page if the generation before has a point of the same content and a later time."""
        if self._pending is None and self._taken_at > first.header.taken_at:
            self._pending = Change(end=self._place, page_count=first.header.page_count, pages={})
            self._stamp(self._clock.now())

    # --- standing ------------------------------------------------------------------------------------------------

    def _tell(self, *, checked_at: Timestamp | None = None, error: str = "") -> None:
        """Leave word beside the database of how far the copy is."""
        before = self.standing
        self.standing = Standing(
            target=str(self._folder.path),
            every=self._every,
            checked_at=checked_at or (before.checked_at if before else Timestamp(0)),
            taken_at=self._last.header.taken_at if self._last else Timestamp(0),
            point=f"{self._last.generation.name}/{self._last.header.number}" if self._last else "",
            error=error,
        )
        write_standing(self._visit.path, self.standing)


_LOGGER: Final = logger_named("perdure.copies")
_BASE_ATTEMPTS: Final = 3
_PATIENCE_SECONDS: Final = 1.0
