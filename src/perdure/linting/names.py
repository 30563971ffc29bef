"""Names: what a dotted expression means, followed through imports and local variables.

A meaning is a dotted text: ``datetime.datetime.now``; a call adds ``()``: ``pathlib.Path().read_text``. What a builtin
is called is its own meaning: ``open``.
"""

import ast
import builtins
from collections.abc import Iterator
from typing import Final

__all__ = ["Imports", "Meanings", "imports_of", "made_by", "stored_names"]

Imports = dict[str, str]
"""Local name -> what it was imported as."""

_BUILTINS: Final = frozenset(dir(builtins))


def imports_of(nodes: Iterator[ast.AST], *, module: str) -> Imports:
    """Return what the import statements among `nodes` bind; `module` is the dotted name of the module they stand in."""
    found: Imports = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, module)
            for alias in node.names:
                found[alias.asname or alias.name] = f"{origin}.{alias.name}" if origin else alias.name
    return found


def _origin(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    package = module.split(".")[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def stored_names(nodes: Iterator[ast.AST]) -> frozenset[str]:
    """Return the names that `nodes` bind by assignment, as parameters or as functions."""
    found: set[str] = set()
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.ExceptHandler(name=str(name)):
                found.add(name)
            case _:
                pass
    return frozenset(found)


def made_by(nodes: Iterator[ast.AST], meanings: "Meanings") -> dict[str, str]:
    """Return of the variables that `nodes` assign by a call what that call means."""
    found: dict[str, str] = {}
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as value):
                meaning = meanings.of(value)
            case ast.withitem(context_expr=ast.Call() as value, optional_vars=ast.Name(id=name)):
                meaning = meanings.of(value)
            case _:
                continue
        if meaning:
            found.setdefault(name, meaning)
    return found


class Meanings:
    """What names mean at one place: within a function, or at the top of a module."""

    def __init__(
        self, imports: Imports, *, local: frozenset[str] = frozenset(), known: dict[str, str] | None = None
    ) -> None:
        """Know the imports; `local` names hide them, `known` says what local variables were made by."""
        self._imports: Final = imports
        self._local: Final = local
        self.known: Final = known or {}

    def of(self, node: ast.expr) -> str:
        """Return what an expression means, an empty text where nobody can tell."""
        match node:
            case ast.Name(id=name):
                return self._of_name(name)
            case ast.Attribute(value=value, attr=attribute):
                base = self.of(value)
                return f"{base}.{attribute}" if base else ""
            case ast.Call(func=function):
                called = self.of(function)
                return f"{called}()" if called else ""
            case ast.Await(value=value):
                return self.of(value)
            case _:
                return ""

    def _of_name(self, name: str) -> str:
        if name in self.known:
            return self.known[name]
        if name in self._local:
            return ""
        if name in self._imports:
            return self._imports[name]
        return name if name in _BUILTINS else ""
