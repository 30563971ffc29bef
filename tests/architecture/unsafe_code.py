"""What shipped code must not do: the ways by which data becomes running code, or an attacker's text a command.

Names are followed through imports (`from os import system as run` is `os.system`), and a mention counts as a call: what
is passed on can be called elsewhere. Each way that is used for a reason is one line of `ALLOWED`.
"""

import ast
from collections.abc import Collection, Iterator
from pathlib import Path

from tests.architecture.repository import relative

__all__ = ["ALLOWED", "unsafe_code"]

FORBIDDEN = {
    "runs what it reads": (
        "builtins.__import__", "builtins.compile", "builtins.eval", "builtins.exec", "code.", "codeop.", "ctypes.",
        "imp.", "importlib.", "pkgutil.", "runpy.", "types.CodeType", "types.FunctionType", "zipimport.",
    ),
    "makes objects of any class": (
        "cPickle.", "cloudpickle.", "copyreg.", "dill.", "joblib.", "jsonpickle.", "marshal.", "pickle.", "ruamel.",
        "shelve.", "torch.load", "yaml.",
    ),
    "pickles what passes between processes": (
        "concurrent.futures.ProcessPoolExecutor", "concurrent.futures.process.", "logging.config.",
        "logging.handlers.SocketHandler", "multiprocessing.", "socketserver.", "xmlrpc.",
    ),
    "starts programs": (
        "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell", "commands.", "os.exec*", "os.fork*",
        "os.popen", "os.posix_spawn*", "os.spawn*", "os.startfile", "os.system", "pty.", "subprocess.", "webbrowser.",
    ),
    "reads XML that may name files and grow without end": ("lxml.", "pyexpat.", "xml."),
    "can be foreseen by others": (
        "hashlib.md5", "hashlib.new", "hashlib.sha1", "os.tempnam", "os.tmpnam", "tempfile.mktemp",
    ),
    "trusts whoever answers": ("ssl._create_unverified_context", "ssl.CERT_NONE"),
}  # fmt: skip
"""Why -> names: itself; with a full stop at the end, everything below; with a star, everything that begins so."""

HARMLESS = frozenset({"importlib.metadata.version"})

USED_IN_PART = frozenset({"importlib", "multiprocessing", "subprocess"})
"""Modules that may be imported: what is taken from them is looked at where it is mentioned."""

ASSERTING_ROOMS = ("src/perdure/testing/", "src/perdure/torture/", "src/perdure_pytest.py")
"""Where an assert is how a test fails."""

ALLOWED = {
    ("src/perdure/cli/code.py", "importlib.import_module"): "the operator names the module on the command line",
    ("src/perdure/cli/demo/worker_process.py", "asyncio.create_subprocess_exec"): "this interpreter, with fixed words",
    ("src/perdure/client/loop_thread.py", "importlib.import_module"): "one fixed name of the standard library",
    ("src/perdure/execution/process_executor.py", "multiprocessing.context.ForkServerContext"): "a type for checkers",
    ("src/perdure/execution/process_executor.py", "multiprocessing.context.SpawnContext"): "a type for checkers",
    ("src/perdure/execution/process_executor.py", "multiprocessing.get_all_start_methods"): "it only lists words",
    ("src/perdure/execution/process_executor.py", "multiprocessing.get_context"): (
        "processes start by it; what is pickled then is one socket, given by this process to its child"
    ),
    ("src/perdure/execution/process_service.py", "importlib.import_module"): (
        "the module of an activity that the executor's process defines, told by it over a socket of its own"
    ),
    ("src/perdure/execution/process_service.py", "multiprocessing.current_process"): "it only sets a flag of its own",
    ("src/perdure/execution/worker_process.py", "multiprocessing.context.ForkServerContext"): "a type for checkers",
    ("src/perdure/execution/worker_process.py", "multiprocessing.context.SpawnContext"): "a type for checkers",
    ("src/perdure/execution/worker_process.py", "multiprocessing.process.BaseProcess"): "a type for checkers",
    ("src/perdure/stores/sqlite/connection.py", "ctypes"): "one number for SQLite, whose address is asked",
    ("src/perdure/stores/sqlite/connection.py", "ctypes.addressof"): "one number for SQLite, whose address is asked",
    ("src/perdure/stores/sqlite/connection.py", "ctypes.c_int"): "one number for SQLite, whose address is asked",
    ("src/perdure/testing/__init__.py", "importlib.import_module"): "out of a fixed table of its own modules",
    ("src/perdure/torture/command.py", "importlib.import_module"): "out of a fixed table of its own modules",
    (
        "src/perdure/torture/disks/small.py",
        "subprocess.run",
    ): "this interpreter, on a disk of its own, with fixed words",
    (
        "src/perdure/torture/processes/household.py",
        "asyncio.create_subprocess_exec",
    ): "this interpreter, with fixed words",
    ("src/perdure/torture/processes/nursery.py", "os.fork"): "it runs no program: the child is this one",
    ("src/perdure/torture/loads/subject.py", "subprocess.run"): "this interpreter, with an order of the tool's own",
    ("src/perdure/torture/mutants.py", "subprocess.run"): "this interpreter, with planted bugs of its own",
    ("src/perdure/torture/mutants.py", "subprocess.TimeoutExpired"): "an error, not a program",
    ("src/perdure/torture/planting.py", "builtins.compile"): "what it compiles stands in the package",
    ("src/perdure/torture/planting.py", "importlib.abc.MetaPathFinder"): "what it loads stands in the package",
    ("src/perdure/torture/planting.py", "importlib.machinery.ModuleSpec"): "what it loads stands in the package",
    ("src/perdure/torture/planting.py", "importlib.machinery.PathFinder.find_spec"): "it looks in the package",
    ("src/perdure/torture/planting.py", "importlib.machinery.SourceFileLoader"): "it loads what is in the package",
    ("src/perdure/torture/planting.py", "types.CodeType"): "a type for checkers",
    ("src/perdure/torture/planting.py", "importlib.util.spec_from_file_location"): "it loads what is in the package",
    (
        "src/perdure/torture/replays/living.py",
        "builtins.compile",
    ): "a text that stands in the package, changed by others",
    ("src/perdure/torture/replays/living.py", "builtins.exec"): "a text that stands in the package, changed by others",
    ("src/perdure/torture/simulation/campaign.py", "concurrent.futures.ProcessPoolExecutor"): "plans to own children",
    ("src/perdure/torture/copies/interruption.py", "multiprocessing.get_context"): "what it makes to its own child",
    ("src/perdure/torture/simulation/campaign.py", "multiprocessing.get_context"): "plans to its own children",
    ("src/perdure/torture/trials.py", "concurrent.futures.ProcessPoolExecutor"): "seeds to its own children",
    ("src/perdure/torture/trials.py", "multiprocessing.get_context"): "seeds to its own children",
}
"""(file, name) -> why it is safe there."""


