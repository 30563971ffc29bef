"""The page about security names every place where bytes become values, its limits, and tests that exist."""

import ast
import gc
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import _lru_cache_wrapper, cache
from types import CodeType, FrameType

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
    "local_postgres/supervisor.py": "it reads what its parent has written, its own order",
    "testing/histories.py": "payloads that a history held when it was read",
    "testing/normal_form.py": "it reads what it has written itself",
    "timekeeping/specs.py": "it reads what it has written itself",
}
"""Modules that read nothing from outside, and why."""
UNREACHED = {
    ("authoring/signature.py", "decode_result"): "it is the reading of one argument",
    ("client/streaming.py", "read_stream"): "its values are read as payloads are",
    ("client/waiting_starts.py", "_name_of"): "tests/timekeeping/test_unreadable_entries.py; it reads two texts",
    ("stores/memory/searching.py", "list_runs"): "its cursor is that of the target",
    ("stores/opening.py", "compact_store"): "its URL is read as that of the target",
    ("stores/postgres/searching.py", "list_runs"): "its cursor is that of the target",
    ("stores/sql/listing.py", "_after"): "its cursor is that of the target",
}
"""Functions that read, which no target of the fuzzer reaches, and why."""


def rows() -> list[list[str]]:
    lines = (line for line in PAGE.splitlines() if line.startswith("| "))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@cache
def reading_functions() -> set[tuple[str, str]]:
    """Return (module, function) of all that call what makes values of bytes; no function: where it is imported."""
    found: set[tuple[str, str]] = set()
    for path in python_files(PACKAGE):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(OF_THEIR_OWN):
            found |= {(name, function) for function, call in _calls(parsed(path), "") if _reads(call)}
    return found


def _calls(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield function, child
        within = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        yield from _calls(child, within)


def _reads(call: ast.Call) -> bool:
    """Whether a call reads: by a known name, or by the `decode` of what is no bytes (those are given an encoding)."""
    name = ast.unparse(call.func)
    decodes = name.endswith(".decode") and call.args and not isinstance(call.args[0], ast.Constant)
    return bool(decodes) or READERS.search(name.rpartition("(")[2]) is not None


def reached_by_targets() -> set[tuple[str, str]]:
    """Return (module, function) of all that runs while the fuzzer's targets read what encoders have written."""
    corpora = [(target, entry) for target in TARGETS.values() for entry in target.corpus()]
    _forget_answers()
    seen: set[CodeType] = set()

    def look(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            seen.add(frame.f_code)

    sys.setprofile(look)
    try:
        for target, entry in corpora:
            with suppress(*target.expected):
                target.read(entry)
    finally:
        sys.setprofile(None)
    return {(code.co_filename.removeprefix(f"{PACKAGE}/"), code.co_name) for code in seen}


def _forget_answers() -> None:
    """Forget what functions of Perdure have kept: one that was asked before, by any test, would not run again."""
    for kept in gc.get_objects():
        if isinstance(kept, _lru_cache_wrapper) and _is_asked_by_a_target(kept.__module__):
            kept.cache_clear()


def _is_asked_by_a_target(module: str) -> bool:
    return module.startswith("perdure.") and not module.startswith("perdure.torture.")


def test_every_module_that_reads_bytes_stands_on_the_page() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", PAGE))
    assert {module for module, _ in reading_functions()} - named - EXAMINED.keys() == set()
    assert [name for name in EXAMINED if not (PACKAGE / name).is_file()] == []


def test_every_function_that_reads_bytes_is_reached_by_a_target_of_the_fuzzer() -> None:
    unreached = {each for each in reading_functions() - reached_by_targets() if each[1]}
    assert {each for each in unreached if each[0] not in EXAMINED} == UNREACHED.keys()


def test_what_was_asked_before_is_reached_all_the_same() -> None:
    for target in TARGETS.values():
        for entry in target.corpus():
            with suppress(*target.expected):
                target.read(entry)
    assert ("timekeeping/zones.py", "zone_of") in reached_by_targets()


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
