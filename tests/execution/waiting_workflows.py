"""Workflows that wait for a signal, and that send one."""

from perdure import Context, Signal, workflow

go = Signal("go", int)


@workflow(name="waits_for_a_number")
async def held(ctx: Context) -> int:
    return await ctx.wait_for(go)


@workflow(name="sends_a_number")
async def messenger(ctx: Context, to: str, number: int) -> None:
    ctx.signal(to, go, number)


@workflow(name="continues_with_a_number")
async def continuing(ctx: Context, number: int | None) -> int:
    if number is None:
        following = await ctx.wait_for(go)
        ctx.continue_as_new(following)
    return number
