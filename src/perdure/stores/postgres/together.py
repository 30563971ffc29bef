"""Questions of one kind that wait at the same moment are one statement: each costs the way to the server, and the
server's look at it, whatever it asks for. As with commits, nobody waits for others to come: one that finds a free
connection goes alone, and what comes while all are in use goes together.

**Nobody meets what is wrong with another's question.** Where the server finds a damaged page, or what is asked takes
too long, the questions are asked again by halves, until one that fails is alone; a server that cannot be reached, is
silent, or answers nobody has all of them fail.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from perdure.stores.postgres.connection import Connection
from perdure.stores.postgres.faults import may_be_of_one

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
        most: int,
        size: Callable[[Question], int] = lambda _: 1,
    ) -> None:
        """Prepare. `ask` has questions answered, in their order, whose sizes are no more than `most` in all; a larger
        one goes alone."""
        self._store: Final = store
        self._ask: Final = ask
        self._most: Final = most
        self._size: Final = size
        self._waiting: list[_Asked[Question, Answer]] = []
        self._has_asker = False
        self._asking: Final[set[asyncio.Task[None]]] = set()
        self._is_closed = False

    async def ask(self, question: Question) -> Answer:
        """Ask with what others ask. Raises what asking raises."""
        if self._is_closed:
            raise _closed()
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
        """Ask what waits at the moment when a connection is free for it."""
        asked: list[_Asked[Question, Answer]] = []
        try:
            error = await self._try(asked)
            if error is not None:
                await self._part(asked, error)
        except asyncio.CancelledError:
            _refuse(asked, _closed())
            raise

    async def _try(self, asked: list[_Asked[Question, Answer]]) -> Exception | None:
        """Answer these questions, or if there are none those that wait by then, which are added; return what has gone
        wrong: then none of them is answered."""

        async def ask(connection: Connection) -> Sequence[Answer]:
            if not asked:
                asked.extend(self._take())
            return await self._ask(connection, [question for question, _ in asked]) if asked else ()

        try:
            pairs = list(zip(asked, await self._store(ask), strict=True))
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who have asked
            if not asked:  # there was no connection
                asked.extend(self._take())
            return error
        for (_, answer), found in pairs:
            if not answer.done():
                answer.set_result(found)
        return None

    async def _part(self, asked: Sequence[_Asked[Question, Answer]], error: Exception) -> None:
        """Ask by halves what could not be answered together."""
        if len(asked) <= 1 or not may_be_of_one(error):
            _refuse(asked, error)
            return
        middle = len(asked) // 2
        for half in (asked[:middle], asked[middle:]):
            its_error = await self._try(list(half))
            if its_error is not None:
                await self._part(half, its_error)

    def _take(self) -> list[_Asked[Question, Answer]]:
        """Take what is asked now, and nobody has given up; what comes from here on, and what is too much, is the next
        task's."""
        waiting = [one for one in self._waiting if not one[1].done()]
        taken, size = waiting[:1], sum(self._size(question) for question, _ in waiting[:1])
        for one in waiting[1:]:
            size += self._size(one[0])
            if size > self._most:
                break
            taken.append(one)
        self._waiting, self._has_asker = waiting[len(taken) :], False
        self._have_asker(asyncio.get_running_loop())
        return taken

    async def close(self) -> None:
        """Answer nothing any more."""
        self.abandon()
        if self._asking:
            await asyncio.wait(self._asking)

    def abandon(self) -> None:
        """Answer nothing any more, and do not wait for what is being asked."""
        self._is_closed = True
        waiting, self._waiting = self._waiting, []
        _refuse(waiting, _closed())
        for task in self._asking:
            task.cancel()


def _closed() -> Exception:
    return ConnectionAbortedError("the store is being closed")


def _refuse(asked: Iterable[_Asked[Question, Answer]], error: Exception) -> None:
    """Have all fail by the same exception: a future raises it with the lines that it had here, not with those of who
    asked before. What it says it was raised amid (`__context__`) is the last one's."""
    for _, answer in asked:
        if not answer.done():
            answer.set_exception(error)
