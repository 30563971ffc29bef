"""Fingerprints: a name of the code that a process has, which is the same for the same code, wherever that runs.

It is of the workflows and activities of a registry, by their names, and of the functions and classes that these reach
by name, within the packages that hold such definitions (for a module of none: within its folder). It is of what these
do, by their bytecode and its constants, and of what was bound to them when they were made: defaults, what they close
over, arguments of partials, attributes of classes, values of enums, where these are numbers, texts, None, or tuples and
frozensets of such. Lines, comments, paths and the order of definitions do not matter. So code that differs in what a
run may meet, as by a patch, has another name.

Reached is what a function names: of its globals and of modules, also in modules, what it closes over or has as default,
and what a dict, list or tuple among these holds; the class of what is no function; what is wrapped, by `functools` or
by whoever leaves a `__wrapped__`.

Not seen are other packages, other values of globals (which may be those of one machine), and what is found at run time
only: by an import within a function, as a method of an argument, in tables of tables, in wrappers of other packages
that leave no `__wrapped__`, by `functools.singledispatch`. Another version of Python has another bytecode; that of 3.13
and newer knows the line of a class that is made within a function.

Globals may come late, as those that a first call sets. So the name is made once, when a worker opens, and again only
after new code has come.
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from enum import EnumType
from functools import cache, cached_property, partial, partialmethod
from inspect import unwrap
from operator import itemgetter
from pathlib import Path
from types import CodeType, EllipsisType, FunctionType, MethodType, ModuleType, NoneType
from typing import Any, Final, cast

from perdure.authoring.registry import Registry

__all__ = ["fingerprint"]


def fingerprint(registry: Registry) -> str:
    """Return the name of the code of a registry's definitions: 16 digits. It is made anew only after new code came."""
    changes = registry.changes
    if registry.fingerprint[0] != changes:
        registry.fingerprint = (changes, _made(registry))
    return registry.fingerprint[1]


def _made(registry: Registry) -> str:
    workflows = [(key, registry.workflow(*key).function) for key in registry.workflow_versions]
    activities = [(one.name, one.function) for one in registry.activities]
    digest = hashlib.blake2b(digest_size=8)
    roots: list[object] = []
    for definitions in (sorted(workflows, key=itemgetter(0)), sorted(activities, key=itemgetter(0))):
        digest.update(repr([name for name, _ in definitions]).encode(errors="surrogatepass"))
        roots += [function for _, function in definitions]
    for content in _reached(roots):
        digest.update(repr(content).encode(errors="surrogatepass"))
    return digest.hexdigest()


def _reached(roots: list[object]) -> Iterator[object]:
    """Yield the contents of roots and of what they reach, each once, in an order that depends on nothing else."""
    homes = {_home_of(getattr(unwrap(cast("Any", root)), "__globals__", {})) for root in roots} - {_OWN}
    waiting = roots[::-1]
    seen: dict[int, object] = {}  # by id, as values say themselves what they equal; held, so that ids stay their own
    while waiting:
        value = waiting.pop()
        if id(value) not in seen:
            seen[id(value)] = value
            content, named = _seen_at(value, homes)
            if content is not None:
                yield content
            waiting += _spread(named)


def _seen_at(value: object, homes: set[str]) -> tuple[object, Iterable[object]]:
    """Return the content of one value, None without any, and what it names."""
    kind = type(value)  # no isinstance, which asks a value that stands for another
    if kind is FunctionType:
        return _seen_at_function(cast("FunctionType", value), homes)
    if kind in _WRAPPERS:
        return _seen_at_wrapper(value)
    if not issubclass(kind, type):
        return None, [kind]
    seen = cast("type[object]", value)
    if _home_of_class(seen) not in homes:
        return None, ()
    members = _members_of(seen)
    content = [(name, _value(member)) for name, member in members.items() if _is_simple(member)]
    return content, [*members.values(), *seen.__mro__]


def _seen_at_function(function: FunctionType, homes: set[str]) -> tuple[object, Iterable[object]]:
    wrapped = vars(function).get("__wrapped__")
    if _home_of(function.__globals__) not in homes:
        return None, [wrapped]
    positional, by_keyword, cells = function.__defaults__ or (), function.__kwdefaults__ or {}, _cells_of(function)
    content = (_content(function.__code__), _bound(positional, by_keyword), [_value(cell) for cell in cells])
    return content, [*_named_in(function, cells), *positional, *by_keyword.values(), wrapped]


