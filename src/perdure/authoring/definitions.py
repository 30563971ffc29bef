"""Definitions: what a decorator is given is checked where it stands, and refused with the way out."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from perdure.authoring.arguments import require_text
from perdure.errors import InvalidArgumentError, UsageError

__all__ = ["require_definition", "require_kind", "require_stages"]


def require_definition(kind: str, function: Callable[..., Any], name: str | None) -> str:
    """Return the name under which `@kind` may register `function`.

    Raises UsageError for what is no function, a lambda without a name, a method or a generator; InvalidArgumentError
    for a wrong name.
    """
    if not inspect.isroutine(function):
        message = f"@{kind} needs a function, got {function!r:.60}"
        raise UsageError(message)
    if name is None:
        name = function.__name__
        if name == "<lambda>":
            message = f"a lambda has no name that histories could hold; write a def, or @{kind}(name=...)"
            raise UsageError(message)
    elif not require_text(name, f"the name of {kind} {function.__name__}"):
        message = f"the name of {kind} {function.__name__} is empty; leave it out to use the function's"
        raise InvalidArgumentError(message)
    if next(iter(inspect.signature(function).parameters), None) in ("self", "cls"):
        message = f"{kind} {name} is a method, but no history could hold its object; make it a function"
        raise UsageError(message)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        message = f"{kind} {name} is a generator, and what it yields would be lost; collect it and return it"
        raise UsageError(message)
    return name


def require_kind(value: object, kind: type, subject: str, *, wanted: str) -> None:
    """Raise InvalidArgumentError unless `value` is a `kind`, or None.

    >>> require_kind(None, str, "queue", wanted="a text")
    """
    if value is not None and not isinstance(value, kind):
        message = f"{subject} is {value!r:.60}; it must be {wanted}, or None"
        raise InvalidArgumentError(message)


def require_stages(stages: Iterable[str], subject: str) -> tuple[str, ...]:
    """Return names of stages. Raises InvalidArgumentError for anything but a sequence of texts.

    >>> require_stages(["pay", "ship"], "stages")
    ('pay', 'ship')
    """
    if isinstance(stages, str) or not isinstance(stages, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        message = f'{subject} is {stages!r:.60}; it must be a tuple of texts, e.g. ("payment", "shipping")'
        raise InvalidArgumentError(message)
    return tuple(require_text(name, f"a name in {subject}") for name in stages)
