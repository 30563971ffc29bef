"""What an executor and its worker processes tell each other: JSON records in frames over a socket, never a pickle.

A frame is the length of its body, four bytes, and the body. Values of users travel as the payloads they are recorded
as. Every message about an attempt bears its number, which grows with each attempt that the process was given.
"""

import struct
from typing import Final, TypeAlias

import msgspec

from perdure.authoring.activity_context import Attempt
from perdure.errors import InternalError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.failure import Failure
from perdure.kernel.payload import Payload

__all__ = [
    "MAXIMUM_FRAME_BYTES",
    "Beat",
    "Frames",
    "GiveUp",
    "Leave",
    "Order",
    "Perform",
    "Raised",
    "Ready",
    "Report",
    "Returned",
    "decode_order",
    "decode_report",
    "encode_order",
    "frame",
]


MAXIMUM_FRAME_BYTES: Final = 2**30
"""No frame has more, however large the values may be that an engine records."""


class Perform(msgspec.Struct, frozen=True, kw_only=True, tag="perform"):
    """Run an activity: import `module`, find the activity there by its name. `maximum_bytes` limits its result."""

    number: int
    module: str
    input: Payload
    attempt: Attempt
    maximum_bytes: int


class GiveUp(msgspec.Struct, frozen=True, kw_only=True, tag="give_up"):
    """The attempt is not wanted any more: its next heartbeat raises."""

    number: int


class Leave(msgspec.Struct, frozen=True, kw_only=True, tag="leave"):
    """End the process; it has nothing to do."""


Order: TypeAlias = Perform | GiveUp | Leave
"""What a worker process is told."""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The process has started, and leads a process group of its own."""


class Beat(msgspec.Struct, frozen=True, kw_only=True, tag="beat"):
    """A heartbeat."""

    number: int
    details: Payload


class Returned(msgspec.Struct, frozen=True, kw_only=True, tag="returned"):
    """The activity returned; it has burnt `cpu_seconds`."""

    number: int
    result: Payload
    cpu_seconds: float


class Raised(msgspec.Struct, frozen=True, kw_only=True, tag="raised"):
    """The activity raised, or could not be found."""

    number: int
    failure: Failure


class Published(msgspec.Struct, frozen=True, kw_only=True, tag="published"):
    """A value for a stream of the run."""

    number: int
    stream: str
    value: Payload


class Deferred(msgspec.Struct, frozen=True, kw_only=True, tag="deferred"):
    """The activity left its outcome to somebody outside; it has burnt `cpu_seconds`."""

    number: int
    cpu_seconds: float


Report: TypeAlias = Ready | Beat | Published | Returned | Raised | Deferred
"""What a worker process says."""


def frame(message: Order | Report) -> bytes:
    """Encode a message with its length in front."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def encode_order(order: Order) -> bytes:
    """Encode an order without its length, for who is told that otherwise."""
    return _encoder.encode(order)


def decode_order(body: bytes) -> Order:
    """Read the body of a frame from an executor. Raises InternalError for anything else."""
    try:
        order: Order = _order_decoder.decode(body)
    except UNDECODABLE as error:
        raise InternalError(f"an executor said to its process what is no order: {error}") from error
    return order


def decode_report(body: bytes) -> Report:
    """Read the body of a frame from a worker process. Raises InternalError for anything else."""
    try:
        report: Report = _report_decoder.decode(body)
    except UNDECODABLE as error:
        raise InternalError(f"a worker process said to its executor what is no report: {error}") from error
    return report


class Frames:
    """Cuts a stream of bytes into the bodies of its frames."""

    __slots__ = ("_rest", "longest_bytes")

    def __init__(self, *, longest_bytes: int = MAXIMUM_FRAME_BYTES) -> None:
        """Begin at the start of a stream whose frames have bodies of up to `longest_bytes`."""
        self.longest_bytes = longest_bytes
        self._rest = bytearray()

    def feed(self, received: bytes) -> list[bytes]:
        """Take the next bytes; return the bodies that are complete now. Linear in the bytes of whole frames.

        Raises InternalError for the announcement of a longer one.
        """
        rest = self._rest
        rest += received
        bodies: list[bytes] = []
        start = 0
        while len(rest) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(rest, start)
            if length > self.longest_bytes:
                raise InternalError(f"a frame of {length:,} bytes is announced; the limit is {self.longest_bytes:,}")
            end = start + _LENGTH.size + length
            if len(rest) < end:
                break
            bodies.append(bytes(rest[start + _LENGTH.size : end]))
            start = end
        del rest[:start]
        return bodies


_LENGTH: Final = struct.Struct("!I")
_encoder: Final = msgspec.json.Encoder()
_order_decoder: Final = msgspec.json.Decoder(Order)
_report_decoder: Final = msgspec.json.Decoder(Report)
