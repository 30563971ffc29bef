"""The methods of an SQLite store that are about tasks; what they do in the database stands in `tasks`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

from perdure.kernel.identity import WorkerId
from perdure.kernel.tasks import TaskClaim
from perdure.kernel.time import Timestamp
from perdure.ports.tasks import ClaimedTask, ServedTasks, ServerSummary, Serving, TaskCost, TaskQuery, TaskSummary
from perdure.stores.sqlite import tasks
from perdure.stores.sqlite.ownership import Ownership
from perdure.stores.sqlite.reader import Reader
from perdure.stores.sqlite.writer import Writer

__all__ = ["TaskMethods"]


class TaskMethods(ABC):
    """A part of the store, by its own parts while it is open."""

    async def claim_tasks(
        self, *, now: Timestamp, limit: int, served: ServedTasks, costs: Sequence[TaskCost] = ()
    ) -> list[ClaimedTask]:
        """Take tasks that nobody has. Complexity: their number, plus those of other activities that are passed over."""
        return await self._owning().claim_tasks(now=now, limit=limit, served=served, costs=costs)

    async def return_tasks(self, claims: Sequence[TaskClaim], *, begun: bool) -> None:
        """Let others claim what this session has."""
        await self._writing().call(partial(tasks.return_tasks, claims=claims, owner=self._session_id(), begun=begun))

    async def correct_costs(self, costs: Sequence[TaskCost], *, now: Timestamp) -> None:
        """Correct what was charged for tasks."""
        if costs:
            correcting = partial(tasks.correct_costs, owner=self._session_id(), costs=costs, now=now)
            await self._writing().call(lambda connection, _: correcting(connection))

    async def announce(self, serving: Serving) -> None:
        """Let others know what this session serves."""
        announcing = partial(tasks.announce, owner=self._session_id(), serving=serving)
        await self._writing().call(lambda connection, _: announcing(connection))

    async def list_servers(self) -> list[ServerSummary]:
        """Return the sessions that have announced something."""
        return await self._browsing().ask(tasks.list_servers)

    async def next_task_at(self, *, now: Timestamp, served: ServedTasks) -> Timestamp | None:
        """Return when a task is kept for another session no longer."""
        asking = partial(tasks.next_task_at, owner=self._session_id(), now=now, served=served)
        return await self._reading().ask(asking)

    async def held_tasks(self) -> set[TaskClaim]:
        """Return what this session has."""
        return await self._reading().ask(partial(tasks.held_tasks, owner=self._session_id()))

    async def list_tasks(self, query: TaskQuery) -> list[TaskSummary]:
        """Return one page of tasks."""
        return await self._browsing().ask(partial(tasks.list_tasks, query=query))

    @abstractmethod
    def _session_id(self) -> WorkerId: ...

    @abstractmethod
    def _owning(self) -> Ownership: ...

    @abstractmethod
    def _reading(self) -> Reader: ...

    @abstractmethod
    def _browsing(self) -> Reader: ...

    @abstractmethod
    def _writing(self) -> Writer: ...
