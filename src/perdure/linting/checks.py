"""The checks of one function of workflow code, but for the order of sets. Each yields findings."""

import ast
from collections.abc import Callable, Iterator
from typing import Final

from perdure.linting.code import Code
from perdure.linting.finding import Finding, finding_at
from perdure.linting.forbidden import rule_of_call, rule_of_name
from perdure.linting.modules import Function, Module
from perdure.linting.project import Project
from perdure.linting.signatures import misfit

__all__ = ["CHECKS"]

Check = Callable[[Code, Project], Iterator[Finding]]


def check_names(code: Code, _project: Project) -> Iterator[Finding]:
    """Find what must not be used, however it is used, and what must not be called."""
    called = {id(call.func): call for call in code.calls}
    for node in code.nodes:
        if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load):
            continue
        meaning = code.meaning(node)
        rule = rule_of_name(meaning)
        if not rule and id(node) in called and not _is_chained(code, node):
            rule = _rule_of_call(meaning, called[id(node)])
        if rule:
            yield finding_at(node, rule, meaning.replace("()", ""))


def _is_chained(code: Code, node: ast.Name | ast.Attribute) -> bool:
    """Whether it is a method of what a forbidden call has just returned, and which has been found already."""
    match node:
        case ast.Attribute(value=ast.Call(func=inner) as call):
            return bool(_rule_of_call(code.meaning(inner), call))
        case _:
            return False


def _rule_of_call(meaning: str, call: ast.Call) -> str:
    if meaning.startswith("random.Random"):  # seeded, it gives the same numbers each time
        return "PDR102" if meaning == "random.Random" and not call.args else ""
    if meaning == "datetime.datetime.fromtimestamp":
        has_zone = len(call.args) > 1 or any(keyword.arg == "tz" for keyword in call.keywords)
        return "" if has_zone else "PDR116"
    if meaning.rpartition(".")[2].endswith(("Error", "Exception", "Warning")):
        return ""
    return rule_of_call(meaning)


def check_state(code: Code, _project: Project) -> Iterator[Finding]:
    """Find what changes variables of the module, and defaults that are shared by all runs."""
    shared = code.module.variables - code.local
    for node in code.nodes:
        match node:
            case ast.Global(names=names):
                yield finding_at(node, "PDR301", ", ".join(names))
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)):
                if name in shared and method in _MUTATING and name not in code.module.imports:
                    yield finding_at(node, "PDR302", f"{name}.{method}")
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                if name in shared:
                    yield finding_at(node, "PDR302", f"{name}[...]")
            case ast.Attribute(value=ast.Name(id=name), attr=attribute, ctx=ast.Store() | ast.Del()):
                if name in shared:
                    yield finding_at(node, "PDR302", f"{name}.{attribute}")
            case _:
                pass
    arguments = code.function.args
    for default in (*arguments.defaults, *arguments.kw_defaults):
        if isinstance(default, ast.List | ast.Dict | ast.Set) and code.is_workflow:
            yield finding_at(default, "PDR303", ast.unparse(default))


_MUTATING: Final = frozenset({
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse",
    "setdefault", "sort", "update",
})  # fmt: skip


def check_calls(code: Code, project: Project) -> Iterator[Finding]:
    """Find calls of activities and of the context that are made wrongly or never awaited."""
    for node in code.nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            name = _coroutine_called(code, project, node.value)
            if name:
                yield finding_at(node.value, "PDR401", name)
    for call in code.calls:
        found = _called(code, project, call)
        if found is None:
            continue
        module, function = found
        if module.is_workflow(function):
            yield finding_at(call, "PDR403", function.name)
        elif module.is_activity(function):
            wrong = misfit(function, call)
            if wrong:
                yield finding_at(call, "PDR402", f"{function.name}() {wrong}")


def _called(code: Code, project: Project, call: ast.Call) -> tuple[Module, Function] | None:
    """Return the function that is called; ``step.options(...)(1)`` calls `step`."""
    match call.func:
        case ast.Call(func=ast.Attribute(value=ast.expr() as activity, attr="options")):
            return project.find(code, activity)
        case function:
            return project.find(code, function)


def _coroutine_called(code: Code, project: Project, call: ast.Call) -> str:
    method = code.of_context(call.func)
    if method in _AWAITED:
        return f"ctx.{method}"
    if code.meaning(call.func) in {"asyncio.sleep", "asyncio.gather", "asyncio.wait", "asyncio.wait_for"}:
        return code.meaning(call.func)
    found = _called(code, project, call)
    if found is None:
        return ""
    module, function = found
    is_awaited = module.is_activity(function) or isinstance(function, ast.AsyncFunctionDef)
    return function.name if is_awaited and not module.is_workflow(function) else ""


_AWAITED: Final = frozenset({
    "compensate", "map", "run_child", "side_effect", "sleep", "sleep_until", "suspend", "wait_for",
})  # fmt: skip


def check_control_flow(code: Code, _project: Project) -> Iterator[Finding]:
    """Find what keeps a run from being cancelled, or never lets go of the process."""
    for node in code.nodes:
        match node:
            case ast.Try(handlers=handlers) | ast.TryStar(handlers=handlers):
                for handler in handlers:
                    if _swallows(code, handler):
                        yield finding_at(handler, "PDR501", _shown(handler))
            case ast.While(test=ast.Constant(value=value)) if value and not _ends(node):
                yield finding_at(node, "PDR502", "while True")
            case _:
                pass


def _shown(handler: ast.ExceptHandler) -> str:
    return f"except {ast.unparse(handler.type)}" if handler.type else "except"


def _swallows(code: Code, handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    meanings = {"BaseException" if kind is None else code.meaning(kind) for kind in kinds}
    if not meanings & {"BaseException", "asyncio.CancelledError", "asyncio.exceptions.CancelledError"}:
        return False
    return not any(isinstance(inner, ast.Raise) for inner in ast.walk(handler))


def _ends(loop: ast.While) -> bool:
    return any(
        isinstance(
            inner,
            ast.Await | ast.AsyncFor | ast.AsyncWith | ast.Return | ast.Raise | ast.Break | ast.Yield | ast.YieldFrom,
        )
        or (isinstance(inner, ast.comprehension) and inner.is_async)
        for inner in ast.walk(loop)
    )


def check_declaration(code: Code, _project: Project) -> Iterator[Finding]:
    """Find what is wrong with a workflow's own signature."""
    if not code.is_workflow:
        return
    function = code.function
    head = ast.Pass(
        lineno=function.lineno,
        col_offset=function.col_offset,
        end_lineno=function.lineno,
        end_col_offset=function.col_offset + len("async def ") + len(function.name),
    )
    if isinstance(function, ast.FunctionDef):
        yield finding_at(head, "PDR406", f"def {function.name}")
    if not (function.args.posonlyargs or function.args.args):
        yield finding_at(head, "PDR407", function.name)


CHECKS: Final[tuple[Check, ...]] = (
    check_names,
    check_state,
    check_calls,
    check_control_flow,
    check_declaration,
)
