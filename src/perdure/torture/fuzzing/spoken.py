"""What processes and clients say: notices, frames between an executor and its processes, tokens, cursors."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from perdure.errors import InternalError, InvalidArgumentError
from perdure.execution.process_messages import Frames, Order, Report, decode_order, decode_report, frame
from perdure.kernel.identity import Operation, RunKey, WorkerId
from perdure.kernel.tokens import ActivityToken
from perdure.ports.tasks import Serving, decode_serving, encode_serving
from perdure.stores.cursors import read_cursor, write_cursor
from perdure.stores.postgres import home
from perdure.stores.sqlite.notices import Notice, decode_notice, encode_notice
from perdure.torture.fuzzing.sampling import kinds_of, samples
from perdure.torture.fuzzing.target import BrokenLawError, Target, demand_equal, text_of

__all__ = ["SPOKEN"]

_LENGTH_BYTES: Final = 4


def _notices() -> list[bytes]:
    keys = tuple(RunKey(2**62 + number) for number in range(50))
    return [
        encode_notice(Notice(sender=WorkerId(3), first=1, number=2, run_keys=keys, is_ready=True)),
        encode_notice(Notice(sender=WorkerId(3), first=5, number=4, is_greeting=True)),
    ]


def _read_notice(data: bytes) -> None:
    found = decode_notice(data)
    if found is not None:
        demand_equal(decode_notice(encode_notice(found)), found)


def _postgres_notices() -> list[bytes]:
    notices = (home.Notice(worker=3, runs=(1, 2**62), ready=True), home.Notice(worker=3, everything=True, agenda=True))
    return [home.encode_notice(notice).encode() for notice in notices]


def _read_postgres_notice(data: bytes) -> None:
    found = home.decode_notice(data.decode("utf-8", "replace"))
    if found is not None:
        demand_equal(home.decode_notice(home.encode_notice(found)), found)


def _servings() -> list[bytes]:
    return [
        encode_serving(one) for one in (Serving(), Serving(queues=("gpu", "c\0d"), labels={"zone": "eu", "gpu": ""}))
    ]


def _read_serving(data: bytes) -> None:
    found = decode_serving(data)
    if found is not None:
        demand_equal(decode_serving(encode_serving(found)), found)


def _bodies(union: Any) -> Callable[[], list[bytes]]:  # noqa: ANN401 - a union of records
    return lambda: [msgspec.json.encode(sample) for kind in kinds_of(union) for sample in samples(kind)]


def _reader(decode: Callable[[bytes], Order | Report]) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        found = decode(data)
        demand_equal(decode(frame(found)[_LENGTH_BYTES:]), found)

    return read


def _streams() -> list[bytes]:
    frames = [
        len(body).to_bytes(_LENGTH_BYTES, "big") + body
        for body in (b"", b"{}", *(_bodies(Report)())[:4], b"x" * 70_000)
    ]
    return [*frames, b"".join(frames)]


def _read_stream(data: bytes) -> None:
    """Read the same bytes at once and in pieces: the frames must be the same."""
    whole = Frames().feed(data)
    pieces, found = Frames(), list[bytes]()
    step = max(1, len(data) // 7)
    for start in range(0, len(data), step):
        found += pieces.feed(data[start : start + step])
    demand_equal(found, whole)


def _tokens() -> list[bytes]:
    return [str(ActivityToken(RunKey(key), Operation(3), 1, b"12345678")).encode() for key in (1, 2**63 - 1, -1)]


def _read_token(data: bytes) -> None:
    found = ActivityToken.parse(text_of(data))
    demand_equal(ActivityToken.parse(str(found)), found)
    if str(found) != text_of(data):
        raise BrokenLawError(f"two texts are one token: {data!r}")


def _cursors() -> list[bytes]:
    return [write_cursor(at, key).encode() for at, key in ((1_767_236_400_000_000, 2**62), (0, 1), (-5, 2**63 - 1))]


def _read_cursor(data: bytes) -> None:
    place = read_cursor(text_of(data))
    demand_equal(read_cursor(write_cursor(*place)), place)
    if not all(-(2**63) <= number < 2**63 for number in place):
        raise BrokenLawError(f"no database can look for {place}")


SPOKEN: Final = (
    Target(name="notice", corpus=_notices, read=_read_notice),
    Target(name="postgres-notice", corpus=_postgres_notices, read=_read_postgres_notice),
    Target(name="serving", corpus=_servings, read=_read_serving),
    Target(name="process-order", corpus=_bodies(Order), read=_reader(decode_order), expected=(InternalError,)),
    Target(name="process-report", corpus=_bodies(Report), read=_reader(decode_report), expected=(InternalError,)),
    Target(name="process-frames", corpus=_streams, read=_read_stream, expected=(InternalError,)),
    Target(name="token", corpus=_tokens, read=_read_token, expected=(InvalidArgumentError,)),
    Target(name="cursor", corpus=_cursors, read=_read_cursor, expected=(InvalidArgumentError,)),
)
