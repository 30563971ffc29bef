"""Whether a database that was made of a copy can be used: what must be in order before it gets its name.

The digests of increments and of their base cover every byte of a copy that follows: what is out of place there was so
in the database. A whole copy is a plain database, which has none: so its histories and messages are verified by their
own (`stores.sqlite.verification`), and pages that are never used may be the only sign that it has lost rows where it
lies. One that another version of Perdure made, with other tables, is not verified; nor is what a row says beside its
history, unless it is lost: `perdure verify` does both, once it has been opened.
"""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import apsw
import msgspec

from perdure.errors import CopyDamagedError, InternalError, StoreCorruptError, StoreError
from perdure.kernel.identity import RunKey
from perdure.kernel.time import Timestamp
from perdure.ports.verification import Verification, VerificationWish
from perdure.stores.sqlite.copies.visit import demand_tables, faults_named
from perdure.stores.sqlite.copies.whole import (
    demand_integrity,
    demand_openable,
    log_lost_pages,
    said_of_lost_pages,
    unshared,
)
from perdure.stores.sqlite.integrity import is_of_unused_page
from perdure.stores.sqlite.schema import is_current
from perdure.stores.sqlite.verification import Verifier
from perdure.stores.sqlite.verification.tables import lost_runs

__all__ = ["Damage", "damage_in", "damage_named", "damage_of_tables", "demand_ours", "demand_sound", "summary"]

Result = TypeVar("Result")


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """What of a database is not as it was written: how many pages are lost, and what of runs, which may be gone, and of
    what belongs to none."""

    lost_pages: int
    of_runs: tuple[tuple[RunKey, str], ...] = ()
    of_none: tuple[str, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """All of it."""
        return (*said_of_lost_pages(self.lost_pages), *(what for _, what in self.of_runs), *self.of_none)


def demand_ours(made: Path, source: Path) -> None:
    """Raise CopyDamagedError if what was `made` of a copy, which lies at `source`, is another program's database."""
    with _refused(source, apsw.Error, StoreError), unshared(made) as connection:
        demand_tables(connection, source)


def demand_sound(made: Path, source: Path, *, is_whole_copy: bool, accepts_damaged: bool) -> tuple[str, ...]:
    """Raise CopyDamagedError if what was `made` of a copy, which lies at `source`, is not in order.

    Return what is damaged, if the caller `accepts_damaged`; lost pages of a copy that follows are told in any case.
    """
    with _refused(source, apsw.Error, StoreError), unshared(made) as connection:
        lost_pages = demand_integrity(connection, made)
        log_lost_pages(lost_pages, source)
        if is_whole_copy:
            damaged, advice = damage_in(connection, source, lost_pages=lost_pages).told, _OF_A_WHOLE_COPY
        else:
            damaged, advice = damage_of_tables(connection, source), _OF_A_POINT
        if damaged and not accepts_damaged:
            raise CopyDamagedError(f"{summary(damaged)}. {advice}")
    return damaged if is_whole_copy else (*said_of_lost_pages(lost_pages), *damaged)


def damage_of_tables(connection: apsw.Connection, place: Path) -> tuple[str, ...]:
    """Return that the tables of the database at `place` are not those that its version of Perdure made; nothing if they
    are, or are a newer one's."""
    try:
        demand_openable(connection, place)
    except StoreCorruptError as error:
        return (str(error),)
    return ()


def damage_in(connection: apsw.Connection, place: Path, *, lost_pages: int) -> Damage:
    """Return what of the histories and messages of the database at `place` is not as it was written, by its digests,
    and what is out of place in its tables, beside so many pages that are lost.

    In tables of another version of Perdure nothing is looked for, nor in damaged ones, which are named. Raises
    StoreErrors.
    """
    if told := damage_of_tables(connection, place):
        return Damage(lost_pages=lost_pages, of_none=told)
    if not is_current(connection):
        return Damage(lost_pages=lost_pages)

    async def ask(function: Callable[[apsw.Connection], Result], /) -> Result:
        with faults_named(place, "verifying"):
            return function(connection)

    found = _result_of(Verifier(ask, VerificationWish(now=_WHENEVER)).verify(str(place)))
    of_runs = (*_of_runs(found), *lost_runs(connection))
    return Damage(lost_pages=lost_pages, of_runs=of_runs, of_none=tuple(_of_none(found)))


def summary(damaged: Sequence[str]) -> str:
    """Return the first of what is damaged, and how much more there is, without a full stop."""
    more = f", and {len(damaged) - 1} more" if len(damaged) > 1 else ""
    return f"{damaged[0].removesuffix('.')}{more}"


@contextmanager
def damage_named(source: Path) -> Iterator[None]:
    """Raise CopyDamagedError for what SQLite takes for damage of what was made of the copy at `source`."""
    with _refused(source, apsw.CorruptError, apsw.NotADBError):
        yield


@contextmanager
def _refused(source: Path, *errors: type[Exception]) -> Iterator[None]:
    try:
        yield
    except errors as error:
        raise CopyDamagedError(f"what {source} holds cannot be used: {error}. Nothing was restored.") from error


def _result_of(asking: Coroutine[None, None, Result]) -> Result:
    """Return what a coroutine returns whose questions are answered at once: it needs no event loop."""
    try:
        asking.send(None)
    except StopIteration as ended:
        result: Result = ended.value
        return result
    raise InternalError("a verification has waited for something that is there already")


def _of_runs(found: Verification) -> Iterator[tuple[RunKey, str]]:
    """Yield of runs what a digest says is not as it was written, or SQLite that it is out of place."""
    for run in found.damaged:
        for defect in run.defects:
            if defect.place in _WITH_DIGESTS:
                yield run.run_key, f"run {run.ref.id if run.ref else run.run_key} ({defect.what})"


def _of_none(found: Verification) -> Iterator[str]:
    """Yield the same of what belongs to no run."""
    for defect in found.defects:
        if defect.place in _WITH_DIGESTS and not is_of_unused_page(defect.what):
            yield defect.what


_OF_A_WHOLE_COPY: Final = (
    "If that was so when it was copied, as `perdure backup` said then, or if there is no other copy, say "
    "--accept-damaged: it is restored as it is, and no worker goes on with a run that is damaged"
)
_OF_A_POINT: Final = (
    "It was so in the database: restore an earlier point with --at (`perdure restore --list` shows them). If there is "
    "none, say --accept-damaged: it is restored as it is, for other tools to read"
)
_WHENEVER: Final = Timestamp(0)
"""Digests are the same at any time."""
_WITH_DIGESTS: Final = frozenset({"agenda", "file", "history", "inbox"})
