"""Grafting: a bug is put into functions that are loaded already, so that a forked process need not import anything.

To import a tool takes half a second, to fork a process that has done it some milliseconds; most planted bugs are found
sooner than that. A text that differs within functions only gives code objects that differ there only: the functions
take over the code of the changed text, wherever they are held by now. What else a module does when it is imported, its
constants and classes, and whatever functions have made for these, stays: a bug there is no graft, and all is imported
once more with it (`planting`).
"""

import dis
import gc
import importlib
import importlib.util
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Final

import msgspec

from perdure.torture.planted.mutant import Patch

__all__ = ["Graft", "StaleTextError", "demand_texts", "graft", "grafts_of"]


class StaleTextError(Exception):
    """The text to replace does not occur once, or is not what was imported."""


class Graft(msgspec.Struct, frozen=True):
    """The codes of a function before and after."""

    old: CodeType
    new: CodeType


def demand_texts(patches: Sequence[Patch]) -> None:
    """Raise StaleTextError unless each text to replace occurs once."""
    for patch in patches:
        count = _path_of(patch.module).read_text(encoding="utf-8").count(patch.old)
        if count != 1:
            raise StaleTextError(f"the text to replace occurs {count} times in {patch.module}: {patch.old!r}")


def grafts_of(patches: Sequence[Patch]) -> list[Graft] | None:
    """Return what the patches change in functions; None if they change anything else, or what these close over."""
    grafts: list[Graft] = []
    for module in {patch.module for patch in patches}:
        importlib.import_module(module)  # those that the engine imports late, too, must be there to be grafted
        path = _path_of(module)
        text = source = path.read_text(encoding="utf-8")
        for patch in patches:
            text = text.replace(patch.old, patch.new) if patch.module == module else text
        old, new = (compile(each, str(path), "exec", dont_inherit=True) for each in (source, text))
        found = list(_differences(old, new))
        if not all(each.old.co_flags & inspect.CO_OPTIMIZED and _fits(each) for each in found):
            return None
        if not _used_at_import(old).isdisjoint(each.old.co_qualname for each in found):
            return None
        grafts += found
    return grafts


def graft(grafts: Sequence[Graft]) -> None:
    """Give the new code to all functions that have the old one, in this process.

    Raises StaleTextError where none has it: the module was imported from another text.
    """
    new_codes = {(each.old.co_filename, each.old): each.new for each in grafts}
    missing = {each.old for each in grafts if _WITHIN_A_FUNCTION not in each.old.co_qualname}
    for function in gc.get_objects():
        if type(function) is FunctionType:
            new = new_codes.get((function.__code__.co_filename, function.__code__))
            if new is not None:
                missing.discard(function.__code__)
                function.__code__ = new
    if missing:
        raise StaleTextError(f"no function has the code of {', '.join(code.co_qualname for code in missing)}")


def _path_of(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


def _differences(old: CodeType, new: CodeType) -> Iterator[Graft]:
    """Yield the codes that differ by more than their lines.

    A function differs where one within it does: inner ones are made from its code, and may have been made already.
    """
    if _own(old) != _own(new) or len(_inner(old)) != len(_inner(new)):
        yield Graft(old, new)
        return
    within = [found for pair in zip(_inner(old), _inner(new), strict=True) for found in _differences(*pair)]
    if within and old.co_flags & inspect.CO_OPTIMIZED:
        yield Graft(old, new)
    yield from within


def _inner(code: CodeType) -> list[CodeType]:
    return [const for const in code.co_consts if isinstance(const, CodeType)]


def _own(code: CodeType) -> tuple[object, ...]:
    """Return what a code consists of, but for the codes within it, and for the lines."""
    constants = [isinstance(const, CodeType) or (type(const), repr(const)) for const in code.co_consts]
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
    return (code.co_qualname, code.co_flags, counts, code.co_code, code.co_exceptiontable, names, constants)


def _used_at_import(module: CodeType) -> set[str]:
    """Return the functions that a module may call while it is imported: what they have made then stays.

    Those that its body names, and those that these name.
    """
    functions = {code.co_qualname: code for code in _inner(module) if code.co_flags & inspect.CO_OPTIMIZED}
    named = {op.argval for code in _run_at_import(module) for op in dis.get_instructions(code) if op.opname in _LOADS}
    used = named & functions.keys()
    while more := {name for each in used for name in functions[each].co_names} & functions.keys() - used:
        used |= more
    return used


def _run_at_import(code: CodeType) -> Iterator[CodeType]:
    """Yield the body of a module or class, and those of the classes in it."""
    yield code
    for inner in _inner(code):
        if not inner.co_flags & inspect.CO_OPTIMIZED:
            yield from _run_at_import(inner)


_LOADS: Final = frozenset({"LOAD_NAME", "LOAD_GLOBAL"})


def _fits(each: Graft) -> bool:
    """Whether a function can take over the code: its closure stays."""
    return each.old.co_freevars == each.new.co_freevars


_WITHIN_A_FUNCTION: Final = "<locals>"
