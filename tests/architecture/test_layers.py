"""The rooms stand in layers: import-linter checks the contracts, and the contracts see every room."""

import re
import tomllib

from importlinter.cli import lint_imports

from tests.architecture.repository import DOCS, PACKAGE, ROOT, python_files, relative


def test_every_import_respects_the_contracts() -> None:
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True) == 0


def test_the_layers_are_exhaustive_so_a_new_room_needs_a_place() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract for contract in contracts if contract["type"] == "layers"]
    assert layers["exhaustive"] is True
    assert layers["containers"] == ["perdure"]
    assert "exhaustive_ignores" not in layers


def test_every_folder_of_code_is_a_package_or_the_contracts_would_not_see_it() -> None:
    folders = {path.parent for path in python_files(PACKAGE)}
    assert [relative(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_the_architecture_page_draws_every_room_that_exists() -> None:
    page = (DOCS / "design" / "architecture.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^\| `(\w+)(?:/|\.py)` \|", page, flags=re.MULTILINE))
    existing = {entry.stem for entry in PACKAGE.iterdir() if _is_room(entry.name, is_folder=entry.is_dir())}
    assert existing == drawn


def _is_room(name: str, *, is_folder: bool) -> bool:
    if is_folder:
        return not name.startswith("__")
    return name.endswith(".py") and not name.startswith("__")
