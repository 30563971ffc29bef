"""Workflows that the tests of the test kit test."""

import asyncio
from datetime import timedelta

from perdure import Context, Retry, Signal, Update, activity, fixed, workflow

MONTH = timedelta(days=30)

pay = Signal("pay", int)
raise_price = Update("raise price", int, int)


@activity
async def debit(cents: int, *, note: str = "") -> str:
    return f"billed {cents}{note}"


@activity(retry=Retry(attempts=5, backoff=fixed(timedelta(hours=1))))
async def try_to_bill(cents: int) -> str:
    return f"billed {cents}"


@activity
def print_letter(text: str) -> int:
    return len(text)


@activity(at_most_once=True)
async def launch() -> str:
    return "launched"


@workflow
async def subscription(ctx: Context, months: int) -> list[str]:
    bills = []
    for month in range(months):
        await ctx.sleep(MONTH)
        bills.append(await debit(month))
    return bills


@workflow
async def letter(ctx: Context, text: str) -> int:
    return await print_letter(text)


@workflow
async def tenacious(ctx: Context) -> str:
    return await try_to_bill(7)


@workflow
async def invoice(ctx: Context) -> str:
    """Wait a week for the money; its price can be asked and raised."""
    price = 100

    @ctx.query("price")
    def tell() -> int:
        return price

    async def change(by: int) -> int:
        nonlocal price
        price += by
        return price

    ctx.on_update(raise_price, change)
    try:
        async with asyncio.timeout(7 * 24 * 3600):
            paid = await ctx.wait_for(pay)
    except TimeoutError:
        return f"{price} overdue"
    ctx.set("paid", paid)
    return f"paid {paid} of {price}"


@workflow
async def awaiting(ctx: Context) -> int:
    """Wait for the money, for ever."""
    return await ctx.wait_for(pay)
