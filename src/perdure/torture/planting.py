"""Planting: runs a torture tool on an engine with one bug in it, in this process only, never on disk.

Run as a script with its patches as JSON on the command line: ``python planting.py '[{"module": ..., "old": ...,
"new": ...}]' sim --count 100``. It must be loaded before anything of Perdure is, and so imports nothing of it. A
module's text is replaced as it is imported; a text that does not occur exactly once ends the process with status 3, so
that no control passes because it has gone stale.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

STALE_STATUS = 3
PATCH_VARIABLE = "PERDURE_PLANTED"
"""Names the patches to the processes that a tool starts: whoever is to be looked at there starts as this one was."""


Texts = Sequence[tuple[str, str]]
"""Old ones, each with the new one."""


class _PatchedLoader(importlib.machinery.SourceFileLoader):
    """Loads one module with pieces of its text replaced."""

    def __init__(self, name: str, path: str, texts: Texts) -> None:
        super().__init__(name, path)
        self._texts = texts

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = self.get_data(path).decode("utf-8")
        for old, new in self._texts:
            if source.count(old) != 1:
                sys.stderr.write(f"the text to replace occurs {source.count(old)} times in {fullname}: {old!r}\n")
                sys.exit(STALE_STATUS)
            source = source.replace(old, new)
        return compile(source, path, "exec", dont_inherit=True)


class _PatchingFinder(importlib.abc.MetaPathFinder):
    """Finds the modules to patch; leaves all others to the ordinary finders."""

    def __init__(self, patches: Sequence[dict[str, str]]) -> None:
        self._patches = patches

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        texts = [(patch["old"], patch["new"]) for patch in self._patches if patch["module"] == fullname]
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target) if texts else None
        if found is None or found.origin is None:
            return None
        loader = _PatchedLoader(fullname, found.origin, texts)
        return importlib.util.spec_from_file_location(fullname, found.origin, loader=loader)


def plant(patches: Sequence[dict[str, str]]) -> None:
    """Replace in the text of each patch's `module` its `old` by its `new` when that is imported."""
    sys.meta_path.insert(0, _PatchingFinder(patches))


def forget_perdure() -> None:
    """Let all of Perdure be imported once more, by a process that has imported it without patches."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "perdure"]:
        del sys.modules[name]


def is_planted() -> bool:
    """Whether there is a bug in this program: what is found then need not be kept."""
    return PATCH_VARIABLE in os.environ


def command() -> list[str]:
    """Return how the torture tools are started once more as this program was: with the patches planted in it."""
    patches = os.environ.get(PATCH_VARIABLE)
    return [sys.executable, "-m", "perdure.torture"] if patches is None else [sys.executable, __file__, patches]


def main(arguments: Sequence[str]) -> int:
    """Plant the patches and run the tool; return its status."""
    plant(json.loads(arguments[0]))
    os.environ[PATCH_VARIABLE] = arguments[0]
    from perdure.torture.command import main as run  # noqa: PLC0415 - only now: the patches must come first

    return run(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
