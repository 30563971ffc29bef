"""Those whom a bank asks, simulated: a credit bureau, employers, the register of persons and that of land.

What they know is a JSON file, read at each question as a service would be called. What the bank does, contracts, money,
letters, goes into the ledger.
"""

import asyncio
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from examples.loan_processing.risk import CreditReport, EmploymentReport, IdentityReport, PropertyReport
from perdure import NonRetryableError

__all__ = ["BUREAUS_FILE", "Bureaus", "NoRecordError", "find_record", "known_to_bureaus"]

BUREAUS_FILE = "LOAN_BUREAUS"
"""Environment variable: the file of what the bureaus know."""

Report = TypeVar("Report")


class NoRecordError(NonRetryableError):
    """A bureau knows nothing about somebody or something. Asking again changes nothing."""


class Bureaus(msgspec.Struct, frozen=True, kw_only=True):
    """All that the bureaus know: of persons by their national id, of homes by their title in the land register."""

    credit: dict[str, CreditReport]
    employment: dict[str, EmploymentReport]
    identity: dict[str, IdentityReport]
    property: dict[str, PropertyReport]


async def known_to_bureaus() -> Bureaus:
    """Ask."""
    text = await asyncio.to_thread(Path(os.environ[BUREAUS_FILE]).read_bytes)
    return msgspec.json.decode(text, type=Bureaus)


def find_record(records: dict[str, Report], key: str) -> Report:
    """Return what is known. Raises NoRecordError."""
    if key not in records:
        raise NoRecordError(f"there is no record of {key}")
    return records[key]
