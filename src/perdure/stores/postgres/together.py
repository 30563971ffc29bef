"""Questions of one kind that wait at the same moment are one statement: each costs the way to the server, and the
server's look at it, whatever it asks for. As with commits, nobody waits for others to come: one that finds a free
connection goes alone, and what comes while all are in use goes together.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from perdure.stores.postgres.connection import Connection

__all__ = ["AskStore", "Together"]

Question = TypeVar("Question")
Answer = TypeVar("Answer")
Result = TypeVar("Result")

_Asked = tuple[Question, asyncio.Future[Answer]]


class AskStore(Protocol):
    """Does work on a connection that nobody else uses meanwhile, perhaps twice."""

    async def __call__(self, work: Callable[[Connection], Awaitable[Result]], /) -> Result:
        """Return what the work returns."""
        ...


class Together(Generic[Question, Answer]):
    """The questions of one kind."""

    def __init__(
        self,
        store: AskStore,
        ask: Callable[[Connection, Sequence[Question]], Awaitable[Sequence[Answer]]],
        *,
        at_once: int,
    ) -> None:
        """Prepare. `ask` has questions answered, in their order, at most so many `at_once`."""
        self._store: Final = store
        self._ask: Final = ask
        self._at_once: Final = at_once
        self._waiting: list[_Asked[Question, Answer]] = []
        self._has_asker = False
        self._asking: Final[set[asyncio.Task[None]]] = set()

    async def ask(self, question: Question) -> Answer:
        """Ask with what others ask. Raises what asking raises."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((question, answer))
        self._have_asker(loop)
        return await answer

    def _have_asker(self, loop: asyncio.AbstractEventLoop) -> None:
        """See to it that one task is about to ask what waits."""
        if self._waiting and not self._has_asker:
            self._has_asker = True
            task = loop.create_task(self._answer(), name="perdure-question")
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _answer(self) -> None:
        taken: list[_Asked[Question, Answer]] = []

        async def ask(connection: Connection) -> Sequence[Answer]:
            if not taken:
                taken.extend(self._take())
            return await self._ask(connection, [question for question, _ in taken])

        try:
            answers = await self._store(ask)
        except asyncio.CancelledError:
            _refuse(taken or self._take(), ConnectionAbortedError("the store is being closed"))
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who have asked
            _refuse(taken or self._take(), error)
        else:
            for (_, answer), found in zip(taken, answers, strict=True):
                if not answer.done():
                    answer.set_result(found)

    def _take(self) -> list[_Asked[Question, Answer]]:
        """Take what is asked now; what comes from here on, and what is too much, is the next task's."""
        taken, self._waiting = self._waiting[: self._at_once], self._waiting[self._at_once :]
        self._has_asker = False
        self._have_asker(asyncio.get_running_loop())
        return taken

    async def close(self) -> None:
        """Answer nothing any more."""
        self.abandon()
        if self._asking:
            await asyncio.wait(self._asking)

    def abandon(self) -> None:
        """Answer nothing any more, and do not wait for what is being asked."""
        for task in self._asking:
            task.cancel()


def _refuse(asked: Iterable[_Asked[Question, Answer]], error: Exception) -> None:
    for _, answer in asked:
        if not answer.done():
            answer.set_exception(error)
