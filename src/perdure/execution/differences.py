"""Differences between a history and today's code, as lines that people read, with the code around the place."""

import inspect
import linecache
from collections.abc import Callable, Iterator
from typing import Final

from perdure.errors import NonDeterminismError

__all__ = ["difference_lines", "place_of", "source_lines"]


def difference_lines(error: NonDeterminismError) -> Iterator[str]:
    """Yield at which event history and code differ, what each says, and the lines of code that say it."""
    yield f"at event {error.sequence}"
    yield f"- the history holds  {error.recorded}"
    yield f"+ the code asks for  {error.actual}"
    if error.location:
        yield f"at {error.location}"
    yield from (f"  {line}" for line in source_lines(error.location))
    yield error.advice


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
