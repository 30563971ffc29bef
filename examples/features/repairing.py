"""Retry, reset and fork: an order that failed while the bank was closed goes on, once more, and beside itself.

``python -m examples.features.repairing DATABASE`` shows each; docs/how-to/repair.md says when to use which.
"""

import asyncio
import sys

from perdure import Context, Engine, Retry, Run, RunFailedError, RunQuery, activity, workflow

_BANK = {"is open": False}


@activity(name="features.repairing.reserve")
async def reserve(item: str) -> str:
    """Set the item aside."""
    return f"reserved {item}"


@activity(name="features.repairing.pay", retry=Retry(attempts=1))
async def pay(amount: int) -> str:
    """Pay, if the bank is open."""
    if not _BANK["is open"]:
        message = "the bank is closed"
        raise ConnectionError(message)
    return f"paid {amount}"


@workflow(name="features.repairing.buy")
async def buy(ctx: Context, item: str) -> list[str]:
    """Reserve, then pay."""
    reservation = await reserve(item)
    async with ctx.stage("payment"):
        receipt = await pay(40)
    return [reservation, receipt]


async def main(url: str) -> None:
    """Let an order fail, and repair it in every way."""
    async with Engine(url) as engine:
        run = await engine.start(buy, "lamp", id="order-1")
        try:
            await run.result()
        except RunFailedError as error:
            print("failed:", error.failure_type)
        _BANK["is open"] = True
        await _tell("retry", await run.retry("the bank is open again", by="ann"))
        await _tell("reset to an event", await run.reset("from the start", event=1))
        await _tell("reset to a stage", await run.reset("pay once more", stage="payment"))
        await _tell("fork", await run.fork("beside it", id="order-1-copy", stage="payment"))
        failed = engine.bulk(RunQuery(id_prefix="order-"), dry_run=True)
        print("to retry:", (await failed.retry()).found)


async def _tell(what: str, run: Run[list[str]]) -> None:
    result = await run.result()
    print(f"{what}: {run.id} generation {(await run.describe()).ref.generation}, {', '.join(result)}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
