"""Schedules by the time of the store: whatever keeps them, what one starts is started once."""

from datetime import timedelta

from perdure import Context, Every, workflow
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import until


@workflow(name="schedules.telling")
async def telling(ctx: Context, word: str) -> str:
    return word


async def test_what_a_schedule_starts_is_started_once_by_whichever_engine(make_engine: MakeEngine) -> None:
    async with make_engine() as first, make_engine(name="other"):
        pulse = await first.schedules.create("pulse", telling, "now", when=Every(timedelta(seconds=1)), limit=1)

        async def has_pulsed() -> bool:
            return bool((await pulse.history()).starts)

        await until(has_pulsed)
        [start] = (await pulse.history()).starts
        assert await (await first.get_run(start.run_id)).result() == "now"
        assert await first.count_runs() == 1


async def test_a_schedule_is_kept_over_restarts(make_engine: MakeEngine) -> None:
    async with make_engine(works=False) as client:
        yearly = await client.schedules.create("yearly", telling, "later", when=Every(timedelta(days=365)))
        run_id = await yearly.trigger()
    async with make_engine() as engine:
        yearly = await engine.schedules.get("yearly")

        async def has_started() -> bool:
            return bool((await yearly.history()).starts)

        await until(has_started)
        assert await (await engine.get_run(run_id)).result() == "later"
        await yearly.delete()
        assert [described async for described in engine.schedules.all()] == []
