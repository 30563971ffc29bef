"""Updates whose calls race: with each other, with the end of the run, and with failures of the store."""

import asyncio
import re
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any

import pytest

from perdure import Context, Engine, Update, workflow
from perdure.errors import RunNotFoundError, StoreUnavailableError
from perdure.kernel.identity import WorkerId
from perdure.kernel.transition import Outcome
from perdure.stores.memory import MemoryDatabase, MemoryStore
from tests.execution.stores import FaultyStore, Gate

settle = Update("settle", int, int)


@workflow
async def settling(ctx: Context) -> int:
    settled: asyncio.Queue[int] = asyncio.Queue()

    async def take(amount: int) -> int:
        settled.put_nowait(amount)
        return amount + 1

    ctx.on_update(settle, take)
    return await settled.get()


async def _held_up(gate: Gate, update: Coroutine[Any, Any, int]) -> asyncio.Task[int]:
    """Send an update that arrives when the gate opens."""
    gate.is_open.clear()
    gate.reached.clear()
    asked = asyncio.create_task(update)
    await gate.reached.wait()
    return asked


async def test_an_update_that_another_call_has_made_meanwhile_has_its_answer_though_the_run_has_ended() -> None:
    database, gate = MemoryDatabase(), Gate()
    async with Engine(MemoryStore(database)) as engine:
        run = await engine.start(settling, id="settling")
        async with Engine(MemoryStore(database, gate=gate), works=False) as client:
            late = await client.get_run("settling", settling)
            answer = await _held_up(gate, late.update(settle, 1, request_id="one"))
            assert await run.update(settle, 1, request_id="one") == 2
            assert await run.result() == 1
            gate.is_open.set()
            assert await answer == 2


async def test_an_update_whose_answer_cannot_be_read_says_under_which_request_id_it_may_still_happen() -> None:
    database = MemoryDatabase()
    async with Engine(MemoryStore(database)) as engine:
        await engine.start(settling, id="settling")
        store = FaultyStore(database)
        async with Engine(store, works=False) as client:
            run = await client.get_run("settling", settling)
            store.history_error = StoreUnavailableError("after it is sent")
            with pytest.raises(StoreUnavailableError) as sent:
                await run.update(settle, 2)
            assert re.search(r"^after it is sent; .* may still; ", str(sent.value))
            assert f"request_id={sent.value.open_request_id!r}" in str(sent.value)
            assert await run.update(settle, 7, request_id=sent.value.open_request_id) == 3


async def test_of_an_update_whose_run_is_removed_before_the_answer_is_read_nobody_says_that_it_had_no_effect() -> None:
    database = MemoryDatabase()
    async with Engine(MemoryStore(database)) as engine:
        run = await engine.start(settling, id="settling")
        store = FaultyStore(database)
        async with Engine(store, works=False) as client:
            late = await client.get_run("settling", settling)
            store.history_is_readable.clear()
            asked = asyncio.create_task(late.update(settle, 1))
            assert await run.result() == 1
            await engine.archive.prune(older_than=timedelta(0), archive=None)
            store.history_is_readable.set()
            with pytest.raises(RunNotFoundError, match=r"removed before its answer .* not known whether") as removed:
                await asked
            assert removed.value.open_request_id is not None


async def test_the_answer_of_an_update_is_that_of_the_run_that_took_it_in_though_it_was_another_one_when_asked() -> (
    None
):
    database, gate = MemoryDatabase(), Gate()
    async with Engine(MemoryStore(database)) as engine:
        first = await engine.start(settling, id="settling")
        async with Engine(MemoryStore(database, gate=gate), works=False) as client:
            late = await client.get_run("settling", settling)
            asked = await _held_up(gate, late.update(settle, 1))
            assert await first.update(settle, 2) == 3
            assert await first.result() == 2
            second = await engine.start(settling, id="settling", id_policy="restart_closed")
            gate.is_open.set()
            assert await asked == 2
            assert await second.result() == 1


async def test_an_update_of_a_run_that_was_removed_before_it_is_looked_for_may_have_happened() -> None:
    database, gate = MemoryDatabase(), Gate()
    async with Engine(MemoryStore(database)) as engine:
        run = await engine.start(settling, id="settling")
        async with Engine(MemoryStore(database, gate=gate), works=False) as client:
            late = await client.get_run("settling", settling)
            gate.is_answering.clear()
            asked = asyncio.create_task(late.update(settle, 1, request_id="one"))
            assert await run.result() == 1
            await engine.archive.prune(older_than=timedelta(0), archive=None)
            gate.is_answering.set()
            with pytest.raises(RunNotFoundError, match=r"removed before its answer .* not known whether") as removed:
                await asked
            assert removed.value.open_request_id == "one"


class _AwayAfterCommits(Gate):
    """Lets the store that it is told of find no run right after a commit."""

    store: FaultyStore

    async def after(self, worker: WorkerId, outcomes: Sequence[Outcome]) -> None:
        await super().after(worker, outcomes)
        self.store.find_error = StoreUnavailableError("after it is sent")


async def test_an_update_with_which_a_run_has_begun_says_so_whatever_cannot_be_read_after_that() -> None:
    database, gate = MemoryDatabase(), _AwayAfterCommits()
    async with Engine(MemoryStore(database)) as engine:
        gate.store = FaultyStore(database, gate=gate)
        async with Engine(gate.store, works=False) as client:
            with pytest.raises(StoreUnavailableError, match=r"^after it is sent; .* may still; .*request_id="):
                await client.update_with_start(settling, id="settling", update=settle, input=1)
            assert await (await engine.get_run("settling", settling)).result() == 1


@pytest.mark.parametrize("request_id", ["mine", None])
async def test_an_update_that_was_not_sent_does_not_say_that_it_may_still_happen(request_id: str | None) -> None:
    database, gate = MemoryDatabase(), Gate()
    async with Engine(MemoryStore(database)) as engine:
        await engine.start(settling, id="settling")
        async with Engine(MemoryStore(database, gate=gate), works=False) as client:
            run = await client.get_run("settling", settling)
            gate.failure = lambda _writes: StoreUnavailableError("it was not sent")
            with pytest.raises(StoreUnavailableError) as unsent:
                await run.update(settle, 1, request_id=request_id)
            assert str(unsent.value) == "it was not sent"
            assert unsent.value.open_request_id is None
