"""Questions that are given up before they are answered."""

import asyncio

from msgspec import structs

from perdure.torture.programs.postgres_harness import PostgresHarness


async def test_after_one_that_is_cancelled_at_any_moment_the_next_sees_what_is_there_now(
    postgres: str, harness: PostgresHarness
) -> None:
    """Of those that need a transaction, on the only connection for questions."""
    harness = PostgresHarness(postgres, structs.replace(harness.settings, readers=1))
    session = await harness.session()
    run = await session.hold()
    for turns in range(40):
        asking = asyncio.create_task(session.store.read_whole(run.run_key))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await session.row(run.run_key)
        await session.advance(run)
        assert (await session.row(run.run_key)).sequence == run.sequence, turns
    await harness.close()
