"""Names of blobs: the SHA-256 of their content, which tells on reading whether it is what was written."""

import hashlib
from typing import Final

from perdure.errors import UnreadablePayloadError

__all__ = ["name_of", "require_content", "require_name"]

_CHARACTERS: Final = 64
_ALPHABET: Final = frozenset("0123456789abcdef")


def name_of(data: bytes) -> str:
    """Return the name of a blob."""
    return hashlib.sha256(data).hexdigest()


def require_name(name: str, *, where: object) -> None:
    """Raise UnreadablePayloadError for a text that names no blob: it comes from the database, and becomes a path."""
    if len(name) != _CHARACTERS or not set(name) <= _ALPHABET:
        raise UnreadablePayloadError(f"{name!r:.80} is not the name of a blob in {where}")


def require_content(data: bytes, *, name: str, where: object) -> None:
    """Raise UnreadablePayloadError unless a blob is what its name says."""
    if name_of(data) != name:
        raise UnreadablePayloadError(f"the blob {name} in {where} is damaged: its content is not what its name says")
