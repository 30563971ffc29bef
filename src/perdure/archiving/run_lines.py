"""The format of exported runs, version 1: a run as lines, and lines as runs. docs/reference/history-format.md has it.

A part of a file begins with a heading and ends with a line that says how many runs it holds; in between each run is its
row, its events, the messages left in its inbox, and a digest of these lines. Lines that cannot be read harm their run
alone: reading goes on with the next line that begins a run.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from perdure.archiving.event_lines import event_record, iso_text, read_event
from perdure.archiving.rekeying import keys_of
from perdure.archiving.saved_rows import SavedRow, SavedRun, row_record
from perdure.configuration import LARGEST_RUN_BYTES
from perdure.errors import HistoryError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.events import RunCreated
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunRef
from perdure.kernel.messages import decode_message
from perdure.kernel.time import Timestamp, timestamp_from_datetime
from perdure.ports.keeping import FOREIGN_KEYS
from perdure.ports.store import InboxEntry

__all__ = ["RUNS_FORMAT", "UNREADABLE", "Damage", "SavedRun", "end_line", "heading_line", "read_runs", "run_lines"]

RUNS_FORMAT: Final = 1
"""The format that is written."""

UNREADABLE: Final = b"\0"
"""Stands among the lines of a file for some that cannot be decompressed."""


class Damage(msgspec.Struct, frozen=True):
    """Lines that cannot be read: where, and why. `run` is which one is not taken in for it, as far as that is known."""

    line: int
    problem: str
    run: str = ""


# --- to write --------------------------------------------------------------------------------------------------------


def heading_line(*, now: Timestamp) -> bytes:
    """Return the line that begins a part of a file."""
    return _line({"perdure_runs": RUNS_FORMAT, "written_at": iso_text(now)})


HEADING_BEGINNING: Final = b'{"perdure_runs":'
"""How each file of exported runs begins."""


def end_line(runs: int) -> bytes:
    """Return the line that ends a part of a file which holds so many runs."""
    return _line({"end": {"runs": runs}})


def run_lines(saved: SavedRun) -> Iterator[bytes]:
    """Yield the lines of a run. Raises HistoryError in the midst of one that is larger than what is read again."""
    run, digest = saved.run, _Digest()
    records = ({"run": row_record(saved)}, *map(event_record, run.history), *map(_message_record, run.inbox))
    for record in records:
        line = _line(record)
        digest.add(line)
        yield line
    yield _line({"end_of_run": digest.text})


def _line(record: object) -> bytes:
    return msgspec.json.encode(record) + b"\n"


_DIGEST_BYTES: Final = 16


class _Digest:
    """The digest of a run's lines, of which there are not too many."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self._size_bytes = 0

    def add(self, line: bytes) -> None:
        """Let a line count. Raises HistoryError where a run has more in its lines than anybody holds in memory."""
        self._size_bytes += len(line)
        if self._size_bytes > LARGEST_RUN_BYTES:
            message = (
                f"it has more than {LARGEST_RUN_BYTES:,} bytes in its lines; so much is not written or read at once"
            )
            raise HistoryError(message)
        self._digest.update(line)

    @property
    def text(self) -> str:
        """The digest of all lines so far, in hexadecimal."""
        return self._digest.hexdigest()


def _message_record(entry: InboxEntry) -> dict[str, object]:
    return {"message_id": entry.message_id, "at": iso_text(entry.at), "message": entry.message}


# --- to read ---------------------------------------------------------------------------------------------------------


def read_runs(lines: Iterable[bytes]) -> Iterator[SavedRun | Damage]:
    """Yield the runs of a file, and in their places what of it is damaged.

    Raises HistoryError where the file is none of exported runs, or of a newer format.
    """
    reading = _Reading(lines)
    reading.demand_format()
    return reading.runs()


class _Numbered(NamedTuple):
    number: int
    text: bytes


class _Runs(msgspec.Struct):
    runs: int


class _Mark(msgspec.Struct):
    """What the lines are that are no event and no message: exactly one of these is there."""

    perdure_runs: int | None = None
    run: msgspec.Raw = msgspec.Raw()
    end: _Runs | None = None


