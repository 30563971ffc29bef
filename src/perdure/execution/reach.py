"""Reach: whether another process can find a function by importing its module."""

import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["module_of", "why_out_of_reach", "why_unreachable"]


def why_unreachable(function: Callable[..., object]) -> str | None:
    """Say why another process could not find a function by importing its module; None: it could."""
    if "<" in function.__qualname__:
        return f"{function.__qualname__} is defined inside a function"
    if function.__module__ == "__main__" and not _has_main_script():
        return "it is defined at an interactive prompt, or in code that came by standard input or -c"
    return None


def why_out_of_reach(function: Callable[..., object]) -> str | None:
    """Say why a process that is not one of ours could not find a function by importing its module; None: it could."""
    if module_of(function) == "__main__":
        return "it is defined in the main script, which is another one there"
    return why_unreachable(function)


def module_of(function: Callable[..., object]) -> str:
    """Return the name by which another program imports the module of a function.

    A module that runs as ``python -m name`` has that name there; a script has none: ``__main__``.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if function.__module__ == "__main__" and spec is not None else function.__module__


def _has_main_script() -> bool:
    main = sys.modules["__main__"]
    if getattr(main, "__spec__", None) is not None:
        return True
    file = getattr(main, "__file__", None)
    return isinstance(file, str) and Path(file).exists()
