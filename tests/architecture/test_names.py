"""A module is the noun or duty it holds; an open end is an issue, not a comment."""

import ast
import re

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