class _Reading:
    """The lines of a file, one at a time. The one that is next can be looked at before it is taken."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = enumerate(lines, start=1)
        self._is_within = False
        self._found = 0
        self._next: _Numbered | None = None
        self._advance()

    def demand_format(self) -> None:
        """Raise HistoryError unless the file begins as it must."""
        if self._next is not None and self._next.text == UNREADABLE:
            return  # the runs behind the next heading may be sound
        mark = None if self._next is None else _mark(self._next.text)
        if mark is None or mark.perdure_runs is None:
            message = "it does not begin as a file of exported runs (`perdure export`) does"
            raise HistoryError(message)
        _demand_known(mark.perdure_runs)

    def runs(self) -> Iterator[SavedRun | Damage]:
        """Yield all runs and damages."""
        last = 0
        while self._next is not None:
            last = self._next.number
            mark = _mark(self._next.text)
            if mark is None:
                is_unreadable = self._next.text == UNREADABLE
                yield self._skipped(_LOST if is_unreadable else "this line begins no run, and ends no file")
            elif mark.perdure_runs is not None:
                yield from self._unended(last)
                _demand_known(mark.perdure_runs)
                self._is_within, self._found = True, 0
                self._advance()
            elif mark.end is not None:
                yield from self._ended(mark.end.runs)
            else:
                yield self._run(mark.run)
        yield from self._unended(last)

    def _unended(self, last: int) -> Iterator[Damage]:
        """Say that a part of the file has no end."""
        if self._is_within:
            yield Damage(last, f"the file was cut off: after {self._found} runs its end is missing")
        self._is_within = False

    def _ended(self, said: int) -> Iterator[Damage]:
        number = self._take().number
        if said != self._found:
            yield Damage(number, f"the file says that it holds {said} runs, and {self._found} could be read")
        self._is_within = False

    def _run(self, raw: msgspec.Raw) -> SavedRun | Damage:
        began = self._take()
        digest, name = _Digest(), ""
        try:
            digest.add(began.text)
            row = _ROW.decode(raw)
            name = str(RunRef(namespace=row.namespace, id=row.id, generation=row.generation))
            history = tuple(_numbered(read_event(self._text(digest)), number) for number in range(1, row.events + 1))
            inbox = tuple(_entry(self._text(digest)) for _ in range(row.messages))
            self._demand_end(digest.text)
            saved = SavedRun(row.whole(history=history, inbox=inbox), row.origins)
            _demand_whole(saved)
        except (*UNDECODABLE, ValueError, HistoryError) as error:
            return self._skipped(str(error), began=began.number, run=name)
        self._found += 1
        return saved

    def _text(self, digest: _Digest) -> bytes:
        text = self._take().text
        digest.add(text)
        return text

    def _demand_end(self, digest: str) -> None:
        line = self._take()
        ended = _END.decode(line.text)
        if ended.end_of_run != digest:
            message = "its lines are not those that were written: their digest differs"
            raise HistoryError(message)

    def _skipped(self, problem: str, *, began: int | None = None, run: str = "") -> Damage:
        """Pass over all lines up to the next that begins or ends something."""
        at = began or (self._next.number if self._next is not None else 0)
        while self._next is not None and _mark(self._next.text) is None:
            self._advance()
        return Damage(at, problem, run)

    def _take(self) -> _Numbered:
        taken = self._next
        if taken is None:
            message = "it was cut off"
            raise HistoryError(message)
        if taken.text == UNREADABLE:
            raise HistoryError(_LOST)
        self._advance()
        return taken

    def _advance(self) -> None:
        found = next(self._lines, None)
        self._next = None if found is None else _Numbered(*found)


_LOST: Final = "what stands here cannot be decompressed: the file is damaged, or was cut off"


def _demand_known(number: int) -> None:
    if number > RUNS_FORMAT:
        message = f"it is of format {number}; this Perdure reads formats up to {RUNS_FORMAT}. Upgrade Perdure."
        raise HistoryError(message)


def _mark(line: bytes) -> _Mark | None:
    """Return what a line begins or ends; None for one that does neither. Events and messages have no such member."""
    if not line.startswith(_MARKS):
        return None
    try:
        return _MARK.decode(line)
    except UNDECODABLE:
        return None


_MARKS: Final = (b'{"perdure_runs":', b'{"run":', b'{"end":')
_MARK: Final = msgspec.json.Decoder(_Mark)


class _End(msgspec.Struct):
    end_of_run: str


class _SavedMessage(msgspec.Struct):
    message_id: str
    at: datetime
    message: msgspec.Raw


_ROW: Final = msgspec.json.Decoder(SavedRow)
_END: Final = msgspec.json.Decoder(_End)
_MESSAGE: Final = msgspec.json.Decoder(_SavedMessage)


def _numbered(recorded: RecordedEvent, number: int) -> RecordedEvent:
    if recorded.sequence != number:
        message = "its events are not numbered from 1 without gaps"
        raise HistoryError(message)
    return recorded


def _entry(line: bytes) -> InboxEntry:
    said = _MESSAGE.decode(line)
    message = decode_message(bytes(said.message))
    return InboxEntry(position=0, message=message, message_id=said.message_id, at=timestamp_from_datetime(said.at))


def _demand_whole(saved: SavedRun) -> None:
    """Raise HistoryError for a run that no store would hold, though its lines are as they were written."""
    run, summary = saved.run, saved.run.summary
    if not run.history or not isinstance(run.history[0].event, RunCreated):
        message = "its history does not begin with run_created"
        raise HistoryError(message)
    if summary.status.is_closed != (summary.closed_at is not None):
        message = f"its status is {summary.status}, and the time of its end contradicts that"
        raise HistoryError(message)
    if any(not 0 < key < FOREIGN_KEYS for key in saved.origins):
        message = "it says of keys that no database gives out where that was"
        raise HistoryError(message)
    if any(key < FOREIGN_KEYS and key not in saved.origins for key in keys_of(run)):
        message = "it does not say of all its run keys where they were given out"
        raise HistoryError(message)
