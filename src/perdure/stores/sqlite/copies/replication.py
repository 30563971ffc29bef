"""Replication: rounds that each add to a copy what has been committed since the round before.

**A round.** A further read transaction is begun, the log's durable end is asked for, what came after the last place is
read into memory, the older transaction ended. Then the increment is written. A target that fails costs nothing but
memory: what was read is kept and goes with the next increment, until it is as much as a new base; the database's log
is not kept long for it.

**The log's turn.** A transaction that is always held would keep the log from ever beginning anew. When it is long, all
of it is read and copied into the database under the writer's lock, without a transaction of ours in the way; the next
one begins before the lock is given back. Then the next writer may begin the log anew, exactly there.

**A new base** is made where the track is lost (see the package); when the last one is older than a quarter of what is
kept, so that older ones can go; and when its increments have outgrown it, so that it can be restored soon.
"""

from pathlib import Path
from typing import Final

import apsw
import msgspec

from perdure.errors import CopyDamagedError, PerdureError, StoreLockedError, StoreUnavailableError, UsageError
from perdure.kernel.time import Timestamp
from perdure.ports.clock import Clock
from perdure.stores.sqlite.copies.durable import write_durably
from perdure.stores.sqlite.copies.folder import CopyFolder, Generation
from perdure.stores.sqlite.copies.hold import Hold
from perdure.stores.sqlite.copies.parts import Part, PartHeader, encode_part, read_part
from perdure.stores.sqlite.copies.points import checked_parts
from perdure.stores.sqlite.copies.standing import Standing, write_standing
from perdure.stores.sqlite.copies.tail import Change, LogPlace, LogTail, LostTrackError
from perdure.stores.sqlite.copies.visit import Visit, faults_named
from perdure.stores.sqlite.copies.whole import (
    Progress,
    copy_whole,
    demand_integrity,
    demand_room,
    digest_of_file,
    mode_of,
    size_of,
    unshared,
)
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.faults import store_error
from perdure.stores.sqlite.log import PAGE_BYTES

__all__ = ["Replication"]


