"""What is scheduled: one run or task that waits for its turn."""

from collections.abc import Hashable
from typing import Final

import msgspec

from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp

__all__ = ["LARGEST_COST", "Item"]

LARGEST_COST: Final = 1e9
"""The most that one item may cost, in seconds of one slot (31 years): more is a mistake that would spoil all shares."""


class Item(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One waiting thing, as the scheduler sees it.

    `key` names it, unique among what waits and runs in a tree. `priority` is its class, `tenant` who owns it,
    `workflow_type` what it is. `enqueued_at` is when it first began to wait; a retry keeps it, and so its age.
    `deadline`: when it should be done, None: no deadline. `estimated_cost`: what running it is expected to use, in
    seconds of one slot, positive and at most `LARGEST_COST`.
    """

    # No garbage collector header (16 bytes an item): the fields are immutable values and cannot form a cycle.
    key: Hashable
    priority: Priority = Priority.NORMAL
    tenant: str = ""
    workflow_type: str = ""
    enqueued_at: Timestamp
    deadline: Timestamp | None = None
    estimated_cost: float = 1.0
