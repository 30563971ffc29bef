"""All modules together: which functions are workflow code, and what a name of another module is."""

import ast
from collections.abc import Iterator, Sequence
from typing import Final

from perdure.linting.code import Code
from perdure.linting.modules import Function, Module

__all__ = ["Project"]


class Project:
    """The modules that are looked at. Code that they import from elsewhere is not known."""

    def __init__(self, modules: Sequence[Module]) -> None:
        self.modules: Final = modules
        self._by_name: Final = {module.name: module for module in modules}

    def codes(self) -> Iterator[tuple[Code, str]]:
        """Yield each function of workflow code once, with the name of a workflow that it belongs to."""
        seen: set[Function] = set()
        for module in self.modules:
            for workflow in module.workflows():
                yield from self._reached(Code(module, workflow, is_workflow=True), workflow.name, seen)

    def find(self, code: Code, called: ast.expr) -> tuple[Module, Function] | None:
        """Return the function of the project that an expression names, None for any other."""
        if isinstance(called, ast.Name) and called.id in code.module.functions and called.id not in code.local:
            return code.module, code.module.functions[called.id]
        owner, _, name = code.meaning(called).rpartition(".")
        module = self._by_name.get(owner)
        if module is None or name not in module.functions:
            return None
        return module, module.functions[name]

    def _reached(self, code: Code, workflow: str, seen: set[Function]) -> Iterator[tuple[Code, str]]:
        if code.function in seen:
            return
        seen.add(code.function)
        yield code, workflow
        for call in code.calls:
            found = self.find(code, call.func)
            if found is not None and not (found[0].is_workflow(found[1]) or found[0].is_activity(found[1])):
                yield from self._reached(Code(*found, is_workflow=False), workflow, seen)
