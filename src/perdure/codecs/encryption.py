"""Encryption of payloads by AES-256-GCM, with a ring of keys.

**Form.** One byte with the length of the key's name, the name, 12 random bytes (the nonce), the ciphertext with its tag
of 16 bytes. The name of the key and the place of the payload (the run's key, the event's number and type) are bound to
it as associated data: what is moved to another place does not open.

**Rotation.** New payloads are encrypted with the active key; each key of the ring opens what it closed. Keys may be
dropped from the ring once no payload names them any more.

**Limit.** Random nonces are safe for 2**32 payloads per key (NIST SP 800-38D, 8.3): rotate long before.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from perdure.errors import InvalidArgumentError, UnreadablePayloadError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["Encryption"]


class Encryption:
    """Encrypts every payload, and the messages and tracebacks of failures. Needs the extra ``perdure[encryption]``."""

    name: Final = "aes-256-gcm"
    hides: Final = True

    def __init__(self, keys: Mapping[str, bytes], *, active: str | None = None) -> None:
        """Use `keys` by their names, each of 32 bytes; encrypt with `active`, the last one unless it is named.

        Raises InvalidArgumentError, UsageError where the package `cryptography` is missing.
        """
        if not keys:
            message = "Encryption: there is no key; give at least one, such as {'2026-11': Encryption.new_key()}"
            raise InvalidArgumentError(message)
        self._ciphers: Final = {name: _cipher(name, key) for name, key in keys.items()}
        self._active: Final = list(keys)[-1] if active is None else active
        if self._active not in self._ciphers:
            message = f"Encryption: the active key {active!r} is none of the keys {', '.join(map(repr, keys))}"
            raise InvalidArgumentError(message)

    @staticmethod
    def new_key() -> bytes:
        """Return a random key. Keep it where your secrets are: without it what it closed is lost."""
        return os.urandom(_KEY_BYTES)

    def encode(self, data: bytes, *, place: str) -> bytes:
        """See `Codec.encode`."""
        name = self._active.encode()
        nonce = os.urandom(_NONCE_BYTES)
        closed = self._ciphers[self._active].encrypt(nonce, data, _bound(self._active, place))
        return bytes((len(name),)) + name + nonce + closed

    def decode(self, data: bytes, *, place: str) -> bytes:
        """See `Codec.decode`."""
        name, nonce, closed = _parts(data, place)
        cipher = self._ciphers.get(name)
        if cipher is None:
            known = ", ".join(map(repr, self._ciphers))
            raise UnreadablePayloadError(
                f"{place}: encrypted with the key {name!r}; this engine has the keys {known}. Add it to the ring"
            )
        try:
            return cipher.decrypt(nonce, closed, _bound(name, place))
        except Exception as error:
            raise UnreadablePayloadError(
                f"{place}: the key {name!r} does not open it: another key has had this name, or the data was changed "
                f"or moved"
            ) from error


def _parts(data: bytes, place: str) -> tuple[str, bytes, bytes]:
    end = 1 + (data[0] if data else 0)
    if len(data) < end + _NONCE_BYTES:
        raise UnreadablePayloadError(f"{place}: the encrypted data is incomplete")
    return data[1:end].decode("utf-8", "replace"), data[end : end + _NONCE_BYTES], data[end + _NONCE_BYTES :]


def _bound(key: str, place: str) -> bytes:
    return f"perdure/1/{key}/{place}".encode()


def _cipher(name: str, key: bytes) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an optional package
    except ImportError as error:
        message = "Encryption needs the package cryptography: pip install 'perdure[encryption]'"
        raise UsageError(message) from error
    if not 1 <= len(name.encode()) <= _LONGEST_NAME_BYTES:
        raise InvalidArgumentError(f"Encryption: the key's name {name!r:.60} must have from 1 to 255 bytes")
    if len(key) != _KEY_BYTES:
        raise InvalidArgumentError(
            f"Encryption: the key {name!r} has {len(key)} bytes; AES-256 needs {_KEY_BYTES} random ones "
            f"(Encryption.new_key())"
        )
    return AESGCM(key)


_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_LONGEST_NAME_BYTES: Final = 255
