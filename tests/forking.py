"""Python programs in processes of their own that start at once.

Most of what a program of a few lines takes is to import Perdure. So a server, which has done that, forks itself for
each program (``python tests/forking.py``, one for each process of the tests): the child takes over working directory,
environment and arguments, runs the program as ``__main__``, and exits as any interpreter does. Where the start itself
is tested, or signals, or terminals, the tests start an interpreter.
"""

import atexit
import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from functools import cache
from importlib import import_module
from io import FileIO, TextIOWrapper
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple

__all__ = ["Ran", "run_module", "run_script"]


class Ran(NamedTuple):
    """A finished program."""

    code: int
    out: str
    err: str


def run_module(name: str, *arguments: str, directory: Path, **environment: str) -> Ran:
    """Run what ``python -W error -m NAME`` does, with more variables in its environment."""
    return _server().run(module=name, arguments=arguments, directory=directory, environment=environment)


def run_script(path: Path, *, directory: Path) -> Ran:
    """Run what ``python -W error PATH`` does."""
    return _server().run(script=path, directory=directory)


class _Server:
    """The server, as the tests see it: it runs one program after the other."""

    def __init__(self) -> None:
        self._lock: Final = Lock()
        command = [sys.executable, "-W", "error", __file__]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders: Final = process.stdin
        self._codes: Final = process.stdout
        atexit.register(process.communicate)

    def run(
        self,
        *,
        module: str = "",
        script: Path = Path(),
        arguments: tuple[str, ...] = (),
        directory: Path,
        environment: dict[str, str] | None = None,
    ) -> Ran:
        order: dict[str, Any] = {"module": module, "script": str(script), "arguments": arguments}
        order["environment"] = {**os.environ, "PYTHONIOENCODING": "utf-8", **(environment or {})}
        with self._lock, tempfile.TemporaryDirectory() as output:
            order |= {"directory": str(directory), "output": output}
            self._orders.write(f"{json.dumps(order)}\n")
            self._orders.flush()
            code = int(self._codes.readline())
            out, err = (Path(output, name).read_text(encoding="utf-8") for name in _OUTPUTS)
        return Ran(code, out, err)


@cache
def _server() -> _Server:
    return _Server()


def _serve() -> None:
    """Fork for each order; a child returns from here as the program that it has been."""
    for name in _PRELOADED:
        import_module(name)
    gc.freeze()  # no child looks through what it shares with this process, and copies it
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(order: dict[str, Any]) -> None:
    """Be the program that is ordered."""
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    os.chdir(order["directory"])
    _take_streams(Path(order["output"]), encoding=os.environ["PYTHONIOENCODING"])
    sys.argv[1:] = order["arguments"]
    sys.path[0] = order["directory"] if order["module"] else str(Path(order["script"]).parent)
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    if order["module"]:
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(order["script"], run_name="__main__")


def _take_streams(folder: Path, *, encoding: str) -> None:
    for number, path in enumerate((Path(os.devnull), *(folder / name for name in _OUTPUTS))):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = TextIOWrapper(FileIO(0, closefd=False), encoding=encoding)
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, TextIOWrapper)
        stream.reconfigure(encoding=encoding)


_OUTPUTS: Final = ("out", "err")
_PRELOADED: Final = (
    "perdure",
    "perdure.engine",
    "perdure.stores.sqlite.store",
    "perdure.cli.application",
    "perdure.cli.examination",
    "perdure.cli.listing",
    "perdure.cli.schedules",
    "perdure.cli.showing",
    "rich.console",
    "rich.table",
)

if __name__ == "__main__":
    _serve()
