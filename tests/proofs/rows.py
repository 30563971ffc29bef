"""The rows of the pages that say by which tests something is proved."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "docs" / "design" / "promises.md", ROOT / "docs" / "reference" / "tested.md")


def proved() -> dict[str, list[str]]:
    """Return the subject of each row with its tests, as pytest names them: `tests/...py::test_...`."""
    rows: dict[str, list[str]] = {}
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            tests = re.findall(r"`(tests/[\w/]+\.py::\w+)`", line)
            subject = re.match(r"\| (?:\*\*(Law \d)|`([\w.]+)`)", line)
            if tests and subject:
                rows[subject[2] or subject[1].lower()] = tests
    return rows


def exists(test: str) -> bool:
    """Whether there is a test function of this name."""
    path, _, name = test.partition("::")
    return name in _functions(ROOT / path)


@cache
def _functions(path: Path) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
