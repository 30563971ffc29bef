"""Placement: activities go to workers that have the labels they demand, and sticky ones to who made the last one."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from perdure import Context, Engine, Run, Settings, Signal, activity, current_attempt, workflow
from perdure.authoring.activity_context import running_attempt
from perdure.errors import InvalidArgumentError
from perdure.execution.attempts import RunningCall
from perdure.kernel import events as e
from perdure.ports.tasks import Serving
from tests.journeys.conftest import MakeEngine
from tests.journeys.workflows import kinds, until

LONG = 600.0
go = Signal("go", type(None))
_makers: dict[str, list[object]] = {}
_gates: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def _new_gates() -> None:
    _makers.clear()
    _gates.clear()


def serving(*, only: bool = True, sticky_seconds: float = LONG, slots: int = 100, **labels: str) -> Settings:
    """Return what a worker of the queue is; it looks for nothing of which it has not heard."""
    return Settings(
        queues=("gpu",),
        labels=labels,
        only_queues=only,
        queue_slots=slots,
        sticky_seconds=sticky_seconds,
        lease_seconds=LONG,
        shutdown_grace_seconds=0.1,
    )


OWNER = Settings(sticky_seconds=LONG, lease_seconds=LONG)


def _made() -> None:
    running = running_attempt.get()
    assert isinstance(running, RunningCall)
    _makers.setdefault(current_attempt().run_id, []).append(running.attempts)


def makers(run_id: str, **engines: Engine | object) -> list[str]:
    """Return who has made the activities of a run; of an engine that is closed, what has made its attempts."""
    attempts = {one.worker.attempts if isinstance(one, Engine) else one: name for name, one in engines.items()}
    return [attempts[made] for made in _makers.get(run_id, [])]


@activity(queue="gpu", labels={"gpu": "a100"})
async def placed_render() -> None:
    _made()


@activity(queue="gpu", sticky=True)
async def placed_warm(number: int) -> int:
    _made()
    return number


@activity(queue="gpu")
async def placed_gated() -> None:
    await _gates.setdefault(current_attempt().run_id, asyncio.Event()).wait()


@workflow
async def placed_film(_: Context, scenes: int) -> None:
    for _scene in range(scenes):
        await placed_render()


@workflow
async def placed_other_film(_: Context) -> None:
    await placed_render.options(labels={"gpu": "h100", "zone": "eu"})()


@workflow
async def placed_warm_film(_: Context, scenes: int) -> int:
    return sum([await placed_warm(number) for number in range(scenes)])


@workflow
async def placed_two_steps(ctx: Context) -> None:
    await placed_warm(1)
    await ctx.wait_for(go)
    await placed_warm(2)


@workflow
async def placed_busy(_: Context) -> None:
    await placed_gated()


async def waiting(engine: Engine) -> list[Any]:
    return [task for task in await engine.tasks() if task.owner is None]


async def is_waiting(engine: Engine, count: int = 1) -> None:
    async def is_so() -> bool:
        return len(await waiting(engine)) == count

    await until(is_so)


async def test_an_activity_goes_to_a_worker_that_has_the_labels_it_demands(make_engine: MakeEngine) -> None:
    async with (
        make_engine(OWNER, name="owner") as owner,
        make_engine(serving(), name="plain"),
        make_engine(serving(gpu="h100", zone="eu"), name="other") as other,
    ):
        run = await owner.start(placed_film, 3, id="film")
        await is_waiting(owner)
        (task,) = await waiting(owner)
        assert task.labels == {"gpu": "a100"}
        assert task.waits_for == "nobody who serves the queue has the labels gpu=a100"
        async with make_engine(serving(gpu="a100", disk="ssd"), name="fitting") as fitting:
            await run.result()
            assert makers("film", fitting=fitting) == ["fitting"] * 3
        call = await owner.start(placed_other_film, id="call")
        await call.result()
        assert makers("call", other=other) == ["other"]


async def test_a_worker_that_lacks_the_labels_queues_activities_of_its_own_runs(make_engine: MakeEngine) -> None:
    async with make_engine(serving(only=False), name="owner") as owner:
        run = await owner.start(placed_film, 1, id="film")
        await is_waiting(owner)
        async with make_engine(serving(gpu="a100"), name="fitting") as fitting:
            await run.result()
            assert makers("film", fitting=fitting) == ["fitting"]


async def test_a_worker_that_has_the_labels_makes_activities_of_its_own_runs_at_once(make_engine: MakeEngine) -> None:
    async with make_engine(serving(only=False, gpu="a100"), name="owner") as owner:
        run = await owner.start(placed_film, 1, id="film")
        await run.result()
        assert "activity_deferred" not in await kinds(run)


async def test_sticky_activities_of_a_run_are_made_by_one_worker(make_engine: MakeEngine) -> None:
    async with (
        make_engine(OWNER, name="owner") as owner,
        make_engine(serving(), name="one") as one,
        make_engine(serving(), name="two") as two,
    ):
        runs = [await owner.start(placed_warm_film, 5, id=f"warm-{number}") for number in range(4)]
        for run in runs:
            assert await run.result() == 10
            assert len(set(makers(run.id, one=one, two=two))) == 1
        completed = [one.event async for one in runs[0].history() if isinstance(one.event, e.ActivityCompleted)]
        assert len({event.worker for event in completed}) == 1
        assert completed[0].worker is not None


async def test_the_worker_of_a_run_may_be_who_its_sticky_activities_stick_to(make_engine: MakeEngine) -> None:
    async with make_engine(serving(only=False), name="owner") as owner:
        run = await owner.start(placed_warm_film, 3, id="warm")
        assert await run.result() == 3
        assert makers("warm", owner=owner) == ["owner"] * 3
        async with make_engine(serving(), name="other") as other:
            run = await owner.start(placed_warm_film, 3, id="warm-2")
            assert await run.result() == 3
            assert len(set(makers("warm-2", owner=owner, other=other))) == 1


async def test_a_sticky_activity_goes_elsewhere_at_once_when_its_worker_is_gone(make_engine: MakeEngine) -> None:
    async with make_engine(OWNER, name="owner") as owner:
        async with make_engine(serving(), name="first") as first:
            run = await owner.start(placed_two_steps, id="two")
            await until(lambda: has_made("two"))
            made_first = first.worker.attempts
            assert makers("two", first=first) == ["first"]
        async with make_engine(serving(), name="other") as other:
            await run.signal(go, None)
            await run.result()
            assert makers("two", first=made_first, other=other) == ["first", "other"]


async def test_a_task_that_is_kept_for_a_worker_goes_elsewhere_at_once_when_that_is_closed(
    make_engine: MakeEngine,
) -> None:
    async with make_engine(OWNER, name="owner") as owner, AsyncExitStack() as stack:
        first = await stack.enter_async_context(make_engine(serving(slots=1), name="first"))
        run = await kept_for(first, owner)
        async with make_engine(serving(), name="other") as other:
            await is_passed_over(owner, other)
            made_first = first.worker.attempts
            await stack.aclose()
            await run.result()
            assert makers("two", first=made_first, other=other) == ["first", "other"]


async def test_a_sticky_activity_waits_for_its_worker_though_others_are_idle(make_engine: MakeEngine) -> None:
    async with make_engine(OWNER, name="owner") as owner, make_engine(serving(slots=1), name="first") as first:
        run = await kept_for(first, owner)
        async with make_engine(serving(), name="other") as other:
            await is_passed_over(owner, other)
            (task,) = await waiting(owner)
            assert (task.run.id, task.sticky_to) == ("two", first.worker.worker_id)
            assert task.waits_for == "it is kept for worker first, which made the last one of its run"
            _gates["busy"].set()
            await run.result()
            assert makers("two", first=first, other=other) == ["first", "first"]


async def test_a_sticky_activity_waits_for_its_worker_no_longer_than_it_may(make_engine: MakeEngine) -> None:
    impatient = Settings(sticky_seconds=0.1, lease_seconds=LONG)
    async with make_engine(impatient, name="owner") as owner, make_engine(serving(slots=1), name="first") as first:
        run = await kept_for(first, owner)
        async with make_engine(serving(), name="other") as other:
            await run.result()
            assert makers("two", first=first, other=other) == ["first", "other"]


async def kept_for(first: Engine, owner: Engine) -> Run[Any]:
    """Return a run whose second activity sticks to a worker, which is busy."""
    run = await owner.start(placed_two_steps, id="two")
    await until(lambda: has_made("two"))
    assert makers("two", first=first) == ["first"]
    await owner.start(placed_busy, id="busy")
    await until(has_begun)
    await run.signal(go, None)
    await is_waiting(owner)
    return run


async def is_passed_over(owner: Engine, other: Engine) -> None:
    """Wait until a worker has looked for tasks, and taken what came later."""
    later = await owner.start(placed_warm_film, 1, id="later")
    await later.result()
    assert makers("later", other=other) == ["other"]


async def has_made(run_id: str) -> bool:
    return bool(_makers.get(run_id))


async def has_begun() -> bool:
    return "busy" in _gates


@pytest.mark.parametrize(
    "labels", [{"": "x"}, {"a=b": "x"}, {"a": 1}, {"a": "x\n"}, {"a": "x" * 200}, ["a"], {"\ud800": "x"}]
)
def test_labels_that_cannot_be_kept_are_refused(labels: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="labels"):
        Settings(queues=("gpu",), labels=labels)
    with pytest.raises(InvalidArgumentError, match="labels"):
        placed_gated.options(labels=labels)


def test_who_demands_something_of_a_worker_must_name_a_queue() -> None:
    async def nowhere() -> None: ...

    with pytest.raises(InvalidArgumentError, match="labels is given, and no queue"):
        activity(name="placed.nowhere", labels={"gpu": "a100"})(nowhere)
    with pytest.raises(InvalidArgumentError, match="sticky is given, and no queue"):
        activity(name="placed.nowhere", sticky=True)(nowhere)
    here = activity(name="placed.here")(nowhere)
    with pytest.raises(InvalidArgumentError, match="sticky"):
        here.options(sticky=True)
    here.options(sticky=True, queue="gpu")


async def test_a_task_says_that_nobody_serves_its_queue_until_somebody_does(make_engine: MakeEngine) -> None:
    async with make_engine(OWNER, name="owner") as owner:
        run = await owner.start(placed_busy, id="busy")
        await is_waiting(owner)
        assert [task.waits_for for task in await owner.tasks()] == ["nobody serves the queue 'gpu'"]
        async with make_engine(serving(), name="server"):
            await until(has_begun)
            assert [(task.waits_for, task.worker) for task in await owner.tasks()] == [("", "server")]
            _gates["busy"].set()
            await run.result()
        again = await owner.start(placed_busy, id="again")
        await is_waiting(owner)
        assert [task.waits_for for task in await owner.tasks()] == ["nobody serves the queue 'gpu'"]
        await again.terminate("nobody serves it")


async def test_a_worker_that_was_taken_for_dead_says_anew_what_it_serves(make_engine: MakeEngine) -> None:
    async with make_engine(OWNER, name="owner") as owner, make_engine(serving(), name="server") as server:
        await until(lambda: _serves(owner))
        await server.worker.store.announce(Serving())  # as after its row was removed
        server.worker.drop_all("its lease had passed")
        server.worker.queues.wake()
        await until(lambda: _serves(owner))


async def _serves(owner: Engine) -> bool:
    return any(one.serving.queues == ("gpu",) for one in await owner.worker.store.list_servers())
