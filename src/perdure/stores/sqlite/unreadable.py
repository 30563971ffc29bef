"""Runs whose rows cannot be read or written, since they lie on damaged pages or beside one: they harm no other run.

**Promise.** Claims, lists, counts, and giving back what a dead session owned go on with all other runs. When a
statement on many has met damage (a damaged page, one that the disk does not give, text that is none), all that claims
and lists read of runs is read once (`perdure.stores.sqlite.scanning`), and what cannot be read is passed over from then
on. The log names it. After a minute, two, four, up to an hour, it is tried again: a cable, a controller, a repair.

**Beside a damaged page.** SQLite moves rows between pages that are neighbours: a row next to a damaged page can be
read, and not always be written; nor can one that has a value of another type than its column has, as by a flipped bit,
for SQLite looks at all of a row that changes. So after damage fewer rows are read and written in one transaction, half
as many each time (`most_written`): the one that fails alone is passed over by claims, and left as it is, if another can
be written (`perdure.stores.sqlite.trials`). If none can be, it is not the row, but an index, or the disk: that is an
error. Each transaction that succeeds is followed by one of twice as many. Rows found bad cost two transactions each,
and all others together those that they would have cost anyway. A transaction that has met damage writes nothing more:
it is undone.

**Behind an index.** An index may be older than the rows, as after a write that the disk has lost. What it says to be
due, or a session's, is claimed, or given back, only if its row says so too; claims, or giving back, pass over the
others, for a minute each time.

**Limits.** The index by id must be readable: it says which runs there are. More than 10,000 runs are not passed over,
nor are all that there are: the store fails then, for an answer that there is none would not be true. A damaged page of
an index still fails the statements that need it; `perdure verify --repair` builds it anew.

**Rejected.** To look row by row whenever something is asked: that takes as long as there are runs, each time.
Savepoints instead of transactions: an error of reading ends the whole transaction.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import partial
from itertools import takewhile
from typing import Final, TypeVar

import apsw

from perdure.errors import StoreCorruptError, StoreError, StoreUnavailableError
from perdure.kernel.identity import RunKey
from perdure.logs import Recurring, logger_named
from perdure.stores.sql.passing import NONE_PASSED, Passing
from perdure.stores.sqlite.faults import is_damage
from perdure.stores.sqlite.scanning import MOST_FOUND, UnreadableRun, find_unreadable, still_unreadable

__all__ = ["MOST_WRITTEN", "Browse", "CanWrite", "Stale", "Unreadable", "UnsoundRowsError", "demanding_sound"]

_LOGGER: Final = logger_named("perdure.store")

Result = TypeVar("Result")

Browse = Callable[[Callable[[apsw.Connection], list[UnreadableRun]]], Awaitable[list[UnreadableRun]]]
"""Ask a question of the database, where others that take long are asked."""

CanWrite = Callable[[], Awaitable[bool]]
"""Find out whether any run can be written that is not passed over."""

MOST_WRITTEN: Final = 10_000
"""So many rows at most are given back in one transaction."""


class Stale(Enum):
    """What an index says of runs that their rows do not."""

    DUE = "due"
    OWNED = "a session's"


class UnsoundRowsError(StoreCorruptError):
    """Of the rows of some runs there is one that cannot be read, or not be written."""

    def __init__(self, run_keys: Sequence[RunKey], cause: Exception) -> None:
        """Name the runs by their keys, and what was met."""
        names = _names(run_keys)
        super().__init__(f"the rows of run keys {names} cannot be read or written: {cause}; see `perdure verify`")
        self.__cause__ = cause
        self.run_keys: Final = run_keys


@contextmanager
def demanding_sound(run_keys: Sequence[RunKey]) -> Iterator[None]:
    """Read and write rows of runs. Raises UnsoundRowsError for damage that is met."""
    try:
        yield
    except apsw.Error as error:
        if is_damage(error):
            raise UnsoundRowsError(run_keys, error) from error
        raise


class Unreadable:
    """The runs of an open database that are passed over, as far as this process knows.

    `keys`: by whoever reads. `unclaimable`: by claims, and whoever gives runs back; without those of which only text
    is none, which claims park, and with those that can be read, and not be written. `undue`: by claims alone, and
    `unowned` by giving back alone, since they are not due, or nobody's, by their rows, though an index that is older
    than these says so. `most_written`: how many are read and written in one transaction.
    """

    def __init__(
        self, on_readable: Callable[[], object] = lambda: None, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with none. `on_readable` is told when some are passed over no more; `now` gives seconds that never go
        back."""
        self.keys = self.unclaimable = NONE_PASSED
        self._stale: Final[dict[Stale, dict[RunKey, float]]] = {kind: {} for kind in Stale}
        self.most_written = MOST_WRITTEN
        self._on_readable: Final = on_readable
        self._now: Final = now
        self._recurring: Final = Recurring(_LOGGER.name, now)
        self._untold: list[RunKey] = []
        self._looking: Final = asyncio.Lock()
        self._look: asyncio.Task[None] | None = None
        self._looks_at = -math.inf
        self._despair: StoreError | None = None
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._revises_at = math.inf
        self._revision: asyncio.Task[None] | None = None

    @property
    def undue(self) -> Passing:
        """The runs that only an index says to be due."""
        return frozenset(self._stale[Stale.DUE])

    @property
    def unowned(self) -> Passing:
        """The runs that only an index says to be a session's."""
        return frozenset(self._stale[Stale.OWNED])

    async def past_damage(self, ask: Callable[[], Awaitable[Result]], browse: Browse, can_write: CanWrite) -> Result:
        """Ask something of many runs. Where damage keeps it from being answered it is asked again: of those that are
        not passed over, and, if it is `most_written` that fail, of fewer. Raises the error that remains."""
        self._revise_meanwhile(browse)
        self._forget_stale()
        has_looked, hopeless = False, None
        while True:
            passed = self.unclaimable
            try:
                answer = await ask()
                self.tell()
                return answer
            except StoreError as error:
                if not is_damage(error):
                    raise
                if not has_looked:
                    hopeless = await self._look_again(browse)
                is_narrowed = isinstance(error, UnsoundRowsError) and await self._narrow(error, passed, can_write)
                if not is_narrowed and (has_looked or hopeless is not None):
                    raise (hopeless or error) from error.__cause__
                has_looked = True

    async def _narrow(self, error: UnsoundRowsError, passed: Passing, can_write: CanWrite) -> bool:
        failed = error.run_keys
        return self.narrow(failed, passed=passed) or (await can_write() and self.give_up(failed, passed=passed))

    def close(self) -> None:
        """Try nothing again any more."""
        for task in (self._look, self._revision):
            if task is not None:
                task.cancel()

    def note(self, found: Sequence[UnreadableRun]) -> None:
        """Note runs that cannot be read, and log those that are new."""
        new = [run for run in found if run.run_key not in self.keys]
        self.keys |= {run.run_key for run in found}
        self.unclaimable |= {run.run_key for run in found if run.is_damaged}
        if new:
            self._plan_revision()
            text = "the rows of %d runs cannot be read and are passed over: %s; see `perdure verify`"
            _LOGGER.error(text, len(new), _names([str(run.ref) for run in new]))

    def revise_soon(self) -> None:
        """Try what is passed over with the next question: something was mended."""
        self._revises_at = -math.inf
        for passed in self._stale.values():
            passed.clear()

    def narrow(self, run_keys: Sequence[RunKey], *, passed: Passing) -> bool:
        """Note that these could not be read and written together, where some were passed over; return whether it may be
        tried again: with fewer, or without one that has come to be passed over since."""
        if len(run_keys) > 1:
            self.most_written = min(self.most_written, len(run_keys) // 2)
            return True
        return not (self.unclaimable - passed).isdisjoint(run_keys)

    def give_up(self, run_keys: Sequence[RunKey], *, passed: Passing) -> bool:
        """Pass over what cannot be written though others can be; return whether that may help: too much may be passed
        over already, or these, in vain."""
        if len(self.unclaimable) >= MOST_FOUND or not passed.isdisjoint(run_keys):
            return False
        new = [run_key for run_key in run_keys if run_key not in self.unclaimable]
        self.unclaimable = self.unclaimable.union(new)
        self._untold += new
        self._plan_revision()
        return True

    def leave(self, run_keys: Collection[RunKey], stale: Stale) -> bool:
        """Pass over what is not by its row what an index says; return whether there are any, and that was done."""
        passed = self._stale[stale]
        if not run_keys or len(passed) >= _MOST_STALE:
            return False
        until = self._now() + _FIRST_PAUSE_SECONDS
        for run_key in run_keys:
            passed.setdefault(run_key, until)
        text = (
            "%d runs are %s by an index, and not by their rows: run keys %s; `perdure verify --repair` builds an index "
            "anew that is older than the rows, as after a write that the disk has lost"
        )
        self._recurring.error(text, len(run_keys), stale.value, _names(sorted(run_keys)), cause=stale.value)
        return True

    def _forget_stale(self) -> None:
        """See again what may be as an index says by now."""
        now, has_forgotten = self._now(), False
        for passed in self._stale.values():
            past = [*takewhile(lambda run_key: passed[run_key] <= now, passed)]  # noqa: B023 - used at once
            for run_key in past:
                del passed[run_key]
            has_forgotten |= bool(past)
        if has_forgotten:
            self._on_readable()

    def widen(self) -> None:
        """Note that an asking has succeeded: the next may be of twice as many."""
        self.most_written = min(self.most_written * 2, MOST_WRITTEN)

    def tell(self) -> None:
        """Log what was given up."""
        if self._untold:
            text = (
                "the rows of %d runs cannot be written, since they or a page beside them are damaged, and stay as they "
                "are (see `perdure verify`): run keys %s"
            )
            _LOGGER.error(text, len(self._untold), _names(self._untold))
            self._untold.clear()

    async def _look_again(self, browse: Browse) -> StoreError | None:
        """Find out what cannot be read, but for a small part of the time only, however long that takes; return the
        error where it is all, or too much, or cannot be found out.

        A look goes on though those give up who wait for it: it may take longer than a lease, and serves all.
        """
        if self._look is None or self._look.done():
            self._look = asyncio.get_running_loop().create_task(self._look_whole(browse), name="perdure-look")
        look = self._look
        await asyncio.wait({look})
        if look.cancelled():
            return StoreUnavailableError("the store was closed while it looked for what cannot be read")
        look.result()
        return None if self._despair is None else self._despair.with_traceback(None)

    async def _look_whole(self, browse: Browse) -> None:
        async with self._looking:
            begun = self._now()
            if begun < self._looks_at:
                return
            self._despair = None
            try:
                self.note(await browse(find_unreadable))
            except StoreError as error:
                self._despair = error
            ended = self._now()
            self._looks_at = ended + (ended - begun) * _REST_PER_LOOK

    def _revise_meanwhile(self, browse: Browse) -> None:
        """Try again, now and then, what is passed over; nobody waits for it, nor for an error of it."""
        if self._now() < self._revises_at or not (self._revision is None or self._revision.done()):
            return
        if not self.unclaimable | self.keys:
            self._pause_seconds, self._revises_at = _FIRST_PAUSE_SECONDS, math.inf
            return
        self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
        self._revises_at = self._now() + self._pause_seconds
        self._revision = asyncio.get_running_loop().create_task(self._revise(browse), name="perdure-revision")

    async def _revise(self, browse: Browse) -> None:
        async with self._looking:
            try:
                found = await browse(partial(still_unreadable, run_keys=sorted(self.keys)))
            except StoreError as error:
                _LOGGER.warning("what is passed over could not be tried again, it stays so for now: %s", error)
                return
            gone, before = len(self.keys) - len(found), self.unclaimable
            self.keys = frozenset(run.run_key for run in found)
            self.unclaimable = frozenset(run.run_key for run in found if run.is_damaged)
            if gone:
                _LOGGER.warning("the rows of %d runs can be read again", gone)
            if not before <= self.unclaimable:
                self._on_readable()

    def _plan_revision(self) -> None:
        self._revises_at = min(self._revises_at, self._now() + self._pause_seconds)


def _names(run_names: Sequence[object]) -> str:
    more = f" and {len(run_names) - _NAMED} more" if len(run_names) > _NAMED else ""
    return f"{', '.join(map(str, run_names[:_NAMED]))}{more}"


_NAMED: Final = 20
_FIRST_PAUSE_SECONDS: Final = 60.0
_MOST_STALE: Final = 100_000
_LONGEST_PAUSE_SECONDS: Final = 3600.0
_REST_PER_LOOK: Final = 20
"""A look is followed by so many times as long without one."""
