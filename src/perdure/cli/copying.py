"""`perdure backup`, `replicate` and `restore`: what they do, and what they print."""

import asyncio
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from perdure import copies
from perdure.cli.copies_check import lag_of
from perdure.cli.database import require_database
from perdure.cli.exits import ExitCode
from perdure.cli.printing import (
    make_table,
    print_for_people,
    print_json,
    print_json_line,
    printable,
    sized_progress_shown,
    words,
)
from perdure.cli.sizes import show_size
from perdure.cli.times import iso, parse_duration, parse_moment, show_duration, show_moment
from perdure.errors import StateError
from perdure.kernel.time import MICROSECONDS_PER_SECOND
from perdure.ports.clock import SystemClock
from perdure.stores.sqlite.copies.points import Point, read_contents
from perdure.stores.sqlite.copies.standing import Standing

__all__ = ["back_up", "list_points", "replicate_until_stopped", "restore"]


def back_up(url: str, to: Path, *, is_forced: bool, as_json: bool) -> int:
    """Make a whole copy and say what it is. Raises what `copies.backup` raises, NoDatabaseError."""
    require_database(url)
    with sized_progress_shown("copying") as tell:
        copied = asyncio.run(copies.backup(url, to, force=is_forced, on_progress=tell))
    if as_json:
        print_json(copied)
        return ExitCode.OK
    size = show_size(copied.size_bytes)
    print(f"copied into {printable(copied.path)}: {size} in {copied.seconds:.1f} s, all rows equal")
    if copied.damaged:
        print(
            f"{_damage(copied.damaged)}, in the database as in the copy: see `perdure verify`. To restore the copy as "
            f"it is, say --accept-damaged"
        )
    return ExitCode.OK


def _damage(damaged: Sequence[str]) -> str:
    more = f", and {len(damaged) - 1} more" if len(damaged) > 1 else ""
    return f"damaged: {printable(damaged[0])}{more}"


# --- replicate -------------------------------------------------------------------------------------------------------


def replicate_until_stopped(url: str, to: Path, *, every: str, keep: str, waits: bool, as_json: bool) -> int:
    """Keep a copy until a signal comes. Raises what `copies.replicate` raises, NoDatabaseError."""
    require_database(url)
    with sized_progress_shown("first copy") as tell:
        tells = _Rounds(as_json=as_json)
        asyncio.run(
            _until_signalled(
                copies.replicate(
                    url,
                    to,
                    every=parse_duration(every),
                    keep=parse_duration(keep),
                    standby=waits,
                    on_round=tells.tell,
                    on_progress=tell,
                )
            )
        )
    tells.end()
    return ExitCode.OK


async def _until_signalled(working: Coroutine[None, None, None]) -> None:
    task, loop = asyncio.ensure_future(working), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


