"""The documentation is whole: each public name says what it does and stands in the reference, each page in the menu."""

import inspect
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

import perdure
from tests.architecture.repository import DOCS, ROOT, relative

PUBLIC_NAMES: list[str] = list(getattr(perdure, "__all__", ()))


def test_every_public_name_exists_once() -> None:
    assert len(PUBLIC_NAMES) == len(set(PUBLIC_NAMES))
    assert [name for name in PUBLIC_NAMES if not hasattr(perdure, name)] == []


def test_every_public_name_has_a_docstring() -> None:
    assert [name for name, value in _documented_values() if not inspect.getdoc(value)] == []


def test_every_public_name_stands_in_the_reference() -> None:
    reference = "\n".join(path.read_text(encoding="utf-8") for path in sorted((DOCS / "reference").glob("*.md")))
    named = set(re.findall(r"^::: perdure\.(\w+)$", reference, flags=re.MULTILINE))
    assert sorted(set(PUBLIC_NAMES) - named) == []


def test_the_menu_lists_every_page_once_and_no_other() -> None:
    listed = list(_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    existing = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    assert sorted(listed) == existing


def test_the_overview_of_how_to_links_every_page_of_it() -> None:
    folder = DOCS / "how-to"
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (folder / "index.md").read_text("utf-8")))
    assert linked == {page.name for page in folder.glob("*.md")} - {"index.md"}


def test_every_page_opens_with_its_title() -> None:
    untitled = [
        relative(path) for path in sorted(DOCS.rglob("*.md")) if not path.read_text(encoding="utf-8").startswith("# ")
    ]
    assert untitled == []


def test_the_change_log_speaks_of_the_version_in_the_project_file() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    released = version.partition(".dev")[0]
    heading = f"## {released} (unreleased)" if ".dev" in version else f"## {released} "
    assert heading in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def _documented_values() -> Iterator[tuple[str, object]]:
    """Yield the public classes and functions and the public methods the classes define themselves."""
    for name in PUBLIC_NAMES:
        value = getattr(perdure, name)
        if inspect.isclass(value):
            yield name, value
            yield from ((f"{name}.{member}", inner) for member, inner in _own_members(value))
        elif inspect.isroutine(value):
            yield name, value


def _own_members(owner: type[Any]) -> Iterator[tuple[str, object]]:
    for name, value in vars(owner).items():
        if not name.startswith("_") and (inspect.isroutine(value) or isinstance(value, property)):
            yield name, value


def _pages(menu: object) -> Iterator[str]:
    match menu:
        case str():
            yield menu
        case list():
            for entry in menu:
                yield from _pages(entry)
        case dict():
            for entry in menu.values():
                yield from _pages(entry)
        case _:
            raise TypeError(menu)
