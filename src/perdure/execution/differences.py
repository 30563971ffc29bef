"""Differences between a history and today's code, as lines that people read, with the code around the place."""

import inspect
import linecache
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from perdure.errors import NonDeterminismError

__all__ = ["difference_lines", "lines_of", "place_of", "source_lines"]


def difference_lines(error: NonDeterminismError) -> Iterator[str]:
    """Return lines: at which event history and code differ, what each says, and the lines of code that say it."""
    source = source_lines(error.location)
    return lines_of(error.sequence, error.recorded, error.actual, error.location, source=source, advice=error.advice)


def lines_of(
    at_event: int, recorded: str, actual: str, location: str | None, *, source: Iterable[str], advice: str
) -> Iterator[str]:
    """Yield the same of a difference that is known by its parts."""
    yield f"at event {at_event}"
    yield f"- the history holds  {recorded}"
    yield f"+ the code asks for  {actual}"
    if location:
        yield f"at {location}"
    yield from (f"  {line}" for line in source)
    yield advice


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
