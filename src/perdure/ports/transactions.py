"""Steps whose own writes to the database of the store are committed together with their outcome."""

from collections.abc import Callable
from typing import Any

import msgspec

from perdure.kernel.identity import FencingToken, RunKey, WorkerId
from perdure.kernel.isolation import Isolation

__all__ = ["StepTransaction"]


class StepTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction for one attempt of a step of a run that `owner` has under `fencing_token`.

    `perform` is given a connection of the store's database, on which a transaction is open, and returns the `Delivery`
    that tells the run of the outcome: an awaitable of it, if `is_async`. It may be called again after what it wrote was
    undone, since other transactions were in the way. What it raises undoes the transaction.
    """

    run_key: RunKey
    owner: WorkerId
    fencing_token: FencingToken
    isolation: Isolation
    perform: Callable[[Any], Any]
    is_async: bool
