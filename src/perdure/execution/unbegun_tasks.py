"""What a worker has claimed and not begun: kept from everybody until the next renewal of the lease, or given back.

A task that cannot be begun for now, as one whose values cannot be fetched, is first in its queue again as soon as it is
given back: given back at once it would be claimed before all others each time, and a queue would stand still for it. So
it is kept until the lease is renewed, while others are claimed, and then given back as unbegun; as many as may be kept,
so that a worker whom nothing can be fetched for takes no whole queue. Rejected: claims that pass over some tasks, which
each store would have to know, and which keep nothing from the next worker.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from perdure.errors import StoreError
from perdure.execution.task_costs import TaskCosts
from perdure.kernel.tasks import TaskClaim
from perdure.ports.tasks import ClaimedTask

if TYPE_CHECKING:
    from perdure.execution.worker import Worker

__all__ = ["UnbegunTasks"]


class UnbegunTasks:
    """The claims of one worker that it is not to begin."""

    def __init__(self, worker: "Worker", costs: TaskCosts) -> None:
        """Begin with none."""
        self._worker: Final = worker
        self._costs: Final = costs
        self._kept: set[TaskClaim] = set()
        self._due: set[TaskClaim] = set()

    @property
    def kept(self) -> frozenset[TaskClaim]:
        """Those that are given back after the next renewal of the lease."""
        return frozenset(self._kept)

    @property
    def due(self) -> frozenset[TaskClaim]:
        """Those that are to be given back now, and could not be yet."""
        return frozenset(self._due)

    @property
    def are_many(self) -> bool:
        """Whether so many are kept that it is taken for an outage: nothing is to be claimed until the next renewal."""
        return len(self._kept) >= _MOST_KEPT

    def keep(self, claimed: ClaimedTask, error: Exception) -> None:
        """Keep one that cannot be begun for now, because of an error. Nobody's turn is charged for it."""
        self._kept.add(claimed.claim)
        self._refund(claimed)
        is_expected = isinstance(error, StoreError)
        text, recurring = "a task of run %s cannot be begun for now: %s", self._worker.recurring
        recurring.warning(text, claimed.task.ref, error, cause=error, with_lines=not is_expected)

    def give_back(self, claimed: ClaimedTask) -> None:
        """Have one given back as soon as the store takes it."""
        self._due.add(claimed.claim)
        self._refund(claimed)

    def renew(self) -> None:
        """Have all given back that were kept until now: the lease was renewed."""
        self._due |= self._kept
        self._kept.clear()

    def forget(self, claims: Collection[TaskClaim]) -> None:
        """Have these given back no more: they are, or somebody else has them."""
        self._due.difference_update(claims)

    def _refund(self, claimed: ClaimedTask) -> None:
        self._costs.correct(claimed.task, claimed.share, -claimed.charged)


_MOST_KEPT: Final = 100
