"""The scheduling tree: branches that route items and let policies choose, and the facade over them.

Cost of enqueue, select, complete, remove and reprioritise: the sum of the nodes on one path; in the default tree
O(log m) for m tenants with work in the class, plus O(log n) for items that arrive out of order.
"""

from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

import msgspec

from perdure.errors import InvalidArgumentError, UsageError
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.scheduling.explanation import Absent, Explanation, Running, Standing, Waiting
from perdure.scheduling.fair import Fair, Weights
from perdure.scheduling.item import LARGEST_COST, Item
from perdure.scheduling.keyed import Keyed, deadline_then_arrival
from perdure.scheduling.meters import SLOT_SECONDS, Meter
from perdure.scheduling.policy import Policy
from perdure.scheduling.strict import Strict

__all__ = ["Branch", "Node", "SchedulingTree", "default_tree"]

Route = TypeVar("Route", bound=Hashable)


class Node(Protocol):
    """A part of the tree that items wait in: a `Branch` or a leaf."""

    @property
    def pending(self) -> int:
        """How many items wait here."""
        ...

    @property
    def running(self) -> int:
        """How many items were dispatched from here whose completion this node still has to learn."""
        ...

    def add(self, item: Item, now: Timestamp, /) -> None:
        """Let an item wait here."""
        ...

    def take(self, now: Timestamp, /) -> Item | None:
        """Remove and return the item that goes next, None where nothing waits."""
        ...

    def discard(self, item: Item, now: Timestamp, /) -> None:
        """Forget an item that waits here: the very record that was added."""
        ...

    def settle(self, item: Item, actual_cost: float, now: Timestamp, /) -> None:
        """Learn what an item that was taken from here has cost."""
        ...

    def standings(self, item: Item, names_limit: int, /) -> tuple[Standing, ...]:
        """Explain who goes before an item that waits here, this node first."""
        ...


class Branch(Generic[Route]):
    """An inner node: routes items to children by `route`, serves the child that `policy` chooses.

    Children are made by `grow` when an item needs one and dropped when nothing of theirs waits or runs. `of_leaves`
    says that they are leaves, which know nothing of what runs; then none is asked about an item that does not wait.
    """

    __slots__ = ("_children", "_grow", "_of_leaves", "_policy", "_route", "pending", "running")

    def __init__(
        self,
        policy: Policy[Route],
        *,
        route: Callable[[Item], Route],
        grow: Callable[[Route], Node],
        of_leaves: bool = False,
    ) -> None:
        self._policy = policy
        self._of_leaves = of_leaves
        self._route = route
        self._grow = grow
        self._children: dict[Route, Node] = {}
        self.pending = 0
        self.running = 0

    def add(self, item: Item, now: Timestamp) -> None:
        """Let an item wait in the child it belongs to."""
        route = self._route(item)
        self._child(route).add(item, now)
        self.pending += 1
        self._policy.on_enqueue(route, item, now)

    def take(self, now: Timestamp) -> Item | None:
        """Serve the child that the policy chooses."""
        route = self._policy.select(now)
        if route is None:
            return None
        child = self._children[route]
        item = child.take(now)
        assert item is not None, "a policy chooses only children with work"
        self.pending -= 1
        self.running += 1
        self._policy.on_dispatch(route, item, now)
        if not child.pending:
            self._rest(route, child, now)
        return item

    def discard(self, item: Item, now: Timestamp) -> None:
        """Forget an item that waits in a child."""
        route = self._route(item)
        child = self._children[route]
        child.discard(item, now)
        self.pending -= 1
        if not child.pending:
            self._rest(route, child, now)

    def settle(self, item: Item, actual_cost: float, now: Timestamp) -> None:
        """Tell the policy, and the child where it still exists, what an item has cost."""
        route = self._route(item)
        self.running -= 1
        self._policy.on_complete(route, item, actual_cost, now)
        child = None if self._of_leaves else self._children.get(route)
        if child is not None:
            child.settle(item, actual_cost, now)
            if not child.pending and not child.running:
                del self._children[route]

    def standings(self, item: Item, names_limit: int) -> tuple[Standing, ...]:
        """Explain how the item's child stands here, and how the item stands in the child."""
        route = self._route(item)
        below = self._children[route].standings(item, names_limit)
        return (self._policy.standing(route, names_limit), *below)

    def _child(self, route: Route) -> Node:
        child = self._children.get(route)
        if child is None:
            child = self._children[route] = self._grow(route)
        return child

    def _rest(self, route: Route, child: Node, now: Timestamp) -> None:
        self._policy.on_idle(route, now)
        if not child.running:
            del self._children[route]


