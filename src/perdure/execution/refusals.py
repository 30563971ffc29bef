"""What a caller is told whose message or start was refused."""

from typing import Final

from perdure.errors import (
    HistoryError,
    PerdureError,
    RunClosedError,
    RunExistsError,
    RunNotFoundError,
    StaleLeaseError,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
)
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.transition import Closed, Exists, Missing, Outcome, Unread

__all__ = ["DAMAGE", "PERHAPS_DAMAGE", "is_still_owned", "refusal"]

DAMAGE: Final = (StoreCorruptError, HistoryError)
"""Errors by which rows of a run are damaged, or pages that hold them: until that is mended nobody can go on with it."""

PERHAPS_DAMAGE: Final = (*DAMAGE, StoreUnavailableError)
"""The same, of a commit that failed by itself: what looks like a store that is unavailable may be a bad sector."""


def refusal(target: RunKey | RunRef, outcome: Outcome) -> PerdureError:
    """Return the error for a message or a start that was refused."""
    match outcome:
        case Missing():
            return RunNotFoundError(f"there is no run {target}; compare its id with those that list_runs() gives")
        case Closed(status=status):
            return RunClosedError(
                f"run {target} has ended ({status}) and takes no more messages; read its result, or start another run"
            )
        case Exists():
            return RunExistsError(f"a run {target} exists already")
        case _:
            return StaleLeaseError(f"run {target} was changed by another worker; nothing was applied")


def is_still_owned(outcome: Outcome | PerdureError, *, is_closing: bool) -> bool:
    """Whether a run whose transition was refused so is still this process', and can be given back, to be tried anew."""
    if isinstance(outcome, StoreUnavailableError):
        return is_closing  # then the store was given up, whose trouble it is
    return isinstance(outcome, StoreError | Unread) and not isinstance(outcome, DAMAGE)
