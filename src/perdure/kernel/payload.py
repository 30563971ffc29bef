"""Payloads: values of users, as JSON text that the kernel carries and never looks into."""

from typing import Final, TypeAlias

import msgspec

__all__ = ["NULL", "Payload"]

Payload: TypeAlias = msgspec.Raw
"""One JSON value as bytes. Inside an event it is embedded as it is, so a history stays readable in the database."""

NULL: Final[Payload] = msgspec.Raw(b"null")
