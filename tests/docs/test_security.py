"""The page about security names every place where bytes become values, its limits, and tests that exist."""

import ast
import re

from perdure.torture.fuzzing.targets import TARGETS
from tests.architecture.repository import DOCS, PACKAGE, ROOT, parsed, python_files

PAGE = (DOCS / "design" / "security.md").read_text("utf-8")
READERS = re.compile(
    r"(?:json|msgpack)\.(?:Decoder|decode)|msgspec\.convert|b64decode|decompress(?:obj)?|unpack(?:_from)?|tomllib\.loads?"
    r"|ast\.parse|unquote|fromisoformat|ZoneInfo|read_cursor|tokenize\.open|json\.loads?|yaml|fromstring"
)
OF_THEIR_OWN = ("torture/", "testing/store_conformance/", "cli/demo/")
"""Rooms that read what they have written themselves."""
EXAMINED = {
    "authoring/payload_types.py": "it asks msgspec whether it can read a type",
    "authoring/payload_values.py": "it reads what it has written itself, a line before",
    "cli/failing.py": "it reads what it has written itself",
    "kernel/matching.py": "payloads that a history held when it was read",
    "testing/histories.py": "payloads that a history held when it was read",
    "testing/normal_form.py": "it reads what it has written itself",
    "timekeeping/specs.py": "it reads what it has written itself",
}
"""Modules that read nothing from outside, and why."""


def rows() -> list[list[str]]:
    lines = (line for line in PAGE.splitlines() if line.startswith("| "))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def reading_modules() -> set[str]:
    """Return the modules that call what makes values of bytes."""
    found = set()
    for path in python_files(PACKAGE):
        name = path.relative_to(PACKAGE).as_posix()
        calls = (ast.unparse(node.func) for node in ast.walk(parsed(path)) if isinstance(node, ast.Call))
        if not name.startswith(OF_THEIR_OWN) and any(READERS.search(call.rpartition("(")[2]) for call in calls):
            found.add(name)
    return found


def test_every_module_that_reads_bytes_stands_on_the_page() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", PAGE))
    assert reading_modules() - named - EXAMINED.keys() == set()
    assert [name for name in EXAMINED if not (PACKAGE / name).is_file()] == []


def test_every_target_of_the_fuzzer_stands_on_the_page_and_no_other() -> None:
    named = {target for cells in rows() for target in re.findall(r"fuzz `([\w-]+)`", cells[-1])}
    assert named == TARGETS.keys()


def test_every_row_names_a_test_that_exists() -> None:
    told = [cells for cells in rows() if set(cells[0]) != {"-"} and cells[-1] != "proved by"]
    assert len(told) > 20
    for cells in told:
        tests = re.findall(r"`(tests/[^`]+)`", cells[-1])
        assert tests or "fuzz `" in cells[-1], cells
        for test in tests:
            path, _, name = test.partition("::")
            assert (ROOT / path).exists(), test
            assert not name or f"def {name}(" in (ROOT / path).read_text("utf-8"), test
