"""Streams: named, typed sequences of values that come out of a run while it goes on.

A value is an event of the run's history, in the transition of the step that published it: exactly once if workflow code
did, at least once if an activity did, whose attempts may be repeated.
"""

import builtins
from typing import Any, Generic, TypeVar, overload

from perdure.authoring.activity_context import running_attempt
from perdure.authoring.arguments import require_text
from perdure.authoring.payloads import decode_value, encode_value
from perdure.errors import InvalidArgumentError, WrongContextError
from perdure.kernel import commands as c
from perdure.kernel.journal import Journal
from perdure.kernel.payload import Payload

__all__ = ["Stream", "give_value", "publish", "require_stream"]

T = TypeVar("T")


class Stream(Generic[T]):
    """A stream of values out of a run: a name and the type of its values.

    Declare it once and use it on both sides: ``ctx.publish(progress, 0.5)`` in the workflow or ``publish(progress,
    0.5)`` in an activity; ``async for item in run.stream(progress)`` outside.

    >>> Stream("tokens", str)
    Stream('tokens', str)
    """

    __slots__ = ("name", "type")

    @overload
    def __init__(self, name: str, type: builtins.type[T]) -> None: ...
    @overload
    def __init__(self: "Stream[Any]", name: str, type: object = Any) -> None: ...
    def __init__(self, name: str, type: object = Any) -> None:
        """Name a stream whose values have `type` (any type that an activity may take). Raises InvalidArgumentError."""
        if not require_text(name, "the name of a stream"):
            message = "a stream needs a name: Stream('tokens', str)"
            raise InvalidArgumentError(message)
        self.name = name
        self.type = type

    def __repr__(self) -> str:
        """Show name and type."""
        return f"Stream({self.name!r}, {getattr(self.type, '__name__', self.type)})"

    def encode(self, value: T) -> Payload:
        """Encode a value. Raises PayloadError."""
        return encode_value(value, self.type, subject=f"stream {self.name!r}")

    def decode(self, payload: Payload) -> Any:  # noqa: ANN401 - what `type` says
        """Decode a recorded value. Raises PayloadDecodeError."""
        return decode_value(payload, self.type, subject=f"stream {self.name!r}")


def publish(stream: Stream[T], value: T) -> None:
    """Publish a value from within an activity, to whoever reads this stream of its run; return at once.

    It is recorded before the attempt's outcome, with the attempt's number. An attempt that is made again publishes
    again. Raises WrongContextError outside an activity (in a workflow: `Context.publish`), PayloadError.
    """
    require_stream(stream, "publish")
    running = running_attempt.get()
    if running is None:
        message = "publish() was called outside an activity that the engine runs; in a workflow use ctx.publish(...)"
        raise WrongContextError(message)
    running.publish(stream.name, stream.encode(value))


def give_value(journal: Journal, stream: Stream[T], value: T) -> None:
    """Publish a value from within workflow code; see `Context.publish`."""
    require_stream(stream, "ctx.publish")
    encoded, operation = stream.encode(value), journal.next_operation()
    journal.give(c.PublishValue(operation=operation, stream=stream.name, value=encoded, location=journal.location()))


def require_stream(value: object, call: str) -> None:
    """Raise InvalidArgumentError, naming the `call`, unless `value` is a `Stream`."""
    if not isinstance(value, Stream):
        message = f'{call}: {value!r:.60} is no stream; declare one, tokens = Stream("tokens", str), and pass it'
        raise InvalidArgumentError(message)
