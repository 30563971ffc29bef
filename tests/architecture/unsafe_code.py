"""What shipped code must not do: the ways by which data becomes running code, or an attacker's text a command.

Names are followed through imports (`from os import system as run` is `os.system`), and a mention counts as a call: what
is passed on can be called elsewhere. So a module may not be passed on at all (`getattr(os, name)`, `o = os`), nor its
names be reached by another way (`vars`, `sys.modules`, `__builtins__`). Each way that is used for a reason is one line
of `ALLOWED`. It stops those who forget, not those who hide: there is no end of ways for them.
"""

import ast
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

from tests.architecture.repository import relative

__all__ = ["ALLOWED", "unsafe_code"]

FORBIDDEN = {
    "runs what it reads": (
        "_ctypes.", "_imp.", "bdb.", "builtins.", "cProfile.", "cffi.", "code.", "codeop.", "ctypes.", "doctest.",
        "imp.", "importlib.", "pdb.", "pkgutil.", "profile.", "runpy.", "sys.meta_path", "sys.modules",
        "sys.path_hooks", "timeit.", "trace.", "types.CodeType", "types.FunctionType", "typing.ForwardRef",
        "typing.get_type_hints", "inspect.get_annotations", "zipimport.",
    ),
    "makes objects of any class": (
        "_pickle.", "cPickle.", "cloudpickle.", "copyreg.", "dill.", "joblib.", "jsonpickle.", "marshal.", "numpy.load",
        "pandas.read_pickle", "pickle.", "pickletools.", "ruamel.", "shelve.", "torch.load", "yaml.",
    ),
    "pickles what passes between processes": (
        "concurrent.futures.ProcessPoolExecutor", "concurrent.futures.process.", "logging.config.",
        "logging.handlers.SocketHandler", "multiprocessing.", "socketserver.", "xmlrpc.",
    ),
    "starts programs": (
        "_posixsubprocess.", "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell",
        "asyncio.subprocess.create_*", "commands.", "nt.", "os.exec*", "os.fork*", "os.popen",
        "os.posix_spawn*", "os.spawn*", "os.startfile", "os.system", "posix.", "pty.", "subprocess.", "webbrowser.",
    ),
    "writes files where an archive says": ("shutil.unpack_archive", "tarfile.", "zipfile."),
    "is reached through another module": ("*.builtins", "*.importlib", "*.os", "*.posix", "*.sys"),
    "logs without being made harmless": (
        "logging.Logger", "logging.critical", "logging.debug", "logging.error", "logging.exception",
        "logging.getLogger", "logging.info", "logging.log", "logging.root", "logging.warning",
    ),
    "reads XML that may name files and grow without end": ("lxml.", "pyexpat.", "xml."),
    "can be foreseen by others": (
        "hashlib.md5", "hashlib.new", "hashlib.sha1", "os.tempnam", "os.tmpnam", "tempfile.mktemp",
    ),
    "trusts whoever answers": ("ssl._create_unverified_context", "ssl.CERT_NONE"),
}  # fmt: skip
"""Why -> names: itself; with a full stop at the end, everything below; with a star at the end, everything that begins
so; with one at the beginning, this name of any module."""

HIDDEN_WAYS = frozenset(
    {
        "__builtins__", "__globals__", "__import__", "__loader__", "__reduce__", "__reduce_ex__", "__setstate__",
        "__subclasses__", "enable_load_extension", "load_extension", "loadextension", "subprocess_exec",
        "subprocess_shell",
    }
)  # fmt: skip
"""Attributes, whoever has them, by which code is reached, loaded or started."""

HARMLESS = frozenset({"builtins", "builtins.type", "importlib.metadata.version"})

USED_IN_PART = frozenset({"builtins", "importlib", "multiprocessing", "subprocess"})
"""Modules that may be imported: what is taken from them is looked at where it is mentioned."""

ASSERTING_ROOMS = ("src/perdure/testing/", "src/perdure/torture/", "src/perdure_pytest.py")
"""Where an assert is how a test fails."""

