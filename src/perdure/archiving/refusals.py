"""Runs that an import does not take in, or that retention does not remove, and why."""

from typing import Final

import msgspec

__all__ = ["LISTED_REFUSALS", "Refusal"]

LISTED_REFUSALS: Final = 1_000
"""So many are told one by one; of more only how many there are."""


class Refusal(msgspec.Struct, frozen=True):
    """A run, and why it was left as it is."""

    run: str
    reason: str
