"""Who is here: the folder of lock files beside the database.

| file             | held                                      | tells                                             |
|------------------|-------------------------------------------|---------------------------------------------------|
| opening.lock     | exclusively while a process opens         | openings happen one after the other               |
| presence.lock    | shared for life; exclusively by the first | no other process has the database open            |
| writer.lock      | exclusively around each write transaction | nobody else writes                                |
| session-N.lock   | exclusively for life by session N         | whether session N is alive, without waiting       |
| session-N.sock   | bound by session N                        | where to send notices (`notices`)                 |
| copying          | there while the log is copied             | that this failed, or its process died (`copying`) |
| replacing        | there while no database has the name      | that one is to be restored (`copies.placing`)     |

The kernel drops a dead process's locks, so nothing here needs cleaning for correctness; the first opener tidies up.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from perdure.errors import StoreLockedError, StoreUnavailableError
from perdure.kernel.identity import WorkerId
from perdure.stores.sqlite.disk import Disk, LocalDisk
from perdure.stores.sqlite.locks import FileLock
from perdure.stores.sqlite.solitude import Solitude

__all__ = ["Presence", "copying_mark", "demand_not_replaced", "replacing_mark", "sidecar_folder"]


def sidecar_folder(database: Path) -> Path:
    """Return the folder of lock files of a database."""
    return database.with_name(f"{database.name}.perdure")


def copying_mark(database: Path) -> Path:
    """Return the mark that stands beside a database while its log is copied."""
    return sidecar_folder(database) / "copying"


def replacing_mark(database: Path) -> Path:
    """Return the mark that stands beside a database that is damaged while another one takes its place."""
    return sidecar_folder(database) / "replacing"


def demand_not_replaced(database: Path) -> None:
    """Raise StoreUnavailableError if whoever replaced the database has died, and left none, or if he is still at it.

    `database` may be a link to it; a loop of links, for which `Path.resolve` raises RuntimeError, is none.
    """
    if replacing_mark(Path(os.path.realpath(database))).exists():
        raise StoreUnavailableError(
            f"a restoring of {database} has not ended; nothing was changed. Run `perdure restore --force` "
            f"again: it goes on from there, and if it cannot, puts back what was there."
        )


class Presence:
    """This opening of the database among all others. Used by the writer's thread only."""

    def __init__(self, database: Path, disk: Disk | None = None) -> None:
        """Open the lock files, in a folder on `disk`. Raises OSError when that cannot be made or written."""
        self._database: Final = database
        self.folder: Final = sidecar_folder(database)
        if not self.folder.is_dir():
            with suppress(FileExistsError):  # another opening has made it
                (disk or LocalDisk()).make_folder(self.folder)
        self.writer_lock: Final = FileLock(self.folder / "writer.lock")
        self._opening_lock: Final = FileLock(self.folder / "opening.lock")
        self._presence_lock: Final = FileLock(self.folder / "presence.lock")
        self._session_lock: FileLock | None = None

    def begin_opening(self, *, patience_seconds: float, restores: bool = False) -> None:
        """Wait for the turn to open the database, or, if the caller `restores` one, to replace it.

        Raises StoreLockedError when others' openings take longer than `patience_seconds`, StoreUnavailableError when
        whoever replaced the database has died, and left none.
        """
        if not self._opening_lock.wait_exclusive(patience_seconds=patience_seconds):
            raise StoreLockedError(
                f"another process has been opening the database beside {self.folder} for more than "
                f"{patience_seconds:g} s. If it hangs, end it; then try again."
            )
        if not restores:
            demand_not_replaced(self._database)

    def try_alone(self) -> bool:
        """Whether nobody else has the database open, be it since this moment only. Others wait for the turn to open."""
        if not self._presence_lock.try_exclusive():
            return False
        self._tidy()
        return True

    def leave(self) -> None:
        """Show to later openers that this process goes, before its connections do: without any the log is read anew."""
        self._presence_lock.unlock()

    def end_opening(self) -> None:
        """Show this process to later openers, and let the next of them begin."""
        # Every other process that would take it exclusively waits for the opening lock: nobody gets in between.
        if not self._presence_lock.try_shared():
            raise StoreLockedError(f"the lock {self._presence_lock.path} is held by something other than Perdure.")
        self._opening_lock.unlock()

    def begin_session(self, worker_id: WorkerId) -> None:
        """Take the lock that says that this session is alive."""
        lock = FileLock(self._session_path(worker_id))
        if not lock.try_exclusive():
            lock.close()
            raise StoreLockedError(f"the lock of the new session {worker_id} in {self.folder} is taken by another.")
        self._session_lock = lock

    def is_dead(self, worker_id: WorkerId) -> bool:
        """Whether the process of another session has ended."""
        path = self._session_path(worker_id)
        if not path.exists():
            return True
        with FileLock(path) as lock:
            return lock.try_exclusive()

    def forget_session(self, worker_id: WorkerId) -> None:
        """Remove what a dead session left in the folder."""
        self._session_path(worker_id).unlink(missing_ok=True)
        self.socket_path(worker_id).unlink(missing_ok=True)

    def socket_path(self, worker_id: WorkerId) -> Path:
        """Return where a session listens."""
        return self.folder / f"session-{worker_id}.sock"

    def solitude(self, worker_id: WorkerId) -> Solitude:
        """Return what tells a session whether it is the only one here; for any thread."""
        return Solitude(self.folder, worker_id, own=self._session_path(worker_id).name)

    def close(self, worker_id: WorkerId | None) -> None:
        """Leave: drop every lock, and remove this session's own files."""
        if worker_id is not None:
            self.forget_session(worker_id)
        for lock in (self._session_lock, self.writer_lock, self._presence_lock, self._opening_lock):
            if lock is not None:
                lock.close()

    def _session_path(self, worker_id: WorkerId) -> Path:
        return self.folder / f"session-{worker_id}.lock"

    def _tidy(self) -> None:
        for left in self.folder.glob("session-*"):
            left.unlink(missing_ok=True)
