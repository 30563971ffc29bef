"""Strict priority: a better class that has work is always served first.

No inversion at a decision point, ever; and so no promise to the lower classes while the upper ones have work.
All operations are O(1): the classes with work are the bits of one integer.
"""

from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.scheduling.explanation import Standing
from perdure.scheduling.item import Item

__all__ = ["Strict"]


class Strict:
    """Serves the lowest-numbered priority class that has work. See the module for promise and cost."""

    __slots__ = ("_backlogged",)

    def __init__(self) -> None:
        self._backlogged = 0

    def on_enqueue(self, child: Priority, _item: Item, _now: Timestamp) -> None:
        """Mark the class as having work."""
        self._backlogged |= 1 << child

    def select(self, _now: Timestamp) -> Priority | None:
        """Return the best class that has work."""
        backlogged = self._backlogged
        if not backlogged:
            return None
        return _CLASSES[(backlogged & -backlogged).bit_length() - 1]

    def on_dispatch(self, child: Priority, item: Item, now: Timestamp) -> None:
        """Nothing to learn: what was served does not change who is first."""

    def on_idle(self, child: Priority, _now: Timestamp) -> None:
        """Mark the class as having no work."""
        self._backlogged &= ~(1 << child)

    def on_complete(self, child: Priority, item: Item, actual_cost: float, now: Timestamp) -> None:
        """Nothing to learn: cost does not change who is first."""

    def standing(self, child: Priority, names_limit: int) -> Standing:
        """Name the better classes that have work."""
        ahead = [better.name for better in _CLASSES[:child] if self._backlogged >> better & 1]
        return Standing(
            node="priority class",
            child=_CLASSES[child].name,
            ahead=len(ahead),
            first=tuple(ahead[:names_limit]),
            rule="a better class that has work is always served first",
        )


_CLASSES = tuple(Priority)
