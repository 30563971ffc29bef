"""JSON values as people write them on a command line."""

from typing import Final

import msgspec

from perdure.errors import InvalidArgumentError
from perdure.kernel.decoding import UNDECODABLE

__all__ = ["read_json"]


def read_json(text: str, subject: str) -> object:
    """Read a value. Raises InvalidArgumentError, naming the `subject`, for what is not JSON."""
    try:
        return msgspec.json.decode(text)
    except UNDECODABLE as error:
        is_value = len(text) > _LONGEST_HINT or any(mark in text for mark in '{["')
        hint = "" if is_value else f"; a text is written in quotes: '\"{text}\"'"
        message = f"{subject} {text!r:.200} is not JSON ({error}){hint}"
        raise InvalidArgumentError(message) from None


_LONGEST_HINT: Final = 60
