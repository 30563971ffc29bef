"""Paths as people name them: also such as no file system can hold."""

from pathlib import Path

__all__ = ["is_file", "is_folder"]


def is_file(path: Path) -> bool:
    """Whether a path is that of a file; what cannot be one is none: a name that is too long, or has a null character.

    >>> is_file(Path("x" * 10_000))
    False
    """
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether a path is that of a folder; see `is_file`."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
