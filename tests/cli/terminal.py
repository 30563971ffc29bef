"""The command line on a terminal, as a person has it."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

from tests.cli.runs import Called


def on_a_terminal(
    *arguments: str,
    directory: Path,
    question: str = "\0",
    answer: Callable[[int], str] = lambda _process: "",
) -> Called:
    """Call the command line on a terminal of 80 columns and 24 rows.

    When it has written `question`, `answer` is called with its process' number, and what that returns is typed. `out`
    is all that it wrote, without the control sequences.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "perdure", *arguments],
        cwd=directory,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
        # Where the tests run in the background of a shell, interrupts are ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads yet
    )
    os.close(theirs)
    written = b""
    is_asked = False
    with contextlib.suppress(OSError):  # Linux says so when the other side has closed
        while block := os.read(ours, 65536):
            written += block
            if not is_asked and question.encode() in written:
                is_asked = True
                os.write(ours, answer(process.pid).encode())
    os.close(ours)
    code = process.wait(timeout=60)
    return Called(code=code, out=re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode()).replace("\r\n", "\n"), err="")
