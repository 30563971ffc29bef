"""A module is the noun or duty it holds; an open end is an issue, not a comment."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from tests.architecture.repository import PACKAGE, ROOT, committed_files, parsed, python_files, relative

NAMELESS_WORDS = frozenset({
    "base", "common", "handler", "handlers", "helper", "helpers", "manager", "managers", "misc", "util", "utils",
})  # fmt: skip
NAMELESS_CLASS = re.compile(r"(Manager|Helper|Helpers|Util|Utils|Misc)$")
# Written apart so that this file does not find itself.
OPEN_END = re.compile(r"\b(" + "TO" + "DO|FIX" + "ME|XX" + r"X|HA" + r"CK)\b")
COMMENTED_SUFFIXES = {".css", ".html", ".js", ".md", ".py", ".sql", ".toml", ".ts", ".tsx", ".yml", ""}


def test_a_module_is_named_for_its_duty() -> None:
    folders = (PACKAGE, ROOT / "tests", ROOT / "bench", ROOT / "examples")
    assert [relative(path) for path in python_files(*folders) if NAMELESS_WORDS & set(path.stem.split("_"))] == []


def test_a_folder_is_named_for_its_duty() -> None:
    folders = {path.parent for path in python_files(PACKAGE)}
    assert [relative(folder) for folder in sorted(folders) if NAMELESS_WORDS & set(folder.name.split("_"))] == []


def test_a_class_is_named_for_what_it_is() -> None:
    named = [
        f"{relative(path)}: {node.name}"
        for path in python_files(PACKAGE)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef) and NAMELESS_CLASS.search(node.name)
    ]
    assert named == []


def test_no_file_holds_an_open_end() -> None:
    files = [path for path in committed_files() if path.suffix in COMMENTED_SUFFIXES and path.name != "LICENSE"]
    found = [
        f"{relative(path)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if OPEN_END.search(line)
    ]
    assert found == []


def test_a_workflow_or_activity_at_the_top_of_a_test_module_has_a_name_of_its_own() -> None:
    """Definitions stay as long as the process: under another order of the tests a second one would be refused."""
    owners: dict[tuple[str, str], set[str]] = defaultdict(set)
    lasting: set[tuple[str, str]] = set()
    for path in python_files(ROOT / "tests"):
        tree = parsed(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for definition in _definitions(node):
                    owners[definition].add(relative(path))
                    lasting |= {definition} if node in tree.body else set()
    assert {definition: owners[definition] for definition in lasting if len(owners[definition]) > 1} == {}


def _definitions(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, str]]:
    for decorator in function.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        kind = ast.unparse(decorator if call is None else call.func)
        if kind in {"activity", "workflow"}:
            names = [each.value for each in (call.keywords if call else ()) if each.arg == "name"]
            yield (
                kind,
                str(ast.literal_eval(names[0])) if names and isinstance(names[0], ast.Constant) else function.name,
            )