class SchedulingTree:
    """The items that wait for a slot, and the decision which of them goes next.

    Whoever finds a free slot while nothing waits need not stand here: shares are promised among those who wait at the
    same time.

    Items are known by their `key`. Every method is a pure step of the tree's state: same calls, same answers.
    """

    __slots__ = ("_pending", "_root", "_running")

    def __init__(self, root: Node) -> None:
        self._root = root
        self._pending: dict[Hashable, Item] = {}
        self._running: dict[Hashable, Item] = {}

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._pending)

    @property
    def running(self) -> int:
        """How many items were selected and not completed."""
        return len(self._running)

    def enqueue(self, item: Item, now: Timestamp) -> None:
        """Let an item wait for its turn.

        Raises InvalidArgumentError where the priority is no class or the estimated cost is not above 0 and up to
        `LARGEST_COST`, UsageError where an item of this key waits or runs already.
        """
        self._check_newcomer(item)
        self._pending[item.key] = item
        self._root.add(item, now)

    def select(self, now: Timestamp) -> Item | None:
        """Choose the item that goes next and dispatch it: it counts as running until `complete`. None: none waits."""
        item = self._root.take(now)
        if item is not None:
            self._running[item.key] = self._pending.pop(item.key)
        return item

    def complete(self, item: Item, actual_cost: float, now: Timestamp) -> None:
        """Correct the charge of a selected item to its `actual_cost` in seconds of one slot; 0 if it was not run.

        Raises InvalidArgumentError where the cost is not from 0 to `LARGEST_COST`, UsageError where no item of this key
        runs.
        """
        if not 0.0 <= actual_cost <= LARGEST_COST:
            raise InvalidArgumentError(
                f"complete: actual_cost of {item.key!r} is {actual_cost!r}; allowed is 0 to {LARGEST_COST} s"
            )
        dispatched = self._running.pop(item.key, None)
        if dispatched is None:
            raise UsageError(f"no item of the key {item.key!r} runs; only a selected item can be completed, and once")
        self._root.settle(dispatched, actual_cost, now)

    def remove(self, item: Item, now: Timestamp) -> bool:
        """Forget a waiting item; return whether one of its key was waiting."""
        waiting = self._pending.pop(item.key, None)
        if waiting is None:
            return False
        self._root.discard(waiting, now)
        return True

    def reprioritise(self, item: Item, priority: Priority, now: Timestamp) -> Item:
        """Move a waiting item to another priority class, at its own age; return its new record.

        Raises InvalidArgumentError where `priority` is no class, UsageError where no item of this key waits.
        """
        waiting = self._pending.get(item.key)
        if waiting is None:
            raise UsageError(f"no item of the key {item.key!r} waits; only a waiting item can change its class")
        moved = msgspec.structs.replace(waiting, priority=priority)
        _check_item(moved)
        self._root.discard(waiting, now)
        self._pending[item.key] = moved
        self._root.add(moved, now)
        return moved

    def find(self, key: Hashable) -> Item | None:
        """Return the waiting item of a key, None where none waits."""
        return self._pending.get(key)

    def explain(self, item: Item, *, names_limit: int = 5) -> Explanation:
        """Say why an item does not run yet: who is ahead of it, and by which node of the tree.

        At most `names_limit` of those ahead are named per node. O(n) in the items of its leaf: for people, not for
        the hot path.
        """
        waiting = self._pending.get(item.key)
        if waiting is not None:
            return Waiting(key=item.key, standings=self._root.standings(waiting, names_limit))
        return Running(key=item.key) if item.key in self._running else Absent(key=item.key)

    def _check_newcomer(self, item: Item) -> None:
        _check_item(item)
        if item.key in self._pending or item.key in self._running:
            state = "waits" if item.key in self._pending else "runs"
            raise UsageError(f"an item of the key {item.key!r} {state} already; remove or complete it first")


def default_tree(tenant_weights: Weights[str] | None = None, meter: Meter = SLOT_SECONDS) -> SchedulingTree:
    """Return the tree that is used unless told otherwise.

    Priority classes are strict; inside a class tenants share by `tenant_weights` (1 unless given) and by what `meter`
    measures; inside a tenant items go by deadline, then by arrival.
    """
    weights: Weights[str] = Weights() if tenant_weights is None else tenant_weights

    def leaf(_tenant: str) -> Node:
        return Keyed(deadline_then_arrival, rule="the earliest deadline is served first, then the earliest arrival")

    def tenants(_priority: Priority) -> Node:
        return Branch(Fair(weights, meter, name="tenant"), route=_TENANT, grow=leaf, of_leaves=True)

    return SchedulingTree(Branch(Strict(), route=_PRIORITY, grow=tenants))


_PRIORITY: Callable[[Item], Priority] = attrgetter("priority")
_TENANT: Callable[[Item], str] = attrgetter("tenant")
_LOWEST = max(Priority)


def _check_item(item: Item) -> None:
    if not 0 <= item.priority <= _LOWEST:
        raise InvalidArgumentError(
            f"the item {item.key!r} has the priority {item.priority!r}; allowed is 0 (CRITICAL) to 4 (BACKGROUND)"
        )
    if not 0.0 < item.estimated_cost <= LARGEST_COST:
        raise InvalidArgumentError(
            f"the item {item.key!r} has the estimated cost {item.estimated_cost!r}; "
            f"allowed is above 0 and up to {LARGEST_COST} s"
        )
