"""Updates whose calls race: with each other, and with the end of the run."""

import asyncio

from perdure import Context, Engine, Update, workflow
from perdure.stores.memory import MemoryDatabase, MemoryStore
from tests.execution.stores import Gate

settle = Update("settle", int, int)


@workflow
async def settling(ctx: Context) -> int:
    settled: asyncio.Queue[int] = asyncio.Queue()

    async def take(amount: int) -> int:
        settled.put_nowait(amount)
        return amount + 1

    ctx.on_update(settle, take)
    return await settled.get()


async def test_an_update_that_another_call_has_made_meanwhile_has_its_answer_though_the_run_has_ended() -> None:
    database, gate = MemoryDatabase(), Gate()
    async with Engine(MemoryStore(database)) as engine:
        run = await engine.start(settling, id="settling")
        async with Engine(MemoryStore(database, gate=gate), works=False) as client:
            late = await client.get_run("settling", settling)
            gate.is_open.clear()
            gate.reached.clear()
            answer = asyncio.create_task(late.update(settle, 1, request_id="one"))
            await gate.reached.wait()
            assert await run.update(settle, 1, request_id="one") == 2
            assert await run.result() == 1
            gate.is_open.set()
            assert await answer == 2
