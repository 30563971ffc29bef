"""Which points of a copy may be merged into later ones, said once more, apart from what merges them."""

from collections.abc import Iterable
from typing import Final

from perdure.stores.sqlite.copies.merging import Spacing

__all__ = ["SPACINGS", "may_be_gone"]

_SECOND: Final = 1_000_000
SPACINGS: Final = (Spacing(after=20 * _SECOND, width=8 * _SECOND), Spacing(after=80 * _SECOND, width=32 * _SECOND))
"""Short, so that parts are merged within a trial."""


def may_be_gone(taken_at: int, others: Iterable[int], *, now: int) -> bool:
    """Whether a point that is not there is none that has to stay: of a time that is old enough a later one is there.

    `others`: when the points of its generation were taken that are there.
    """
    next_one = min((other for other in others if other > taken_at), default=None)
    return next_one is not None and any(
        taken_at // width == next_one // width and now - after >= (taken_at // width + 1) * width
        for after, width in SPACINGS
    )
