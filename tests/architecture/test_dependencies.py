"""The core stays light: what `import perdure` loads, where an optional package may be imported, what the lock names."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

from tests.architecture.repository import (
    PACKAGE,
    ROOT,
    committed_files,
    imported_modules,
    parsed,
    python_files,
    relative,
)

# Packages of the command line and of a test bench: useful, and not to be paid for by whoever embeds an engine.
LATE_PACKAGES = frozenset({"cyclopts", "hypothesis", "pytest", "rich"})
# Parts of Perdure that many programs never use: their callers import them where they are called.
LATE_MODULES = frozenset(
    {
        "perdure.client.completing",
        "perdure.client.forking",
        "perdure.client.keyed_starts",
        "perdure.kernel.forking",
        "perdure.stores.memory",
        "perdure.stores.sqlite.store",
    }
)
# What an engine does not load either, as long as it has nothing to do: each is the beginning of names.
LATE_FOR_ENGINES = (
    "asyncpg",
    "ctypes",
    "importlib.util",
    "json",
    "multiprocessing",
    "perdure.archiving",
    "perdure.copies",
    "perdure.execution.clusters.cluster",
    "perdure.execution.clusters.dask",
    "perdure.execution.clusters.executor",
    "perdure.execution.clusters.ray",
    "perdure.execution.performing",
    "perdure.execution.process_messages",
    "perdure.execution.worker_process",
    "perdure.stores.memory.store",
    "perdure.stores.sqlite.verification",
    "sqlite3",
    "zoneinfo",
)
# Each module costs some 25 KB of every process; `bench/run.py --workloads M` says what all of them cost together.
MOST_MODULES_OF_AN_IDLE_ENGINE = 300
IDLE_ENGINE = """
import asyncio, sys, perdure

async def idle(url):
    async with perdure.Engine(url):
        await asyncio.sleep(0)

asyncio.run(idle(sys.argv[1]))
print(*sys.modules)
"""
PUBLIC_HOSTS = frozenset({"pypi.org", "files.pythonhosted.org"})
# Written apart so that this file does not find itself.
MACHINE_PATHS = ("/" + "work/", "/" + "root/", "/tmp/" + "brief", "/opt/" + "pypi", "/opt/" + "wheels")
HOST = re.compile(r"https?://([^/\"\s:]+)")


def test_importing_perdure_loads_no_optional_package_no_command_line_and_nothing_that_few_use() -> None:
    program = "import perdure, sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert {name.partition(".")[0] for name in loaded} & (_optional_packages() | LATE_PACKAGES) == set()
    assert loaded & LATE_MODULES == set()


def test_an_engine_that_has_nothing_to_do_has_loaded_nothing_that_few_use(tmp_path: Path) -> None:
    command = [sys.executable, "-c", IDLE_ENGINE, f"sqlite:///{tmp_path / 'idle.db'}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    optional = (_optional_packages() | LATE_PACKAGES) - {"uvloop"}
    assert sorted(name for name in loaded if name.startswith((*LATE_FOR_ENGINES, *optional))) == []
    own = [name for name in loaded if name.partition(".")[0] == "perdure"]
    assert len(own) <= MOST_MODULES_OF_AN_IDLE_ENGINE


def test_an_optional_package_is_imported_in_one_file_and_late() -> None:
    places: dict[str, set[str]] = defaultdict(set)
    early: list[str] = []
    for path in python_files(PACKAGE):
        tree = parsed(path)
        for _, module, _ in imported_modules(tree):
            places[module.partition(".")[0]].add(relative(path))
        early += [f"{relative(path)}:{line} {module}" for line, module in _imports_at_import_time(tree)]
    optional = _optional_packages()
    assert {package: files for package, files in places.items() if package in optional and len(files) > 1} == {}
    assert [place for place in early if place.split()[-1].partition(".")[0] in optional] == []


def test_shipped_code_imports_only_what_the_project_declares() -> None:
    declared = _declared("dependencies") | _optional_packages() | sys.stdlib_module_names | {"perdure"}
    # The test tools are for those who have pytest and hypothesis; they say so where they import them.
    allowed = {"testing": {"hypothesis", "pytest"}, "torture": {"atheris"}}
    found = [
        f"{relative(path)}:{line} imports {module}"
        for path in python_files(PACKAGE)
        for line, module, _ in imported_modules(parsed(path))
        if (package := module.partition(".")[0]) not in declared
        and not any(package in packages and room in path.parts for room, packages in allowed.items())
    ]
    assert found == []


def test_the_lock_names_public_hosts_only() -> None:
    assert set(HOST.findall((ROOT / "uv.lock").read_text(encoding="utf-8"))) <= PUBLIC_HOSTS


@pytest.mark.parametrize("trace", MACHINE_PATHS)
def test_no_file_names_a_path_of_the_machine_it_was_written_on(trace: str) -> None:
    assert [relative(path) for path in committed_files() if trace in _text(path)] == []


def test_no_interpreter_is_pinned_so_any_supported_python_serves() -> None:
    assert not (ROOT / ".python-version").exists()
    assert tomllib.loads(_text(ROOT / "pyproject.toml"))["project"]["requires-python"] == ">=3.11"


def _imports_at_import_time(tree: ast.Module) -> list[tuple[int, str]]:
    """List the imports that run when the module is imported: those outside functions and typing-only blocks."""
    found: list[tuple[int, str]] = []
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                continue
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.Import() | ast.ImportFrom():
                found += [(line, module) for line, module, _ in imported_modules(ast.Module([node], []))]
            case _:
                pending += ast.iter_child_nodes(node)
    return found


def _optional_packages() -> frozenset[str]:
    return _declared("optional-dependencies")


def _declared(field: str) -> frozenset[str]:
    """Name the import packages of a dependency field; every one here is imported by its distribution's name."""
    project = tomllib.loads(_text(ROOT / "pyproject.toml"))["project"]
    value = project[field]
    requirements = value if isinstance(value, list) else [item for items in value.values() for item in items]
    return frozenset(re.split(r"[^\w-]", requirement)[0].replace("-", "_") for requirement in requirements)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")
