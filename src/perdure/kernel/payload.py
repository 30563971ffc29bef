"""Payloads: values of users, as JSON text that the kernel carries and never looks into."""

from typing import Final, TypeAlias

import msgspec

__all__ = ["ENVELOPE_PREFIX", "NULL", "Payload", "is_enveloped"]

Payload: TypeAlias = msgspec.Raw
"""One JSON value as bytes. Inside an event it is embedded as it is, so a history stays readable in the database."""

NULL: Final[Payload] = msgspec.Raw(b"null")

ENVELOPE_PREFIX: Final = b'{ "$perdure":'
"""How a payload begins that a codec has encoded. The space tells it from every value: values are written without."""


def is_enveloped(payload: Payload) -> bool:
    """Whether a codec has encoded a payload: it must be decoded before it can be read."""
    return bytes(payload).startswith(ENVELOPE_PREFIX)
