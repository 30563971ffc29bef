"""Whether a call fits a function's parameters, as far as the source tells."""

import ast

from perdure.linting.modules import Function

__all__ = ["misfit"]


def misfit(function: Function, call: ast.Call) -> str:
    """Say why a call does not fit; an empty text where it does, or nobody can tell (``*args``, ``**kwargs``)."""
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return ""
    if any(keyword.arg is None for keyword in call.keywords):
        return ""
    arguments = function.args
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    if len(call.args) > len(positional) and arguments.vararg is None:
        return f"takes {len(positional)} arguments, {len(call.args)} are given"
    named = {argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)}
    given = [keyword.arg for keyword in call.keywords if keyword.arg is not None]
    unknown = [name for name in given if name not in named]
    if unknown and arguments.kwarg is None:
        return f"has no parameter {unknown[0]!r}"
    without_default = positional[: len(positional) - len(arguments.defaults)]
    required = [*without_default[len(call.args) :]]
    required += [
        argument.arg
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    missing = [name for name in required if name not in given]
    return f"lacks {missing[0]!r}" if missing else ""
