"""Steps whose own writes to the database of the store are committed together with their outcome."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from perdure.kernel import events as e
from perdure.kernel.events import EVENT_NAMES
from perdure.kernel.identity import FencingToken, Operation, RunKey, WorkerId
from perdure.kernel.isolation import Isolation

__all__ = ["ENDINGS", "StepTransaction"]


ENDINGS: Final = tuple(
    EVENT_NAMES[kind]
    for kind in (
        e.ActivityCompleted,
        e.ActivityAttemptFailed,
        e.ActivityFailed,
        e.ActivityTimedOut,
        e.ActivityCancelled,
    )
)
"""The types of events that end an attempt, as they are recorded."""


class StepTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction for one attempt of a step of a run that `owner` has under `fencing_token`.

    The attempt was begun when the run's history had `sequence` events, and is one of `operation`: what has ended it
    since, as a cancellation does, has it save nothing. `perform` is given a connection of the store's database, on
    which a transaction is open, and returns the `Delivery` that tells the run of the outcome: an awaitable of it,
    if `is_async`. It may be called again after what it wrote was undone, since other transactions were in the way.
    What it raises undoes the transaction.
    """

    run_key: RunKey
    owner: WorkerId
    fencing_token: FencingToken
    sequence: int
    operation: Operation
    isolation: Isolation
    perform: Callable[[Any], Any]
    is_async: bool
