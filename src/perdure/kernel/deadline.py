"""Deadlines: a moment by which something must have ended, and whose it is.

A deadline holds for everything inside of what has it: a run's for its activities and its children, a stage's for what
is called in it. So of all that are around, the nearest counts, and errors name whose it was.
"""

import msgspec

from perdure.kernel.time import Timestamp

__all__ = ["Deadline", "nearest"]


class Deadline(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`at` is the moment, `of` names the run or the stage that it ends, for people: ``stage 'payment'``."""

    at: Timestamp
    of: str


def nearest(first: Deadline | None, second: Deadline | None) -> Deadline | None:
    """Return the one that comes first, the first given where both come at once; None: there is none."""
    if first is None or second is None:
        return second if first is None else first
    return second if second.at < first.at else first
