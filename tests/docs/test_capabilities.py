"""The page of capabilities: each row names tests that exist and code that runs, and each option has a row."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from perdure import Context, activity, workflow
from perdure.client.client import Client
from perdure.client.handle import Run
from perdure.testing import TestEnvironment, crash_everywhere
from tests.docs.test_documentation_examples import ROOT, blocks_of, programs_of
from tests.proofs.rows import exists

PAGE = ROOT / "docs" / "reference" / "capabilities.md"
ROW = re.compile(
    r"^\| (?P<what>[^|]+) \| (?:\[(?P<page>[^]]+)\]\([^)]+\)|`(?P<file>[^`]+)`): `(?P<code>[^`]+)`"
    r" \| (?P<tests>[^|]+) \|$"
)
LINES = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
ROWS = [line for line in LINES if not line.startswith("| capability |")]


def runs(path: Path) -> str:
    """Return what of a page or an example is run: its programs, and the commands that it shows."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return without_prose(text)
    commands = ["\n".join(block.lines) for block in blocks_of(text) if block.language == "console"]
    return "\n".join([*(program.source for program in programs_of(path, text)), *commands])


def without_prose(source: str) -> str:
    """Return a module's code without its comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            del node.body[0]
    return ast.unparse(tree)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_names_code_that_runs_and_tests_that_exist(row: str) -> None:
    found = ROW.match(row)
    assert found, f"not of the form: capability | place: `code` | tests\n{row}"
    place = ROOT / (found["page"] or found["file"])
    assert found["code"] in runs(place), f"{place} does not run {found['code']}"
    tests = re.findall(r"`(tests/[^`]+)`", found["tests"])
    assert tests, row
    assert [test for test in tests if not exists(test)] == []


def options(prefix: str, function: Any) -> list[tuple[str, str]]:
    """Return each keyword of a function, with how code names it."""
    keywords = (p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY)
    return [(f"{prefix}.{name}", rf"\b{name}=") for name in keywords]


def operations(prefix: str, owner: type[Any]) -> list[tuple[str, str]]:
    """Return each public operation of a class, with how code names it."""
    return [(f"{prefix}.{name}", rf"\.{name}\b") for name in vars(owner) if re.match(r"[a-z]", name)]


# What Perdure's own tests and `crash_everywhere` say to an environment.
ABOUT_THE_INSIDE = ("env.registry", "env.points", "env.cast")
OFFERED = [
    *options("activity", activity),
    *options("workflow", workflow),
    *options("start", Client.start),
    *operations("ctx", Context),
    *operations("engine", Client),
    *operations("run", Run),
    *(option for option in options("env", TestEnvironment.__init__) if option[0] not in ABOUT_THE_INSIDE),
    *options("env.fail_next", TestEnvironment.fail_next),
    *options("crash_everywhere", crash_everywhere),
]


def test_every_option_and_operation_is_shown() -> None:
    shown = [found["code"] for found in map(ROW.match, ROWS) if found]
    missing = [name for name, written in OFFERED if not any(re.search(written, code) for code in shown)]
    assert missing == [], f"add a row with an example that runs to {PAGE.relative_to(ROOT)}"
