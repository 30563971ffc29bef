"""Sizes as people read them."""

from typing import Final

__all__ = ["show_size"]


def show_size(count: int) -> str:
    """Return a number of bytes in its largest unit.

    >>> [show_size(n) for n in (0, 999, 4_096, 2_500_000_000)]
    ['0 bytes', '999 bytes', '4.1 kB', '2.5 GB']
    """
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < _KILO:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= _KILO
    return f"{size:.1f} TB"


_KILO: Final = 1000