def unsafe_code(
    path: Path, tree: ast.Module, *, allowed: Collection[tuple[str, str]] = frozenset(ALLOWED)
) -> list[str]:
    """List what a module must not do, each with its line; what is allowed is left out."""
    file = relative(path)
    names = [
        f"{file}:{line} {name} {why}"
        for line, name in _mentioned(tree)
        if (file, name) not in allowed and (why := _why(name)) is not None
    ]
    others = [*_shells(tree), *(() if file.startswith(ASSERTING_ROOMS) else _checks_by_assert(tree))]
    return names + [f"{file}:{line} {what}" for line, what in others]


def _why(name: str) -> str | None:
    if name in HARMLESS:
        return None
    return next((why for why, patterns in FORBIDDEN.items() if any(_is_meant(name, each) for each in patterns)), None)


def _is_meant(name: str, pattern: str) -> bool:
    match pattern[-1]:
        case ".":
            return name == pattern[:-1] or name.startswith(pattern)
        case "*":
            return name.startswith(pattern[:-1])
        case _:
            return name == pattern or name.startswith(f"{pattern}.")


def _mentioned(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, full name) of what is mentioned: the longest name of each chain of attributes."""
    known = _imported(tree)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (
                    (node.lineno, alias.name) for alias in names if alias.name.split(".")[0] not in USED_IN_PART
                )
            case ast.ImportFrom(module=str(module), level=0):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
            case ast.Name() | ast.Attribute() if id(node) not in inner and isinstance(node.ctx, ast.Load):
                first, *rest = ast.unparse(node).split(".") if _is_chain(node) else ("",)
                if first in known or first in _BUILTINS:
                    yield node.lineno, ".".join((known.get(first, f"builtins.{first}"), *rest))
            case _:
                pass


_BUILTINS = frozenset({"__import__", "compile", "eval", "exec"})


def _is_chain(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def _imported(tree: ast.Module) -> dict[str, str]:
    """Return local name -> full name of what is imported, wherever in the module."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    first = alias.name.partition(".")[0]
                    known[alias.asname or first] = alias.name if alias.asname else first
            case ast.ImportFrom(module=str(module), names=names, level=0):
                known.update({alias.asname or alias.name: f"{module}.{alias.name}" for alias in names})
            case _:
                pass
    return known


def _shells(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg="shell", value=ast.Constant(value=False)):
                pass
            case ast.keyword(arg="shell"):
                yield node.value.lineno, "lets a shell read a command"
            case _:
                pass


def _checks_by_assert(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield asserts that do more than tell a checker a type: with `python -O` they would check nothing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and not _narrows(node.test):
            yield node.lineno, "checks by an assert, which `python -O` leaves out"


def _narrows(test: ast.expr) -> bool:
    match test:
        case ast.Call(func=ast.Name(id="isinstance")) | ast.Compare(ops=[ast.Is() | ast.IsNot()]):
            return True
        case ast.BoolOp(values=values):
            return all(map(_narrows, values))
        case _:
            return False
