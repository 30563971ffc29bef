"""Weighted fair sharing by start-time fair queueing (SFQ), over children that appear on demand.

**Promise.** Of two children that both have work throughout an interval, neither gets ahead of the other by more than
one item each, in service divided by weight: abs(W_i / w_i - W_j / w_j) <= l_i / w_i + l_j / w_j, with l the largest
cost of an item (Goyal, Vin, Cheng, SIGCOMM 1996, theorem 1). Service counts at dispatch and cost is what the meter
says. Where estimates are wrong and D items are in flight, the charges not yet corrected widen that to at most D + 1
times (Jin, Chase, Kaur, SIGMETRICS 2004), and the shares by actual cost converge all the same.

**How.** Each child carries a *start tag*: the service it has had, divided by its weight, on the node's virtual clock.
The lowest tag is served. Dispatch adds estimate / weight to the tag; completion adds (actual - estimate) / weight.
- The correction is never clamped, neither a surcharge nor a refund: clamping a refund to the virtual time loses it, and
  the child's share with it (measured: 29-35 % share error instead of below 1 %).
- A child that *returns* from idleness starts at the virtual time or at its own tag, whichever is later. So idleness
  earns no credit and is not punished, and a returning child is served after at most one item of every other.
- The virtual time is the start tag last served, as in the paper, or the lowest tag of a child with work where refunds
  have brought that below. Rejected: the lowest tag with work throughout, which moves on while a child is idle only
  between one step of its single run and the next, and so costs it the share that a weight above 1 promises.
- When nothing waits and nothing runs, the busy period ends and all tags are forgotten.

**Cost.** O(log m) per operation for m children with work; memory O(m) plus children that run or whose tag still lies
ahead of the virtual time. Entries of the heap that a correction or idleness made void are skipped when they surface and
swept when they outnumber the valid ones.

**Limits.** A forgotten idle child whose tag lay behind the virtual time may return at a virtual time that refunds
moved back, and so gain at most those refunds. A correction is divided by the weight of the child's latest dispatch.
"""

from collections.abc import Hashable, Mapping
from heapq import heapify, heappop, heappush, heapreplace, nsmallest
from typing import Generic, TypeVar

from perdure.errors import InvalidArgumentError
from perdure.kernel.time import Timestamp
from perdure.scheduling.explanation import Standing
from perdure.scheduling.item import Item
from perdure.scheduling.meters import SLOT_SECONDS, Meter

__all__ = ["Fair", "Weights"]

Share = TypeVar("Share", bound=Hashable)


class Weights(Generic[Share]):
    """How much of the service each child is due, relative to the others: numbers from 1e-6 to 1e6.

    `by_child` is copied; a child that is not in it weighs `default`. One value may serve several nodes, and be changed.

    Raises InvalidArgumentError for a weight that is not allowed.
    """

    __slots__ = ("_by_child", "_default")

    def __init__(self, by_child: Mapping[Share, float] | None = None, *, default: float = 1.0) -> None:
        self._by_child: dict[Share, float] = {}
        self._default = _checked_weight("a child without its own", default)
        for child, weight in (by_child or {}).items():
            self.set(child, weight)

    def of(self, child: Share) -> float:
        """Return the weight of a child."""
        return self._by_child.get(child, self._default)

    def set(self, child: Share, weight: float) -> None:
        """Change the weight of a child, from its next dispatch on. Raises InvalidArgumentError as the class does."""
        self._by_child[child] = _checked_weight(repr(child), weight)


