"""docs/reference/lint.md: every rule with its examples, as the linter knows them.

``uv run python -m tests.linting.rules_page`` writes it after a change; a test compares.
"""

from collections.abc import Iterator
from pathlib import Path

from perdure.linting import RULES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "lint.md"
BEGINNING = "\n## Rules\n"


def whole_page() -> str:
    """Return the page with its prose as it is and its rules as they should be."""
    prose = PAGE.read_text(encoding="utf-8").partition(BEGINNING)[0]
    return prose.rstrip("\n") + "\n" + BEGINNING + "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    for rule in RULES.values():
        yield f"\n### {rule.code} {rule.name}\n"
        yield f"{rule.why} {rule.instead}\n"
        yield f"```python notest\n{_short(rule.bad)}\n```\n"
        yield f"```python notest\n{_short(rule.good)}\n```"


def _short(example: str) -> str:
    return example.strip("\n")


if __name__ == "__main__":
    PAGE.write_text(whole_page(), encoding="utf-8")
