"""Why an item is not running yet: an answer with its witnesses, not a bare position."""

from collections.abc import Hashable
from typing import TypeAlias

import msgspec

from perdure.kernel.time import Timestamp

__all__ = ["Absent", "Explanation", "Parked", "Running", "Standing", "Waiting"]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an item's branch stands at one node of the tree.

    `node` names the node, `child` the branch (or item) that stands there, `ahead` how many of its siblings are served
    before it as things are now, `first` the first few of those in the order of service, `rule` what decides there.
    """

    node: str
    child: str
    ahead: int
    first: tuple[str, ...]
    rule: str

    @property
    def sentence(self) -> str:
        """The standing in words."""
        if not self.ahead:
            return f"{self.node}: {self.child} is next; {self.rule}"
        more = ", ..." if self.ahead > len(self.first) else ""
        return f"{self.node}: {self.ahead} ahead of {self.child} ({', '.join(self.first)}{more}); {self.rule}"


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """The item waits. `standings` go from the root of the tree to the item's leaf."""

    key: Hashable
    standings: tuple[Standing, ...]

    @property
    def is_next(self) -> bool:
        """Whether the next selection takes this item."""
        return not any(standing.ahead for standing in self.standings)

    @property
    def reason(self) -> str:
        """The sentence of the node that decides: the first, from the root, where something is ahead."""
        for standing in self.standings:
            if standing.ahead:
                return standing.sentence
        return "next in line: it is dispatched as soon as a slot is free"


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """A limit keeps the item from standing for a slot. `limit` says which, with its numbers.

    `opens_at`: when it is tried again by the passing of time, None: when something else has ended. `standings`: who
    goes before it among those with the same limits.
    """

    key: Hashable
    limit: str
    opens_at: Timestamp | None = None
    standings: tuple[Standing, ...] = ()

    @property
    def reason(self) -> str:
        """The answer as a sentence."""
        ahead = next((standing for standing in self.standings if standing.ahead), None)
        return self.limit if ahead is None else f"{self.limit}; {ahead.sentence}"


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """The item was dispatched and has not been completed."""

    key: Hashable

    @property
    def reason(self) -> str:
        """The answer as a sentence."""
        return "dispatched already: it waits for nothing here"


class Absent(msgspec.Struct, frozen=True, kw_only=True):
    """The tree does not know the item: never enqueued, removed, or completed."""

    key: Hashable

    @property
    def reason(self) -> str:
        """The answer as a sentence."""
        return "not here: never enqueued, removed, or completed"


Explanation: TypeAlias = Waiting | Parked | Running | Absent
"""Where an item stands."""
