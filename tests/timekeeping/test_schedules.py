"""Schedules with engines, runs and a virtual clock: each nominal time has its run or its reason."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from perdure import Context, Engine, Every, Overlap, workflow
from perdure.client.schedules import ScheduleHandle
from perdure.configuration import MAXIMUM_BACKFILLS, MAXIMUM_WAITING_STARTS
from perdure.errors import InvalidArgumentError, ScheduleExistsError, ScheduleNotFoundError, UsageError
from perdure.kernel.events import RunCreated
from tests.timekeeping.virtual import Stage, at

MINUTE = timedelta(minutes=1)
EVERY_MINUTE = Every(MINUTE, offset=timedelta(seconds=20))  # at(60), at(120), ...: the world begins at such a time


@workflow
async def scheduled_sleep(_ctx: Context, seconds: int) -> int:
    """Take a while."""
    await asyncio.sleep(seconds)
    return seconds


def names(*minutes: int, id: str = "s") -> list[str]:
    return [f"{id}@{at(60 * minute).replace(tzinfo=None).isoformat()}Z" for minute in minutes]


def play(part: Callable[[Engine], Awaitable[None]]) -> Stage:
    """Play one part with an engine that works."""
    stage = Stage()

    async def with_engine(stage: Stage) -> None:
        async with stage.engine() as engine:
            await part(engine)

    stage.play(with_engine)
    return stage


async def reasons(schedule: ScheduleHandle) -> list[tuple[str, int]]:
    return [(skip.reason.value, skip.count) for skip in (await schedule.history()).skips]


def test_each_nominal_time_has_its_run_with_its_arguments() -> None:
    async def part(engine: Engine) -> None:
        schedule = await engine.schedules.create("s", scheduled_sleep, 7, when=EVERY_MINUTE, labels={"a": "b"})
        await asyncio.sleep(190)
        run = await engine.get_run(names(2)[0], scheduled_sleep)
        assert await run.result() == 7
        assert (await run.describe()).labels == {"a": "b", "perdure.schedule": "s"}
        assert [start.run_id for start in (await schedule.history()).starts] == names(1, 2, 3)
        description = await schedule.describe()
        assert description.next_times == tuple(at(60 * minute) for minute in (4, 5, 6, 7, 8))

    assert play(part).run_ids() == names(1, 2, 3)


@pytest.mark.parametrize(
    ("overlap", "expected", "skips"),
    [
        (Overlap.SKIP, [1, 3, 5], [("overlap", 1), ("overlap", 1)]),
        (Overlap.BUFFER_ONE, [1, 2, 3, 4], [("buffer_full", 1)]),
        (Overlap.BUFFER_ALL, [1, 2, 3, 4], []),
        (Overlap.CANCEL_OTHER, [1, 2, 3, 4, 5], []),
        (Overlap.TERMINATE_OTHER, [1, 2, 3, 4, 5], []),
        (Overlap.ALLOW_ALL, [1, 2, 3, 4, 5], []),
    ],
)
def test_overlap_policies_say_what_happens_while_a_run_is_open(
    overlap: Overlap, expected: list[int], skips: list[tuple[str, int]]
) -> None:
    async def part(engine: Engine) -> None:
        schedule = await engine.schedules.create("s", scheduled_sleep, 80, when=EVERY_MINUTE, overlap=overlap)
        await asyncio.sleep(310)
        assert await reasons(schedule) == skips

    stage = play(part)
    assert stage.run_ids() == names(*expected)
    ended = {Overlap.CANCEL_OTHER: "cancelled", Overlap.TERMINATE_OTHER: "terminated"}.get(overlap, "completed")
    assert len(stage.run_ids(ended)) >= 2


def test_a_run_that_is_retried_or_reset_hinders_others_again() -> None:
    async def part(engine: Engine) -> None:
        schedule = await engine.schedules.create("s", scheduled_sleep, 80, when=EVERY_MINUTE)
        await asyncio.sleep(70)
        run = await engine.get_run(names(1)[0], scheduled_sleep)
        await run.terminate()
        await schedule.pause()
        await asyncio.sleep(10)
        await schedule.resume()
        await (await run.retry()).reset()
        await asyncio.sleep(110)
        assert await run.result() == 80
        assert await reasons(schedule) == [("overlap", 1)]

    assert play(part).run_ids() == [*names(1), *names(1), *names(1), *names(3)]


def test_after_downtime_times_within_the_catch_up_window_are_made_up_and_older_ones_are_not() -> None:
    stage = Stage()

    async def part(stage: Stage) -> None:
        async with stage.engine() as engine:
            await engine.schedules.create(
                "s",
                scheduled_sleep,
                1,
                when=EVERY_MINUTE,
                catch_up=timedelta(seconds=150),
                overlap=Overlap.BUFFER_ALL,
            )
            await asyncio.sleep(65)
        await asyncio.sleep(300)
        async with stage.engine() as engine:
            await asyncio.sleep(10)
            assert await reasons(await engine.schedules.get("s")) == [("missed", 2)]

    stage.play(part)
    assert stage.run_ids("completed") == names(1, 4, 5, 6)


def test_a_pause_skips_its_times_and_a_backfill_makes_them_up() -> None:
    async def part(engine: Engine) -> None:
        schedule = await engine.schedules.create("s", scheduled_sleep, 1, when=EVERY_MINUTE)
        await asyncio.sleep(70)
        await schedule.pause("for repairs")
        description = await schedule.describe()
        assert (description.is_paused, description.note) == (True, "for repairs")
        await asyncio.sleep(120)
        await schedule.resume()
        await asyncio.sleep(60)
        assert await reasons(schedule) == [("paused", 2)]
        await schedule.backfill(at(60), at(180))
        await asyncio.sleep(10)
        assert await reasons(schedule) == [("paused", 2), ("exists", 1)]

    assert play(part).run_ids("completed") == [*names(1, 4), *names(2, 3)]


def test_a_trigger_starts_a_run_now_also_while_paused() -> None:
    async def part(engine: Engine) -> None:
        schedule = await engine.schedules.create("s", scheduled_sleep, 1, when=EVERY_MINUTE, paused=True)
        first = await schedule.trigger()
        run_ids = [first, await schedule.trigger(overlap=Overlap.ALLOW_ALL)]
        await asyncio.sleep(5)
        assert [start.run_id for start in (await schedule.history()).starts] == run_ids
        assert await (await engine.get_run(first)).result() == 1

    assert len(play(part).run_ids("completed")) == 2


def test_bounds_and_the_limit_end_a_schedule() -> None:
    async def part(engine: Engine) -> None:
        bounded = await engine.schedules.create(
            "b", scheduled_sleep, 1, when=EVERY_MINUTE, start_at=at(120), end_at=at(180)
        )
        limited = await engine.schedules.create("l", scheduled_sleep, 1, when=EVERY_MINUTE, limit=1)
        await asyncio.sleep(300)
        for schedule in (bounded, limited):
            assert (await schedule.describe()).next_times == ()
        await limited.trigger()
        await asyncio.sleep(1)
        assert await reasons(limited) == [("limit", 1)]

    assert play(part).run_ids() == [*names(1, id="l"), *names(2, 3, id="b")]


def test_jitter_moves_the_start_and_not_the_nominal_time() -> None:
    async def part(engine: Engine) -> None:
        schedule = await engine.schedules.create("s", scheduled_sleep, 1, when=EVERY_MINUTE, jitter=MINUTE / 2)
        await asyncio.sleep(400)
        starts = (await schedule.history()).starts
        late = [start.at - start.nominal_at for start in starts]
        assert len(set(late)) == len(late)
        assert all(0 <= one < 31_000_000 for one in late)

    assert play(part).run_ids() == names(1, 2, 3, 4, 5, 6)


def test_a_description_tells_what_became_of_the_latest_runs() -> None:
    async def part(engine: Engine) -> None:
        schedule = await engine.schedules.create(
            "s", scheduled_sleep, 80, when=EVERY_MINUTE, overlap=Overlap.TERMINATE_OTHER
        )
        await asyncio.sleep(130)
        runs = (await schedule.describe()).runs
        assert [(run.id, run.nominal_at, run.status) for run in runs] == [
            (names(1)[0], at(60), "terminated"),
            (names(2)[0], at(120), "running"),
        ]

    play(part)


def test_bounds_can_be_lifted_and_catching_up_made_unlimited() -> None:
    async def part(engine: Engine) -> None:
        schedule = await engine.schedules.create("s", scheduled_sleep, 1, when=EVERY_MINUTE, limit=1, end_at=at(500))
        await asyncio.sleep(150)
        await schedule.update(limit=None, end_at=None, catch_up=None)
        plan = (await schedule.describe()).plan
        assert (plan.limit, plan.end_at, plan.catch_up_microseconds) == (None, None, None)
        await asyncio.sleep(60)
        assert await reasons(schedule) == []

    assert play(part).run_ids() == names(1, 3)


def test_an_update_of_what_a_schedule_has_not_is_refused() -> None:
    async def part(engine: Engine) -> None:
        schedule = await engine.schedules.create("s", scheduled_sleep, 1, when=EVERY_MINUTE)
        with pytest.raises(InvalidArgumentError, match="tz cannot be changed"):
            await schedule.update(tz="UTC")  # type: ignore[call-arg]  # the mistake
        with pytest.raises(InvalidArgumentError, match="when is None"):
            await schedule.update(when=None)  # type: ignore[arg-type]  # the mistake

    play(part)


def test_triggers_and_backfills_that_nobody_takes_are_refused_beyond_their_limit() -> None:
    stage = Stage()

    async def client(stage: Stage) -> None:
        async with stage.engine(works=False) as engine:
            schedule = await engine.schedules.create("s", scheduled_sleep, 1, when=EVERY_MINUTE)
            for _ in range(MAXIMUM_BACKFILLS):
                await schedule.backfill(at(0), at(60))
            with pytest.raises(UsageError, match="100 backfills of the schedule 's' wait already"):
                await schedule.backfill(at(0), at(60))
            for _ in range(MAXIMUM_WAITING_STARTS):
                await schedule.trigger()
            with pytest.raises(UsageError, match="1000 triggers of the schedule 's' wait already"):
                await schedule.trigger()

    stage.play(client)


def test_a_run_gets_the_stages_of_the_version_that_it_gets() -> None:
    @workflow(name="staged", stages=("old",))
    async def first(_ctx: Context) -> None:
        """Do nothing."""

    async def part(engine: Engine) -> None:
        await engine.schedules.create("s", first, when=EVERY_MINUTE)

        @workflow(name="staged", version="2", stages=("new", "newer"))
        async def second(_ctx: Context) -> None:
            """Do nothing."""

        await asyncio.sleep(70)
        created, *_ = [recorded.event async for recorded in (await engine.get_run(names(1)[0])).history()]
        assert isinstance(created, RunCreated)
        assert (created.definition_version, created.stages) == (second.version, second.stages)

    play(part)


def test_an_update_holds_from_now_on_and_a_deleted_schedule_does_nothing() -> None:
    async def part(engine: Engine) -> None:
        schedule = await engine.schedules.create("s", scheduled_sleep, 1, when=EVERY_MINUTE)
        with pytest.raises(ScheduleExistsError):
            await engine.schedules.create("s", scheduled_sleep, 1, when=EVERY_MINUTE)
        await asyncio.sleep(70)
        await schedule.update(when=Every(3 * MINUTE, offset=timedelta(seconds=20)), overlap="allow_all", note="slower")
        await asyncio.sleep(360)
        assert [description.note async for description in engine.schedules.all()] == ["slower"]
        await schedule.delete()
        await asyncio.sleep(360)
        with pytest.raises(ScheduleNotFoundError):
            await schedule.describe()

    assert play(part).run_ids() == names(1, 2, 5)


def test_two_processes_that_keep_one_agenda_start_each_run_once() -> None:
    stage = Stage()

    async def first(stage: Stage) -> None:
        async with stage.engine() as engine:
            await engine.schedules.create("s", scheduled_sleep, 90, when=EVERY_MINUTE, overlap=Overlap.BUFFER_ALL)
            await asyncio.sleep(200)

    async def second(stage: Stage) -> None:
        async with stage.engine() as engine:
            await asyncio.sleep(610)
            description = await (await engine.schedules.get("s")).describe()
            assert description.started + description.waiting == 10
            assert description.skipped == 0

    stage.play(first, second)
    assert stage.run_ids() == names(1, 2, 3, 4, 5, 6, 7)


def test_a_schedule_made_by_a_process_that_does_not_work_is_kept_by_one_that_does() -> None:
    stage = Stage()

    async def client(stage: Stage) -> None:
        async with stage.engine(works=False) as engine:
            await asyncio.sleep(1)
            await engine.schedules.create("s", scheduled_sleep, 1, when=EVERY_MINUTE)

    async def worker(stage: Stage) -> None:
        async with stage.engine():
            await asyncio.sleep(130)

    stage.play(worker, client)
    assert stage.run_ids("completed") == names(1, 2)
