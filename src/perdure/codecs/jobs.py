"""The work of one call of a store on payloads: once to find what is to be done, once to put the results in place."""

import asyncio
import base64
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from perdure.codecs.fields import transform
from perdure.codecs.payloads import Envelope, Payloads, open_envelope, seal_envelope
from perdure.errors import StoreError, UnreadablePayloadError
from perdure.kernel.payload import ENVELOPE_PREFIX, NULL, Payload, is_enveloped

__all__ = ["Decoding", "Encoding", "Job", "Sealing"]

T = TypeVar("T")
Record = TypeVar("Record", bound=msgspec.Struct)

_IN_A_THREAD_ABOVE_BYTES: Final = 256 * 2**10
_BLOBS_AT_ONCE: Final = 16
_NULL: Final = bytes(NULL)
_TEXT_PREFIX: Final = ENVELOPE_PREFIX.decode()


class Job(ABC):
    """The payloads of one call of the store. `found` is what must be worked on, with its place, in order."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads: Final = payloads
        self.found: list[tuple[bytes, str]] = []
        self._results: list[bytes] | None = None
        self._next = 0

    async def run(self, walk: Callable[[], T]) -> T:
        """Walk over the records twice: to find, and to replace."""
        walked = walk()
        if not self.found:
            return walked
        self._results = await self._work()
        return walk()

    def pass_through(self, record: Record, place: Callable[[], str]) -> Record:
        """Find in, or replace in, one record."""
        return transform(
            record,
            lambda payload: Payload(self._bytes(bytes(payload), place)) if self._concerns(payload) else payload,
            lambda text: self._bytes(text.encode(), place).decode() if self._concerns_text(text) else text,
        )

    def _bytes(self, data: bytes, place: Callable[[], str]) -> bytes:
        if self._results is None:
            self.found.append((data, place()))
            return data
        result = self._results[self._next]
        self._next += 1
        return result

    @abstractmethod
    def _concerns(self, payload: Payload) -> bool:
        """Whether a payload must be worked on."""

    @abstractmethod
    def _concerns_text(self, text: str) -> bool:
        """Whether a text of a failure must be worked on."""

    @abstractmethod
    async def _work(self) -> list[bytes]:
        """Return what becomes of each that was found, in order."""


class Encoding(Job):
    """Encodes, and puts away what is large."""

    def _concerns(self, payload: Payload) -> bool:
        return bytes(payload) != _NULL

    def _concerns_text(self, text: str) -> bool:
        return bool(text) and self._payloads.hides

    async def _work(self) -> list[bytes]:
        payloads, blobs = self._payloads, self._payloads.blobs
        encoded = await _in_a_thread_if_large(
            sum(len(data) for data, _ in self.found),
            lambda: [payloads.encode(data, place=place) for data, place in self.found],
        )
        sealed = [
            seal_envelope(by, data=data) if by else plain
            for (plain, _), (data, by) in zip(self.found, encoded, strict=True)
        ]
        if blobs is not None:
            large = [number for number, (data, _) in enumerate(encoded) if len(data) > payloads.blobs_above]
            names = await _together([blobs.put(encoded[number][0]) for number in large])
            for number, name in zip(large, names, strict=True):
                sealed[number] = seal_envelope(encoded[number][1], blob=name)
        return sealed


class Sealing(Encoding):
    """Encodes what is not encoded yet."""

    def _concerns(self, payload: Payload) -> bool:
        return super()._concerns(payload) and not is_enveloped(payload)

    def _concerns_text(self, text: str) -> bool:
        return super()._concerns_text(text) and not text.startswith(_TEXT_PREFIX)


class Decoding(Job):
    """Decodes, and fetches what was put away."""

    def _concerns(self, payload: Payload) -> bool:
        return is_enveloped(payload)

    def _concerns_text(self, text: str) -> bool:
        return text.startswith(_TEXT_PREFIX)

    async def _work(self) -> list[bytes]:
        envelopes = [self._open(sealed, place) for sealed, place in self.found]
        from_blobs = {number: envelope for number, envelope in enumerate(envelopes) if envelope and envelope.blob}
        blobs = dict(zip(from_blobs, await _together(map(self._load, from_blobs.items())), strict=True))
        size = sum(len(sealed) for sealed, _ in self.found) + sum(len(blob or b"") for blob in blobs.values())
        return await _in_a_thread_if_large(
            size, lambda: [self._decode(number, envelope, blobs) for number, envelope in enumerate(envelopes)]
        )

    def _open(self, sealed: bytes, place: str) -> Envelope | None:
        """Return an envelope; None, here and below, for one that is to stay as it is recorded."""
        try:
            envelope = open_envelope(sealed, place=place)
            return None if self._payloads.leaves(envelope) else envelope
        except UnreadablePayloadError as error:
            self._leave(error)
            return None

    async def _load(self, numbered: tuple[int, Envelope]) -> bytes | None:
        number, envelope = numbered
        try:
            if self._payloads.blobs is None:
                place = self.found[number][1]
                raise UnreadablePayloadError(
                    f"{place}: it is in the blob {envelope.blob}, and this engine was given no Payloads(blobs=...)"
                )
            return await self._payloads.blobs.get(envelope.blob)
        except StoreError as error:
            self._leave(error)
            return None

    def _decode(self, number: int, envelope: Envelope | None, blobs: Mapping[int, bytes | None]) -> bytes:
        sealed, place = self.found[number]
        if envelope is None:
            return sealed
        try:
            data = blobs[number] if envelope.blob else _from_base64(envelope.data, place)
            return sealed if data is None else self._payloads.decode(data, envelope.by, place=place)
        except UnreadablePayloadError as error:
            self._leave(error)
            return sealed

    def _leave(self, error: StoreError) -> None:
        """Raise what keeps a payload from being read, unless such are to be left as they are."""
        if not self._payloads.leaves_unreadable:
            raise error


async def _together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do the work of all, of a few at once. Raises the first error."""
    turns = asyncio.Semaphore(_BLOBS_AT_ONCE)

    async def in_turn(one: Coroutine[Any, Any, T]) -> T:
        async with turns:
            return await one

    return await asyncio.gather(*map(in_turn, work))


def _from_base64(text: str, place: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise UnreadablePayloadError(f"{place}: its data is damaged: {error}") from error


async def _in_a_thread_if_large(size: int, work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work) if size > _IN_A_THREAD_ABOVE_BYTES else work()
