"""What a policy must answer: the interface of every inner node of the scheduling tree."""

from typing import Protocol, TypeVar

from perdure.kernel.time import Timestamp
from perdure.scheduling.explanation import Standing
from perdure.scheduling.item import Item

__all__ = ["Child", "Policy"]

Child = TypeVar("Child")
"""How a policy knows its children: by the value that items are routed by (a priority class, a tenant)."""


class Policy(Protocol[Child]):
    """Chooses among the children that have work. Knows children by name only, never what is in them.

    Its `Branch` tells it everything, in this order: `on_enqueue` for each item that enters a child; after a
    `select`, `on_dispatch` of the child that was served, then `on_idle` if that took the child's last waiting item (a
    removal of the last one also tells `on_idle`); `on_complete` once per dispatch.
    """

    def on_enqueue(self, child: Child, item: Item, now: Timestamp, /) -> None:
        """Learn that `item` now waits in `child`."""
        ...

    def select(self, now: Timestamp, /) -> Child | None:
        """Return the child to serve next, None where no child has work. Changes nothing that can be observed."""
        ...

    def on_dispatch(self, child: Child, item: Item, now: Timestamp, /) -> None:
        """Learn that `item` of `child` begins to run."""
        ...

    def on_idle(self, child: Child, now: Timestamp, /) -> None:
        """Learn that nothing waits in `child` any more."""
        ...

    def on_complete(self, child: Child, item: Item, actual_cost: float, now: Timestamp, /) -> None:
        """Learn what the run of `item`, dispatched from `child`, has cost, in seconds of one slot."""
        ...

    def standing(self, child: Child, names_limit: int, /) -> Standing:
        """Explain who is served before `child`, which has work; name at most `names_limit` of them."""
        ...
