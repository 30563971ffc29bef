"""A module as the linter sees it: its imports, its functions, and which of them are workflows and activities."""

import ast
import warnings
from collections.abc import Iterator
from typing import Final

from perdure.linting.names import Imports, Meanings, imports_of, made_by, stored_names

__all__ = ["Function", "Module", "parse_module"]

Function = ast.FunctionDef | ast.AsyncFunctionDef

_WORKFLOW: Final = frozenset({"perdure.workflow", "perdure.authoring.workflow.workflow"})
_ACTIVITY: Final = frozenset({"perdure.activity", "perdure.authoring.activity.activity"})


class Module:
    """A parsed module. `functions` are those at its top level, by name."""

    def __init__(self, name: str, path: str, source: str, tree: ast.Module) -> None:
        self.name: Final = name
        self.path: Final = path
        self.source: Final = source
        self.tree: Final = tree
        self.imports: Final[Imports] = imports_of(_at_top(tree), module=name)
        self.functions: Final[dict[str, Function]] = {
            node.name: node for node in tree.body if isinstance(node, Function)
        }
        self.variables: Final = stored_names(iter(tree.body)) | _assigned(tree)
        self._meanings: Final = Meanings(self.imports)
        self.known: Final = made_by(iter(tree.body), self._meanings)
        self._workflows: Final = self._given_to(_WORKFLOW)
        self._activities: Final = self._given_to(_ACTIVITY)

    def workflows(self) -> Iterator[Function]:
        """Yield every workflow, also those within functions."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function) and self.is_workflow(node):
                yield node

    def is_workflow(self, function: Function) -> bool:
        """Whether it is decorated as a workflow, or given to the decorator by name."""
        return function in self._workflows or self._is_decorated(function, _WORKFLOW)

    def is_activity(self, function: Function) -> bool:
        """Whether it is decorated as an activity, or given to the decorator by name."""
        return function in self._activities or self._is_decorated(function, _ACTIVITY)

    def _is_decorated(self, function: Function, decorators: frozenset[str]) -> bool:
        return any(self._decorator(each) in decorators for each in function.decorator_list)

    def _given_to(self, decorators: frozenset[str]) -> frozenset[Function]:
        """Return the functions of ``workflow(f)`` and ``workflow(version="2")(f)``."""
        return frozenset(
            self.functions[node.args[0].id]
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call)
            and node.args
            and isinstance(node.args[0], ast.Name)
            and node.args[0].id in self.functions
            and self._decorator(node.func) in decorators
        )

    def _decorator(self, node: ast.expr) -> str:
        return self._meanings.of(node.func if isinstance(node, ast.Call) else node)


def parse_module(name: str, path: str, source: str) -> Module:
    """Parse a module. Raises SyntaxError, ValueError for a null character, and for what is nested too deep MemoryError
    or RecursionError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Python thinks of the text is not asked for here
        return Module(name, path, source, ast.parse(source, filename=path))


def _at_top(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the statements of the module, also those within `if` and `try` at its top level."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        if isinstance(node, ast.If | ast.Try):
            waiting += [inner for inner in ast.iter_child_nodes(node) if isinstance(inner, ast.stmt)]


def _assigned(tree: ast.Module) -> frozenset[str]:
    found: set[str] = set()
    for node in tree.body:
        match node:
            case ast.Assign(targets=targets):
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                found.add(name)
            case _:
                pass
    return frozenset(found)
