"""The base of a generation: a whole copy of the database, of a moment whose place in the log is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from perdure.errors import StoreUnavailableError
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.copies.durable import write_durably
from perdure.stores.sqlite.copies.folder import Generation
from perdure.stores.sqlite.copies.hold import Hold
from perdure.stores.sqlite.copies.parts import PartHeader, encode_part
from perdure.stores.sqlite.copies.tail import LogPlace, LogTail
from perdure.stores.sqlite.copies.whole import (
    Progress,
    copy_whole,
    demand_integrity,
    demand_openable,
    digest_of_file,
    log_lost_pages,
    mode_of,
    unshared,
)
from perdure.stores.sqlite.disk import Disk
from perdure.stores.sqlite.log import PAGE_BYTES

__all__ = ["Last", "copy_base", "hold_exactly"]


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """The last part that was written, and of which generation: when its base was taken, and how many bytes it and the
    increments since have. `digest`: what the next part names."""

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


def hold_exactly(hold: Hold, tail: LogTail, database: Path) -> LogPlace:
    """Hold a transaction whose place in the log is known; return the place. The caller has the writer's turn.

    Raises StoreUnavailableError if another program writes all the time.
    """
    for _ in range(_ATTEMPTS):
        place = tail.end()
        hold.renew()
        if tail.end() == place:
            return place
        hold.let_go()
    raise StoreUnavailableError(f"another program writes to {database} all the time; no copy was begun.")


def copy_base(
    hold: Hold,
    generation: Generation,
    plan: PartHeader,
    disk: Disk,
    *,
    database: Path,
    on_progress: Progress,
    meanwhile: Callable[[], None],
) -> Last:
    """Copy what `hold` sees into a new generation; its first part is as in `plan`, with what the copy turns out to be.

    `on_progress` is told how many pages are copied; while the copy is checked `meanwhile` is called now and then.
    Raises StoreErrors, apsw's errors, OSError: what nobody could open lets no base before it go.
    """
    base = generation.base
    copy_whole(hold.connection(), base, disk, on_progress=on_progress)
    base.chmod(mode_of(database))
    with unshared(base) as connection:
        lost_pages = demand_integrity(connection, base, meanwhile=meanwhile)
        demand_openable(connection, database)
    log_lost_pages(lost_pages, database)
    size, digest_of_base = base.stat().st_size, digest_of_file(base, meanwhile=meanwhile)
    header = msgspec.structs.replace(
        plan, previous=digest_of_base, page_count=size // PAGE_BYTES, lost_pages=lost_pages
    )
    data, digest = encode_part(header, {})
    write_durably(disk, generation.part(0), data, is_new=True)
    return Last(
        generation=generation,
        begun_at=header.begun_at,
        base_bytes=size,
        increments_bytes=len(data),
        header=header,
        digest=digest,
    )


_ATTEMPTS: Final = 100
_INCREMENTS_PER_BASE: Final = 8
_LEAST_INCREMENTS_BYTES: Final = 1 << 30
"""Increments are outgrown when they have so many times their base's bytes, and no less than a gigabyte."""
