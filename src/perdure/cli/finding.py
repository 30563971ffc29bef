"""Findings of `perdure doctor`."""

from enum import StrEnum

import msgspec

__all__ = ["Check", "Verdict"]


class Verdict(StrEnum):
    """What a check says: all is well, look at it some time, or act."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. `advice` says what to do; it is empty where all is well."""

    name: str
    verdict: Verdict
    finding: str
    advice: str = ""
