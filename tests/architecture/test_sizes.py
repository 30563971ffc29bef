"""Modules and functions stay small enough to be read whole; what is larger is a debt with a size and a reason.

Docstrings do not count: a rule on sizes must not be a reason to explain less.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.architecture.repository import PACKAGE, ROOT, parsed, python_files, relative

MODULE_LINES = 400
TEST_MODULE_LINES = 600
FUNCTION_LINES = 60


@dataclass(frozen=True, kw_only=True)
class Debt:
    """Something larger than the limit. `lines` is its ceiling: it may shrink, not grow."""

    lines: int
    reason: str


# "path" for a module, "path::Class.function" for a function.
NAMED_DEBTS: dict[str, Debt] = {
    "src/perdure/kernel/events.py": Debt(lines=530, reason="the catalogue of all events, one table read as a whole"),
}


def test_nothing_is_larger_than_its_limit_or_its_named_debt() -> None:
    found = [
        f"{name}: {lines} lines, at most {ceiling}"
        for name, lines, limit in _measured()
        if lines > (ceiling := NAMED_DEBTS[name].lines if name in NAMED_DEBTS else limit)
    ]
    assert found == []


def test_a_paid_debt_leaves_the_table() -> None:
    owed = {name for name, lines, limit in _measured() if lines > limit}
    assert sorted(NAMED_DEBTS.keys() - owed) == []


def test_a_debt_shrinks_with_what_it_names() -> None:
    slack = [
        name for name, lines, _ in _measured() if name in NAMED_DEBTS and lines < NAMED_DEBTS[name].lines * 9 // 10
    ]
    assert slack == []


def test_every_debt_has_a_reason() -> None:
    assert [name for name, debt in NAMED_DEBTS.items() if len(debt.reason.split()) < 4] == []


def test_a_function_is_measured_without_its_docstring() -> None:
    source = 'class A:\n    def f(self):\n        """One.\n\n        Two.\n        """\n        return 1\n'
    assert list(_functions(ast.parse(source))) == [("A.f", 2)]


@cache
def _measured() -> list[tuple[str, int, int]]:
    """Return the name, the lines and the limit of each module and function."""
    found: list[tuple[str, int, int]] = []
    for path in python_files(PACKAGE, ROOT / "bench", ROOT / "examples"):
        tree = parsed(path)
        found.append((relative(path), _module_length(path, tree), MODULE_LINES))
        found += [(f"{relative(path)}::{name}", lines, FUNCTION_LINES) for name, lines in _functions(tree)]
    for path in python_files(ROOT / "tests"):
        found.append((relative(path), _module_length(path, parsed(path)), TEST_MODULE_LINES))
    return found


def _module_length(path: Path, tree: ast.Module) -> int:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = sum(_docstring_length(node) for node in ast.walk(tree) if isinstance(node, documented))
    return len(path.read_text(encoding="utf-8").splitlines()) - docstrings


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, int]]:
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield prefix + node.name, _span(node) - _docstring_length(node)
                yield from _functions(node, f"{prefix}{node.name}.")
            case ast.ClassDef():
                yield from _functions(node, f"{prefix}{node.name}.")
            case _:
                yield from _functions(node, prefix)


def _docstring_length(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return 0 if ast.get_docstring(node, clean=False) is None else _span(node.body[0])


def _span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
