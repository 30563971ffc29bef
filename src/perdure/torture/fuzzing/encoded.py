"""What codecs have written: envelopes, compressed and encrypted data, names of blobs, and all of it through a store."""

import asyncio
import tempfile
import zlib
from functools import cache
from typing import Final, cast

import msgspec

from perdure.codecs import Compression, Encryption, FileBlobs, Payloads
from perdure.codecs.blob_names import name_of
from perdure.codecs.coded_store import coded
from perdure.codecs.payloads import open_envelope, seal_envelope
from perdure.errors import UnreadablePayloadError
from perdure.kernel.events import RunCompleted
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey
from perdure.kernel.payload import ENVELOPE_PREFIX, Payload
from perdure.kernel.time import Timestamp
from perdure.ports.store import RunStore
from perdure.torture.fuzzing.target import BrokenLawError, Target, demand_equal, text_of

__all__ = ["ENCODED"]

_PLACE: Final = "a place"
_VALUES: Final = (b"null", b'"text"', b'{"order":[1,2,3]}', b'"' + b"abcdefgh" * 400 + b'"')
_KEY: Final = bytes(range(32))
_BOMB_BYTES: Final = 80 * 2**20
_MOST_BYTES: Final = 2**26
"""What a compressed payload may become where no larger ones are recorded."""


def _envelopes() -> list[bytes]:
    by = (("deflate",), ("deflate", "aes-256-gcm"), ())
    return [*(seal_envelope(names, data=value) for names in by for value in _VALUES), seal_envelope((), blob="ab" * 32)]


def _open(data: bytes) -> None:
    found = open_envelope(data, place=_PLACE)
    sealed = ENVELOPE_PREFIX + msgspec.json.encode(found)[len(ENVELOPE_PREFIX) - 1 :]
    demand_equal(open_envelope(sealed, place=_PLACE), found)


def _compressed() -> list[bytes]:
    codec, values = Compression(above=0), [value * times for value in _VALUES for times in (9, 99, 999)]
    return [encoded for value in values if (encoded := codec.encode(value, place=_PLACE))] + [_bomb()]


@cache
def _bomb() -> bytes:
    return zlib.compress(b" " * _BOMB_BYTES, 1)


def _decompress(data: bytes) -> None:
    found = Compression().decode(data, place=_PLACE)
    if len(found) > _MOST_BYTES:
        raise BrokenLawError(f"{len(data):,} bytes became {len(found):,}")
    encoded = Compression(above=0).encode(found, place=_PLACE)
    demand_equal(found if encoded is None else Compression().decode(encoded, place=_PLACE), found)


@cache
def _encryption() -> Encryption:
    return Encryption({"2026-11": _KEY, "ö": _KEY[::-1]}, active="2026-11")


def _encrypted() -> list[bytes]:
    return [_encryption().encode(value, place=_PLACE) for value in _VALUES]


def _decrypt(data: bytes) -> None:
    found = _encryption().decode(data, place=_PLACE)
    if found not in _VALUES:
        raise BrokenLawError(f"{data!r:.100} was opened, and nobody had closed it")


def _blob_names() -> list[bytes]:
    return [name_of(value).encode() for value in _VALUES]


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="perdure-fuzz-")


def _read_blob(data: bytes) -> None:
    asyncio.run(FileBlobs(_folder().name).get(text_of(data)))
    raise BrokenLawError("a blob was found where there is none")


class _OneEvent:
    """A store whose histories are one event with one payload."""

    def __init__(self, payload: bytes) -> None:
        self._payload = Payload(payload)

    async def read_history(self, _run_key: RunKey, *, after: int, limit: int) -> list[RecordedEvent]:
        del after, limit
        return [RecordedEvent(1, Timestamp(0), RunCompleted(result=self._payload))]


def _read_coded(data: bytes) -> None:
    payloads = Payloads(Compression(), _encryption(), blobs=FileBlobs(_folder().name))
    store = coded(cast("RunStore", _OneEvent(data)), payloads)
    asyncio.run(store.read_history(RunKey(1)))


ENCODED: Final = (
    Target(name="envelope", corpus=_envelopes, read=_open, expected=(UnreadablePayloadError,)),
    Target(name="compression", corpus=_compressed, read=_decompress, expected=(UnreadablePayloadError,)),
    Target(name="encryption", corpus=_encrypted, read=_decrypt, expected=(UnreadablePayloadError,)),
    Target(name="blob-name", corpus=_blob_names, read=_read_blob, expected=(UnreadablePayloadError,)),
    Target(name="coded-payload", corpus=_envelopes, read=_read_coded, expected=(UnreadablePayloadError,)),
)
