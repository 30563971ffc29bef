"""Whether the copies that follow a database do, and how far behind they are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from perdure.cli.finding import Check, Verdict
from perdure.cli.sizes import show_size
from perdure.cli.times import show_duration
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.stores.sqlite.copies.folder import CopyFolder
from perdure.stores.sqlite.copies.standing import Standing, read_standings, standing_file

__all__ = ["copies_checks", "lag_of"]


def copies_checks(database: Path, *, now: Timestamp) -> Iterator[Check]:
    """Yield a finding for each copy of which word is left beside the database, one if there is none."""
    standings = list(read_standings(database))
    if not standings:
        yield Check(name="copies", verdict=Verdict.OK, finding="none follows this database (perdure replicate)")
    for standing in standings:
        yield _check(standing, database, now=now)


def lag_of(standing: Standing, *, now: Timestamp) -> str:
    """Say how far behind a copy is."""
    if not standing.checked_at:
        return "nothing copied yet"
    return f"{show_duration(max(now - standing.checked_at, 0))} behind"


def _check(standing: Standing, database: Path, *, now: Timestamp) -> Check:
    finding = f"{standing.target}: {lag_of(standing, now=now)}, {_size(standing)}"
    if standing.error:
        return Check(name="copies", verdict=Verdict.WARN, finding=finding, advice=standing.error)
    if now - standing.checked_at > _INTERVALS * standing.every + _GRACE:
        advice = (
            f"start `perdure replicate` again; if the copy is given up, remove "
            f"{standing_file(database, standing.target)}"
        )
        return Check(name="copies", verdict=Verdict.WARN, finding=finding, advice=advice)
    return Check(name="copies", verdict=Verdict.OK, finding=finding)


def _size(standing: Standing) -> str:
    try:
        generations = CopyFolder(Path(standing.target)).generations()
        return f"{show_size(sum(generation.size_bytes() for generation in generations))}, newest {standing.point}"
    except OSError as error:
        return f"cannot be read: {error}"


_INTERVALS: Final = 3
_GRACE: Final = 10 * MICROSECONDS_PER_SECOND
"""What a round may take beside the interval."""
