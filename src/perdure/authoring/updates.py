"""Updates and queries: what is asked of a run and answered by it. An update may change it, a query only reads."""

import builtins
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from perdure.authoring.arguments import require_text
from perdure.authoring.payloads import decode_value, encode_value
from perdure.errors import InvalidArgumentError
from perdure.kernel.payload import Payload
from perdure.kernel.update_tasks import UpdateHandler

__all__ = ["Query", "Update", "make_handler", "query_name", "require_update"]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


class Update(Generic[T, R]):
    """A kind of update of a run: a name, the type of its input and the type of its result.

    Declare it once and use it on both sides: ``ctx.on_update(add_item, handler)`` in the workflow,
    ``total = await run.update(add_item, item)`` outside. The run's history records that it was accepted, and its end.

    >>> add_item = Update("add_item", str, int)
    >>> add_item.name
    'add_item'
    """

    __slots__ = ("input", "name", "result")

    @overload
    def __init__(self, name: str, input: builtins.type[T], result: builtins.type[R]) -> None: ...
    @overload
    def __init__(self: "Update[Any, Any]", name: str, input: object = Any, result: object = Any) -> None: ...
    def __init__(self, name: str, input: object = Any, result: object = Any) -> None:
        """Name an update (types as an activity's may be; None for none). Raises InvalidArgumentError."""
        if not require_text(name, "the name of an update"):
            message = "an update needs a name: Update('add_item', Item, int)"
            raise InvalidArgumentError(message)
        self.name = name
        self.input = input
        self.result = result

    def encode_input(self, value: T | None) -> Payload:
        """Encode an input. Raises PayloadError."""
        return encode_value(value, self.input, subject=f"input of update {self.name!r}")

    def decode_input(self, payload: Payload) -> T:
        """Decode an input. Raises PayloadError."""
        return cast("T", decode_value(payload, self.input, subject=f"input of update {self.name!r}"))

    def decode_result(self, payload: Payload) -> R:
        """Decode a result. Raises PayloadError."""
        return cast("R", decode_value(payload, self.result, subject=f"result of update {self.name!r}"))

    def __repr__(self) -> str:
        """Show the name."""
        return f"Update({self.name!r})"


class Query(Generic[P, R]):
    """A kind of query: a name, and the arguments and the result of its handlers.

    Declare it by a function that only says what they are, and use it on both sides: ``@ctx.query(remaining)`` above the
    handler, ``await run.query(remaining, "apples")`` outside.

    >>> @Query
    ... def remaining(kind: str) -> int: ...
    >>> remaining.name
    'remaining'
    """

    __slots__ = ("name",)

    def __init__(self, declaration: Callable[P, R]) -> None:
        """Take name and types of a function, which is never called. Raises InvalidArgumentError for anything else."""
        if not inspect.isfunction(declaration):
            message = (
                f"Query: {declaration!r:.60} is no function; write @Query above def remaining(kind: str) -> int: ..."
            )
            raise InvalidArgumentError(message)
        self.name: str = declaration.__name__

    def __repr__(self) -> str:
        """Show the name."""
        return f"Query({self.name!r})"


def query_name(query: object, call: str) -> str:
    """Return the name of a query or a name. Raises InvalidArgumentError, naming the `call`, for anything else."""
    if isinstance(query, Query):
        return query.name
    return require_text(query, f"{call}: the name of a query")


def require_update(value: object, call: str) -> None:
    """Raise InvalidArgumentError, naming the `call`, unless `value` is an `Update`."""
    if not isinstance(value, Update):
        message = f'{call}: {value!r:.60} is no update; declare one, add = Update("add", Item, int), and pass it'
        raise InvalidArgumentError(message)


def make_handler(
    update: Update[T, R], handler: Callable[[T], Coroutine[Any, Any, R]], validator: Callable[[T], object] | None
) -> tuple[str, UpdateHandler]:
    """Return an update's name and how it is answered. Raises InvalidArgumentError for what cannot answer."""
    require_update(update, "ctx.on_update")
    if not inspect.iscoroutinefunction(handler):
        message = f"ctx.on_update({update.name}): the handler {handler!r:.60} must be an async def with one parameter"
        raise InvalidArgumentError(message)
    if inspect.iscoroutinefunction(validator) or not (validator is None or callable(validator)):
        message = (
            f"ctx.on_update({update.name}): the validator must be a plain def: it only reads, and waits for nothing"
        )
        raise InvalidArgumentError(message)

    def validate(payload: Payload) -> None:
        value = update.decode_input(payload)
        if validator is not None:
            validator(value)

    async def perform(payload: Payload) -> Payload:
        result = await handler(update.decode_input(payload))
        return encode_value(result, update.result, subject=f"result of update {update.name!r}")

    return update.name, UpdateHandler(validate=validate, perform=perform)
