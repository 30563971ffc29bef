"""Records: what clients and activities note while they work, each process in a file of its own."""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from perdure.errors import InvalidArgumentError
from perdure.torture.checking.transactions import Happened

__all__ = ["Answer", "Asked", "Call", "Notebook", "Point", "Record", "Row", "read_records"]
__all__ += ["whole_lines"]

Asked = Literal[
    "start", "signal", "update", "query", "describe", "stream", "follow", "page", "result", "locks", "hold"
]  # fmt: skip
"""What is asked. `hold` starts a run that takes a lock."""

Row = tuple[str, int, int, bool]
"""A run in a list: id, generation, sequence, whether it has ended."""


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """A client is about to ask. `number` counts its calls; `at` is in nanoseconds of the machine's monotonic clock.

    `value`: what is to be appended, or that a start is known by. `request`: the call may be made again, with the same
    effect. `peers`, `has_child`, `is_pair`: what else is to happen in the same transition, see `subjects.Entry`.
    `key`: of a lock.
    """

    client: str
    number: int
    at: int
    asked: Asked
    run: str = ""
    value: str = ""
    request: bool = False
    peers: tuple[str, ...] = ()
    has_child: bool = False
    is_pair: bool = False
    key: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """What became of a call. `error` is the name of the error.

    `entries`: the list that was read, or that an update answered with. `positions` and `times` are those of the
    `entries` of a stream. `rows`: of a page; `is_last`: no
    page follows it. `line`: position, run and whether it holds, of each in the line of a lock.
    """

    client: str
    number: int
    at: int
    happened: Happened
    error: str = ""
    entries: tuple[str, ...] | None = None
    positions: tuple[tuple[int, int], ...] = ()
    times: tuple[int, ...] = ()
    rows: tuple[Row, ...] | None = None
    is_last: bool = True
    line: tuple[tuple[int, str, bool], ...] | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An activity begins or ends to touch what the lock protects that its run holds."""

    what: Literal["enter", "leave"]
    run: str
    key: str
    token: int
    at: int


Record = Call | Answer | Point


class Notebook:
    """A file of records, one a line. What was noted is there after a kill: nothing waits in the process."""

    def __init__(self, path: Path) -> None:
        """Add to the file at `path`."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._encoder = msgspec.json.Encoder()

    def note(self, record: Record) -> None:
        """Add one record in one write."""
        os.write(self._descriptor, self._encoder.encode(record) + b"\n")

    def close(self) -> None:
        """Note nothing more."""
        os.close(self._descriptor)

    @staticmethod
    def now() -> int:
        """Return the time, as all processes of the machine see it."""
        return time.monotonic_ns()


def read_records(paths: Iterable[Path]) -> Iterator[Record]:
    """Yield the records of files. Raises InvalidArgumentError for what is no file of records."""
    decoder = msgspec.json.Decoder(Record)
    for path in paths:
        for number, line in enumerate(whole_lines(path), start=1):
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                message = f"line {number} of {path} is no record: {error}; give a file that a violation of check named"
                raise InvalidArgumentError(message) from error


def whole_lines(path: Path) -> list[bytes]:
    """Return the lines of a file; a last one without its end was cut off by a kill, and is left out."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        message = f"the notes in {path} cannot be read: {error.strerror}; give a file that a violation of check named"
        raise InvalidArgumentError(message) from error
    return [line for line in lines if line.endswith(b"\n")]
