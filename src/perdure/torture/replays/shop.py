# ruff: noqa: Q000, E501 - the texts are Python, and stand on one line each
"""The text of a module of workflows, what may be changed in it without harm, and what may not."""

from typing import Final

__all__ = ["HARMLESS", "MUTATIONS", "SHOP"]

SHOP: Final = """
import asyncio
from datetime import timedelta

from perdure import Context, ParentClosePolicy, Priority, Retry, Signal, activity, workflow

go = Signal("go", int)


@activity(name="replay_reserve")
async def reserve(item: str, count: int) -> str:
    return f"{count} {item}"


@activity(name="replay_quote")
async def quote(carrier: str, count: int) -> int:
    return len(carrier) * count


@activity(name="replay_refund")
async def refund(payment: str) -> None: ...


@activity(name="replay_charge", compensate=refund)
async def charge(cents: int) -> str:
    return f"paid {cents}"


@activity(name="replay_refuse", retry=Retry.never())
async def refuse(item: str) -> None:
    raise ValueError(item)


@activity(name="replay_wrap")
async def wrap(item: str) -> str:
    return f"wrapped {item}"


@workflow(name="replay_report")
async def report(ctx: Context, item: str) -> str:
    async with ctx.stage("report"):
        return await wrap(item)


@workflow(name="replay_order")
async def order(ctx: Context, item: str, count: int) -> str:
    async with ctx.stage("reserve"):
        reservation = await reserve(item, count)
    prices = await asyncio.gather(quote("dhl", count), quote("parcel", count))
    ctx.set("price", min(prices))
    if min(prices) > 3:
        payment = await charge(min(prices))
    else:
        payment = "free"
    await asyncio.sleep(0.01)
    try:
        async with asyncio.timeout(30):
            answer = await ctx.wait_for(go)
    except TimeoutError:
        answer = 0
    if ctx.patched("gift"):
        await wrap(item)
    key = await ctx.side_effect(lambda: 7, int)
    child = await ctx.run_child(report, item, id=f"{ctx.info.id}-report")
    ctx.set_labels(done="yes")
    ctx.set_priority(Priority.HIGH, reason="late")
    ctx.trace_event("almost", item=item)
    return f"{payment} {answer} {key} {child}"


@workflow(name="replay_failing")
async def failing(ctx: Context, item: str) -> None:
    await charge(5)
    async with ctx.stage("refuse"):
        await refuse(item)


@workflow(name="replay_counting")
async def counting(ctx: Context, rounds: int) -> int:
    total = ctx.get("total", int, 0)
    for number in range(3):
        total += await quote("x", number)
    ctx.set("total", total)
    if rounds > 1:
        ctx.continue_as_new(rounds - 1)
    return total


@workflow(name="replay_waiting")
async def waiting(ctx: Context, item: str) -> int:
    await reserve(item, 1)
    first = await ctx.wait_for(go)
    second = await ctx.wait_for(go)
    ctx.set("sum", first + second)
    return first + second
"""

