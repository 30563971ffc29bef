"""The queue of the committer: what is committed next, what is held back, and what is given up. It does no I/O.

**Promise.** The writes of one run (its *line*) are never committed in another order than they were given. What is kept
is never given up because the store as a whole fails, be it that some commits get through. A run whose writes alone
fail, as on a bad sector, stops neither other runs nor clients, and its writes are given up one after the other.

**States of the queue.**
```
              a batch of several lines fails         three lines fail, nothing succeeds
   TOGETHER ───────────────────────────────► APART ───────────────────────────────────► OUTAGE ◄─┐ after a pause,
      ▲ ▲                                      │ each write alone,                       │  │    │ which doubles,
      │ └──────────────────────────────────────┘ until the bad one is found              │  └────┘ the next lines
      └───────────────────────────────── a write succeeds ───────────────────────────────┘
```
An error that names a cause which is the whole store's (a full disk, a lock) leads to OUTAGE at once. In an OUTAGE
writes of clients are refused, but for one between two tries, which finds out whether only what is kept fails. Where
no cause is named twice as many lines are tried after each pause as after the one before: many may lie beside one bad
sector, and the others wait behind them.

**States of a line.** A kept write that fails alone, where there is no outage, has its line *held back*: nothing else
waits for it. After a pause, which doubles, it is tried again, alone. It has failed *by itself* if, since it failed
before, other writes were committed and no other line failed after them; the store is not what fails then, and the line
is no *witness* of an outage any more. A write that has failed by itself five times is given up, and the next of its
line is tried. An outage ends all holding back and all counting.
```
   waiting ──── fails alone ───► held back ──── given up: the next write, at once; the last: gone
      ▲ ▲                         │  │  ▲ │
      │ └─────── an outage ───────┘  │  └─┘ fails alone again: a longer pause
      └───────── succeeds ───────────┘
```
**Several batches under way**, where the store can make use of it. A line with a write under way has no other handed
out until that is answered: what comes meanwhile stays behind it, and is the first of what waits then. In trouble one
batch at a time is handed out. One that fails while others are under way is put back as if it had not been tried;
nothing is handed out until these are answered, and then the next batch goes alone: what its failure means is judged as
if there had never been others. So every state above is entered, and left, with nothing else under way.

**Cost.** A write is looked at once when it is added and once when it is handed out; with several batches under way once
more if its line has one, and again only where more of one line waits than goes into a batch.

**Limits.** With nothing else to commit it is not known whose the trouble is: nothing is given up, however long it
takes. A message to a run has a line by the name that it was sent to, beside its owner's writes: other processes put
messages between those at any time, too.

Rejected: to try what failed at the end of the queue, whatever it is: a run's release would pass the transition that it
was written after. To give up what fails alone once after a success: in an outage some commits may get through.
"""

from collections.abc import Callable, Sequence
from itertools import compress
from operator import not_
from typing import Final

import msgspec

from perdure.configuration import Settings
from perdure.errors import PerdureError, StoreUnavailableError
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.transition import Delivery, Outcome, Write

__all__ = ["Answer", "CommitQueue", "Entry"]

Answer = Callable[[Outcome | PerdureError], None]
"""Told what became of a write. What it raises is logged: it must not keep the answers of others back."""

_Line = RunKey | tuple[str, str]


class Entry(msgspec.Struct, eq=False):
    """A write that waits; if it `is_kept` it is tried again while the store is unavailable.

    `failed_after`: how many commits had succeeded when it failed alone the last time, None if it never did.
    `failed_by_itself`: how often in a row others succeeded meanwhile.
    """

    write: Write
    answer: Answer
    is_kept: bool
    failed_after: int | None = None
    failed_by_itself: int = 0


class _Pause:
    """Before a try: it doubles each time."""

    def __init__(self, settings: Settings, now: float) -> None:
        self._seconds = settings.retry_store_seconds
        self._maximum_seconds = settings.retry_store_maximum_seconds
        self.ends_at = now + self._seconds

    def begin_longer(self, now: float) -> None:
        self._seconds = min(self._seconds * 2.0, self._maximum_seconds)
        self.ends_at = now + self._seconds


class _Held(msgspec.Struct, eq=False):
    """A line that is held back."""

    entries: list[Entry]
    pause: _Pause
    error: StoreUnavailableError


