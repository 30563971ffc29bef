"""Cursors of pages: the place of the last run that was shown, as text that callers hand back."""

import re
from typing import Final

from perdure.errors import InvalidArgumentError

__all__ = ["read_cursor", "write_cursor"]


def write_cursor(created_at: int, run_key: int) -> str:
    """Return where the page after this run begins."""
    return f"{created_at}.{run_key}"


def read_cursor(cursor: str) -> tuple[int, int]:
    """Return what `write_cursor` was given. Raises InvalidArgumentError for anything else."""
    found = _CURSOR.fullmatch(cursor)
    place = found and (int(found[1]), int(found[2]))
    if not place or not all(_LOWEST <= number <= _HIGHEST for number in place):
        raise InvalidArgumentError(f"{cursor!r:.60} is no cursor of a page of this store")
    return place


_CURSOR: Final = re.compile(r"(-?[0-9]{1,19})\.(-?[0-9]{1,19})")
_LOWEST: Final = -(2**63)
_HIGHEST: Final = 2**63 - 1