MUTATIONS: Final = [
    # steps left out
    ('        reservation = await reserve(item, count)\n', '        reservation = "none"\n'),
    ('    async with ctx.stage("reserve"):\n        reservation', '    if True:\n        reservation'),
    ('    ctx.set("price", min(prices))\n', ''),
    ('        payment = await charge(min(prices))\n', '        payment = "later"\n'),
    ('    await asyncio.sleep(0.01)\n', ''),
    ('        async with asyncio.timeout(30):\n', '        if True:\n'),
    ('        await wrap(item)\n    key', '        pass\n    key'),
    ('await ctx.side_effect(lambda: 7, int)', '7'),
    ('await ctx.run_child(report, item, id=f"{ctx.info.id}-report")', '"none"'),
    ('    ctx.set_labels(done="yes")\n', ''),
    ('    ctx.set_priority(Priority.HIGH, reason="late")\n', ''),
    ('    ctx.trace_event("almost", item=item)\n', ''),
    ('    if ctx.patched("gift"):\n', '    if True:\n'),
    ('    await charge(5)\n', ''),
    ('    async with ctx.stage("refuse"):\n        await refuse(item)', '    if True:\n        await refuse(item)'),
    ('    ctx.set("total", total)\n', ''),
    ('        ctx.continue_as_new(rounds - 1)\n', '        return 0\n'),
    ('    ctx.set("sum", first + second)\n', ''),
    # steps more
    ('    ctx.set("price", min(prices))\n', '    ctx.set("price", min(prices))\n    await wrap(item)\n'),
    ('    await asyncio.sleep(0.01)\n', '    await asyncio.sleep(0.01)\n    await asyncio.sleep(0.01)\n'),
    ('    await charge(5)\n', '    await charge(5)\n    await charge(6)\n'),
    ('    ctx.set_labels(done="yes")\n', '    ctx.set_labels(done="yes")\n    ctx.set_labels(more="yes")\n'),
    ('    total = ctx.get("total", int, 0)\n', '    total = ctx.get("total", int, 0)\n    ctx.set("began", True)\n'),
    ('    first = await ctx.wait_for(go)\n', '    await wrap(item)\n    first = await ctx.wait_for(go)\n'),
    ('range(3)', 'range(4)'),
    # another order
    ('quote("dhl", count), quote("parcel", count)', 'quote("parcel", count), quote("dhl", count)'),
    (
        '    ctx.set_labels(done="yes")\n    ctx.set_priority(Priority.HIGH, reason="late")\n',
        '    ctx.set_priority(Priority.HIGH, reason="late")\n    ctx.set_labels(done="yes")\n',
    ),
    (
        '    key = await ctx.side_effect(lambda: 7, int)\n    child = await ctx.run_child(report, item, id=f"{ctx.info.id}-report")\n',
        '    child = await ctx.run_child(report, item, id=f"{ctx.info.id}-report")\n    key = await ctx.side_effect(lambda: 7, int)\n',
    ),
    ('    if min(prices) > 3:\n', '    if min(prices) <= 3:\n'),
    ('await asyncio.gather(quote("dhl", count), quote("parcel", count))', '[await quote("dhl", count), await quote("parcel", count)]'),
    # another step
    ('await reserve(item, count)\n    prices', 'await wrap(item)\n    prices'),
    ('@activity(name="replay_quote")', '@activity(name="replay_offer")'),
    ('run_child(report, item,', 'run_child(waiting, item,'),
    ('await asyncio.sleep(0.01)', 'await ctx.side_effect(lambda: 1)'),
    ('        await refuse(item)', '        await charge(5)'),
    # other arguments
    ('await reserve(item, count)\n    prices', 'await reserve(item, count + 1)\n    prices'),
    ('quote("dhl", count)', 'quote("dpd", count)'),
    ('await charge(min(prices))', 'await charge(max(prices))'),
    ('ctx.set("price", min(prices))', 'ctx.set("cost", min(prices))'),
    ('ctx.set("price", min(prices))', 'ctx.set("price", max(prices))'),
    ('asyncio.sleep(0.01)', 'asyncio.sleep(0.02)'),
    ('asyncio.timeout(30)', 'asyncio.timeout(60)'),
    ('ctx.patched("gift")', 'ctx.patched("present")'),
    ('id=f"{ctx.info.id}-report"', 'id=f"report-{ctx.info.id}"'),
    ('run_child(report, item, id', 'run_child(report, item + "!", id'),
    ('run_child(report, item, id', 'run_child(report, item, policy=ParentClosePolicy.ABANDON, id'),
    ('done="yes"', 'done="no"'),
    ('Priority.HIGH', 'Priority.LOW'),
    ('trace_event("almost", item=item)', 'trace_event("nearly", item=item)'),
    ('ctx.stage("reserve")', 'ctx.stage("reservation")'),
    ('reserve(item, count)\n    prices', 'reserve.options(priority=Priority.HIGH)(item, count)\n    prices'),
    ('await charge(5)', 'await charge(50)'),
    ('ctx.continue_as_new(rounds - 1)', 'ctx.continue_as_new(rounds - 2)'),
    ('await quote("x", number)', 'await quote("y", number)'),
    ('    await reserve(item, 1)\n', '    await reserve(item, 2)\n'),
    # another end
    ('return f"{payment} {answer} {key} {child}"', 'return f"{payment}"'),
    ('return f"{payment} {answer} {key} {child}"', 'raise ValueError("the end")'),
    ('    return first + second\n', '    return first - second\n'),
    ('        return await wrap(item)\n\n\n@workflow(name="replay_order")', '        return "unwrapped"\n\n\n@workflow(name="replay_order")'),
]  # fmt: skip
"""(what stands there, what shall stand there instead): each must be noticed."""

HARMLESS: Final = [
    ('        reservation = await reserve(item, count)\n', '        reserved = await reserve(item, count)\n'),
    ('        reservation = await reserve(item, count)\n', '        reservation = await reserve(count=count, item=item)\n'),
    ('    ctx.set("price", min(prices))\n', '    best = min(prices)\n    ctx.set("price", best)\n'),
    ('    if min(prices) > 3:\n', '    if not min(prices) <= 3:\n'),
    ('        payment = "free"\n', '        payment = "gratis"\n'),
    ('asyncio.sleep(0.01)', 'ctx.sleep(timedelta(milliseconds=10))'),
    ('    prices = await', '    ctx.logger.info("asking for prices")\n    prices = await'),
    ('async def wrap(item: str) -> str:', 'async def wrap(item: str, paper: str = "plain") -> str:'),
    ('async def report(ctx: Context, item: str) -> str:', 'async def report(ctx: Context, item: str, deep: bool = False) -> str:'),
    ('@activity(name="replay_charge", compensate=refund)', '@activity(name="replay_charge", compensate=refund, retry=Retry(attempts=9), timeout=timedelta(hours=1))'),
    ('    return len(carrier) * count\n', '    length = len(carrier)\n    return length * count\n'),
    ('await ctx.side_effect(lambda: 7, int)', 'await ctx.side_effect(lambda: 8, int)'),
    ('    return f"{count} {item}"\n', '    return f"{count} pieces of {item}"\n'),
    ('        answer = 0\n', '        answer = -1\n'),
    ('    for number in range(3):\n        total += await quote("x", number)\n', '    number = 0\n    while number < 3:\n        total = await quote("x", number) + total\n        number += 1\n'),
    ('    return first + second\n', '    return second + first\n'),
    ('    await charge(5)\n    async with', '    payment = await charge(5)\n    assert payment\n    async with'),
    ('go = Signal("go", int)\n', 'go = Signal("go", int)\nunused = Signal("unused", str)\n'),
]  # fmt: skip
"""(what stands there, what shall stand there instead): none may be taken for a difference."""
