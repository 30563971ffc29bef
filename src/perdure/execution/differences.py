"""Differences between a history and today's code, as lines that people read, with the code around the place."""

import inspect
import linecache
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from perdure.errors import NonDeterminismError

__all__ = ["difference_lines", "lines_of", "place_of", "read_difference", "source_lines"]


def difference_lines(error: NonDeterminismError) -> Iterator[str]:
    """Return lines: at which event history and code differ, what each says, and the lines of code that say it."""
    source = source_lines(error.location)
    return lines_of(error.sequence, error.recorded, error.actual, error.location, source=source, advice=error.advice)


def lines_of(
    at_event: int, recorded: str, actual: str, location: str | None, *, source: Iterable[str], advice: str
) -> Iterator[str]:
    """Yield the same of a difference that is known by its parts."""
    yield f"{_AT_EVENT}{at_event}"
    yield f"{_RECORDED}{recorded}"
    yield f"{_ACTUAL}{actual}"
    if location:
        yield f"{_AT}{location}"
    yield from (f"  {line}" for line in source)
    yield advice


def read_difference(message: str, lines: Sequence[str]) -> NonDeterminismError:
    """Return the error that `difference_lines` made these lines of; what they do not say is empty."""
    found = _DIFFERENCE.match("\n".join(lines))
    sequence, recorded, actual, location = found.groups() if found else ("0", "", "", None)
    return NonDeterminismError(
        message,
        sequence=int(sequence),
        recorded=recorded,
        actual=actual,
        location=location,
        advice=lines[-1] if found else "",
    )


_AT_EVENT: Final = "at event "
_RECORDED: Final = "- the history holds  "
_ACTUAL: Final = "+ the code asks for  "
_AT: Final = "at "
_DIFFERENCE: Final = re.compile(
    rf"{_AT_EVENT}([0-9]{{1,18}})\n{re.escape(_RECORDED)}(.*)\n{re.escape(_ACTUAL)}(.*)(?:\n{_AT}(.*))?"
)


def source_lines(location: str | None) -> Iterator[str]:
    """Yield the lines of code around a place (``file:line``), the line itself marked; nothing where they are gone."""
    file, _, number = (location or "").rpartition(":")
    if not number.isdigit():
        return
    linecache.checkcache(file)  # it may have been edited and loaded again in this process
    for line in range(max(int(number) - _LINES_AROUND, 1), int(number) + _LINES_AROUND + 1):
        text = linecache.getline(file, line).rstrip("\n")
        if text:
            yield f"{'>' if line == int(number) else ' '} {line:>4} | {text}"


def place_of(function: Callable[..., object]) -> str:
    """Return where a function is defined, as ``file:line``; empty where that is not known."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return "" if code is None else f"{code.co_filename}:{code.co_firstlineno}"


_LINES_AROUND: Final = 2
