"""The size of the largest value that this process records.

It is the process', not an engine's: values are encoded where they arise, also in code that knows no engine. An engine
that keeps large values elsewhere raises it while it is open.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from perdure.configuration import MAXIMUM_PAYLOAD_BYTES

__all__ = ["payload_limit", "raise_payload_limit"]

_raised: Final[list[int]] = []


def payload_limit() -> int:
    """Return how many bytes a value may have as JSON."""
    return max(MAXIMUM_PAYLOAD_BYTES, *_raised) if _raised else MAXIMUM_PAYLOAD_BYTES


def raise_payload_limit(maximum_bytes: int) -> Callable[[], None]:
    """Let values have up to `maximum_bytes` bytes, until the function that is returned is called."""
    _raised.append(maximum_bytes)
    return partial(_raised.remove, maximum_bytes)