class Fair(Generic[Share]):
    """Shares service among children in proportion to their weights. See the module for promise and cost.

    `weights`: None means that all weigh the same. `meter`: the unit of service. `name`: what a child is, for
    explanations.
    """

    __slots__ = (
        "_backlogged",
        "_children",
        "_line",
        "_meter",
        "_name",
        "_running",
        "_served",
        "_sweep_at",
        "_turns",
        "_weights",
    )

    def __init__(
        self, weights: Weights[Share] | None = None, meter: Meter = SLOT_SECONDS, *, name: str = "share"
    ) -> None:
        self._weights: Weights[Share] = Weights() if weights is None else weights
        self._meter = meter
        self._name = name
        self._children: dict[Share, _Account[Share]] = {}
        self._line: list[tuple[float, int, _Account[Share]]] = []  # a heap by (tag, turn)
        self._backlogged = 0  # children with work
        self._running = 0  # items dispatched and not completed
        self._served = 0.0  # start tag last served
        self._turns = 0  # breaks ties: who got its tag first is served first
        self._sweep_at = _SMALL

    def on_enqueue(self, child: Share, _item: Item, _now: Timestamp) -> None:
        """Let a child that had no work join, at the virtual time or its own tag, whichever is later. O(log m)."""
        account = self._children.get(child)
        if account is None:
            account = self._children[child] = _Account(child)
        elif account.turn:
            return
        account.tag = max(account.tag, self._virtual_time())
        self._backlogged += 1
        self._stand_in_line(account)

    def select(self, _now: Timestamp) -> Share | None:
        """Return the child with the lowest start tag; of equal tags the one that has had it longest. O(log m)."""
        account = self._first()
        return None if account is None else account.child

    def on_dispatch(self, child: Share, item: Item, _now: Timestamp) -> None:
        """Charge the estimated cost. O(log m)."""
        account = self._children[child]
        self._charge(account, item)
        self._turns = account.turn = self._turns + 1
        # A selected child stands first, so its entry is replaced in place.
        heapreplace(self._line, (account.tag, account.turn, account))

    def on_idle(self, child: Share, _now: Timestamp) -> None:
        """Let a child that has no more work leave the line; its tag is kept while it matters. O(1) amortised."""
        self._children[child].turn = 0
        self._backlogged -= 1
        self._forget_what_is_over()

    def on_complete(self, child: Share, item: Item, actual_cost: float, _now: Timestamp) -> None:
        """Correct the charge of a dispatched item to its actual cost, unclamped. O(log m)."""
        account = self._children[child]
        account.running -= 1
        self._running -= 1
        error = self._meter.measure(item, actual_cost) - self._meter.estimate(item)
        if error:
            account.tag += error / account.weight
            if account.turn:
                self._stand_in_line(account)
        if not self._running:
            self._forget_what_is_over()

    def standing(self, child: Share, names_limit: int) -> Standing:
        """Name the children with lower tags. O(m)."""
        own = self._children[child]
        place = (own.tag, own.turn)
        lowest = min(other.tag for other in self._children.values() if other.turn)
        ahead = [other for other in self._children.values() if other.turn and (other.tag, other.turn) < place]
        first = nsmallest(names_limit, ahead, key=lambda other: (other.tag, other.turn))
        return Standing(
            node=self._name,
            child=str(child),
            ahead=len(ahead),
            first=tuple(str(other.child) for other in first),
            rule=f"the least service by weight is served first ({own.tag:.6g} here, {lowest:.6g} lowest)",
        )

    def _charge(self, account: "_Account[Share]", item: Item) -> None:
        account.weight = self._weights.of(account.child)
        self._served = account.tag
        account.running += 1
        self._running += 1
        account.tag += self._meter.estimate(item) / account.weight

    def _virtual_time(self) -> float:
        first = self._first()
        return self._served if first is None else min(self._served, first.tag)

    def _first(self) -> "_Account[Share] | None":
        line = self._line
        while line:
            _, turn, account = line[0]
            if account.turn == turn:
                return account
            heappop(line)
        return None

    def _stand_in_line(self, account: "_Account[Share]") -> None:
        self._turns = account.turn = self._turns + 1
        heappush(self._line, (account.tag, account.turn, account))
        if len(self._line) > 2 * self._backlogged + _SMALL:
            self._line = [entry for entry in self._line if entry[2].turn == entry[1]]
            heapify(self._line)

    def _forget_what_is_over(self) -> None:
        if not self._backlogged and not self._running:
            self._children.clear()
            self._line.clear()
            self._served = 0.0
            self._sweep_at = _SMALL
        elif len(self._children) > self._sweep_at:
            virtual_time = self._virtual_time()
            self._children = {
                child: account
                for child, account in self._children.items()
                if account.turn or account.running or account.tag > virtual_time
            }
            # Doubling makes a sweep O(1) per child that has appeared since the one before.
            self._sweep_at = 2 * len(self._children) + _SMALL


_SMALLEST_WEIGHT, _LARGEST_WEIGHT = 1e-6, 1e6
# A wider range would let a tag outgrow what a float tells apart.

_SMALL = 64
"""Below this many void entries a sweep is not worth its pass."""


class _Account(Generic[Share]):
    """What a fair node knows of one child."""

    __slots__ = ("child", "running", "tag", "turn", "weight")

    def __init__(self, child: Share) -> None:
        self.child = child
        self.weight = 1.0
        self.tag = 0.0  # start tag of the next item: service had, divided by weight
        self.turn = 0  # number of its valid entry in the line; 0: no work, not in line
        self.running = 0  # items dispatched and not completed


def _checked_weight(whose: str, weight: float) -> float:
    if not _SMALLEST_WEIGHT <= weight <= _LARGEST_WEIGHT:
        raise InvalidArgumentError(
            f"Weights: the weight of {whose} is {weight!r}; allowed is {_SMALLEST_WEIGHT} to {_LARGEST_WEIGHT}"
        )
    return weight
