"""What tasks have taken longer or shorter than was charged for them, until it is told: who shares a queue gets equal
parts of what its servers do (`perdure.stores.task_shares`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from perdure.errors import PerdureError
from perdure.kernel.priority import Priority
from perdure.kernel.tasks import Task
from perdure.ports.tasks import TaskCost

if TYPE_CHECKING:
    from perdure.execution.worker import Worker

__all__ = ["TaskCosts"]


class TaskCosts:
    """What one worker is to tell, a sum for each share of a class of a queue."""

    def __init__(self, worker: "Worker") -> None:
        """Begin with nothing."""
        self._worker: Final = worker
        self._seconds: dict[tuple[str, Priority, str], float] = {}

    def correct(self, task: Task, share: str, seconds: float) -> None:
        """Tell with the next claim by how much longer a task has kept a slot than was charged for it."""
        self._add((task.queue, task.priority, share), seconds)

    @contextmanager
    def telling(self) -> Iterator[list[TaskCost]]:
        """Give what is to be told, and keep it for the next time where that fails."""
        told, self._seconds = self._seconds, {}
        try:
            yield [
                TaskCost(queue=queue, priority=priority, share=share, seconds=seconds)
                for (queue, priority, share), seconds in told.items()
            ]
        except BaseException:
            for key, seconds in told.items():
                self._add(key, seconds)
            raise

    def _add(self, key: tuple[str, Priority, str], seconds: float) -> None:
        self._seconds[key] = self._seconds.get(key, 0.0) + seconds

    async def tell(self) -> None:
        """Tell it where no claim may follow that would."""
        try:
            with self.telling() as costs:
                await self._worker.store.correct_costs(costs, now=self._worker.clock.now())
        except PerdureError as error:
            self._worker.recurring.warning("telling what tasks have taken failed: %s", error, cause=error)
