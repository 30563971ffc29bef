"""One function that is workflow code, with what its names mean; activities and side effects within are left out."""

import ast
from collections.abc import Iterator
from typing import Final

from perdure.linting.modules import Function, Module
from perdure.linting.names import Meanings, imports_of, made_by, stored_names

__all__ = ["CONTEXT", "Code"]

CONTEXT: Final = "perdure.Context()"
"""The meaning of a workflow's context."""

_CONTEXT_TYPES: Final = frozenset({"perdure.Context", "perdure.authoring.context.Context"})


class Code:
    """A function of workflow code. `nodes` are all that belongs to it, nested functions included."""

    def __init__(self, module: Module, function: Function, *, is_workflow: bool) -> None:
        self.module: Final = module
        self.function: Final = function
        self.is_workflow: Final = is_workflow
        everything = list(ast.walk(function))
        imports = {**module.imports, **imports_of(iter(everything), module=module.name)}
        local = stored_names(iter(everything)) - imports_of(iter(everything), module=module.name).keys()
        top = Meanings(imports)
        self.meanings: Final = Meanings(imports, local=local, known=self._known(top, local, imports))
        self.local: Final = local
        self.nodes: Final = list(self._own(function))
        self.calls: Final = [node for node in self.nodes if isinstance(node, ast.Call)]

    def meaning(self, node: ast.expr) -> str:
        """Return what an expression of this function means."""
        return self.meanings.of(node)

    def of_context(self, node: ast.expr) -> str:
        """Return the name of the context's method or attribute that an expression is, else an empty text."""
        meaning = self.meaning(node)
        return meaning.removeprefix(f"{CONTEXT}.") if meaning.startswith(f"{CONTEXT}.") else ""

    def _known(self, top: Meanings, local: frozenset[str], imports: dict[str, str]) -> dict[str, str]:
        known = {name: meaning for name, meaning in self.module.known.items() if name not in local}
        parameters = _arguments(self.function)
        for argument in parameters:
            meaning = "" if argument.annotation is None else top.of(argument.annotation)
            if meaning:
                known[argument.arg] = CONTEXT if meaning in _CONTEXT_TYPES else f"{meaning}()"
        if self.is_workflow and parameters:
            known[parameters[0].arg] = CONTEXT
        found = made_by(ast.walk(self.function), Meanings(imports, local=local, known=known))
        return {**found, **known}

    def _own(self, root: ast.AST) -> Iterator[ast.AST]:
        for node in ast.iter_child_nodes(root):
            if isinstance(node, Function) and self.module.is_activity(node):
                continue
            if node in _annotations(root):
                continue
            yield node
            if isinstance(node, ast.Call) and self.of_context(node.func) == "side_effect":
                yield node.func
                yield from self._own(node.func)
                continue
            yield from self._own(node)


def _arguments(function: Function) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def _annotations(node: ast.AST) -> list[ast.AST]:
    match node:
        case ast.arg(annotation=ast.expr() as annotation) | ast.AnnAssign(annotation=annotation):
            return [annotation]
        case ast.FunctionDef(returns=ast.expr() as returns) | ast.AsyncFunctionDef(returns=ast.expr() as returns):
            return [returns]
        case _:
            return []
