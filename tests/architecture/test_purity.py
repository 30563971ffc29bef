"""Law 1: what decides is a pure function of values. No clock, no chance, no input or output, no logging."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.repository import PACKAGE, imported_modules, parsed, python_files, relative

PURE_ROOMS = (
    "kernel",
    "scheduling",
    "resilience",
    "models",
    "analysis",
    "linting",
    "errors.py",
    "tells.py",
    "texts.py",
)

IMPURE_MODULES = frozenset({
    "apsw",
    "asyncio.subprocess",
    "concurrent",
    "fcntl",
    "io",
    "locale",
    "logging",
    "mmap",
    "multiprocessing",
    "os",
    "pathlib",
    "platform",
    "random",
    "requests",
    "secrets",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
})  # fmt: skip
IMPURE_CALLS = frozenset({
    "asyncio.create_subprocess_exec",
    "asyncio.create_subprocess_shell",
    "asyncio.open_connection",
    "asyncio.run",
    "asyncio.to_thread",
    "breakpoint",
    "date.today",
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "input",
    "open",
    "print",
    "uuid.uuid1",
    "uuid.uuid4",
    "uuid1",
    "uuid4",
})  # fmt: skip
# `random.Random(seed)` is pure; the module's functions share hidden state. One module of the kernel makes generators.
MAKER_OF_GENERATORS = "src/perdure/kernel/journal.py"


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_a_pure_room_reads_no_clock_and_no_chance_and_touches_nothing_outside(room: str) -> None:
    assert [finding for path in python_files(PACKAGE / room) for finding in impurities(path, parsed(path))] == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os.path",
        "from time import monotonic",
        "from random import shuffle",
        "import asyncio.subprocess",
        "from datetime import datetime\nat = datetime.now()",
        "import uuid\nid = uuid.uuid4()",
        "open('file')",
        "def f():\n    print('x')",
        "known = set()\ndef f(x):\n    known.add(x)",
        "known = []\ndef f():\n    known.sort()",
        "known = Registry()\ndef f(x):\n    known.register(x)",
        "known: Final = Known()\ndef f(x):\n    known.value = x",
        "known = {}\ndef f(x):\n    known[x] = 1",
        "known = 0\ndef f():\n    global known\n    known += 1",
    ],
)
def test_the_purity_check_finds(source: str) -> None:
    assert impurities(PACKAGE / "kernel" / "example.py", ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "from perdure.kernel.time import Timestamp",
        "from .time import Timestamp",
        "import asyncio",
        "import uuid\nid = uuid.UUID(int=1)",
        "loop.time()",
        "known = {}\ndef f(x):\n    return known.get(x)",
        "def f(x):\n    known = set()\n    known.add(x)",
        "from datetime import datetime\nat = datetime.fromtimestamp(0)",
    ],
)
def test_the_purity_check_allows(source: str) -> None:
    assert impurities(PACKAGE / "kernel" / "example.py", ast.parse(source)) == []


def test_only_the_maker_of_generators_may_use_random_and_only_its_class() -> None:
    maker = PACKAGE.parent.parent / MAKER_OF_GENERATORS
    assert impurities(maker, ast.parse("from random import Random")) == []
    assert impurities(maker, ast.parse("from random import Random, choice"))
    assert impurities(maker, ast.parse("import random\nself.random = random.Random(7)")) == []
    assert impurities(maker, ast.parse("import random\ndraw = random.random()"))
    assert impurities(PACKAGE / "kernel" / "retry.py", ast.parse("from random import Random"))


def impurities(path: Path, tree: ast.Module) -> list[str]:
    imports = [
        f"{relative(path)}:{line} imports {module}"
        for line, module, names in imported_modules(tree)
        if _is_within(module, IMPURE_MODULES) and not _makes_generators(path, tree, module, names)
    ]
    calls = [f"{relative(path)}:{line} calls {name}" for line, name in _calls(tree) if name in IMPURE_CALLS]
    changes = [f"{relative(path)}:{line} changes {name}, which outlives the call" for line, name in _changes(tree)]
    return imports + calls + changes


def _changes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield where functions change what belongs to their module: two calls with equal arguments could then differ."""
    kept = {node.id for each in tree.body if isinstance(each, ast.Assign | ast.AnnAssign) for node in _assigned(each)}
    for node in ast.walk(tree):
        match node:
            case ast.Global(names=names):
                yield node.lineno, ", ".join(names)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method in CHANGING_METHODS:
                if name in kept:
                    yield node.lineno, name
            case ast.Attribute(value=ast.Name(id=name)) | ast.Subscript(value=ast.Name(id=name)):
                if name in kept and not isinstance(node.ctx, ast.Load):
                    yield node.lineno, name
            case _:
                pass


CHANGING_METHODS = frozenset(
    {
        "add",
        "append",
        "appendleft",
        "clear",
        "discard",
        "extend",
        "insert",
        "pop",
        "popitem",
        "popleft",
        "register",
        "remove",
        "reverse",
        "setdefault",
        "sort",
        "update",
    }
)


def _assigned(statement: ast.Assign | ast.AnnAssign) -> Iterator[ast.Name]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return (target for target in targets if isinstance(target, ast.Name))


def _makes_generators(path: Path, tree: ast.Module, module: str, names: frozenset[str]) -> bool:
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random"
    }
    return module == "random" and names | used == {"Random"} and relative(path) == MAKER_OF_GENERATORS


def _is_within(module: str, forbidden: frozenset[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in forbidden)


def _calls(tree: ast.AST) -> list[tuple[int, str]]:
    return [(node.lineno, ast.unparse(node.func)) for node in ast.walk(tree) if isinstance(node, ast.Call)]
