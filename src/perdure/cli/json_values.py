"""JSON values as people write them on a command line."""

import msgspec

from perdure.errors import InvalidArgumentError

__all__ = ["read_json"]


def read_json(text: str, subject: str) -> object:
    """Read a value. Raises InvalidArgumentError, naming the `subject`, for what is not JSON."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        hint = "" if any(mark in text for mark in '{["') else f"; a text is written in quotes: '\"{text}\"'"
        message = f"{subject} {text!r} is not JSON ({error}){hint}"
        raise InvalidArgumentError(message) from None
