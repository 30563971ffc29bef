"""Questions that are asked together, without a server."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

import pytest
from asyncpg import CannotConnectNowError, TooManyConnectionsError

from perdure.stores.postgres.connection import Connection
from perdure.stores.postgres.together import Together

Result = TypeVar("Result")


class Store:
    """One connection, and what was asked on it: numbers, of which each is answered by ten times as much."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(1)
        self.asked: list[list[int]] = []
        self.trouble: Exception | None = None

    async def __call__(self, work: Callable[[Connection], Awaitable[Result]], /) -> Result:
        async with self.turns:
            return await work(cast("Connection", None))

    async def answer(self, connection: Connection, numbers: Sequence[int]) -> list[int]:
        del connection
        self.asked.append(list(numbers))
        await asyncio.sleep(0)
        if self.trouble is not None:
            raise self.trouble
        return [10 * number for number in numbers]


class DamagedPageError(Exception):
    """What a server raises of a statement that meets one."""

    sqlstate = "XX001"


def questions_to(store: Store, *, most: int = 100) -> Together[int, int]:
    return Together(store, store.answer, most=most)


async def wait_while_none_is_free(
    questions: Together[int, int], store: Store, *numbers: int
) -> list[asyncio.Task[int]]:
    """Have questions wait for the connection, which somebody else has."""
    await store.turns.acquire()
    asking = [asyncio.create_task(questions.ask(number)) for number in numbers]
    for _ in range(3):
        await asyncio.sleep(0)
    assert not store.asked
    return asking


async def ask(questions: Together[int, int], *numbers: int) -> list[int]:
    return await asyncio.gather(*map(questions.ask, numbers))


async def test_what_comes_at_one_moment_is_asked_at_once() -> None:
    store = Store()
    questions = questions_to(store)
    assert await ask(questions, 1, 2, 3) == [10, 20, 30]
    assert await questions.ask(4) == 40
    assert store.asked == [[1, 2, 3], [4]]


async def test_what_comes_while_no_connection_is_free_goes_together_in_lots_that_are_not_too_large() -> None:
    store = Store()
    questions = questions_to(store, most=2)
    asking = await wait_while_none_is_free(questions, store, *range(5))
    store.turns.release()
    assert await asyncio.gather(*asking) == [0, 10, 20, 30, 40]
    assert store.asked == [[0, 1], [2, 3], [4]]


async def test_an_error_that_many_meet_has_in_each_the_lines_of_its_own_way() -> None:
    store = Store()
    store.trouble = ConnectionRefusedError("nobody listens")
    questions, lengths = questions_to(store), list[int]()

    async def fail(number: int) -> None:
        try:
            await questions.ask(number)
        except ConnectionRefusedError as error:
            lengths.append(len(traceback.extract_tb(error.__traceback__)))

    await asyncio.gather(*map(fail, range(50)))
    assert store.asked == [list(range(50))]
    assert lengths == [lengths[0]] * 50


async def test_a_large_question_goes_alone_and_small_ones_together() -> None:
    store = Store()
    questions = Together(store, store.answer, most=10, size=lambda number: number)
    asking = await wait_while_none_is_free(questions, store, 3, 4, 50, 5, 5, 1)
    store.turns.release()
    await asyncio.gather(*asking)
    assert store.asked == [[3, 4], [50], [5, 5], [1]]


async def test_what_cannot_be_answered_together_is_asked_by_halves_and_fails_alone() -> None:
    store = Store()

    async def answer(connection: Connection, numbers: Sequence[int]) -> list[int]:
        found = await store.answer(connection, numbers)
        if 2 in numbers:
            raise DamagedPageError
        return found

    questions = Together(store, answer, most=100)
    found = await asyncio.gather(*map(questions.ask, (1, 2, 3)), return_exceptions=True)
    assert isinstance(found[1], DamagedPageError)
    assert [found[0], found[2]] == [10, 30]
    assert store.asked == [[1, 2, 3], [1], [2, 3], [2], [3]]


@pytest.mark.parametrize("trouble", [TooManyConnectionsError("full"), CannotConnectNowError("starts"), OSError("gone")])
async def test_a_server_that_answers_nobody_is_not_asked_by_each(trouble: Exception) -> None:
    store = Store()
    store.trouble = trouble
    found = await asyncio.gather(*map(questions_to(store).ask, (1, 2, 3)), return_exceptions=True)
    assert found == [trouble] * 3
    assert store.asked == [[1, 2, 3]]


async def test_what_all_have_given_up_is_not_asked() -> None:
    store = Store()
    questions = questions_to(store)
    asking = await wait_while_none_is_free(questions, store, 1, 2)
    for one in asking:
        one.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    store.turns.release()
    assert await questions.ask(3) == 30
    assert store.asked == [[3]]


async def test_an_answer_too_few_is_an_error_of_all_and_leaves_nobody_waiting() -> None:
    store = Store()

    async def answer(connection: Connection, numbers: Sequence[int]) -> list[int]:
        return (await store.answer(connection, numbers))[1:]

    found = await asyncio.gather(*map(Together(store, answer, most=9).ask, (1, 2)), return_exceptions=True)
    assert all(isinstance(one, ValueError) for one in found)


async def test_all_who_have_asked_meet_the_trouble_and_the_next_do_not() -> None:
    store = Store()
    questions = questions_to(store)
    store.trouble = OSError("gone")
    assert await asyncio.gather(*map(questions.ask, (1, 2)), return_exceptions=True) == [store.trouble] * 2
    store.trouble = None
    assert await ask(questions, 3) == [30]


async def test_trouble_before_anything_is_asked_is_met_by_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    questions = questions_to(store)

    async def refuse(store: Store, work: Callable[[Connection], Awaitable[object]], /) -> object:
        del store, work
        raise OSError("unreachable")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "__call__", refuse)
        found = await asyncio.gather(*map(questions.ask, (1, 2)), return_exceptions=True)
    assert [str(one) for one in found] == ["unreachable"] * 2
    assert await ask(questions, 3) == [30]


async def test_who_gives_up_leaves_the_others_to_be_answered() -> None:
    store = Store()
    questions = questions_to(store)
    asking = [asyncio.create_task(questions.ask(number)) for number in range(3)]
    await asyncio.sleep(0)
    asking[1].cancel()
    asking.append(asyncio.create_task(questions.ask(3)))
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert found[0] == 0
    assert isinstance(found[1], asyncio.CancelledError)
    assert found[2:] == [20, 30]


async def test_what_is_done_twice_asks_the_same() -> None:
    store = Store()

    async def twice(work: Callable[[Connection], Awaitable[Result]], /) -> Result:
        await store(work)
        return await store(work)

    questions = Together(twice, store.answer, most=100)
    assert await ask(questions, 1, 2) == [10, 20]
    assert store.asked == [[1, 2], [1, 2]]


async def test_who_waits_when_it_is_closed_is_told() -> None:
    store = Store()
    questions = questions_to(store, most=2)
    asking = await wait_while_none_is_free(questions, store, *range(5))
    await questions.close()
    store.turns.release()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(one) for one in found] == [ConnectionAbortedError] * 5
    assert not store.asked
    assert not questions._asking
    with pytest.raises(ConnectionAbortedError, match="closed"):
        await questions.ask(1)


async def test_who_asks_at_the_moment_of_the_closing_is_told() -> None:
    questions = questions_to(Store())
    asking = asyncio.create_task(questions.ask(1))
    await asyncio.sleep(0)
    questions.abandon()
    with pytest.raises(ConnectionAbortedError):
        await asyncio.wait_for(asking, 30)
