"""Meters: in which unit a fair node charges its children."""

from typing import Protocol

from perdure.scheduling.item import Item

__all__ = ["ITEMS", "SLOT_SECONDS", "Meter", "SlotSeconds", "Uniform"]


class Meter(Protocol):
    """Says what an item costs, before and after it ran. Must give the same answer for the same arguments."""

    def estimate(self, item: Item, /) -> float:
        """Return the cost to charge at dispatch; positive."""
        ...

    def measure(self, item: Item, actual_cost: float, /) -> float:
        """Return the cost to stand in the end, given the `actual_cost` in seconds of one slot; not negative."""
        ...


class SlotSeconds:
    """Charges seconds of one slot: shares of time, whatever the size of the items."""

    def estimate(self, item: Item) -> float:
        """Return the item's estimated cost."""
        return item.estimated_cost

    def measure(self, _item: Item, actual_cost: float) -> float:
        """Return the actual cost."""
        return actual_cost


class Uniform:
    """Charges 1 for every item: shares of the number of items, whatever their size."""

    def estimate(self, _item: Item) -> float:
        """Return 1."""
        return 1.0

    def measure(self, _item: Item, _actual_cost: float) -> float:
        """Return 1: what was charged stands."""
        return 1.0


SLOT_SECONDS = SlotSeconds()
ITEMS = Uniform()