class _Outage(msgspec.Struct, eq=False):
    """`lets_one_through`: whether a client's write may find out how the store is; `probe` is that write.

    `tries`: how many lines are tried after a pause, and `left` how many of them are still to be.
    """

    pause: _Pause
    error: StoreUnavailableError
    tries: int = 1
    left: int = 1
    lets_one_through: bool = True
    probe: list[Entry] = msgspec.field(default_factory=list)


class CommitQueue:
    """Writes that wait, in their order. Moments are in seconds by a clock that never goes back."""

    def __init__(self, settings: Settings, *, is_shared: bool = False) -> None:
        """Begin with none; see `Settings` for how many are handed out at once, and for the pauses. `is_shared`: several
        batches may be under way."""
        self._settings: Final = settings
        self._is_shared: Final = is_shared
        self._under_way: Final[dict[_Line, list[Entry]]] = {}
        self._goes_alone = False
        self._next_goes_alone = False
        self._waiting: list[Entry] = []
        self._tried: list[Entry] = []
        self._alone = 0
        self._held: Final[dict[_Line, _Held]] = {}
        self._is_turn_of_held = False
        self._outage: _Outage | None = None
        self._witnesses: Final[set[_Line]] = set()
        self._succeeded = 0
        self.trouble: StoreUnavailableError | None = None
        """Why the last commit failed that any write might have been; None if it did not."""

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting or self._held or self._outage is not None)

    @property
    def may_be_taken(self) -> bool:
        """Whether something waits that another batch may take, beside those that are under way."""
        return bool(self._waiting) and not self._is_in_trouble

    @property
    def is_under_way(self) -> bool:
        """Whether a batch is, in a queue that is shared."""
        return bool(self._under_way)

    @property
    def is_failing(self) -> bool:
        """Whether something was tried that failed, and will be tried again."""
        return bool(self._held or self._outage is not None or self._alone or self._next_goes_alone)

    def add(self, entry: Entry) -> StoreUnavailableError | None:
        """Let a write wait. Returns why it need not: it is a client's, and would fail as others do."""
        held = self._held.get(_line_of(entry.write)) if self._held else None
        if held is not None:
            if not entry.is_kept:
                return held.error
            held.entries.append(entry)
        elif self._outage is not None and not entry.is_kept:
            return self._let_through(entry, self._outage)
        else:
            self._waiting.append(entry)
        return None

    def take(self, now: float, *, among: int = 1) -> list[Entry]:
        """Return what is to be tried now; empty: nothing before `pause_ends_at`, or before what `is_under_way` is told.

        `among`: so many may take a batch at this moment; where much waits each takes a share of it. Whoever takes a
        batch tells what became of it, by one of the methods below; only if the queue `is_shared` may the next be taken
        before.
        """
        if self._under_way and self._is_in_trouble:
            return []
        self._tried = self._next(now, among)
        if self._is_shared:
            self._goes_alone, self._next_goes_alone = self._next_goes_alone, False
            for entry in self._tried:
                self._under_way.setdefault(_line_of(entry.write), [])
        return self._tried

    @property
    def _is_in_trouble(self) -> bool:
        """Whether one batch at a time is handed out."""
        return self.is_failing or self._goes_alone

    def _next(self, now: float, among: int) -> list[Entry]:
        if self._outage is not None:
            return self._take_in_outage(self._outage, now)
        if self._alone:
            self._alone -= 1
            return self._take_first(1)
        held = min(self._held.values(), key=_ends_at) if self._held else None
        if held is not None and held.pause.ends_at <= now and (self._is_turn_of_held or not self._waiting):
            self._is_turn_of_held = False
            return [held.entries.pop(0)]
        self._is_turn_of_held = True
        size = min(_share_of(len(self._waiting), among), self._settings.commit_batch)
        return self._take_free(size) if self._under_way else self._take_first(size)

    @property
    def pause_ends_at(self) -> float:
        """When the next is to be tried, if nothing is now."""
        if self._outage is not None:
            return self._outage.pause.ends_at
        return min(map(_ends_at, self._held.values()))

    # --- what became of a batch ----------------------------------------------------------------------------------

    def succeeded(self, batch: Sequence[Entry]) -> None:
        """Note that a batch was committed: the store works."""
        if self._under_way:
            self._come_back(batch)
        self._succeeded += 1
        self.trouble = None
        if self._witnesses:
            self._witnesses.clear()
            self._alone = 0  # what kept the others of a batch is found
        if self._outage is not None:
            self._waiting[:0] = self._outage.probe  # which passes none of its line, and none shall pass it
            self._outage = None
        if self._held and (held := self._held.pop(_line_of(batch[0].write), None)) is not None:
            self._waiting += held.entries

    def part(self, batch: Sequence[Entry]) -> None:
        """Have each of a batch tried alone, for one of them keeps the others from being committed."""
        if self._under_way and self._put_back(batch):
            return
        self._waiting[:0] = batch
        self._alone = len(batch)

    def answered(self, batch: Sequence[Entry], now: float) -> None:
        """Note that a batch failed for good, though not for want of a store."""
        if self._under_way:
            self._come_back(batch)
        if self._outage is not None and not self._waiting:
            self._waiting, self._outage = self._outage.probe, None
        line = _line_of(batch[0].write)
        held = self._held.pop(line, None)
        if held is not None and held.entries:
            self._held[line] = _Held(held.entries, _Pause(self._settings, now), held.error)

    def failed(self, batch: list[Entry], error: StoreUnavailableError, now: float) -> list[tuple[Entry, PerdureError]]:
        """Note that the store was unavailable for a batch. Returns what is not tried again, with the error of each."""
        if self._under_way and self._put_back(batch):
            return []
        if self._outage is not None:
            return self._still_out(self._outage, batch[0], error, now)
        if type(error) is not StoreUnavailableError:
            self._waiting[:0] = batch
            return self._begin_outage(error, now)
        line = _line_of(batch[0].write)
        if any(_line_of(entry.write) != line for entry in batch):
            self.part(batch)
            return []
        return self._failed_alone(line, batch, error, now)

    def give_up(self) -> None:
        """Have all that waits tried at once, once more."""
        held = [entry for one in self._held.values() for entry in one.entries]
        self._held.clear()
        probe = [] if self._outage is None else self._outage.probe
        self._waiting = [*held, *probe, *self._waiting]
        self._outage = None
        self._alone = 0

    def take_all(self, batch: list[Entry]) -> list[Entry]:
        """Empty the queue, which was given up, when a batch fails; return both."""
        if self._under_way:
            self._come_back(batch)
        waiting, self._waiting = self._waiting, []
        return [*batch, *waiting]

    # --- several batches under way -------------------------------------------------------------------------------

    def _take_free(self, size: int) -> list[Entry]:
        """Take the first whose lines have nothing under way; those before them wait behind what is."""
        batch: list[Entry] = []
        looked_at = 0
        for entry in self._waiting:
            if len(batch) == size:
                break
            looked_at += 1
            behind = self._under_way.get(_line_of(entry.write))
            (batch if behind is None else behind).append(entry)
        del self._waiting[:looked_at]
        return batch

    def _come_back(self, batch: Sequence[Entry]) -> None:
        """Note that a batch is not under way any more: what waited behind it is the next of its lines."""
        behind: list[Entry] = []
        for entry in batch:
            behind += self._under_way.pop(_line_of(entry.write), ())
        self._waiting[:0] = behind

    def _put_back(self, batch: Sequence[Entry]) -> bool:
        """Have a batch that failed tried again with no other under way, if one is; return whether that is so."""
        self._come_back(batch)
        if not self._under_way:
            return False
        self._waiting[:0] = batch
        self._next_goes_alone = True
        return True

    # --- one line fails ------------------------------------------------------------------------------------------

    def _failed_alone(
        self, line: _Line, batch: list[Entry], error: StoreUnavailableError, now: float
    ) -> list[tuple[Entry, PerdureError]]:
        [first, *others] = batch
        if not first.is_kept:
            self._waiting[:0] = others
            return [(first, error), *self._bear_witness(line, error, now)]
        is_by_itself = not self._witnesses and first.failed_after is not None and first.failed_after < self._succeeded
        first.failed_after = self._succeeded
        first.failed_by_itself += is_by_itself
        if first.failed_by_itself >= _TIMES_BY_ITSELF:
            self.answered([first], now)
            return [(first, _given_up(line, error))]
        refused = self._hold_back(line, batch, error, now)
        return refused if first.failed_by_itself else [*refused, *self._bear_witness(line, error, now)]

    def _hold_back(
        self, line: _Line, batch: list[Entry], error: StoreUnavailableError, now: float
    ) -> list[tuple[Entry, PerdureError]]:
        """Hold a line back whose first write has failed; for longer if it was held back before."""
        held = self._held.get(line)
        if held is not None:
            held.entries[:0] = batch
            held.error = error
            held.pause.begin_longer(now)
            return []
        is_its = [_line_of(entry.write) == line for entry in self._waiting]
        self._alone -= sum(is_its[: self._alone])
        entries = [*batch, *compress(self._waiting, is_its)]
        self._waiting = [*compress(self._waiting, map(not_, is_its))]
        self._held[line] = _Held([entry for entry in entries if entry.is_kept], _Pause(self._settings, now), error)
        return [(entry, error) for entry in entries if not entry.is_kept]

    def _bear_witness(self, line: _Line, error: StoreUnavailableError, now: float) -> list[tuple[Entry, PerdureError]]:
        """Take a line that has failed for a witness of an outage, until a write succeeds; some are enough."""
        self.trouble = error
        self._witnesses.add(line)
        return self._begin_outage(error, now) if len(self._witnesses) >= _WITNESSES else []

    # --- all lines fail ------------------------------------------------------------------------------------------

    def _begin_outage(self, error: StoreUnavailableError, now: float) -> list[tuple[Entry, PerdureError]]:
        """Keep what is kept, those that were tried last. Returns the others. With nothing kept a client finds out."""
        self.trouble = error
        self._alone = 0
        self._witnesses.clear()
        for held in self._held.values():
            self._waiting += held.entries
        self._held.clear()
        everything, self._waiting = self._waiting, [entry for entry in self._waiting if entry.is_kept]
        for entry in self._waiting:
            entry.failed_by_itself = 0
        if self._waiting:
            self._outage = _Outage(_Pause(self._settings, now), error)
        return [(entry, error) for entry in everything if not entry.is_kept]

    def _let_through(self, entry: Entry, outage: _Outage) -> StoreUnavailableError | None:
        """Let a client's write through if it passes none of its line."""
        line = _line_of(entry.write)
        if not outage.lets_one_through or any(
            _line_of(other.write) == line for other in (*self._tried, *self._waiting)
        ):
            return outage.error
        outage.lets_one_through = False
        outage.probe.append(entry)
        return None

    def _take_in_outage(self, outage: _Outage, now: float) -> list[Entry]:
        if outage.probe:
            probe, outage.probe = outage.probe, []
            return probe
        return self._take_first(1) if outage.pause.ends_at <= now else []

    def _still_out(
        self, outage: _Outage, entry: Entry, error: StoreUnavailableError, now: float
    ) -> list[tuple[Entry, PerdureError]]:
        """Go on waiting; what has failed, a line, is tried again after the others."""
        self.trouble = outage.error = error
        if not entry.is_kept:
            return [(entry, error)]
        line = _line_of(entry.write)
        others = [other for other in self._waiting if _line_of(other.write) != line]
        its = [other for other in self._waiting if _line_of(other.write) == line]
        self._waiting = [*others, entry, *its]
        outage.lets_one_through = not outage.probe
        outage.left -= 1
        if outage.left <= 0:
            outage.pause.begin_longer(now)
            if type(error) is StoreUnavailableError:  # else all lines have the same cause
                outage.tries = min(outage.tries * 2, _MOST_TRIES)
            outage.left = min(outage.tries, len({_line_of(other.write) for other in self._waiting}))
        return []

    # --- parts ---------------------------------------------------------------------------------------------------

    def _take_first(self, size: int) -> list[Entry]:
        batch, self._waiting = self._waiting[:size], self._waiting[size:]
        return batch


def _line_of(write: Write) -> _Line:
    if not isinstance(write, Delivery):
        return write.run_key
    target = write.target
    return (target.namespace, target.id) if isinstance(target, RunRef) else target


def _ends_at(held: _Held) -> float:
    return held.pause.ends_at


def _given_up(line: _Line, error: StoreUnavailableError) -> StoreUnavailableError:
    whose = f"run {line[0]}/{line[1]}" if isinstance(line, tuple) else f"run key {line}"
    often = f"failed {_TIMES_BY_ITSELF} times while others were committed, as on a bad sector"
    failure = StoreUnavailableError(f"{error} (this write of {whose} {often})")
    failure.__cause__ = error
    return failure


_WITNESSES: Final = 3
"""So many different lines that fail alone, one after the other, tell that it is the store that fails."""
_TIMES_BY_ITSELF: Final = 5
_MOST_TRIES: Final = 64

_LEAST_SHARE: Final = 8
"""A commit of fewer writes costs nearly as much as one of these."""


def _share_of(waiting: int, among: int) -> int:
    """Return how many of those that wait one takes, among so many; all of them, rather than leave few to the others."""
    share = -(-waiting // among)
    return waiting if share < _LEAST_SHARE or waiting - share < _LEAST_SHARE else share