class _Rounds:
    """Prints how far a copy is: for programs when something was added, on a terminal all the time, else the beginning
    and the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json: Final = as_json
        self._last: Standing | None = None

    def tell(self, standing: Standing) -> None:
        before, self._last = self._last, standing
        is_new = before is None or standing.point != before.point or standing.error != before.error
        if self._as_json:
            if is_new:
                print_json_line(_standing_for_programs(standing))
                sys.stdout.flush()
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{_sentence(standing)}")
            sys.stderr.flush()
        elif before is None:
            print(_sentence(standing), flush=True)

    def end(self) -> None:
        if self._last is not None and not self._as_json:
            print(f"stopped; {_sentence(self._last)}")


def _sentence(standing: Standing) -> str:
    trouble = f"; the last attempt failed: {standing.error}" if standing.error else ""
    lag = lag_of(standing, now=SystemClock().now())
    return printable(f"the copy in {standing.target} is {lag}, at {standing.point or 'no point yet'}{trouble}")


def _standing_for_programs(standing: Standing) -> dict[str, object]:
    return {
        "target": standing.target,
        "point": standing.point,
        "taken_at": iso(standing.taken_at or None),
        "checked_at": iso(standing.checked_at or None),
        "every_seconds": standing.every / MICROSECONDS_PER_SECOND,
        "error": standing.error,
    }


# --- restore ---------------------------------------------------------------------------------------------------------


def restore(source: Path, to: Path, *, at: str | None, is_forced: bool, accepts_damaged: bool, as_json: bool) -> int:
    """Make a database of a copy. Raises what `copies.restore` raises."""
    moment = None if at is None else parse_moment(at, now=SystemClock().now())
    with sized_progress_shown("restoring") as tell:
        restored = asyncio.run(
            copies.restore(source, to, at=moment, force=is_forced, accepts_damaged=accepts_damaged, on_progress=tell)
        )
    if as_json:
        facts = {"path": restored.path, "size_bytes": restored.size_bytes, "point": restored.point}
        print_json({**facts, "taken_at": iso(restored.taken_at), "damaged": restored.damaged})
        return ExitCode.OK
    when = "" if restored.taken_at is None else f", as it was at {iso(restored.taken_at)} ({restored.point})"
    print(f"restored {printable(restored.path)}: {show_size(restored.size_bytes)}{when}")
    if restored.damaged:
        print(f"{_damage(restored.damaged)}: see `perdure verify`")
    print("No run goes on before a worker opens it. Effects that were had after the copy was taken may come again.")
    return ExitCode.OK


def list_points(source: Path, *, as_json: bool) -> int:
    """Print the points in time of a folder: a time line and its generations, or all of them for programs."""
    if not source.is_dir():
        message = f"{source} is no folder of a replication: it has no points in time"
        raise StateError(message)
    contents = read_contents(source)
    points = contents.points
    if as_json:
        breaks = [
            {"after": iso(points[number - 1].taken_at) if number else None, "what": what}
            for number, what in contents.breaks.items()
        ]
        print_json({"points": [_point_for_programs(point) for point in points], "breaks": breaks})
        return ExitCode.OK
    if points:
        _print_points(points)
    else:
        print("no point in time yet")
    for number, what in contents.breaks.items():
        after = f"after {iso(points[number - 1].taken_at)}" if number else "at the beginning"
        print(f"not whole {after}: {printable(what)}")
    return ExitCode.OK


def _point_for_programs(point: Point) -> dict[str, object]:
    return {
        "taken_at": iso(point.taken_at),
        "generation": point.generation,
        "number": point.number,
        "size_bytes": point.size_bytes,
    }


def _print_points(points: Sequence[Point]) -> None:
    now = SystemClock().now()
    first, last = points[0].taken_at, points[-1].taken_at
    print(f"{len(points)} points in time over {show_duration(last - first)}; a column is {_column(first, last)}:")
    print(f"{show_moment(first, now=now)} {_time_line(points)} {show_moment(last, now=now)}")
    table = make_table("generation", "from", "to", ">points", ">increments")
    for name in dict.fromkeys(point.generation for point in points):
        own = [point for point in points if point.generation == name]
        size = sum(point.size_bytes for point in own)
        span = (show_moment(own[0].taken_at, now=now), show_moment(own[-1].taken_at, now=now))
        table.add_row(words(name), *span, str(len(own)), show_size(size))
    print_for_people(table)
    print(f"The newest: {iso(last)}. Restore one with --to PATH --at TIME: the last point at or before TIME.")


def _time_line(points: Sequence[Point]) -> str:
    """Return how many points there are in each part of the time, the more the higher.

    Where a generation begins there is no gap: its base is a point, too.
    """
    first, last = points[0].taken_at, points[-1].taken_at
    counts = [0] * _COLUMNS
    for point in points:
        counts[min((point.taken_at - first) * _COLUMNS // max(last - first, 1), _COLUMNS - 1)] += 1
    bars = _bars()
    return "".join(bars[-(-count * (len(bars) - 1) // max(counts))] for count in counts)


def _bars() -> str:
    try:
        _BARS.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return _PLAIN_BARS
    return _BARS


def _column(first: int, last: int) -> str:
    return show_duration((last - first) // _COLUMNS)


_COLUMNS: Final = 60
_BARS: Final = " ▁▂▃▄▅▆▇█"
_PLAIN_BARS: Final = " .:|"
