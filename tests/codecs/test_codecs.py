"""Each codec by itself: what goes in comes out, and what was tampered with does not."""

import os
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.codecs import Compression, Encryption, FileBlobs, Payloads
from perdure.codecs.payloads import open_envelope, seal_envelope
from perdure.errors import InvalidArgumentError, UnreadablePayloadError

OLD, NEW = Encryption.new_key(), Encryption.new_key()
PLACE = "event 3 of run key 7 (activity_completed)"


@given(st.binary(max_size=4_000))
def test_what_passes_all_codecs_comes_back(data: bytes) -> None:
    payloads = Payloads(Compression(above=10), Encryption({"k": NEW}))
    encoded, by = payloads.encode(data, place=PLACE)
    assert payloads.decode(encoded, by, place=PLACE) == data


def test_only_what_gets_smaller_is_compressed() -> None:
    codec = Compression(above=100)
    assert codec.encode(b"x" * 100, place=PLACE) is None
    assert codec.encode(os.urandom(1_000), place=PLACE) is None
    encoded = codec.encode(b"x" * 101, place=PLACE)
    assert encoded is not None
    assert codec.decode(encoded, place=PLACE) == b"x" * 101


@pytest.mark.parametrize("damaged", [b"no deflate", zlib.compress(b"x" * 99)[:-6]])
def test_damaged_compressed_data_is_named(damaged: bytes) -> None:
    with pytest.raises(UnreadablePayloadError, match=r"event 3 of run key 7 .*(damaged|incomplete)"):
        Compression().decode(damaged, place=PLACE)


def test_a_small_text_does_not_become_a_large_one_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.codecs.compression._LONGEST_BYTES", 1_000)
    bomb = zlib.compress(bytes(1_001))
    with pytest.raises(UnreadablePayloadError, match="larger than 1,000 bytes"):
        Compression().decode(bomb, place=PLACE)
    assert Compression().reading_up_to(501).decode(bomb, place=PLACE) == bytes(1_001)


def test_an_engine_reads_all_that_it_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.codecs.compression._LONGEST_BYTES", 1_000)
    value = bytes(5_000)
    payloads = Payloads(Compression(), blobs=FileBlobs(tmp_path), maximum_bytes=5_000)
    assert payloads.decode(*payloads.encode(value, place=PLACE), place=PLACE) == value
    without = Payloads(blobs=FileBlobs(tmp_path), maximum_bytes=5_000)
    assert without.decode(*payloads.encode(value, place=PLACE), place=PLACE) == value


def test_the_same_value_is_encrypted_differently_each_time() -> None:
    codec = Encryption({"k": NEW})
    assert codec.encode(b"secret", place=PLACE) != codec.encode(b"secret", place=PLACE)
    assert b"secret" not in codec.encode(b"secret", place=PLACE)


def test_keys_are_rotated_without_losing_what_older_ones_closed() -> None:
    before = Encryption({"2026-05": OLD}).encode(b"secret", place=PLACE)
    ring = Encryption({"2026-05": OLD, "2026-11": NEW})
    assert ring.decode(before, place=PLACE) == b"secret"
    with pytest.raises(UnreadablePayloadError, match=r"key '2026-11'; this engine has the keys '2026-05'"):
        Encryption({"2026-05": OLD}).decode(ring.encode(b"secret", place=PLACE), place=PLACE)
    chosen = Encryption({"2026-11": NEW, "2026-05": OLD}, active="2026-11")
    assert Encryption({"2026-11": NEW}).decode(chosen.encode(b"secret", place=PLACE), place=PLACE) == b"secret"


def test_what_was_changed_or_moved_does_not_open() -> None:
    codec = Encryption({"k": NEW})
    closed = codec.encode(b"secret", place=PLACE)
    for number in range(len(closed)):
        changed = closed[:number] + bytes((closed[number] ^ 1,)) + closed[number + 1 :]
        with pytest.raises(UnreadablePayloadError):
            codec.decode(changed, place=PLACE)
    with pytest.raises(UnreadablePayloadError, match="changed or moved"):
        codec.decode(closed, place="event 4 of run key 7 (activity_completed)")
    with pytest.raises(UnreadablePayloadError, match="incomplete"):
        codec.decode(closed[:5], place=PLACE)
    with pytest.raises(UnreadablePayloadError, match="incomplete"):
        codec.decode(b"", place=PLACE)
    with pytest.raises(UnreadablePayloadError, match="another key has had this name"):
        Encryption({"k": OLD}).decode(closed, place=PLACE)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Encryption({}), "there is no key"),
        (lambda: Encryption({"k": b"short"}), "has 5 bytes; AES-256 needs 32"),
        (lambda: Encryption({"": NEW}), "from 1 to 255 bytes"),
        (lambda: Encryption({"k": NEW}, active="other"), "'other' is none of the keys 'k'"),
        (lambda: Compression(level=0), "a level from 1 to 9"),
        (lambda: Payloads(Compression(), Compression()), "two codecs have one name"),
        (lambda: Payloads(maximum_bytes=2**22), "need blobs="),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_described(make: object, says: str) -> None:
    assert callable(make)
    with pytest.raises(InvalidArgumentError, match=says):
        make()


def test_an_envelope_says_what_is_wrong_with_it() -> None:
    sealed = seal_envelope(("deflate",), data=b"\0\xff")
    assert open_envelope(sealed, place=PLACE).by == ("deflate",)
    with pytest.raises(UnreadablePayloadError, match="its envelope is damaged"):
        open_envelope(sealed[:-4], place=PLACE)
    with pytest.raises(UnreadablePayloadError, match="has version 2; this Perdure reads version 1"):
        open_envelope(sealed.replace(b":1,", b":2,"), place=PLACE)
    with pytest.raises(UnreadablePayloadError, match="encoded by 'zstd', which this engine does not have"):
        Payloads().decode(b"", ("zstd",), place=PLACE)


@pytest.mark.parametrize(
    ("sealed", "says"),
    [
        (b'{ "$perdure":1,"by":["deflate","deflate"],"data":""}', "names a codec twice"),
        (b'{ "$perdure":1,"by":["' + b"\xff" + b'"]}', "damaged"),
        (b'{ "$perdure":1,"by":' + b"[" * 100_000, "damaged"),
    ],
)
def test_a_hostile_envelope_is_named(sealed: bytes, says: str) -> None:
    with pytest.raises(UnreadablePayloadError, match=f"event 3 of run key 7 .*{says}"):
        open_envelope(sealed, place=PLACE)
