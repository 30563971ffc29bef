"""The diagrams of the documentation are those of the kernel's tables."""

from pathlib import Path

import pytest

from perdure.kernel import lifecycle

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "events.md").read_text(encoding="utf-8")
TABLES = [name for name in lifecycle.__all__ if name.endswith("_LIFECYCLE")]


@pytest.mark.parametrize("table", TABLES)
def test_the_page_of_events_shows_the_life_of_each_kind_as_the_kernel_judges_it(table: str) -> None:
    assert f"```mermaid\n{lifecycle.draw(getattr(lifecycle, table))}\n```" in PAGE


def test_the_page_shows_no_other_life() -> None:
    assert PAGE.count("```mermaid") == len(TABLES)
