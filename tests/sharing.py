"""What all processes of a test session share: the first that asks for it begins it, and ends it after the others."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

__all__ = ["held", "shared"]


@contextmanager
def shared(folder: Path, name: str, begin: Callable[[ExitStack], str]) -> Iterator[str]:
    """Yield how what `begin` has begun is found, which it returns, in all processes that name this folder.

    It leaves in the stack how that is ended. The process that has begun it waits for the others at its own end.
    """
    note = folder / name
    with (folder / f"{name}.users").open("a") as users, (folder / f"{name}.turn").open("a") as turn, ExitStack() as end:
        with held(turn):
            is_mine = not note.exists()
            if is_mine:
                note.write_text(begin(end))
            fcntl.flock(users, fcntl.LOCK_SH)
            place = note.read_text()
        try:
            yield place
        finally:
            if is_mine:
                with held(turn), held(users):
                    note.unlink()
                    end.close()


@contextmanager
def held(file: IO[str]) -> Iterator[None]:
    """Hold the lock of a file, when all others have let go of it."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
