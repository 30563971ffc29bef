"""What msgspec raises for bytes that it cannot read: more than its own error."""

from typing import Final

import msgspec

__all__ = ["UNDECODABLE"]

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
"""Not JSON, or not of the type; not UTF-8, or half of a surrogate pair; nested deeper than the interpreter goes."""
