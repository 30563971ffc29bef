"""The program that stands between a process and its PostgreSQL server: `python -I -S supervisor.py ORDER`.

It carries out the commands of its order (`Order`, as JSON) one after the other, as long as each succeeds; the last is
the server. It ends what runs, and removes the order's folder, as soon as that has ended by itself, anything arrives at
standard input or that is closed, or the process that started it is gone, however it went. Signals that a terminal sends
to a whole group of processes it ignores: they are for that process. Should it be killed itself, the kernel tells the
server (on Linux).

It imports what starts in 20 ms, and nothing of Perdure: it is in memory for as long as the server is.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Final, TypedDict


class Order(TypedDict):
    """`parent`: the process that must live. `uid` and `gid`: as whom commands run, None as whom this does."""

    parent: int
    folder: str
    uid: int | None
    gid: int | None
    commands: list[list[str]]


def supervise(order: Order) -> int:
    """Carry out an order; return the exit status of the command that ended last."""
    for number in _OF_A_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    status: int | None = 0
    try:
        for command in order["commands"]:
            process = _start(command, order)
            _wait(process, order["parent"])
            status = process.poll()
            if status != 0:
                status = _stop(process)
                break
    finally:
        if status is not None:
            shutil.rmtree(order["folder"], ignore_errors=True)
    return 1 if status is None else abs(status)


def _start(command: list[str], order: Order) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the programs of a server, each word an argument of its own
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # initdb's tale of its progress; what is wrong is said to standard error
        cwd=order["folder"],
        user=order["uid"],
        group=order["gid"],
        extra_groups=None if order["uid"] is None else [],
        preexec_fn=_prepare,  # noqa: PLW1509 - this process has one thread
        start_new_session=True,
    )


def _prepare() -> None:
    """Let the child hear the signals again that this process ignores, and hear of its end."""
    for number in _OF_A_TERMINAL:
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        _LIBRARY.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _wait(process: subprocess.Popen[bytes], parent: int) -> None:
    """Wait for the end of the process, of the parent, or for a word of the parent's."""
    with contextlib.ExitStack() as stack:
        ends = [*_ends_of(process.pid, stack), *_ends_of(parent, stack)]
        seconds = None if len(ends) == len(("process", "parent")) else _LOOK_SECONDS
        # The parent may have gone before its end could be waited for: then this has another one.
        while process.poll() is None and os.getppid() == parent:
            if select.select([sys.stdin.fileno(), *ends], [], [], seconds)[0]:
                return


def _ends_of(pid: int, stack: contextlib.ExitStack) -> Iterator[int]:
    """Yield a file that is readable when the process has ended, where the kernel has such a thing."""
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            file = os.pidfd_open(pid)
            stack.callback(os.close, file)
            yield file


def _stop(process: subprocess.Popen[bytes]) -> int | None:
    """End a process, with less and less patience; return its status, None where it could not be ended."""
    for number, seconds in _PATIENCE_SECONDS.items():
        if process.poll() is not None:
            break
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    return process.poll()


_OF_A_TERMINAL: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# To PostgreSQL: end sessions and write a checkpoint; end without one, to be recovered at the next start; die.
_PATIENCE_SECONDS: Final = {signal.SIGINT: 20, signal.SIGQUIT: 5, signal.SIGKILL: 5}
_LOOK_SECONDS: Final = 0.2
_LIBRARY: Final = ctypes.CDLL(None)
_PR_SET_PDEATHSIG: Final = 1

if __name__ == "__main__":
    sys.exit(supervise(json.loads(sys.argv[1])))
