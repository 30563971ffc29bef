"""Grafting: a bug is put into functions that are loaded already, so that a forked process need not import anything.

To import a tool takes half a second, to fork a process that has done it some milliseconds; most planted bugs are found
sooner than that. A text that differs within functions only gives code objects that differ there only: the functions
take over the code of the changed text, wherever they are held by now. What else a module does when it is imported, its
constants and classes, stays: a bug there is no graft, and all is imported once more with it (`planting`).
"""

import gc
import importlib.util
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType

import msgspec

from perdure.torture.planted.mutant import Patch

__all__ = ["Graft", "StaleTextError", "demand_texts", "graft", "grafts_of"]


class StaleTextError(Exception):
    """The text to replace does not occur once."""


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
        path = _path_of(module)
        text = source = path.read_text(encoding="utf-8")
        for patch in patches:
            text = text.replace(patch.old, patch.new) if patch.module == module else text
        old, new = (compile(each, str(path), "exec", dont_inherit=True) for each in (source, text))
        grafts += _differences(old, new)
    is_all = all(each.old.co_flags & inspect.CO_OPTIMIZED and _fits(each) for each in grafts)
    return grafts if is_all else None


def graft(grafts: Sequence[Graft]) -> None:
    """Give the new code to all functions that have the old one, in this process."""
    new_codes = {(each.old.co_filename, each.old): each.new for each in grafts}
    for function in gc.get_objects():
        if type(function) is FunctionType:
            new = new_codes.get((function.__code__.co_filename, function.__code__))
            if new is not None:
                function.__code__ = new


def _path_of(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


def _differences(old: CodeType, new: CodeType) -> Iterator[Graft]:
    """Yield the outermost codes that differ themselves, by more than the lines where they stand."""
    inner = [[const for const in code.co_consts if isinstance(const, CodeType)] for code in (old, new)]
    if _own(old) != _own(new) or len(inner[0]) != len(inner[1]):
        yield Graft(old, new)
        return
    for each, other in zip(*inner, strict=True):
        yield from _differences(each, other)


def _own(code: CodeType) -> tuple[object, ...]:
    """Return what a code consists of, but for the codes within it, and for the lines."""
    constants = [isinstance(const, CodeType) or (type(const), repr(const)) for const in code.co_consts]
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return (code.co_qualname, code.co_flags, code.co_argcount, code.co_kwonlyargcount, code.co_code, names, constants)


def _fits(each: Graft) -> bool:
    """Whether a function can take over the code: its closure stays."""
    return each.old.co_freevars == each.new.co_freevars
