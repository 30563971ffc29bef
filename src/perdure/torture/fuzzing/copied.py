"""What lies in the folder of a copy: parts, whose digest fits whatever is in them."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from perdure.errors import CopyDamagedError
from perdure.kernel.time import Timestamp
from perdure.stores.sqlite.copies.parts import PartHeader, decode_part, encode_part, seal
from perdure.stores.sqlite.copies.points import show_time
from perdure.stores.sqlite.copies.standing import Standing, read_standings, standing_file, write_standing
from perdure.stores.sqlite.copies.tail import LogPlace
from perdure.stores.sqlite.log import PAGE_BYTES
from perdure.torture.fuzzing.sampling import samples
from perdure.torture.fuzzing.target import Target, demand_equal

__all__ = ["COPIED"]

_PATH: Final = Path("part")
_DIGEST_BYTES: Final = 32


def _parts() -> list[bytes]:
    place = LogPlace(salts="00" * 8, frames=7, seal="ff" * 24)
    header = PartHeader(store=1, number=1, previous="", taken_at=Timestamp(1), place=place, page_count=9, pages=2)
    pages = {1: bytes(PAGE_BYTES), 9: b"x" * PAGE_BYTES}
    merged = msgspec.structs.replace(header, number=9, merged_from=2, stands_for="ab" * _DIGEST_BYTES)
    return [encode_part(each, pages)[0][:-_DIGEST_BYTES] for each in (header, merged)]


def _read_part(data: bytes) -> None:
    found = decode_part(seal(data), _PATH)
    show_time(found.header.taken_at)
    again, _ = encode_part(found.header, found.pages)
    part = decode_part(again, _PATH)
    demand_equal((part.header, part.pages), (found.header, found.pages))


def _standings() -> list[bytes]:
    return [msgspec.json.encode(sample) for sample in samples(Standing)]


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="perdure-fuzz-")


def _read_standing(data: bytes) -> None:
    """Read what stands beside a database; what cannot be read is no state at all."""
    database = Path(_folder().name) / "database"
    file = standing_file(database, "target")
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    found = list(read_standings(database))
    file.unlink()
    for standing in found:
        write_standing(database, standing)
        demand_equal(list(read_standings(database)), [standing])
        standing_file(database, standing.target).unlink()


COPIED: Final = (
    Target(name="part", corpus=_parts, read=_read_part, expected=(CopyDamagedError,)),
    Target(name="standing", corpus=_standings, read=_read_standing),
)