ALLOWED = {
    ("src/perdure/authoring/fingerprint.py", "__globals__"): "it reads what functions name, and calls none of it",
    ("src/perdure/authoring/fingerprint.py", "sys.modules.get"): "where a class says that it is from; it loads nothing",
    ("src/perdure/authoring/fingerprint.py", "types.CodeType"): "the type of what it reads; it makes none",
    ("src/perdure/authoring/fingerprint.py", "types.FunctionType"): "the type of what it reads; it makes none",
    ("src/perdure/authoring/pydantic_models.py", "sys.modules"): "a fixed name, of a package that is there or not",
    ("src/perdure/authoring/pydantic_models.py", "sys.modules.get"): "fixed names, of a package that is there or not",
    ("src/perdure/authoring/signature.py", "typing.get_type_hints"): "annotations of the author's own functions",
    ("src/perdure/cli/code.py", "importlib.import_module"): "the operator names the module on the command line",
    ("src/perdure/cli/demo/worker_process.py", "asyncio.create_subprocess_exec"): "this interpreter, with fixed words",
    ("src/perdure/client/loop_thread.py", "importlib.import_module"): "one fixed name of the standard library",
    ("src/perdure/codecs/fields.py", "typing.get_type_hints"): "annotations of the library's own records",
    (
        "src/perdure/codecs/object_blobs.py",
        "obstore",
    ): "kept, because it is imported late; it reads nothing",
    ("src/perdure/execution/process_executor.py", "sys.modules.get"): "a fixed name of the standard library",
    (
        "src/perdure/execution/clusters/dask_cluster.py",
        "distributed",
    ): "imported late; it is handed bytes of JSON and a function of that file",
    (
        "src/perdure/execution/clusters/libraries.py",
        "importlib.util.find_spec",
    ): "fixed names, which are only looked for",
    (
        "src/perdure/execution/clusters/ray_cluster.py",
        "ray",
    ): "imported late; it is handed bytes of JSON and a function of that file",
    ("src/perdure/execution/reach.py", "sys.modules"): "the main script, to see whether it is a file",
    ("src/perdure/kernel/events.py", "__subclasses__"): "the library's own records of events",
    ("src/perdure/authoring/run_logger.py", "logging.Logger"): "the type of what makes records harmless",
    ("src/perdure/local_postgres/binaries.py", "importlib.util.find_spec"): (
        "fixed names: it looks where a package's files are, and imports none"
    ),
    ("src/perdure/local_postgres/running.py", "subprocess.PIPE"): "this interpreter, with a program of the package",
    ("src/perdure/local_postgres/running.py", "subprocess.Popen"): "this interpreter, with a program of the package",
    ("src/perdure/local_postgres/supervisor.py", "ctypes"): "one call to the kernel, with two numbers",
    ("src/perdure/local_postgres/supervisor.py", "ctypes.CDLL"): "one call to the kernel, with two numbers",
    ("src/perdure/local_postgres/supervisor.py", "subprocess.DEVNULL"): "programs of a server, each word an argument",
    ("src/perdure/local_postgres/supervisor.py", "subprocess.Popen"): "programs of a server, each word an argument",
    ("src/perdure/local_postgres/supervisor.py", "subprocess.TimeoutExpired"): "an error, which starts nothing",
    ("src/perdure/logs.py", "logging.Logger"): "the type of what is made harmless here",
    ("src/perdure/logs.py", "logging.getLogger"): "where loggers are made harmless",
    ("src/perdure/execution/process_executor.py", "multiprocessing.context.ForkServerContext"): "a type for checkers",
    ("src/perdure/execution/process_executor.py", "multiprocessing.context.SpawnContext"): "a type for checkers",
    ("src/perdure/execution/process_executor.py", "multiprocessing.get_all_start_methods"): "it only lists words",
    ("src/perdure/execution/process_executor.py", "multiprocessing.get_context"): (
        "processes start by it; what is pickled then is one socket, given by this process to its child"
    ),
    ("src/perdure/execution/performing.py", "importlib.import_module"): (
        "the module of an activity that the executor's process defines, told by it over a socket of its own"
    ),
    ("src/perdure/execution/process_service.py", "multiprocessing.current_process"): "it only sets a flag of its own",
    ("src/perdure/execution/worker_process.py", "multiprocessing.context.ForkServerContext"): "a type for checkers",
    ("src/perdure/execution/worker_process.py", "multiprocessing.context.SpawnContext"): "a type for checkers",
    ("src/perdure/execution/worker_process.py", "multiprocessing.process.BaseProcess"): "a type for checkers",
    ("src/perdure/testing/environment/cast.py", "typing.get_type_hints"): "annotations of the author's own functions",
    ("src/perdure/torture/command.py", "logging.root.manager.disable"): "it only reads whether logging is off",
    ("src/perdure/torture/fuzzing/sampling.py", "typing.get_type_hints"): "annotations of the library's own records",
    ("src/perdure/torture/planting.py", "sys.meta_path.insert"): "what it loads stands in the package",
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
    ("src/perdure/torture/grafting.py", "builtins.compile"): "what it compiles stands in the package",
    ("src/perdure/torture/grafting.py", "importlib.import_module"): "modules that planted bugs of the package name",
    ("src/perdure/torture/grafting.py", "importlib.util.find_spec"): "it looks where a module of the package is",
    ("src/perdure/torture/grafting.py", "types.CodeType"): "of texts that stand in the package",
    ("src/perdure/torture/grafting.py", "types.FunctionType"): "a type to tell functions by",
    ("src/perdure/torture/mutants.py", "multiprocessing.connection.Connection"): "a type for checkers",
    ("src/perdure/torture/mutants.py", "multiprocessing.get_context"): "planted bugs to its own children",
    ("src/perdure/torture/planting.py", "sys.modules"): "it only forgets modules of the package",
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
    file, nodes = relative(path), list(ast.walk(tree))
    names = [
        f"{file}:{line} {name} {why}"
        for line, name in _mentioned(nodes)
        if (file, name) not in allowed and (why := _why(name)) is not None
    ]
    others = [found for found in _hidden(nodes) if (file, found[1].partition(" ")[0]) not in allowed]
    others += [*_shells(nodes), *(() if file.startswith(ASSERTING_ROOMS) else _checks_by_assert(nodes))]
    return names + [f"{file}:{line} {what}" for line, what in others]


@cache
def _why(name: str) -> str | None:
    if name in HARMLESS:
        return None
    return next((why for why, patterns in FORBIDDEN.items() if any(_is_meant(name, each) for each in patterns)), None)


def _is_meant(name: str, pattern: str) -> bool:
    if pattern.startswith("*"):
        return f"{pattern[1:]}." in f"{name}."
    match pattern[-1]:
        case ".":
            return name == pattern[:-1] or name.startswith(pattern)
        case "*":
            return name.startswith(pattern[:-1])
        case _:
            return name == pattern or name.startswith(f"{pattern}.")


def _mentioned(nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    """Yield (line, full name) of what is mentioned: the longest name of each chain of attributes."""
    known = _imported(nodes)
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        match node:
            case ast.Import(names=names):
                yield from (
                    (node.lineno, alias.name) for alias in names if alias.name.split(".")[0] not in USED_IN_PART
                )
            case ast.ImportFrom(module=str(module), level=0):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
            case ast.Name() | ast.Attribute() if id(node) not in inner and isinstance(node.ctx, ast.Load):
                first, *rest = ast.unparse(node).split(".") if _is_chain(node) else ("",)
                if first in _BUILTINS and first not in known:
                    yield node.lineno, f"builtins.{first}"
                yield from ((node.lineno, ".".join((full, *rest))) for full in sorted(known.get(first, ())))
            case ast.Call(func=ast.Name(id="getattr"), args=[ast.Name(id=first), ast.Constant(value=str(name)), *_]):
                yield from ((node.lineno, f"{full}.{name}") for full in sorted(known.get(first, ())))
            case _:
                pass


_BUILTINS = frozenset({"__import__", "compile", "eval", "exec"})


def _is_chain(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def _imported(nodes: list[ast.AST]) -> dict[str, set[str]]:
    """Return local name -> full names of what is imported as it, wherever in the module."""
    known: dict[str, set[str]] = {}
    for node in nodes:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    first = alias.name.partition(".")[0]
                    known.setdefault(alias.asname or first, set()).add(alias.name if alias.asname else first)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                for alias in names:
                    known.setdefault(alias.asname or alias.name, set()).add(f"{module}.{alias.name}")
            case _:
                pass
    return known


def _hidden(nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    """Yield the ways by which names are reached that `_mentioned` does not see."""
    modules = {
        alias.asname or alias.name.partition(".")[0]
        for node in nodes
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    looked_at = {id(each) for node in nodes for each in _only_looked_at(node)}
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if name in modules and id(node) not in looked_at:
                yield node.lineno, f"{name} is passed on, a whole module"
            case ast.Attribute(value=ast.Name(id=name), attr="__dict__") if name in modules:
                yield node.lineno, f"{name} is passed on, a whole module"
            case ast.Attribute(attr=name) | ast.Name(id=name) if name in HIDDEN_WAYS:
                yield node.lineno, f"{name} reaches, loads or starts code"
            case ast.ImportFrom(module=str(module), names=[ast.alias(name="*")]):
                yield node.lineno, f"{module} is taken whole, whatever it has"
            case ast.keyword(arg="eval_str" | "allow_pickle" as name):
                yield node.value.lineno, f"{name} runs what it reads"
            case _:
                pass


def _only_looked_at(node: ast.AST) -> list[ast.expr]:
    """Return the names in a node that are no way to what a module has, or one that `_mentioned` sees."""
    match node:
        case ast.Attribute(value=value) | ast.Compare(left=value, ops=[ast.Is() | ast.IsNot()]):
            return [value]
        case ast.Call(func=ast.Name(id="hasattr" | "dir"), args=[value, *_]):
            return [value]
        case ast.Call(func=ast.Name(id="getattr"), args=[value, ast.Constant(), *_]):
            return [value]
        case _:
            return []


def _shells(nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    for node in nodes:
        match node:
            case ast.keyword(arg="shell", value=ast.Constant(value=False)):
                pass
            case ast.keyword(arg="shell"):
                yield node.value.lineno, "lets a shell read a command"
            case _:
                pass


def _checks_by_assert(nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    """Yield asserts that do more than tell a checker a type: with `python -O` they would check nothing."""
    for node in nodes:
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
