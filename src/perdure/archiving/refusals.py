"""Runs that an import does not take in, or that retention does not remove, and why."""

from typing import Final

import msgspec

from perdure.errors import HistoryError, StoreCorruptError, StoreUnavailableError

__all__ = ["LISTED_REFUSALS", "UNREADABLE", "Refusal"]

UNREADABLE: Final = (HistoryError, StoreCorruptError, StoreUnavailableError)
"""What reading one run raises if it is damaged, the last one if the disk does not give it. If it is the whole store
that is away, whatever is asked of it next says so."""

LISTED_REFUSALS: Final = 1_000
"""So many are told one by one; of more only how many there are."""


class Refusal(msgspec.Struct, frozen=True):
    """A run, and why it was left as it is."""

    run: str
    reason: str
