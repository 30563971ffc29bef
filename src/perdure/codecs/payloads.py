"""Which codecs payloads pass, and the envelope in which what they return is recorded.

**Envelope.** ``{ "$perdure":1,"by":["deflate","aes-256-gcm"],"data":"..."}``: the codecs that encoded, in order, and
the bytes as base64; or ``"blob"`` with a blob's name instead of the data. It is JSON, as every payload, and begins with
a space that no value has, so nothing of a user's is ever taken for one.

**Reading is always on.** What was written under other codecs is read as long as these are known: compression always is,
keys must stay in the ring, blobs in their store.
"""

import base64
import copy
from collections.abc import Sequence
from typing import Final

import msgspec

from perdure.codecs.compression import Compression
from perdure.configuration import MAXIMUM_PAYLOAD_BYTES
from perdure.errors import InvalidArgumentError, UnreadablePayloadError
from perdure.kernel.decoding import UNDECODABLE
from perdure.ports.codec import BlobStore, Codec

__all__ = ["Envelope", "Payloads", "open_envelope", "seal_envelope"]

_VERSION: Final = 1


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An encoded payload as it is recorded: `data` as base64, or the name of a `blob` that holds it."""

    version: int = msgspec.field(name="$perdure")
    by: tuple[str, ...] = ()
    data: str = ""
    blob: str = ""


class Payloads:
    """How an engine records values: the codecs that they pass, in this order, and where large ones go.

    Values that have more than `blobs_above` bytes after the codecs go to `blobs`; then values may have up to
    `maximum_bytes` bytes as JSON, instead of 2 MiB.
    """

    def __init__(
        self,
        *codecs: Codec,
        blobs: BlobStore | None = None,
        blobs_above: int = 128 * 2**10,
        maximum_bytes: int | None = None,
    ) -> None:
        """Describe it. Raises InvalidArgumentError."""
        names = [codec.name for codec in codecs]
        if len(set(names)) < len(names):
            message = f"Payloads: two codecs have one name ({', '.join(names)}); keys to rotate go into one Encryption"
            raise InvalidArgumentError(message)
        if blobs is None and maximum_bytes is not None and maximum_bytes > MAXIMUM_PAYLOAD_BYTES:
            message = f"Payloads: more than {MAXIMUM_PAYLOAD_BYTES:,} bytes need blobs=..., a place for large values"
            raise InvalidArgumentError(message)
        self.blobs: Final = blobs
        self.blobs_above: Final = blobs_above
        self.maximum_bytes: Final = maximum_bytes or (MAXIMUM_PAYLOAD_BYTES if blobs is None else _LARGEST_BYTES)
        self.codecs: Final = tuple(
            codec.reading_up_to(self.maximum_bytes) if isinstance(codec, Compression) else codec for codec in codecs
        )
        self.leaves_unreadable = False
        self._leaves_secrets = False
        self.encodes: Final = bool(codecs) or blobs is not None
        self.hides: Final = any(codec.hides for codec in codecs)
        self._known: Final = {
            codec.name: codec for codec in (Compression().reading_up_to(self.maximum_bytes), *self.codecs)
        }

    def leaving_unreadable(self) -> "Payloads":
        """Return the same for a tool that only shows values: what cannot be decoded is left as it is recorded."""
        found = copy.copy(self)
        found.leaves_unreadable = True
        return found

    def leaving_secrets(self) -> "Payloads":
        """Return the same for copies that go elsewhere: what is kept secret, too, is left as it is recorded."""
        found = self.leaving_unreadable()
        found._leaves_secrets = True  # noqa: SLF001 - of a copy of its own
        return found

    def leaves(self, envelope: "Envelope") -> bool:
        """Whether what is recorded so is left as it is, since it is secret, or may be: its codec is not known."""
        return self._leaves_secrets and any(name not in self._known or self._known[name].hides for name in envelope.by)

    def encode(self, data: bytes, *, place: str) -> tuple[bytes, tuple[str, ...]]:
        """Let data pass the codecs; return it with the names of those that changed it."""
        by: list[str] = []
        for codec in self.codecs:
            encoded = codec.encode(data, place=place)
            if encoded is not None:
                data = encoded
                by.append(codec.name)
        return data, tuple(by)

    def decode(self, data: bytes, by: Sequence[str], *, place: str) -> bytes:
        """Undo `encode`. Raises UnreadablePayloadError."""
        for name in reversed(by):
            codec = self._known.get(name)
            if codec is None:
                raise UnreadablePayloadError(
                    f"{place}: encoded by {name!r}, which this engine does not have; give it to "
                    f"Engine(..., payloads=Payloads(...))"
                )
            data = codec.decode(data, place=place)
        return data


def seal_envelope(by: tuple[str, ...], *, data: bytes = b"", blob: str = "") -> bytes:
    """Return an envelope's JSON."""
    encoded = msgspec.json.encode(
        Envelope(version=_VERSION, by=by, data=base64.b64encode(data).decode("ascii"), blob=blob)
    )
    return b"{ " + encoded[1:]


def open_envelope(sealed: bytes, *, place: str) -> Envelope:
    """Read an envelope. Raises UnreadablePayloadError for one that is damaged or of a later version."""
    try:
        envelope = _DECODER.decode(sealed)
    except UNDECODABLE as error:
        raise UnreadablePayloadError(f"{place}: its envelope is damaged: {error}") from error
    if envelope.version != _VERSION:
        raise UnreadablePayloadError(
            f"{place}: its envelope has version {envelope.version}; this Perdure reads version {_VERSION}. Upgrade it"
        )
    if len(set(envelope.by)) < len(envelope.by):
        raise UnreadablePayloadError(f"{place}: its envelope is damaged: it names a codec twice")
    return envelope


_DECODER: Final = msgspec.json.Decoder(Envelope)
_LARGEST_BYTES: Final = 64 * 2**20
