"""The repository as the architecture tests see it: where it stands, which files it holds, what its code imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "perdure"
DOCS = ROOT / "docs"

# Made by tools, never committed.
_MADE_BY_TOOLS = {"__pycache__", "build", "dist", "node_modules", "site"}
_COMMITTED_DOT_NAMES = {".ci", ".gitignore"}


def python_files(*folders: Path) -> list[Path]:
    """List the Python files under the folders, those that exist, in a fixed order; a file stands for itself."""
    return sorted(path for folder in folders for path in _files_under(folder) if path.suffix == ".py")


def committed_files() -> list[Path]:
    """List the files a commit would hold: all but caches, environments and build results."""
    return sorted(_files_under(ROOT))


def relative(path: Path) -> str:
    """Name a file by its path from the root of the repository, the way a debt or a finding names it."""
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_modules(tree: ast.AST) -> Iterator[tuple[int, str, frozenset[str]]]:
    """Yield (line, module, names taken from it) for each absolute import; no names means the module itself."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    yield node.lineno, alias.name, frozenset()
            case ast.ImportFrom(module=str(module), level=0):
                yield node.lineno, module, frozenset(alias.name for alias in node.names)
            case _:
                pass


def _files_under(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        if entry.name in _MADE_BY_TOOLS or (entry.name.startswith(".") and entry.name not in _COMMITTED_DOT_NAMES):
            continue
        if entry.is_dir():
            yield from _files_under(entry)
        else:
            yield entry
