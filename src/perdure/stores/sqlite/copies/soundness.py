"""Whether a database that was made of a copy can be used: what must be in order before it gets its name.

The digests of increments and of their base cover every byte of a copy that follows: what is out of place there was so
in the database. A whole copy is a plain database, which has none: so its histories and messages are verified by their
own (`stores.sqlite.verification`), and pages that are never used may be the only sign that it has lost rows where it
lies. One that another version of Perdure made, with other tables, is not verified; nor is what a row says beside its
history: `perdure verify` does both, once it has been opened.
"""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import apsw

from perdure.errors import CopyDamagedError, InternalError, StoreCorruptError, StoreError
from perdure.kernel.time import Timestamp
from perdure.ports.verification import Verification, VerificationWish
from perdure.stores.sqlite.copies.visit import demand_tables, faults_named
from perdure.stores.sqlite.copies.whole import demand_integrity, demand_openable, lost_pages_told, unshared
from perdure.stores.sqlite.integrity import is_of_unused_page
from perdure.stores.sqlite.verification import Verifier

__all__ = ["damage_in", "damage_named", "demand_ours", "demand_sound", "summary"]

Result = TypeVar("Result")


def demand_ours(made: Path, source: Path) -> None:
    """Raise CopyDamagedError if what was `made` of a copy, which lies at `source`, is another program's database."""
    with _refused(source, apsw.Error, StoreError), unshared(made) as connection:
        demand_tables(connection, source)


def demand_sound(made: Path, source: Path, *, is_whole_copy: bool, accepts_damaged: bool) -> tuple[str, ...]:
    """Raise CopyDamagedError if what was `made` of a copy, which lies at `source`, is not in order.

    Return what is damaged, if the caller `accepts_damaged`; lost pages of a copy that follows are told in any case.
    """
    with _refused(source, apsw.Error, StoreError), unshared(made) as connection:
        lost_pages = lost_pages_told(demand_integrity(connection, made), source)
        if is_whole_copy:
            damaged, advice = (*lost_pages, *damage_in(connection, source)), _OF_A_WHOLE_COPY
        else:
            damaged, advice = _damage_of_tables(connection, source), _OF_A_POINT
        if damaged and not accepts_damaged:
            raise CopyDamagedError(f"{summary(damaged)}. {advice}")
    return damaged if is_whole_copy else (*lost_pages, *damaged)


def damage_in(connection: apsw.Connection, place: Path) -> tuple[str, ...]:
    """Return what of the histories and messages of the database at `place` is not as it was written, by its digests,
    and what is out of place in its tables; but for lost pages (`lost_pages_told`).

    In tables of another version of Perdure nothing is looked for, nor in damaged ones, which are named. Raises
    StoreErrors.
    """
    try:
        if not demand_openable(connection, place):
            return ()
    except StoreCorruptError as error:
        return (str(error),)

    async def ask(function: Callable[[apsw.Connection], Result], /) -> Result:
        with faults_named(place, "verifying"):
            return function(connection)

    return tuple(_changed(_result_of(Verifier(ask, VerificationWish(now=_WHENEVER)).verify(str(place)))))


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


def _damage_of_tables(connection: apsw.Connection, place: Path) -> tuple[str, ...]:
    try:
        demand_openable(connection, place)
    except StoreCorruptError as error:
        return (str(error),)
    return ()


def _result_of(asking: Coroutine[None, None, Result]) -> Result:
    """Return what a coroutine returns whose questions are answered at once: it needs no event loop."""
    try:
        asking.send(None)
    except StopIteration as ended:
        result: Result = ended.value
        return result
    raise InternalError("a verification has waited for something that is there already")


def _changed(found: Verification) -> Iterator[str]:
    """Yield what a digest says is not as it was written, or SQLite that it is out of place."""
    for run in found.damaged:
        for defect in run.defects:
            if defect.place in _WITH_DIGESTS:
                yield f"run {run.ref.id if run.ref else run.run_key} ({defect.what})"
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
