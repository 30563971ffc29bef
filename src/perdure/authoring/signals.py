"""Signals: named, typed messages to a run."""

import builtins
from typing import Any, Generic, TypeVar, overload

from perdure.authoring.arguments import require_text
from perdure.errors import InvalidArgumentError

__all__ = ["Signal", "require_signal"]

T = TypeVar("T")


class Signal(Generic[T]):
    """A kind of message to a run: a name and the type of its body.

    Declare it once and use it on both sides: ``await ctx.wait_for(approval)`` in the workflow,
    ``await run.signal(approval, Decision(...))`` outside. A signal without a body has the type None.

    >>> cancelled_by_customer = Signal("cancelled_by_customer", str)
    >>> cancelled_by_customer.name
    'cancelled_by_customer'
    """

    __slots__ = ("name", "type")

    @overload
    def __init__(self, name: str, type: builtins.type[T]) -> None: ...
    @overload
    def __init__(self: "Signal[Any]", name: str, type: object = Any) -> None: ...
    def __init__(self, name: str, type: object = Any) -> None:
        """Name a signal whose body has `type` (any type that an activity may take). Raises InvalidArgumentError."""
        if not require_text(name, "the name of a signal"):
            message = "a signal needs a name: Signal('approved', Decision)"
            raise InvalidArgumentError(message)
        self.name = name
        self.type = type

    def __repr__(self) -> str:
        """Show name and type."""
        return f"Signal({self.name!r}, {getattr(self.type, '__name__', self.type)})"


def require_signal(value: object, call: str) -> None:
    """Raise InvalidArgumentError, naming the `call`, unless `value` is a `Signal`."""
    if not isinstance(value, Signal):
        message = f'{call}: {value!r:.60} is no signal; declare one, approved = Signal("approved", bool), and pass it'
        raise InvalidArgumentError(message)
