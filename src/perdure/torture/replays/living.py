"""Living through every workflow of the shop: what is recorded of that, and defining the shop's code anew."""

import asyncio
import contextlib
from typing import Any, Final

from perdure.engine import Engine
from perdure.errors import RunFailedError
from perdure.kernel import events as e
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunRef
from perdure.torture.replays.shop import SHOP

__all__ = ["IDS", "live", "load"]

IDS: Final = ("order", "order-report", "failing", "counting generation 1", "counting", "waiting", "fresh", "done")
"""The runs that are lived through; of one that has continued as new its first generation, too."""


def load(text: str) -> dict[str, Any]:
    """Define the shop's workflows anew, as a deployment does, and return the module's names."""
    names: dict[str, Any] = {"__name__": "replayed_shop"}
    exec(compile(text, "replayed_shop.py", "exec"), names)  # noqa: S102 - the shop's own text
    return names


async def live(url: str) -> dict[str, list[RecordedEvent]]:
    """Live through every workflow of the shop; one run waits for its second signal, one has not been touched."""
    shop = load(SHOP)
    async with Engine(url) as engine:
        order = await engine.start(shop["order"], "lamp", 2, id="order")
        timers = 0
        async for recorded in order.watch():
            timers += isinstance(recorded.event, e.TimerStarted)
            if timers == _TIMERS_UNTIL_SIGNAL:
                break  # it waits for the signal, for at most so long
        await order.signal(shop["go"], 4)
        await order.result()
        failing = await engine.start(shop["failing"], "chair", id="failing")
        with contextlib.suppress(RunFailedError):
            await failing.result()
        await (await engine.start(shop["counting"], 2, id="counting")).result()
        waiting = await engine.start(shop["waiting"], "table", id="waiting")
        await waiting.signal(shop["go"], 1)
        await engine.start(shop["waiting"], "fresh", id="fresh")
        done = await engine.start(shop["waiting"], "sofa", id="done")
        await asyncio.gather(done.signal(shop["go"], 1), done.signal(shop["go"], 2))
        await done.result()
        return {name: await _history(engine, name) for name in IDS}


async def _history(engine: Engine, name: str) -> list[RecordedEvent]:
    store = engine.worker.store
    run_id, _, generation = name.partition(" generation ")
    run = await store.find(RunRef(id=run_id, generation=int(generation or 1)), latest=not generation)
    assert run is not None
    return await store.read_history(run.run_key)


_TIMERS_UNTIL_SIGNAL: Final = 2
