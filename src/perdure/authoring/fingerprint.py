"""Fingerprints: a name of the code that a process has, which is the same for the same code, wherever that runs.

It is of the workflows and activities of a registry, by their names, and of the functions and classes that these reach
by name, within the packages that hold such definitions: of what these do, by their bytecode and its constants; lines,
comments and paths do not matter. So code that differs in what a run may meet, as by a patch, has another name.

Not seen are other packages, values of globals (which may be those of one machine), and what is found at run time only,
as a method of an argument. Another version of Python has another bytecode.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from operator import itemgetter
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, cast

from perdure.authoring.registry import Registry

__all__ = ["fingerprint"]


def fingerprint(registry: Registry) -> str:
    """Return the name of the code of a registry's definitions: 16 digits."""
    workflows = [(key, registry.workflow(*key).function) for key in registry.workflow_versions]
    activities = [(one.name, one.function) for one in registry.activities]
    digest = hashlib.blake2b(digest_size=8)
    roots: list[object] = []
    for definitions in (sorted(workflows, key=itemgetter(0)), sorted(activities, key=itemgetter(0))):
        digest.update(repr([name for name, _ in definitions]).encode(errors="surrogatepass"))
        roots += [function for _, function in definitions]
    for code in _reached(roots):
        digest.update(repr(_content(code)).encode(errors="surrogatepass"))
    return digest.hexdigest()


def _reached(roots: Iterable[object]) -> Iterator[CodeType]:
    """Yield the codes of functions and of what they reach, each once, in an order that depends on nothing else."""
    waiting = [function for root in roots for function in _functions_of(root)]
    packages = {_package_of(function) for function in waiting} - {_OWN}
    waiting.reverse()
    seen: set[FunctionType] = set()
    while waiting:
        function = waiting.pop()
        if function not in seen and _package_of(function) in packages:
            seen.add(function)
            yield function.__code__
            waiting += [found for named in _named_in(function) for found in _functions_of(named)]


def _functions_of(value: object) -> Iterator[FunctionType]:
    """Yield the functions that a value consists of: itself, what it wraps, or the methods of a class."""
    kind = type(value)  # no isinstance, which asks a value that stands for another
    if kind is FunctionType:
        yield cast("FunctionType", value)
    elif kind in _WRAPPERS:
        yield from _functions_of(getattr(value, _WRAPPERS[kind]))
    elif issubclass(kind, type):
        for base in cast("type[object]", value).__mro__:
            for member in vars(base).values():
                if not issubclass(type(member), type):
                    yield from _functions_of(member)


def _named_in(function: FunctionType) -> Iterator[object]:
    """Yield what the code of a function names: globals, what modules hold, what it closes over, what it wraps."""
    names = [name for code in _within(function.__code__) for name in code.co_names]
    for name in names:
        value = function.__globals__.get(name)
        if type(value) is ModuleType:
            yield from (vars(value)[attribute] for attribute in names if attribute in vars(value))
        else:
            yield value
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it holds nothing yet
            continue
    yield vars(function).get("__wrapped__")


def _within(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _within(constant)


def _content(code: CodeType) -> tuple[object, ...]:
    """Return what a code does, as a value whose text is the same in each process."""
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    return (counts, code.co_code, code.co_exceptiontable, names, [_constant(value) for value in code.co_consts])


def _constant(value: Any) -> object:  # noqa: ANN401 - whatever the compiler holds constant
    if isinstance(value, CodeType):
        return _content(value)
    if not isinstance(value, frozenset | tuple):
        return value
    members = [repr(_constant(member)) for member in cast("Iterable[object]", value)]
    return sorted(members) if isinstance(value, frozenset) else members  # whose order differs between processes


def _package_of(function: FunctionType) -> str:
    """Return the outermost package: that of a module which is run as `__main__`, too."""
    found = function.__globals__
    return str(found.get("__package__") or found.get("__name__")).partition(".")[0]


_OWN: Final = "perdure"
_WRAPPERS: Final[dict[type, str]] = {
    MethodType: "__func__",
    staticmethod: "__func__",
    classmethod: "__func__",
    partial: "func",
    property: "fget",
}
"""Kind of object -> where it has the function."""
