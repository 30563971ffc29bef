"""The nursery: a process without threads that has imported everything and forks the others, in milliseconds.

A tool is its own nursery, with the bug that may be planted in it: whoever is looked at must have it. It reads orders
from its standard input, a line each, and tells on its standard output what becomes of the processes. When the input
ends it kills them all and leaves: whoever started it may die too.
"""

import asyncio
import logging
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from perdure.torture import planting
from perdure.torture.processes.words import Order, Word
from perdure.torture.report import Report

__all__ = ["NURSERY", "be_the_nursery", "nursery_of"]

NURSERY: Final = "nursery"
"""The plan by which a tool is its own nursery."""

Kind = TypeVar("Kind", bound=Order)


def nursery_of(tool: str) -> list[str]:
    """Return how the nursery of a tool is started."""
    return [*planting.command(), tool, "--plan", NURSERY]


def be_the_nursery(tool: str, kind: type[Kind], live: Callable[[Kind], Coroutine[Any, Any, None]]) -> Report:
    """Fork a process for each order until the input ends, and say nothing more then; each lives by its order."""
    _serve(kind, live)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return Report(name=tool, runs=1, seconds=1.0)


def _serve(kind: type[Kind], live: Callable[[Kind], Coroutine[Any, Any, None]]) -> None:
    logging.disable(logging.CRITICAL)
    children: dict[int, int] = {}
    for line in _lines(lambda: _reap(children)):
        order = msgspec.json.decode(line, type=kind)
        pid = os.fork()
        if not pid:
            _become(order, live)
        children[pid] = order.number
        Word(number=order.number, word="born", process=pid).say()
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _lines(reap: Callable[[], None]) -> Iterator[bytes]:
    """Yield the lines of the standard input, read without a buffer that children would inherit; reap in between.

    A child's death writes to a pipe: one that came just before a blocking read would be noticed with the next order.
    """
    deaths, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
    signal.set_wakeup_fd(wakeup)
    rest = b""
    while True:
        ready, _, _ = select.select([0, deaths], [], [])
        if deaths in ready:
            os.read(deaths, _CHUNK_BYTES)
            reap()
        if 0 in ready:
            read = os.read(0, _CHUNK_BYTES)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            yield from lines


def _reap(children: dict[int, int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        Word(number=children.pop(pid), word="dead", process=pid, status=status).say()


_CHUNK_BYTES: Final = 65_536


def _become(order: Kind, live: Callable[[Kind], Coroutine[Any, Any, None]]) -> None:
    """Be the process that `order` describes, and end."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    log = os.open(Path(order.folder) / f"log-{order.number}", os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(log, 2)
    status = 1
    try:
        asyncio.run(live(order))
        status = 0
    except BaseException:  # noqa: BLE001 - a forked process must never return into its parent's code
        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()
    finally:
        os._exit(status)
