"""Code of the user's that a command needs: modules to import, found in the working directory, too."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

from perdure.errors import UsageError

__all__ = ["import_module"]


def import_module(name: str, *, asked_by: str) -> ModuleType:
    """Import a module. Raises UsageError, which begins with `asked_by`, if that fails."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except Exception as error:
        message = f"{asked_by}: importing {name!r} failed: {type(error).__name__}: {error}"
        raise UsageError(message) from error
