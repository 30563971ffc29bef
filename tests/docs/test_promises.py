"""No promise without its test: the page of promises names only what exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "design" / "promises.md"
GUARANTEES = re.compile(
    r"\b(guarantee[sd]?|promise[sd]?|exactly once|surviv\w+|(never|not|nothing is) lost)\b", re.IGNORECASE
)
"""Words that promise something."""


def _rows() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| **P")]


def test_every_promise_names_tests_that_exist() -> None:
    assert _rows()
    for promise, _, tests in _rows():
        named = re.findall(r"`(tests/[^`]+)`", tests)
        assert named, f"{promise} names no test"
        for path in named:
            assert any((ROOT / path).rglob("test_*.py")) or (ROOT / path).is_file(), f"{path} does not exist"


def test_a_page_that_speaks_of_guarantees_leads_to_the_promises() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "how-to").glob("*.md")]
    texts = {page.name: page.read_text(encoding="utf-8") for page in pages}
    assert [name for name, text in texts.items() if GUARANTEES.search(text) and "promises.md" not in text] == []
    assert sum(bool(GUARANTEES.search(text)) for text in texts.values()) > 5


def test_every_file_named_on_the_page_exists() -> None:
    for path in re.findall(r"`((?:kernel|stores)/[\w/]+\.py)`", PAGE.read_text(encoding="utf-8")):
        assert (ROOT / "src" / "perdure" / path).is_file(), f"{path} does not exist"