def _seen_at_wrapper(value: Any) -> tuple[object, Iterable[object]]:  # noqa: ANN401 - of whatever kind
    parts = [getattr(value, name) for name in _WRAPPERS[type(value)]]
    if type(value) not in {partial, partialmethod}:
        return None, parts
    return _bound(value.args, value.keywords), [*parts, *value.args, *value.keywords.values()]


def _cells_of(function: FunctionType) -> list[object]:
    found: list[object] = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # it holds nothing yet
            found.append(...)
    return found


def _named_in(function: FunctionType, cells: list[object]) -> Iterator[object]:
    """Yield what the code of a function names: globals, what it closes over, and what modules among these hold."""
    names = list(dict.fromkeys(name for code in _within(function.__code__) for name in code.co_names))
    waiting = [function.__globals__.get(name) for name in names] + cells
    modules: set[int] = set()
    for value in waiting:
        if type(value) is not ModuleType:
            yield value
        elif id(value) not in modules:
            modules.add(id(value))
            waiting += [vars(value)[name] for name in names if name in vars(value)]


def _spread(values: Iterable[object]) -> Iterator[object]:
    """Yield what may hold code: of a dict, list or tuple its members."""
    for value in values:
        members: list[object] = [value]
        if type(value) is dict:
            items = list(cast("dict[object, object]", value).items())
            code = [item for item in items if type(item[1]) not in _SIMPLE]
            members = [member for _, member in sorted(code, key=_order_of)]
        elif type(value) in {list, tuple}:
            members = list(cast("list[object]", value))
        yield from (member for member in members if type(member) not in _SIMPLE)


def _order_of(item: tuple[object, object]) -> str:
    """Return what items of a dict are sorted by: the key, as who has registered them may have come in any order."""
    key = item[0]
    if type(key) is FunctionType or issubclass(type(key), type):
        return cast("FunctionType", key).__qualname__
    return repr(_value(key))


def _members_of(one: type[object]) -> dict[str, object]:
    """Return what a class holds, by name, in their order, without what Python itself notes of it."""
    members: dict[str, object] = dict(vars(one))
    if issubclass(type(one), EnumType):
        named = cast("dict[str, Any]", members.get("_member_map_", {}))
        members |= {name: member._value_ for name, member in named.items()}
    functions = {FunctionType, *_WRAPPERS}
    return {
        name: member
        for name, member in sorted(members.items())
        if not (name.startswith("__") and name.endswith("__")) or type(member) in functions
    }


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


def _bound(positional: Iterable[object], by_keyword: Mapping[str, object]) -> tuple[object, ...]:
    return [_value(one) for one in positional], [(name, _value(one)) for name, one in sorted(by_keyword.items())]


def _value(value: object) -> object:
    """Return a value as one whose text is the same in each process; the same one for all that are not simple."""
    return _constant(value) if _is_simple(value) else ...


def _is_simple(value: object) -> bool:
    if type(value) in {tuple, frozenset}:
        return all(map(_is_simple, cast("Iterable[object]", value)))
    return type(value) in _SIMPLE


def _constant(value: Any) -> object:  # noqa: ANN401 - whatever the compiler holds constant
    if isinstance(value, CodeType):
        return _content(value)
    if type(value) is int:
        return (hex(value),)  # other digits have a limit
    if not isinstance(value, frozenset | tuple):
        return value
    members = [repr(_constant(member)) for member in cast("Iterable[object]", value)]
    return {"frozenset": sorted(members)} if isinstance(value, frozenset) else members  # else in any order


def _home_of(found: Mapping[str, Any]) -> str:
    """Return where the module of these globals belongs: its outermost package, also as `__main__`, else its folder."""
    package, file = found.get("__package__"), found.get("__file__")
    if package or not file:
        return str(package or found.get("__name__")).partition(".")[0]
    return str(Path(file).parent)


def _home_of_class(one: type[object]) -> str:
    name = vars(one).get("__module__")
    return _home_of(getattr(sys.modules.get(str(name)), "__dict__", {"__name__": name}))


_OWN: Final = "perdure"
_SIMPLE: Final = frozenset({int, str, bytes, float, bool, NoneType, EllipsisType})
_WRAPPERS: Final[dict[type, tuple[str, ...]]] = {
    MethodType: ("__func__",),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    partial: ("func",),
    partialmethod: ("func",),
    property: ("fget", "fset", "fdel"),
    cached_property: ("func",),
    type(cache(repr)): ("__wrapped__",),
}
"""Kind of object -> where it has the functions."""
