"""Lines of workflow code: where the user's code asked for something, or raised."""

import asyncio
import contextlib
import sys
from types import FrameType
from typing import Final

from perdure.kernel.loop import DeterministicLoop

__all__ = ["line_of_await", "line_of_workflow", "line_that_raised"]

_NOT_THE_WORKFLOW: Final = (
    __file__.rsplit("kernel", 1)[0],
    asyncio.__file__.rsplit("__init__", 1)[0],
    contextlib.__file__,
)
"""Beginnings of the file names of Perdure, asyncio and what carries out ``async with``."""


def line_of_workflow() -> str | None:
    """Return the line of workflow code that is running, as ``file:line``; None where there is none."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way is inspect.currentframe, which is this
    while frame is not None and frame.f_code is not DeterministicLoop.drain.__code__:  # beyond: who runs the workflow
        filename = frame.f_code.co_filename
        if not filename.startswith(_NOT_THE_WORKFLOW):
            return f"{filename}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def line_of_await(coroutine: object) -> str | None:
    """Return the innermost line of workflow code at which a suspended coroutine stands."""
    line = None
    while coroutine is not None:
        frame: FrameType | None = getattr(coroutine, "cr_frame", None)
        if frame is not None and not frame.f_code.co_filename.startswith(_NOT_THE_WORKFLOW):
            line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        coroutine = getattr(coroutine, "cr_await", None)
    return line


def line_that_raised(error: BaseException) -> str | None:
    """Return the innermost line of workflow code that an exception came through."""
    traceback = error.__traceback__
    line = None
    while traceback is not None:
        filename = traceback.tb_frame.f_code.co_filename
        if not filename.startswith(_NOT_THE_WORKFLOW):
            line = f"{filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return line
