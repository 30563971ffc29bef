"""The order of sets: where workflow code goes through one in the order in which it happens to lie in memory.

Only what is certainly a set counts: literals, comprehensions, calls of `set` and `frozenset`, unions and the like of
these, variables that are assigned nothing else, and parameters declared as one. Where the order cannot matter nothing
is found: `sorted`, `len`, `min`, `max`, `sum`, `any`, `all`, another set.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from typing import Final

from perdure.linting.code import Code
from perdure.linting.finding import Finding, finding_at
from perdure.linting.project import Project

__all__ = ["check_sets"]


def check_sets(code: Code, _project: Project) -> Iterator[Finding]:
    """Find where the order of a set gets into what the code does."""
    names = _names_of_sets(code)
    harmless = _harmless(code)
    for node in code.nodes:
        match node:
            case ast.For(iter=over) if _is_set(over, names):
                yield _found(over)
            case ast.ListComp(generators=generators) | ast.DictComp(generators=generators):
                yield from (
                    _found(each.iter) for each in generators if _is_set(each.iter, names) and node not in harmless
                )
            case ast.GeneratorExp(generators=generators) if node not in harmless:
                yield from (_found(each.iter) for each in generators if _is_set(each.iter, names))
            case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in _ORDERED and node not in harmless:
                if _is_set(first, names):
                    yield _found(first)
            case ast.Call(func=ast.Attribute(attr="join"), args=[first]) if _is_set(first, names):
                yield _found(first)
            case ast.Call(func=ast.Attribute(value=value, attr="pop"), args=[]) if _is_set(value, names):
                yield _found(value)
            case ast.Starred(value=value) if _is_set(value, names):
                yield _found(value)
            case _:
                pass


_ORDERED: Final = frozenset({"list", "tuple", "iter", "enumerate", "map", "filter", "zip", "reversed"})
_ORDERLESS: Final = frozenset({"sorted", "len", "min", "max", "sum", "any", "all", "set", "frozenset", "bool"})
_GIVES_A_SET: Final = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})


def _found(node: ast.expr) -> Finding:
    return finding_at(node, "PDR201", ast.unparse(node))


def _harmless(code: Code) -> set[ast.AST]:
    """Return what is handed to a function for which order does not matter."""
    return {
        argument
        for call in code.calls
        if isinstance(call.func, ast.Name) and call.func.id in _ORDERLESS
        for argument in call.args
    }


def _names_of_sets(code: Code) -> frozenset[str]:
    assigned: Counter[str] = Counter()
    as_set: Counter[str] = Counter()
    for node in code.nodes:
        match node:
            case ast.Assign(targets=targets, value=value):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
                is_set = _is_set(value, frozenset(as_set))
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                names, is_set = [name], _is_set_type(annotation)
            case ast.arg(arg=name, annotation=annotation):
                names, is_set = [name], annotation is not None and _is_set_type(annotation)
            case ast.For(target=ast.Name(id=name)) | ast.comprehension(target=ast.Name(id=name)):
                names, is_set = [name], False
            case _:
                continue
        assigned.update(names)
        if is_set:
            as_set.update(names)
    return frozenset(name for name, times in as_set.items() if assigned[name] == times)


def _is_set_type(node: ast.expr) -> bool:
    text = ast.unparse(node).partition("[")[0]
    return text.rpartition(".")[2] in {"set", "frozenset", "Set", "FrozenSet", "AbstractSet", "MutableSet"}


def _is_set(node: ast.expr, names: frozenset[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Name(id=name):
            return name in names
        case ast.Call(func=ast.Name(id="set" | "frozenset"), args=args):
            return bool(args)
        case ast.Call(func=ast.Attribute(value=value, attr=attribute)) if attribute in _GIVES_A_SET:
            return _is_set(value, names)
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
            return _is_set(left, names) or _is_set(right, names)
        case _:
            return False