class _Last(msgspec.Struct, frozen=True, kw_only=True):
    """The last part that was written, and of which generation: when its base was taken, and how many bytes it and the
    increments since have."""

    generation: Generation
    begun_at: Timestamp
    base_bytes: int
    increments_bytes: int
    header: PartHeader
    digest: str

    @property
    def is_outgrown(self) -> bool:
        """Whether the increments are so many that to restore them takes much longer than to restore a new base."""
        return self.increments_bytes > max(_INCREMENTS_PER_BASE * self.base_bytes, _LEAST_INCREMENTS_BYTES)


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
        on_progress: Progress = lambda _done, _total: None,
    ) -> None:
        """Prepare. `longest_log_pages`: with more the log has its turn. `on_progress` is told how far a base is;
        what it raises ends the round."""
        self._visit: Final = visit
        self._folder: Final = CopyFolder(target.resolve(), target_disk)
        self._clock: Final = clock
        self._every: Final = every_microseconds
        self._keep: Final = keep_microseconds
        self._disk: Final = target_disk or LocalDisk()
        self._longest_log_pages: Final = longest_log_pages
        self._on_progress: Final = on_progress
        self._hold: Final = Hold(visit)
        self._tail: Final = LogTail(visit.database)
        self._store = 0
        self._last: _Last | None = None
        self._place = LogPlace(salts="", frames=0)
        self._pending: Change | None = None
        self._taken_at = Timestamp(0)
        self._checked = ""
        self.standing: Standing | None = None

    def begin(self) -> None:
        """Take the folder, and find where the copy in it ends.

        Raises StoreLockedError if another replicates into it, UsageError if it holds copies of another database, and
        StoreErrors.
        """
        with faults_named(self._folder.path, "replicating"):
            self._folder.take()
            try:
                self._folder.clear_away()
                self._store = _identity(self._visit)
                self._resume()
            except BaseException:
                self._folder.leave()
                raise

    def end(self) -> None:
        """Let go of the folder and of the log."""
        self._hold.let_go()
        self._folder.leave()

    def follow(self) -> None:
        """Make one round. Raises StoreErrors: then the next round takes what this one did not."""
        began_at = self._clock.now()
        try:
            self._follow(began_at)
        except PerdureError as error:
            self._tell(error=str(error))
            raise
        except (apsw.Error, OSError) as error:
            failure = self._failure(error)
            self._tell(error=str(failure))
            raise failure from error
        self._tell(checked_at=began_at)

    @property
    def is_pressed(self) -> bool:
        """Whether the log is so long that a round should not wait."""
        with faults_named(self._visit.path, "replicating"):
            end = self._tail.end()
        return end.frames - self._place.frames >= self._longest_log_pages

    def _follow(self, now: Timestamp) -> None:
        if self._last is None:
            self._resume()
        if self._last is None:
            self._begin_anew()
            return
        try:
            self._take()
            self._give_log_its_turn()
        except LostTrackError:
            self._lose_track()  # also if there is no room for a base: the database's log must not be held for it
            self._begin_anew()
            return
        self._publish(self._last)
        if self._last.is_outgrown or self._last.begun_at + self._keep // _BASES_KEPT <= now:
            self._begin_anew()

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
            if begun.store != self._store:
                raise UsageError(
                    f"{self._folder.path} holds copies of another database than {self._visit.path}. "
                    f"Choose another folder."
                )
            last = self._checked_last(generation)
        except (CopyDamagedError, FileNotFoundError):
            return
        base_bytes = generation.base.stat().st_size
        self._last = _Last(
            generation=generation,
            begun_at=begun.taken_at,
            base_bytes=base_bytes,
            increments_bytes=generation.size_bytes() - base_bytes,
            header=last.header,
            digest=last.digest,
        )
        self._place = last.header.place

    def _checked_last(self, generation: Generation) -> Part:
        """Return the last part, once all before it and the base are found sound. Raises CopyDamagedError, OSError.

        Who has checked them does not read them again as long as nothing was added.
        """
        number = generation.numbers()[-1]
        last = read_part(generation.part(number))
        if last.digest != self._checked:
            for part in checked_parts(generation, upto=number):
                self._taken_at = max(self._taken_at, part.header.taken_at)
            self._checked = last.digest
        return last

    def _lose_track(self) -> None:
        self._hold.let_go()
        self._last = self._pending = None

    # --- increments ----------------------------------------------------------------------------------------------

    def _take(self) -> None:
        """Read what has come since the last place, and go on holding from here. Raises LostTrackError."""
        is_held = self._hold.is_held
        self._hold.renew()
        try:
            self._read_on(is_held=is_held)
        except BaseException:
            if is_held:
                self._hold.keep()
            else:
                self._hold.let_go()
            raise
        self._hold.hand_over()

    def _read_on(self, *, is_held: bool) -> range:
        end = self._tail.end()
        now = self._clock.now()
        frames = self._tail.frames_after(self._place, end, is_held=is_held)
        if frames:
            self._pending = self._tail.read(frames, end, known=self._pending)
            self._place, self._taken_at = end, max(now, self._taken_at)
        return frames

    def _publish(self, last: _Last) -> None:
        """Write what was read as the increment after `last`."""
        change = self._pending
        if change is None:
            return
        header = PartHeader(
            store=self._store,
            number=last.header.number + 1,
            previous=last.digest,
            taken_at=self._taken_at,
            place=self._place,
            page_count=change.page_count,
            pages=len(change.pages),
        )
        data, digest = encode_part(header, change.pages)
        write_durably(self._disk, last.generation.part(header.number), data)
        increments_bytes = last.increments_bytes + len(data)
        self._last = msgspec.structs.replace(last, header=header, digest=digest, increments_bytes=increments_bytes)
        self._pending = None

    # --- the log's turn ------------------------------------------------------------------------------------------

    def _give_log_its_turn(self) -> None:
        """Let a long log begin anew. Raises LostTrackError."""
        if self._place.frames < self._longest_log_pages:
            return
        try:
            with self._visit.turn(patience_seconds=_PATIENCE_SECONDS):
                self._copy_log()
        except StoreLockedError:
            return  # there is a next round

    def _copy_log(self) -> None:
        self._read_on(is_held=True)
        self._hold.let_go()
        self._visit.database.copy_log()
        self._hold.renew()
        if self._tail.end() != self._place:
            self._hold.let_go()
            raise LostTrackError("another program has written while the log was copied")

    # --- bases ---------------------------------------------------------------------------------------------------

    def _begin_anew(self) -> None:
        """Begin a new generation with a whole copy."""
        demand_room(self._folder.path, size_of(self._visit.database.connection()))
        self._lose_track()
        generation = self._folder.begin_generation()
        try:
            with self._visit.turn():
                self._hold_exactly()
            self._copy_base(generation)
        except BaseException:
            self._lose_track()
            generation.remove(self._disk)
            raise
        self._folder.remove_old(before=Timestamp(self._clock.now() - self._keep))

    def _hold_exactly(self) -> None:
        """Hold a transaction whose place in the log is known."""
        for _ in range(_ATTEMPTS):
            self._place = self._tail.end()
            self._hold.renew()
            if self._tail.end() == self._place:
                self._taken_at = max(self._clock.now(), self._taken_at)
                return
            self._hold.let_go()
        raise StoreUnavailableError(f"another program writes to {self._visit.path} all the time; no copy was begun.")

    def _copy_base(self, generation: Generation) -> None:
        copy_whole(self._hold.connection(), generation.base, self._disk, on_progress=self._on_progress)
        generation.base.chmod(mode_of(self._visit.path))
        with unshared(generation.base) as connection:
            demand_integrity(connection, generation.base)
        for folder in (self._folder.path.parent, self._folder.path, generation.path):
            self._disk.sync_folder(folder)
        base_bytes = generation.base.stat().st_size
        header = PartHeader(
            store=self._store,
            number=0,
            previous=digest_of_file(generation.base),
            taken_at=self._taken_at,
            place=self._place,
            page_count=base_bytes // PAGE_BYTES,
        )
        data, digest = encode_part(header, {})
        write_durably(self._disk, generation.part(0), data)
        self._last = _Last(
            generation=generation,
            begun_at=self._taken_at,
            base_bytes=base_bytes,
            increments_bytes=len(data),
            header=header,
            digest=digest,
        )

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


def _identity(visit: Visit) -> int:
    """Return when the database was made, or restored, which tells it from others, and not from its own copies."""
    found: int | None = visit.database.connection().execute(_MADE_AT).get
    return found or 0


_MADE_AT: Final = """
SELECT max(moment) FROM (
    SELECT applied_at AS moment FROM schema_migrations WHERE number = 1
    UNION ALL SELECT value FROM store_meta WHERE name = 'restored_at'
)
"""
_BASES_KEPT: Final = 4
_INCREMENTS_PER_BASE: Final = 8
_LEAST_INCREMENTS_BYTES: Final = 1 << 30
"""Increments are outgrown when they have so many times their base's bytes, and no less than a gigabyte."""
_PATIENCE_SECONDS: Final = 1.0
_ATTEMPTS: Final = 100
